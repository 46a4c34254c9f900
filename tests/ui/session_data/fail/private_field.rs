mod shop {
    #[derive(poem_session::SessionData)]
    pub struct Shop {
        pub cart: Option<Vec<u64>>,
        user: Option<u64>,
    }
}

use poem_session::Session;
use shop::Shop;

fn uses(session: Session<Shop>) {
    let _ = session.cart();
    let _ = session.user();
    let _ = session.get(Shop::USER);
}

fn main() {}
