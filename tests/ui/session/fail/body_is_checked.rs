use poem_session::{Session, SessionData, session};

#[derive(SessionData)]
struct Shop {
    user: Option<u64>,
}

#[session]
async fn index(shop: Session<Shop>) {
    shop.set_user("Ann").unwrap();
}

#[session(regenerate, destroy)]
async fn with_another_error(shop: Session<Shop>) {
    shop.set_user("Ann").unwrap();
}

fn main() {}
