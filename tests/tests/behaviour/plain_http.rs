//! The warning about a `Secure` cookie over plain HTTP.

use poem::{
    Body, Request, RequestParts, Route, get, handler,
    http::{self, HeaderName, HeaderValue, Method, uri::Scheme},
    web::{LocalAddr, RemoteAddr},
};
use poem_session::{CookieConfig, IdSource, Session};

use crate::support::{App, Logs, Scripted, Shop, request};

/// The number of warnings in the log.
fn warnings(logs: &Logs) -> usize {
    let logs = logs.text();
    logs.lines()
        .filter(|line| line.contains("WARN") && line.contains("plain HTTP"))
        .inspect(|line| assert!(line.contains("`CookieConfig::insecure_http`"), "{line}"))
        .count()
}

fn read(session: &Session<Shop>) {
    session.user().expect("it decodes");
}

fn with_header(name: &'static str, value: &'static str) -> Request {
    let mut request = request(Method::GET, "/");
    let (name, value) = (
        HeaderName::from_static(name),
        HeaderValue::from_static(value),
    );
    request.headers_mut().append(name, value);
    request
}

/// A request that Poem has received on this scheme.
fn on(scheme: Scheme) -> Request {
    let (parts, ()) = http::Request::new(()).into_parts();
    let (local, remote) = (LocalAddr::default(), RemoteAddr::default());
    let parts = RequestParts::from((parts, local, remote, scheme));
    Request::from_parts(parts, Body::empty())
}

/// Conformance 5.7
#[tokio::test]
async fn the_first_request_over_plain_http_logs_one_warning() {
    let app = App::new();
    let logs = Logs::capture();
    for warned in [1, 1, 1] {
        app.browser().does_by(on(Scheme::HTTP), read).await;
        assert_eq!(warnings(&logs), warned);
    }
    // Each application warns for itself.
    App::new().browser().does_by(on(Scheme::HTTP), read).await;
    assert_eq!(warnings(&logs), 2);
}

/// Conformance 5.7
#[tokio::test]
async fn a_request_over_https_logs_no_warning() {
    let cases: [fn() -> Request; 6] = [
        || on(Scheme::HTTPS),
        || with_header("x-forwarded-proto", "https"),
        || with_header("x-forwarded-proto", "HTTPS, http"),
        || with_header("forwarded", "proto=https"),
        || {
            with_header(
                "forwarded",
                "for=192.0.2.43;Proto=\"https\";by=203.0.113.43, proto=http",
            )
        },
        || with_header("forwarded", "for=192.0.2.43; proto=https"),
    ];
    let app = App::new();
    let logs = Logs::capture();
    for request in cases {
        app.browser().does_by(request(), read).await;
        assert_eq!(warnings(&logs), 0, "{:?}", request());
    }
    let plain: [fn() -> Request; 4] = [
        || with_header("x-forwarded-proto", "http"),
        || with_header("x-forwarded-proto", "http, https"),
        || with_header("forwarded", "for=192.0.2.43;proto=http"),
        || with_header("forwarded", "https"),
    ];
    for request in plain {
        let logs = Logs::capture();
        App::new().browser().does_by(request(), read).await;
        assert_eq!(warnings(&logs), 1, "{:?}", request());
    }
}

/// Conformance 5.7
#[tokio::test]
async fn no_warning_is_logged_if_the_cookie_works_over_plain_http_or_is_not_used() {
    #[handler]
    fn plain() -> &'static str {
        "no session"
    }

    let logs = Logs::capture();
    let insecure = App::with(|builder| builder.cookie(CookieConfig::default().insecure_http()));
    insecure.browser().does_by(on(Scheme::HTTP), read).await;
    let header = App::with(|builder| builder.id_source(IdSource::Header("X-Session".into())));
    header.browser().does_by(on(Scheme::HTTP), read).await;
    let routes = Route::new().at("/", Scripted).at("/plain", get(plain));
    let unused = App::serving(routes, crate::support::settings);
    unused.browser().get("/plain").await;
    assert_eq!(warnings(&logs), 0);
}
