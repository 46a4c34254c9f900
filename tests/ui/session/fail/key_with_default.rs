use poem_session::{SessionData, session};

#[derive(SessionData)]
struct Shop {
    #[session(default)]
    cart: Vec<u64>,
}

#[session]
async fn always_some(#[key(Shop::CART)] cart: Option<Vec<u64>>) {
    let _ = cart;
}

fn main() {}
