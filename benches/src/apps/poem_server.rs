//! An application with `poem::session` and its storage on the server.

use poem::{
    handler,
    session::{CookieConfig, MemoryStorage, ServerSession, Session},
};

use super::{App, poem_app, values};

#[handler]
fn read(session: &Session) -> String {
    let count: i64 = session.get("count").unwrap_or_default();
    count.to_string()
}

#[handler]
fn change(session: &Session) -> &'static str {
    let count: i64 = session.get("count").unwrap_or_default();
    session.set("count", count + 1);
    "ok"
}

#[handler]
fn create(session: &Session) -> &'static str {
    session.set("user", values::USER);
    session.set("tags", values::tags());
    session.set("token", values::token());
    session.set("count", values::COUNT);
    "ok"
}

pub(super) fn app() -> Box<dyn App> {
    let sessions = ServerSession::new(CookieConfig::default(), MemoryStorage::new());
    poem_app::app(sessions, read, change, create)
}
