use poem_session::{Session, SessionData, session};

#[derive(SessionData)]
struct Shop {
    user: Option<u64>,
}

#[session]
async fn snapshot(_shop: &Shop) {}

#[session]
async fn handle(_shop: &Session<Shop>) {}

fn main() {}
