use poem_session::{Session, SessionData, session};

#[derive(SessionData)]
#[session(namespace = "my shop")]
struct Shop {
    cart: Vec<u64>,
    #[session(flush)]
    notice: Option<String>,
    #[session(default)]
    user: Option<u64>,
    id: Option<u64>,
}

// Each mistake above is one error. The uses of the struct are not errors.
#[session]
async fn add(shop: Session<Shop>) -> poem::Result<()> {
    shop.update_cart(|cart| cart.push(1))?;
    shop.set_notice("Added".into())?;
    shop.get(Shop::USER)?;
    Ok(())
}

#[session]
async fn edit(shop: &mut Shop) {
    shop.cart.clear();
}

#[session]
async fn read(shop: Shop, #[key(Shop::USER)] user: u64) -> String {
    format!("{user} {}", shop.cart.len())
}

fn main() {}
