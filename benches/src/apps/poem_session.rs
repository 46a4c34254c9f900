//! An application with `poem-session`.

use poem_session::{Session, SessionData, Sessions, session, store::MemoryStore};

use super::{App, poem_app, values};

#[derive(SessionData)]
#[session(namespace = "b")]
struct Data {
    user: Option<u64>,
    tags: Option<Vec<String>>,
    token: Option<String>,
    #[session(default)]
    count: i64,
}

#[session]
async fn read(session: Session<Data>) -> poem::Result<String> {
    Ok(session.count()?.to_string())
}

#[session]
async fn change(session: Session<Data>) -> poem::Result<&'static str> {
    let count = session.count()?;
    session.set_count(count + 1)?;
    Ok("ok")
}

#[session]
async fn create(session: Session<Data>) -> poem::Result<&'static str> {
    session.set_user(values::USER)?;
    session.set_tags(values::tags())?;
    session.set_token(values::token())?;
    session.set_count(values::COUNT)?;
    Ok("ok")
}

pub(super) fn app() -> Box<dyn App> {
    let store = MemoryStore::builder()
        .max_bytes(usize::MAX)
        .capacity(usize::MAX)
        .build();
    let sessions = Sessions::builder(store).build().expect("sessions");
    poem_app::app(sessions, read, change, create)
}
