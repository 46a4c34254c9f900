//! The cookie of a response, and the cookies of a request. The unit tests of `cookie` prove the exact text of the
//! cookie and the parser.

use std::time::Duration;

use cookie::Cookie;
use poem::{
    Body, Response,
    http::{HeaderValue, Method, header},
};
use poem_session::{CookieConfig, SameSite, Session};

use crate::support::{App, COOKIE, Reply, request};

/// The attributes by which browsers match two cookies, and those that the name requires.
fn attributes(reply: &Reply) -> String {
    let cookie = reply.cookie().expect("it sets the cookie");
    format!(
        "{} {:?} {:?} {:?} {:?} {:?} {:?}",
        cookie.name(),
        cookie.path(),
        cookie.domain(),
        cookie.secure(),
        cookie.http_only(),
        cookie.same_site(),
        cookie.partitioned(),
    )
}

/// Conformance 1.9, 5.7
#[tokio::test]
async fn the_cookie_is_removed_with_the_attributes_that_it_was_set_with() {
    for config in [
        CookieConfig::default().browser_session(),
        CookieConfig::new("sid")
            .domain("example.com")
            .path("/app")
            .same_site(SameSite::None)
            .partitioned(),
        CookieConfig::new("sid")
            .insecure_http()
            .insecure_script_access(),
    ] {
        let app = App::with(|builder| builder.cookie(config));
        let alice = app.browser();
        let set = alice.act(|s| Ok(s.set_user(7)?)).await;
        let removed = alice.does(Session::destroy).await;
        assert_eq!(attributes(&set), attributes(&removed));
        let cookie = removed.cookie().expect("it removes the cookie");
        assert_eq!(cookie.value(), "");
        assert_eq!(removed.max_age(), Some(Duration::ZERO));
        let expires = cookie.expires_datetime().expect("for old clients");
        assert!(expires.unix_timestamp() < 1_000_000_000);
        assert_eq!(removed.header("cache-control"), Some("no-store"));
    }
}

/// Conformance 1.17
#[tokio::test]
async fn a_browser_session_cookie_has_no_lifetime_and_the_session_still_expires() {
    let app = App::with(|builder| builder.cookie(CookieConfig::default().browser_session()));
    let alice = app.browser();
    let reply = alice.act(|s| Ok(s.set_user(7)?)).await;
    let cookie = reply.cookie().expect("a new session");
    assert!(cookie.max_age().is_none() && cookie.expires().is_none());
    app.pass(Duration::from_mins(30));
    assert_eq!(alice.user().await, None);
}

/// Conformance 5.9
#[tokio::test]
async fn a_response_with_the_cookie_is_not_cached_unless_the_handler_says_so() {
    let app = App::new();
    let alice = app.browser();
    let set = alice.act(|s| Ok(s.set_user(7)?)).await;
    assert_eq!(set.header("cache-control"), Some("no-store"));
    let read = alice.act(|s| Ok(format!("{:?}", s.user()?))).await;
    assert_eq!(read.header("cache-control"), None);
    let own = alice
        .act(|session| {
            session.regenerate();
            Ok(Response::builder()
                .header(header::CACHE_CONTROL, "private, max-age=5")
                .body(Body::empty()))
        })
        .await;
    assert!(own.cookie().is_some());
    assert_eq!(own.header("cache-control"), Some("private, max-age=5"));
}

/// Conformance 5.8
#[tokio::test]
async fn cookies_of_the_handler_stay_beside_the_cookie_of_the_session() {
    let app = App::new();
    let reply = app
        .browser()
        .act(|session| {
            session.set_user(7)?;
            Ok(Response::builder()
                .header(header::SET_COOKIE, "theme=dark")
                .header(header::SET_COOKIE, "lang=en")
                .body(Body::empty()))
        })
        .await;
    let cookies = reply.cookies();
    let names: Vec<&str> = cookies.iter().map(Cookie::name).collect();
    assert_eq!(names, ["theme", "lang", COOKIE]);
}

/// Conformance 1.21, 5.7, 5.13
#[tokio::test]
async fn the_cookie_is_found_in_every_cookie_header_by_its_exact_name() {
    let app = App::new();
    let id = app.sign_in().await.signed_id();
    let hundred = format!("{}__Host-id=ID", "a=b; ".repeat(100));
    let cases: &[(&[&str], Option<u64>)] = &[
        (&["a=1", "__Host-id=ID", "b=2"], Some(7)),
        (&["a=1; __Host-id=ID; b=2"], Some(7)),
        (&["__Host-id=; __Host-id=short; __Host-id=ID"], Some(7)),
        (&["__Host-id=short", "__Host-id=ID"], Some(7)),
        (&["__Host-id=ID; __Host-id=ID"], Some(7)),
        (&[&hundred], Some(7)),
        // RFC 6265, section 5.4, lets a client send any bytes. Browsers send what scripts have set.
        (&["theme=grün", "__Host-id=ID"], Some(7)),
        (&["__host-id=ID"], None),
        (&["__Secure-id=ID"], None),
    ];
    for (cookies, user) in cases {
        let mut request = request(Method::GET, "/");
        for cookie in *cookies {
            let cookie = cookie.replace("ID", id.expose());
            let value = HeaderValue::from_bytes(cookie.as_bytes()).expect("a header value");
            request.headers_mut().append(header::COOKIE, value);
        }
        let reply = app
            .browser()
            .act_by(request, |s| Ok(format!("{:?}", s.user()?)))
            .await;
        assert_eq!(reply.body, format!("{user:?}"), "{cookies:?}");
    }
}
