use poem_session::{Session, SessionData, session};

#[derive(SessionData)]
struct Shop {
    user: Option<u64>,
}

struct Api;

impl Api {
    #[session]
    async fn user(&self, shop: Session<Shop>, #[key(Shop::USER)] user: u64) -> bool {
        shop.user().unwrap() == Some(user)
    }
}

fn main() {
    let _ = Api::user;
}
