use poem_session::{Session, SessionData};

#[derive(SessionData)]
struct Shop {
    #[session(default)]
    cart: Vec<u64>,
}

fn uses(session: Session<Shop>) {
    let _ = session.get(Shop::CRAT);
}

fn main() {}
