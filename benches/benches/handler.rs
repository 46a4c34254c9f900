//! The time and the heap allocations that a session adds to a handler, compared with `poem::session` and with a
//! handler without sessions. All run in process, with a memory store and four keys in the session.
//!
//! `cargo bench -p poem-session-benches`

use std::sync::LazyLock;

use divan::{AllocProfiler, Bencher};
use poem::{
    Endpoint, EndpointExt, IntoResponse, Request, Response, Route, get, handler,
    http::header,
    session::{CookieConfig, MemoryStorage, ServerSession, Session as PoemSession},
};
use poem_session::{Session, SessionData, Sessions, session, store::MemoryStore};
use tokio::runtime::Runtime;

#[global_allocator]
static ALLOC: AllocProfiler = AllocProfiler::system();

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime")
});

fn main() {
    divan::main();
}

#[derive(SessionData)]
#[session(namespace = "b")]
struct Data {
    user: Option<u64>,
    name: Option<String>,
    theme: Option<String>,
    #[session(default)]
    count: u64,
}

#[handler]
fn bare() -> &'static str {
    "ok"
}

#[session]
async fn read(session: Session<Data>) -> poem::Result<String> {
    Ok(session.name()?.unwrap_or_default())
}

#[session]
async fn change(session: Session<Data>) -> poem::Result<&'static str> {
    let count = session.count()?;
    session.set_count(count + 1)?;
    Ok("ok")
}

#[session]
async fn create(session: Session<Data>) -> poem::Result<&'static str> {
    session.set_user(7)?;
    session.set_name("somebody".to_owned())?;
    session.set_theme("dark".to_owned())?;
    session.set_count(1)?;
    Ok("ok")
}

#[handler]
fn poem_read(session: &PoemSession) -> String {
    session.get("name").unwrap_or_default()
}

#[handler]
fn poem_change(session: &PoemSession) -> &'static str {
    let count: u64 = session.get("count").unwrap_or_default();
    session.set("count", count + 1);
    "ok"
}

#[handler]
fn poem_create(session: &PoemSession) -> &'static str {
    session.set("user", 7);
    session.set("name", "somebody");
    session.set("theme", "dark");
    session.set("count", 1);
    "ok"
}

#[handler]
fn bare_name() -> String {
    String::from("somebody")
}

/// An application to measure. Its handlers `/bare` and `/name` use no session.
struct App<E> {
    endpoint: E,
    cookie: Option<String>,
}

fn ours() -> App<impl Endpoint> {
    let sessions = Sessions::builder(MemoryStore::new())
        .build()
        .expect("sessions");
    App::new(
        Route::new()
            .at("/bare", get(bare))
            .at("/read", get(read))
            .at("/change", get(change))
            .at("/create", get(create))
            .with(sessions),
    )
}

fn poems() -> App<impl Endpoint> {
    let _inside = RUNTIME.enter();
    let sessions = ServerSession::new(CookieConfig::default(), MemoryStorage::new());
    App::new(
        Route::new()
            .at("/bare", get(bare))
            .at("/read", get(poem_read))
            .at("/change", get(poem_change))
            .at("/create", get(poem_create))
            .with(sessions),
    )
}

fn none() -> App<impl Endpoint> {
    App::new(
        Route::new()
            .at("/bare", get(bare))
            .at("/name", get(bare_name)),
    )
}

impl<E: Endpoint> App<E> {
    fn new(endpoint: E) -> Self {
        let mut app = Self {
            endpoint,
            cookie: None,
        };
        let created = app.call(app.request("/create", false));
        app.cookie = created
            .headers()
            .get(header::SET_COOKIE)
            .and_then(|cookie| cookie.to_str().ok()?.split(';').next())
            .map(str::to_owned);
        app
    }

    fn request(&self, path: &str, with_cookie: bool) -> Request {
        let mut request = Request::builder().uri_str(path);
        if let (true, Some(cookie)) = (with_cookie, &self.cookie) {
            request = request.header(header::COOKIE, cookie);
        }
        request.finish()
    }

    fn call(&self, request: Request) -> Response {
        // The futures never wait, so no time of the runtime is measured.
        RUNTIME
            .block_on(self.endpoint.call(request))
            .map_or_else(poem::Error::into_response, IntoResponse::into_response)
    }

    fn bench(&self, bencher: Bencher<'_, '_>, path: &'static str, with_cookie: bool) {
        bencher
            .with_inputs(|| self.request(path, with_cookie))
            .bench_values(|request| self.call(request));
    }
}

/// Defines a group of three benchmarks: without sessions, with `poem-session`, and with `poem::session`.
macro_rules! group {
    ($name:ident, $bare:literal, $path:literal, $cookie:literal) => {
        #[divan::bench_group]
        mod $name {
            use super::*;

            #[divan::bench]
            fn a_bare(bencher: Bencher<'_, '_>) {
                none().bench(bencher, $bare, $cookie);
            }

            #[divan::bench]
            fn b_poem_session(bencher: Bencher<'_, '_>) {
                ours().bench(bencher, $path, $cookie);
            }

            #[divan::bench]
            fn c_poem_server_session(bencher: Bencher<'_, '_>) {
                poems().bench(bencher, $path, $cookie);
            }
        }
    };
}

group!(unused_with_cookie, "/bare", "/bare", true);
group!(read_one_key, "/name", "/read", true);
group!(change_one_key, "/bare", "/change", true);
group!(create_session, "/bare", "/create", false);
group!(visitor, "/bare", "/bare", false);
