//! The applications that are measured. Each has the same five routes, over the memory store of one library.

mod floor;
mod poem_app;
mod poem_server;
mod poem_session;
mod salvo;
mod tower_sessions;

use std::fmt;

use futures_util::FutureExt as _;
use http_body::Body;
use http_body_util::BodyExt as _;
use poem::http::{Response, header};

/// The handler to call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route {
    /// A handler of the same framework, outside of the session middleware.
    Bare,
    /// The same, which makes the four values and drops them.
    BareValues,
    /// A handler inside of the session middleware that does not use the session.
    Unused,
    /// Reads one key and returns it.
    Read,
    /// Adds one to the value of one key.
    Change,
    /// Sets the four keys.
    Create,
}

impl Route {
    /// The handler that does all that this one does but the work of the session.
    pub(crate) const fn bare(self) -> Self {
        match self {
            Self::Create => Self::BareValues,
            _ => Self::Bare,
        }
    }

    pub(crate) const fn path(self) -> &'static str {
        match self {
            Self::Bare => "/bare",
            Self::BareValues => "/bare-values",
            Self::Unused => "/unused",
            Self::Read => "/read",
            Self::Change => "/change",
            Self::Create => "/create",
        }
    }
}

/// The response to a request.
#[derive(Debug)]
pub(crate) struct Reply {
    /// The `name=value` of `Set-Cookie`.
    pub(crate) cookie: Option<String>,
    pub(crate) body: String,
}

/// An application under measurement.
pub(crate) trait App {
    /// Serves a request and drops the response.
    fn call(&self, route: Route, cookie: Option<&str>);

    /// Serves a request and reads the response.
    fn reply(&self, route: Route, cookie: Option<&str>) -> Reply;
}

/// A library.
#[derive(Clone, Copy)]
pub(crate) struct Library {
    pub(crate) name: &'static str,
    /// A new application with an empty store.
    pub(crate) app: fn() -> Box<dyn App>,
}

impl fmt::Debug for Library {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// The library that the others are compared with.
pub(crate) const FLOOR: &str = "least work";

/// All libraries, the least work first.
pub(crate) const LIBRARIES: &[Library] = &[
    Library {
        name: FLOOR,
        app: floor::app,
    },
    Library {
        name: "poem-session",
        app: poem_session::app,
    },
    Library {
        name: "poem::session",
        app: poem_server::app,
    },
    Library {
        name: "salvo",
        app: salvo::app,
    },
    Library {
        name: "tower-sessions",
        app: tower_sessions::app,
    },
];

/// The four values of a session.
pub(crate) mod values {
    use std::hint::black_box;

    pub(crate) const USER: u64 = 4_711_000;
    pub(crate) const COUNT: i64 = 70_000;

    /// Ten short strings.
    pub(crate) fn tags() -> Vec<String> {
        (0..10).map(|n| format!("tag-{n:02}")).collect()
    }

    /// 64 bytes.
    pub(crate) fn token() -> String {
        "0123456789abcdef".repeat(4)
    }

    /// Makes the values and drops them.
    pub(crate) fn drop_all() {
        black_box((black_box(USER), tags(), token(), black_box(COUNT)));
    }
}

/// Reads a response whose body is complete.
fn read_reply<B>(response: Response<B>) -> Reply
where
    B: Body<Error: fmt::Debug>,
{
    let cookie = response.headers().get(header::SET_COOKIE);
    let cookie = cookie.and_then(|cookie| {
        // The part that the client sends back.
        let pair = cookie.to_str().ok()?.split(';').next()?;
        Some(pair.to_owned())
    });
    let body = response.into_body().collect().now_or_never();
    let body = body.expect("the body is complete").expect("a body");
    Reply {
        cookie,
        body: String::from_utf8(body.to_bytes().into()).expect("a text"),
    }
}
