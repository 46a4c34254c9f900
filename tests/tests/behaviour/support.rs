//! The fixture of the tests: an application whose handlers are closures, its visitors, a store that fails on
//! request, and a server.

mod app;
mod browser;
mod logs;
mod probe;
mod socket;
mod stores;

use poem_session::{Session, SessionData};

pub(crate) use self::{
    app::{App, Scripted, serve_all, settings},
    browser::{Browser, Reply, form_request, request},
    logs::Logs,
    probe::{Op, Paused, Probe, SECRET_OF_STORE},
    socket::Served,
    stores::{PATIENCE, stores},
};

/// The name of the session cookie with the default settings.
pub(crate) const COOKIE: &str = "__Host-id";

/// A way to end the id of a session.
pub(crate) type End = fn(&Session<Shop>);

/// The three ways to end the id of a session.
pub(crate) const ENDS: [End; 3] = [Session::destroy, Session::regenerate, Session::reset];

/// The session data of most tests.
#[derive(SessionData)]
#[session(namespace = "shop")]
pub(crate) struct Shop {
    pub(crate) user: Option<u64>,
    #[session(default)]
    pub(crate) cart: Vec<String>,
    #[session(default)]
    pub(crate) visits: u64,
    #[session(flash)]
    pub(crate) notice: Option<String>,
}

/// Session data of another part of the application.
#[derive(SessionData)]
#[session(namespace = "prefs")]
pub(crate) struct Prefs {
    pub(crate) theme: Option<String>,
}

/// Increments the counter of a session.
pub(crate) fn count(session: &Session<Shop>) {
    let updated = session.update_visits(|visits| *visits += 1);
    updated.expect("it fits");
}
