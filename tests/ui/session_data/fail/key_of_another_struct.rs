use poem_session::{Session, SessionData};

#[derive(SessionData)]
struct Shop {
    #[session(default)]
    cart: Vec<u64>,
}

#[derive(SessionData)]
struct Auth {
    user: Option<u64>,
}

fn uses(session: Session<Shop>) {
    let _ = session.get(Auth::USER);
    let _ = session.set(Auth::USER, 5);
    session.remove(Auth::USER);
}

fn main() {}
