//! The fixture of the tests: the application of the harness, its log, and a server.

mod logs;
mod socket;

use std::{error::Error, fmt};

use poem::{error::ResponseError, http::StatusCode};

pub(crate) use poem_session_tests::{
    PATIENCE,
    application::{
        Act, Act as End, App, Browser, COOKIE, ENDS, Op, Paused, Prefs, SECRET_OF_STORE, Scripted,
        Shop, count, form_request, request, serve_all, settings,
    },
    reply::Reply,
    stores::stores,
};

pub(crate) use self::{logs::Logs, socket::Served};

/// An error of the application, with this status.
#[derive(Debug)]
pub(crate) struct Refused(pub(crate) StatusCode);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it is refused")
    }
}

impl Error for Refused {}

impl ResponseError for Refused {
    fn status(&self) -> StatusCode {
        self.0
    }
}
