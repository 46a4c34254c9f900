//! An application with sessions, and its visitors.
//!
//! A test writes the handler of each request as a closure. The application has no socket: a visitor calls its
//! endpoint. The clock is set by the test, and the store fails, hangs or pauses when the test says so.
//!
//! ```
//! use poem_session_tests::application::App;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let app = App::new();
//! let alice = app.browser();
//! let reply = alice.act(|session| Ok(session.set_user(7)?)).await;
//! assert_eq!(reply.status, 200);
//! assert_eq!(alice.user().await, Some(7));
//! # }
//! ```

mod app;
mod browser;
mod probe;

use poem_session::{Session, SessionData, SessionsBuilder};

pub use self::{
    app::{App, Scripted, Site, serve_all},
    browser::{Browser, InFlight, form_request, request},
    probe::{Op, Paused, Probe, SECRET_OF_STORE},
};

/// The name of the session cookie with the default settings.
pub const COOKIE: &str = "__Host-id";

/// A handler that uses a session and returns nothing.
pub type Act = fn(&Session<Shop>);

/// The three ways to end the id of a session.
pub const ENDS: [Act; 3] = [Session::destroy, Session::regenerate, Session::reset];

/// The session data of most tests.
#[derive(SessionData)]
#[session(namespace = "shop")]
pub struct Shop {
    /// The user who is signed in.
    pub user: Option<u64>,
    /// The names of products.
    #[session(default)]
    pub cart: Vec<String>,
    /// A counter.
    #[session(default)]
    pub visits: u64,
    /// A message that is shown once.
    #[session(flash)]
    pub notice: Option<String>,
}

/// Session data of another part of the application.
#[derive(SessionData)]
#[session(namespace = "prefs")]
pub struct Prefs {
    /// The name of a theme.
    pub theme: Option<String>,
}

/// Increments the counter of a session.
pub fn count(session: &Session<Shop>) {
    let updated = session.update_visits(|visits| *visits += 1);
    updated.expect("it fits");
}

/// Changes no setting.
pub fn settings(builder: SessionsBuilder) -> SessionsBuilder {
    builder
}
