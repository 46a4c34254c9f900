use poem_session::{Session, SessionData, session};

#[derive(SessionData)]
struct Shop {
    user: Option<u64>,
}

#[session(or_redirect = "/login")]
async fn nothing() {}

#[session(or_redirect = "/login")]
async fn no_key(_shop: Session<Shop>) {}

#[session(or_redirect = "/login")]
async fn never_rejected(#[key(Shop::USER)] _user: Option<u64>) {}

fn main() {}
