use poem_session::{SessionData, session};

#[derive(SessionData)]
struct Shop {
    user: Option<u64>,
    #[session(default)]
    cart: Vec<u64>,
}

#[session]
async fn wrong(#[key(Shop::USER)] _user: String) {}

#[session]
async fn wrong_option(#[key(Shop::CART)] _cart: Option<u64>) {}

fn main() {}
