use poem_session::{Session, SessionData};

#[derive(SessionData)]
struct Shop {
    #[cfg(not(any()))]
    here: Option<u64>,
    #[cfg(any())]
    gone: NoSuchType,
    #[cfg_attr(not(any()), session(default))]
    count: u32,
    #[cfg(not(any()))]
    twice: Option<u64>,
    #[cfg(any())]
    twice: Option<String>,
}

fn methods(session: &Session<Shop>) {
    let _ = session.here();
    let _ = session.count();
    let _ = session.set_twice(5);
}

fn main() {
    let _ = methods;
    assert_eq!(Shop::FIELDS.len(), 3);
}
