//! An application with `poem::session` and its storage on the server.

use futures_util::FutureExt as _;
use poem::{
    Endpoint, EndpointExt as _, Request, Response, Route, get, handler,
    http::header,
    session::{CookieConfig, MemoryStorage, ServerSession, Session},
};

use super::{App, Reply, pair, values};

/// An application of Poem.
pub(super) struct PoemApp<E>(pub(super) E);

impl<E: Endpoint> PoemApp<E> {
    fn serve(&self, route: super::Route, cookie: Option<&str>) -> Response {
        let mut request = Request::builder().uri_str(route.path());
        if let Some(cookie) = cookie {
            request = request.header(header::COOKIE, cookie);
        }
        let call = self.0.call(request.finish());
        let result = call.now_or_never().expect("a store in memory never waits");
        result.map_or_else(
            poem::Error::into_response,
            poem::IntoResponse::into_response,
        )
    }
}

impl<E: Endpoint> App for PoemApp<E> {
    fn call(&self, route: super::Route, cookie: Option<&str>) {
        drop(self.serve(route, cookie));
    }

    fn reply(&self, route: super::Route, cookie: Option<&str>) -> Reply {
        let response = self.serve(route, cookie);
        let cookie = response.headers().get(header::SET_COOKIE);
        let cookie = cookie.and_then(|cookie| pair(cookie.as_bytes()));
        let body = response.into_body().into_string();
        let body = body.now_or_never().expect("the body is complete");
        Reply {
            cookie,
            body: body.expect("a text"),
        }
    }
}

#[handler]
fn plain() -> &'static str {
    "ok"
}

#[handler]
fn plain_values() -> &'static str {
    values::drop_all();
    "ok"
}

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
    Box::new(PoemApp(
        Route::new()
            .at("/bare", get(plain))
            .at("/bare-values", get(plain_values))
            .at("/unused", get(plain).with(&sessions))
            .at("/read", get(read).with(&sessions))
            .at("/change", get(change).with(&sessions))
            .at("/create", get(create).with(&sessions)),
    ))
}
