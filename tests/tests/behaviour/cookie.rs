//! The cookie that the client is given, and the cookies that it sends.

use std::time::Duration;

use cookie::Cookie;
use poem::{Body, Request, Response, http::header};
use poem_session::{CookieConfig, SameSite, Session};

use crate::support::{App, COOKIE, Shop, request, settings};

/// The cookie that a visitor is given with these settings, as it was sent.
async fn issued(config: CookieConfig) -> (String, Cookie<'static>) {
    let app = App::with(|builder| builder.cookie(config));
    let reply = app.browser().act(|s| Ok(s.set_user(7)?)).await;
    let text = reply.header("set-cookie").expect("one cookie").to_owned();
    (
        text.clone(),
        Cookie::parse(text).expect("it is well formed"),
    )
}

/// Conformance 1.17, 5.7
#[tokio::test]
async fn the_default_cookie_is_the_strictest_that_links_to_the_site_survive() {
    let (text, cookie) = issued(CookieConfig::default()).await;
    assert_eq!(cookie.name(), "__Host-id");
    assert_eq!(cookie.value().len(), 43);
    assert_eq!(cookie.path(), Some("/"));
    assert_eq!(cookie.domain(), None);
    for attribute in ["; Secure", "; HttpOnly", "; SameSite=Lax"] {
        assert!(text.contains(attribute), "{text}");
    }
    assert!(!text.contains("Partitioned"), "{text}");
}

/// Conformance 1.17, 5.7
#[tokio::test]
async fn each_attribute_of_the_cookie_can_be_set() {
    let config = CookieConfig::new("sid")
        .domain("example.com")
        .path("/app")
        .partitioned();
    let (text, cookie) = issued(config).await;
    assert_eq!(cookie.name(), "__Secure-sid");
    assert_eq!(cookie.domain(), Some("example.com"));
    assert_eq!(cookie.path(), Some("/app"));
    assert!(text.contains("; Partitioned"), "{text}");

    let plain = CookieConfig::new("sid")
        .insecure_http()
        .insecure_script_access();
    let (text, cookie) = issued(plain).await;
    assert_eq!(cookie.name(), "sid");
    assert!(
        !text.contains("Secure") && !text.contains("HttpOnly"),
        "{text}"
    );
    assert!(text.contains("SameSite=Lax"), "{text}");
}

/// Conformance 1.17, 5.7
#[tokio::test]
async fn same_site_is_always_said() {
    for (same_site, text) in [
        (SameSite::Strict, "SameSite=Strict"),
        (SameSite::Lax, "SameSite=Lax"),
        (SameSite::None, "SameSite=None"),
    ] {
        let config = CookieConfig::new("sid").same_site(same_site);
        let (cookie, _) = issued(config).await;
        assert!(
            cookie.contains(text) && cookie.contains("Secure"),
            "{cookie}"
        );
    }
}

/// Conformance 1.17
#[test]
fn same_site_none_without_secure_is_refused() {
    let cookie = CookieConfig::new("sid")
        .same_site(SameSite::None)
        .insecure_http();
    let store = poem_session::store::MemoryStore::new();
    let error = poem_session::Sessions::builder(store)
        .cookie(cookie)
        .build()
        .expect_err("browsers would drop it")
        .to_string();
    assert!(
        error.contains("same_site") && error.contains("insecure_http"),
        "{error}"
    );
}

/// Conformance 1.17
#[tokio::test]
async fn max_age_and_expires_agree() {
    let app = App::with(|builder| builder.idle_timeout(Duration::from_secs(90)));
    let reply = app.browser().act(|s| Ok(s.set_user(7)?)).await;
    let cookie = reply.cookie().expect("a new session");
    assert_eq!(
        cookie
            .max_age()
            .map(cookie::time::SignedDuration::whole_seconds),
        Some(90)
    );
    let expires = cookie.expires_datetime().expect("it has one");
    let end = app.now().as_millis() / 1000 + 90;
    assert_eq!(u64::try_from(expires.unix_timestamp()).ok(), Some(end));
}

/// Conformance 1.17
#[tokio::test]
async fn a_cookie_for_the_browser_session_has_no_end_and_the_session_has() {
    let app = App::with(|builder| builder.cookie(CookieConfig::default().browser_session()));
    let alice = app.browser();
    let reply = alice.act(|s| Ok(s.set_user(7)?)).await;
    let cookie = reply.cookie().expect("a new session");
    assert!(cookie.max_age().is_none() && cookie.expires().is_none());
    app.pass(Duration::from_mins(30));
    assert_eq!(alice.ask(|s| Ok(s.user()?)).await, None);
}

/// Conformance 5.8
#[tokio::test]
async fn the_cookie_is_within_the_limits_of_browsers() {
    let app = App::with(|builder| {
        builder
            .idle_timeout(Duration::from_hours(1000 * 24))
            .cookie(CookieConfig::new("x".repeat(64)).domain("example.com"))
            .id_generator(|| "x".repeat(64).parse().expect("the longest id"))
    });
    let reply = app.browser().act(|s| Ok(s.set_user(7)?)).await;
    let cookie = reply.cookie().expect("one cookie, set once");
    assert!(cookie.name().len() + cookie.value().len() <= 4096);
    let days = cookie
        .max_age()
        .map(cookie::time::SignedDuration::whole_days);
    assert_eq!(days, Some(400));
    let expires = cookie.expires_datetime().expect("it has one");
    let end = app.now().as_millis() / 1000 + 400 * 24 * 3600;
    assert_eq!(u64::try_from(expires.unix_timestamp()).ok(), Some(end));
}

/// Conformance 5.9
#[tokio::test]
async fn an_answer_that_sets_the_cookie_is_not_to_be_cached_and_others_are_left_alone() {
    let app = App::new();
    let alice = app.browser();
    let set = alice.act(|s| Ok(s.set_user(7)?)).await;
    assert_eq!(set.header("cache-control"), Some("no-store"));
    let read = alice.act(|s| Ok(format!("{:?}", s.user()?))).await;
    assert_eq!(read.header("cache-control"), None);
}

/// Conformance 5.9
#[tokio::test]
async fn a_cache_control_of_the_handlers_own_stays() {
    let app = App::new();
    let reply = app
        .browser()
        .act(|session| {
            session.set_user(7)?;
            Ok(Response::builder()
                .header(header::CACHE_CONTROL, "private, max-age=5")
                .body(Body::empty()))
        })
        .await;
    assert!(reply.cookie().is_some());
    assert_eq!(reply.header("cache-control"), Some("private, max-age=5"));
}

/// Conformance 5.8
#[tokio::test]
async fn cookies_of_the_handlers_own_stay_beside_the_sessions() {
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

/// Who a request with these `Cookie` headers is.
async fn user_of(app: &App, cookies: &[&[u8]]) -> Option<u64> {
    let mut request: Request = request(poem::http::Method::GET, "/");
    for cookie in cookies {
        let value = poem::http::HeaderValue::from_bytes(cookie).expect("a header value");
        request.headers_mut().append(header::COOKIE, value);
    }
    let reply = app
        .browser()
        .visit_by(request, |session: Session<Shop>| async move {
            Ok(format!("{:?}", session.user()?))
        })
        .await;
    match reply.body.as_str() {
        "None" => None,
        "Some(7)" => Some(7),
        other => panic!("{} {other}", reply.status),
    }
}

/// Conformance 1.21, 5.13
#[tokio::test]
async fn the_cookie_is_found_in_any_company() {
    let app = App::with(settings);
    let alice = app.browser();
    alice.act(|s| Ok(s.set_user(7)?)).await;
    let id = alice.signed_id();
    let id = id.expose();
    let hundred = "a=b; ".repeat(100);
    let found: &[&[&str]] = &[
        &["a=1", "__Host-id=ID", "b=2"],
        &["a=1; __Host-id=ID; b=2"],
        &["a=1;__Host-id=ID;b=2"],
        &["__Host-id=\"ID\""],
        &["; ;=;a;;__Host-id=ID"],
        &["__Host-id=; __Host-id=short; __Host-id=ID"],
        &["__Host-id=short", "__Host-id=ID"],
        &["__Host-id=ID; __Host-id=ID"],
        &["HUNDRED__Host-id=ID"],
    ];
    for cookies in found {
        let cookies: Vec<String> = cookies
            .iter()
            .map(|cookie| cookie.replace("ID", id).replace("HUNDRED", &hundred))
            .collect();
        let bytes: Vec<&[u8]> = cookies.iter().map(String::as_bytes).collect();
        assert_eq!(user_of(&app, &bytes).await, Some(7), "{cookies:?}");
    }
}

/// RFC 6265, section 5.4, lets a client send any bytes, and browsers send what scripts have set.
///
/// Conformance 1.21, 5.13
#[tokio::test]
async fn a_foreign_cookie_that_is_no_ascii_does_not_hide_the_sessions() {
    let app = App::new();
    let alice = app.browser();
    alice.act(|s| Ok(s.set_user(7)?)).await;
    let id = alice.signed_id();
    for foreign in ["theme=grün".as_bytes(), b"theme=\xff\xfe"] {
        let own = format!("__Host-id={}", id.expose());
        let before = [foreign, b"; ", own.as_bytes()].concat();
        let after = [own.as_bytes(), b"; ", foreign].concat();
        for header in [before, after] {
            let shown = String::from_utf8_lossy(&header).into_owned();
            assert_eq!(user_of(&app, &[&header]).await, Some(7), "{shown}");
        }
        assert_eq!(user_of(&app, &[foreign, own.as_bytes()]).await, Some(7));
    }
}

/// Conformance 5.7, 1.21
#[tokio::test]
async fn the_name_of_the_cookie_is_compared_to_the_letter() {
    let app = App::new();
    let alice = app.browser();
    alice.act(|s| Ok(s.set_user(7)?)).await;
    let id = alice.signed_id();
    for name in [
        "__host-id",
        "__HOST-ID",
        "id",
        "__Secure-id",
        "__Host-idx",
        " __Host-id2",
    ] {
        let cookie = format!("{name}={}", id.expose());
        assert_eq!(user_of(&app, &[cookie.as_bytes()]).await, None, "{name}");
    }
}
