use poem_session::{SessionData, session};

#[derive(SessionData)]
struct Shop {
    user: Option<u64>,
    #[session(default)]
    cart: Vec<u64>,
}

#[session]
async fn snapshot(mut shop: Shop) {
    shop.cart.clear();
}

#[session]
async fn by_path(mut shop: crate::Shop) {
    shop.user = None;
}

fn main() {}
