//! An application of Poem, around the middleware of any library.

use futures_util::FutureExt as _;
use poem::{
    Endpoint, Middleware, Request, Response, Route as Routes, RouteMethod, get, handler,
    http::header,
};

use super::{App, Reply, Route, read_reply, values};

#[handler]
fn plain() -> &'static str {
    "ok"
}

#[handler]
fn plain_values() -> &'static str {
    values::drop_all();
    "ok"
}

struct Poem(Routes);

impl Poem {
    fn serve(&self, route: Route, cookie: Option<&str>) -> Response {
        let mut request = Request::builder().uri_str(route.path());
        if let Some(cookie) = cookie {
            request = request.header(header::COOKIE, cookie);
        }
        let call = self.0.call(request.finish());
        let result = call.now_or_never().expect("a store in memory never waits");
        result.unwrap_or_else(poem::Error::into_response)
    }
}

impl App for Poem {
    fn call(&self, route: Route, cookie: Option<&str>) {
        drop(self.serve(route, cookie));
    }

    fn reply(&self, route: Route, cookie: Option<&str>) -> Reply {
        read_reply(self.serve(route, cookie).into())
    }
}

/// The application with these handlers inside of the middleware `sessions`.
pub(super) fn app<M>(
    sessions: M,
    read: impl Endpoint + 'static,
    change: impl Endpoint + 'static,
    create: impl Endpoint + 'static,
) -> Box<dyn App>
where
    M: Middleware<RouteMethod, Output: Endpoint + 'static>,
{
    let inside = |handler| sessions.transform(handler);
    Box::new(Poem(
        Routes::new()
            .at("/bare", get(plain))
            .at("/bare-values", get(plain_values))
            .at("/unused", inside(get(plain)))
            .at("/read", inside(get(read)))
            .at("/change", inside(get(change)))
            .at("/create", inside(get(create))),
    ))
}
