use poem_session::{Session, SessionData, session};

#[derive(SessionData)]
struct Shop {
    user: Option<u64>,
}

#[session(regenerate, destroy, exclusve, or_redirect = "login")]
const fn index<'a>(#[key] user: u64, _a: &mut Shop, _b: Session<Shop>, _c: impl Sized) {}

fn main() {}
