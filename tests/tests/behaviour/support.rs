//! What the tests share: an application whose handlers are closures, browsers, stores that misbehave on
//! request, and a real socket.

mod app;
mod browser;
mod logs;
mod probe;
mod socket;
mod stores;

use poem_session::SessionData;

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

/// What most tests keep in a session.
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

/// Data of another part of the application, in the same session.
#[derive(SessionData)]
#[session(namespace = "prefs")]
pub(crate) struct Prefs {
    pub(crate) theme: Option<String>,
}
