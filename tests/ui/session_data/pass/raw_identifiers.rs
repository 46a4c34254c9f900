use poem_session::{Session, SessionData};

#[derive(SessionData)]
struct r#Match {
    r#type: Option<u64>,
    #[session(default)]
    r#fn: Vec<String>,
}

fn methods(session: &Session<r#Match>) {
    let _ = session.r#type();
    let _ = session.set_type(5);
    let _ = session.update_fn(|names| names.clear());
    session.remove_fn();
    let _ = session.take_type();
}

fn main() {
    let _ = methods;
    assert_eq!(r#Match::TYPE.field().name(), "match.type");
    assert_eq!(r#Match::FN.field().name(), "match.fn");
}
