//! An application with the sessions of Salvo, which saves only sessions that were changed.

use futures_util::FutureExt as _;
use salvo::{
    Depot, Router, Service, handler,
    http::{ReqBody, Request, ResBody, header, uri::Scheme},
    hyper,
    session::{MemoryStore, Session, SessionDepotExt as _, SessionHandler},
};

use super::{App, Reply, Route, read_reply, values};

#[handler]
async fn plain() -> &'static str {
    "ok"
}

#[handler]
async fn plain_values() -> &'static str {
    values::drop_all();
    "ok"
}

#[handler]
async fn read(depot: &mut Depot) -> String {
    let count: Option<i64> = depot.session().and_then(|session| session.get("count"));
    count.unwrap_or_default().to_string()
}

#[handler]
async fn change(depot: &mut Depot) -> &'static str {
    let session = depot.session_mut().expect("a session");
    let count: i64 = session.get("count").unwrap_or_default();
    session.insert("count", count + 1).expect("a session");
    "ok"
}

#[handler]
async fn create(depot: &mut Depot) -> &'static str {
    let mut session = Session::new();
    session.insert("user", values::USER).expect("a session");
    session.insert("tags", values::tags()).expect("a session");
    session.insert("token", values::token()).expect("a session");
    session.insert("count", values::COUNT).expect("a session");
    depot.set_session(session);
    "ok"
}

struct Salvo(Service);

impl Salvo {
    fn serve(&self, route: Route, cookie: Option<&str>) -> hyper::Response<ResBody> {
        let mut request = hyper::Request::builder().uri(route.path());
        if let Some(cookie) = cookie {
            request = request.header(header::COOKIE, cookie);
        }
        let request = request.body(ReqBody::None).expect("a request");
        let request = Request::from_hyper(request, Scheme::HTTP);
        let call = self.0.handle(request);
        let mut response = call.now_or_never().expect("a store in memory never waits");
        // Writes the cookies.
        response.strip_to_hyper()
    }
}

impl App for Salvo {
    fn call(&self, route: Route, cookie: Option<&str>) {
        drop(self.serve(route, cookie));
    }

    fn reply(&self, route: Route, cookie: Option<&str>) -> Reply {
        read_reply(self.serve(route, cookie))
    }
}

pub(super) fn app() -> Box<dyn App> {
    let secret = [7; 64];
    let sessions = SessionHandler::builder(MemoryStore::new(), &secret)
        .save_unchanged(false)
        .build()
        .expect("sessions");
    let inside = Router::new()
        .hoop(sessions)
        .push(Router::with_path("unused").get(plain))
        .push(Router::with_path("read").get(read))
        .push(Router::with_path("change").get(change))
        .push(Router::with_path("create").get(create));
    let router = Router::new()
        .push(Router::with_path("bare").get(plain))
        .push(Router::with_path("bare-values").get(plain_values))
        .push(inside);
    Box::new(Salvo(Service::new(router)))
}
