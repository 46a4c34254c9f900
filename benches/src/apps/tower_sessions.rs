//! An application with `tower-sessions` under axum.

use axum::{Router, body::Body, extract::Request, http::header, response::Response, routing::get};
use futures_util::FutureExt as _;
use tower::util::ServiceExt as _;
use tower_sessions::{MemoryStore, Session, SessionManagerLayer};

use super::{App, Reply, Route, read_reply, values};

async fn plain() -> &'static str {
    "ok"
}

async fn plain_values() -> &'static str {
    values::drop_all();
    "ok"
}

async fn read(session: Session) -> String {
    let count: Option<i64> = session.get("count").await.expect("a count");
    count.unwrap_or_default().to_string()
}

async fn change(session: Session) -> &'static str {
    let count: Option<i64> = session.get("count").await.expect("a count");
    let count = count.unwrap_or_default();
    session.insert("count", count + 1).await.expect("a session");
    "ok"
}

async fn create(session: Session) -> &'static str {
    session
        .insert("user", values::USER)
        .await
        .expect("a session");
    session
        .insert("tags", values::tags())
        .await
        .expect("a session");
    session
        .insert("token", values::token())
        .await
        .expect("a session");
    session
        .insert("count", values::COUNT)
        .await
        .expect("a session");
    "ok"
}

struct Axum(Router);

impl Axum {
    fn serve(&self, route: Route, cookie: Option<&str>) -> Response {
        let mut request = Request::builder().uri(route.path());
        if let Some(cookie) = cookie {
            request = request.header(header::COOKIE, cookie);
        }
        let request = request.body(Body::empty()).expect("a request");
        let call = self.0.clone().oneshot(request);
        let response = call.now_or_never().expect("a store in memory never waits");
        response.expect("routes do not fail")
    }
}

impl App for Axum {
    fn call(&self, route: Route, cookie: Option<&str>) {
        drop(self.serve(route, cookie));
    }

    fn reply(&self, route: Route, cookie: Option<&str>) -> Reply {
        read_reply(self.serve(route, cookie))
    }
}

pub(super) fn app() -> Box<dyn App> {
    let inside = Router::new()
        .route("/unused", get(plain))
        .route("/read", get(read))
        .route("/change", get(change))
        .route("/create", get(create))
        .layer(SessionManagerLayer::new(MemoryStore::default()));
    let outside = Router::new()
        .route("/bare", get(plain))
        .route("/bare-values", get(plain_values));
    Box::new(Axum(outside.merge(inside)))
}
