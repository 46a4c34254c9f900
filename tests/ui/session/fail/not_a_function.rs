use poem_session::{SessionData, session};

#[session]
struct Shop {
    user: Option<u64>,
}

#[session(namespace = "shop")]
mod shop {}

#[poem_session::session(namespace = "auth")]
#[derive(SessionData)]
struct Auth {
    user: Option<u64>,
}

fn main() {
    let _ = Auth::USER;
}
