//! The fixture of the tests: the application of the harness, its log, and a server.

mod logs;
mod socket;

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
