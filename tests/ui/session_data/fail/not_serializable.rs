use poem_session::{Session, SessionData};

struct LineItem;

#[derive(SessionData)]
struct Shop {
    last: Option<LineItem>,
    #[session(default)]
    cart: Vec<LineItem>,
    user: Option<u64>,
}

fn uses(shop: Session<Shop>) {
    let _ = shop.cart();
    let _ = shop.get(Shop::LAST);
    shop.remove_last();
}

fn main() {}
