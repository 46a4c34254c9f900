//! The headers by which caches treat a response: `Vary`, and `Cache-Control` beside an id.

use std::sync::{Arc, Mutex};

use poem::{
    EndpointExt, Response, Result, Route, error::NotFoundError, get, http::StatusCode, web::Path,
};
use poem_session::{
    CookieConfig, IdSource, Session, SessionId, Sessions, session, store::MemoryStore,
};

use crate::support::{App, Op, Prefs, Refused, Reply, Scripted, Shop, serve_all};

#[session]
async fn plain() -> &'static str {
    "no session"
}

#[session]
async fn read(shop: Session<Shop>) -> Result<String> {
    Ok(format!("{:?}", shop.user()?))
}

#[session]
async fn signed_in(#[key(Shop::USER)] user: u64) -> String {
    user.to_string()
}

#[session(or_redirect = "/login")]
async fn redirected(#[key(Shop::USER)] user: u64) -> String {
    user.to_string()
}

#[session]
async fn missing(_shop: Session<Shop>) -> Result<()> {
    Err(NotFoundError.into())
}

#[session(regenerate)]
async fn option() {}

fn app(source: IdSource) -> App {
    let routes = Route::new()
        .at("/plain", get(plain))
        .at("/read", get(read))
        .at("/signed-in", get(signed_in))
        .at("/redirected", get(redirected))
        .at("/missing", get(missing))
        .at("/option", get(option))
        .at("/", Scripted);
    App::serving(routes, |builder| builder.id_source(source))
}

/// The names in the `Vary` header, in lower case.
fn vary(reply: &Reply) -> Option<String> {
    reply.header("vary").map(str::to_ascii_lowercase)
}

/// Conformance 1.35
#[tokio::test]
async fn a_response_varies_by_the_cookie_if_the_handler_looked_at_the_session() {
    let app = app(IdSource::Cookie);
    for (path, status, expected) in [
        ("/plain", 200, None),
        ("/no-such-route", 404, None),
        ("/read", 200, Some("cookie")),
        ("/signed-in", 401, Some("cookie")),
        ("/redirected", 303, Some("cookie")),
        ("/missing", 404, Some("cookie")),
        ("/option", 200, Some("cookie")),
    ] {
        let reply = app.browser().get(path).await;
        assert_eq!(reply.status, status, "{path}");
        assert_eq!(vary(&reply).as_deref(), expected, "{path}");
    }
    let alice = app.sign_in().await;
    assert_eq!(
        vary(&alice.get("/signed-in").await).as_deref(),
        Some("cookie")
    );
    assert_eq!(vary(&alice.get("/plain").await), None);
    let changed = alice.act(|s| Ok(s.set_user(8)?)).await;
    assert_eq!(vary(&changed).as_deref(), Some("cookie"));
}

/// Conformance 1.35
#[tokio::test]
async fn a_response_varies_by_each_header_that_can_carry_the_id() {
    let header = || IdSource::Header("X-Session".into());
    let bearer = || IdSource::Authorization("Bearer".into());
    let query = || IdSource::Query("sid".into());
    let custom = || IdSource::custom(|req| req.header("x-custom").map(str::to_owned));
    for (sources, expected) in [
        (vec![header()], Some("x-session")),
        (vec![bearer()], Some("authorization")),
        (vec![query()], None),
        (
            vec![bearer(), query(), header(), IdSource::Cookie],
            Some("authorization, x-session, cookie"),
        ),
        (
            vec![IdSource::Cookie, IdSource::Chain(vec![IdSource::Cookie])],
            Some("cookie"),
        ),
        // The function may look at anything.
        (vec![IdSource::Cookie, custom()], Some("*")),
    ] {
        let name = format!("{sources:?}");
        let app = app(IdSource::Chain(sources));
        let reply = app.browser().get("/read").await;
        assert_eq!(vary(&reply).as_deref(), expected, "{name}");
    }
}

/// Conformance 1.35
#[tokio::test]
async fn the_vary_header_of_the_handler_is_kept() {
    let app = app(IdSource::Cookie);
    for (own, expected) in [
        (&["Accept-Encoding"][..], "accept-encoding, cookie"),
        (&["accept", "origin"], "accept, origin, cookie"),
        (&["Origin, COOKIE"], "origin, cookie"),
        (&["*"], "*"),
    ] {
        let reply = app
            .browser()
            .act(move |_| {
                let mut response = Response::builder();
                for value in own {
                    response = response.header("vary", *value);
                }
                Ok(response.finish())
            })
            .await;
        assert_eq!(vary(&reply).as_deref(), Some(expected), "{own:?}");
    }
}

/// Conformance 1.35, 1.30
#[tokio::test]
async fn two_middlewares_name_the_cookie_once() {
    #[session]
    async fn both(shop: Session<Shop>, prefs: Session<Prefs>) -> Result<String> {
        Ok(format!("{:?} {:?}", shop.user()?, prefs.theme()?))
    }

    let layer = |name: &str| Sessions::builder(MemoryStore::new()).cookie(CookieConfig::new(name));
    let shops = layer("shop").data::<Shop>().build().expect("it fits");
    let prefs = layer("prefs").data::<Prefs>().build().expect("it fits");
    let app = Route::new().at("/", get(both)).with(prefs).with(shops);
    let reply = serve_all(app).get("/").await;
    assert_eq!(vary(&reply).as_deref(), Some("cookie"));
}

/// Conformance 1.35, 1.24
#[tokio::test]
async fn the_response_to_a_failed_load_varies_by_the_cookie() {
    let app = App::with(|builder| {
        // A page that caches may store.
        builder.on_error(|_| Response::builder().body("our own page"))
    });
    let alice = app.sign_in().await;
    app.store.fail(&[Op::Load]);
    let reply = alice.act(|_| Ok(())).await;
    assert_eq!(reply.body, "our own page");
    assert_eq!(vary(&reply).as_deref(), Some("cookie"));
}

/// Sends a request whose handler changes the session and sets these headers.
async fn with_headers(
    app: &App,
    headers: &'static [(&'static str, &'static str)],
    act: fn(&Session<Shop>),
) -> Reply {
    let visitor = app.sign_in().await;
    let handler = move |session: &Session<Shop>| {
        act(session);
        let mut response = Response::builder();
        for (name, value) in headers {
            response = response.header(*name, *value);
        }
        Ok(response.finish())
    };
    visitor.act(handler).await
}

/// Conformance 1.35, 5.9
#[tokio::test]
async fn a_response_with_an_id_is_stored_by_no_shared_cache() {
    let app = App::new();
    for (own, sent) in [
        (&[][..], "no-store"),
        (&[("cache-control", "public, max-age=60")][..], "no-store"),
        (&[("cache-control", "max-age=60")], "no-store"),
        (&[("cache-control", "s-maxage=60")], "no-store"),
        (&[("cache-control", "no-cache")], "no-store"),
        (&[("cache-control", "PUBLIC")], "no-store"),
        (&[("cache-control", "private, public")], "no-store"),
        (&[("cache-control", "private, s-maxage=9")], "no-store"),
        (
            &[("cache-control", "private"), ("cache-control", "public")],
            "no-store",
        ),
        // This form keeps one header out of shared caches, and not the response.
        (&[("cache-control", "private=\"set-cookie\"")], "no-store"),
        (&[("cache-control", "ext=\"a, private, b\"")], "no-store"),
        (&[("cache-control", "private")], "private"),
        (
            &[("cache-control", "Private, max-age=5")],
            "Private, max-age=5",
        ),
        (
            &[("cache-control", "no-store, max-age=0")],
            "no-store, max-age=0",
        ),
    ] {
        for act in [Session::regenerate, Session::destroy] {
            let reply = with_headers(&app, own, act).await;
            assert!(reply.cookie().is_some());
            assert_eq!(reply.header("cache-control"), Some(sent), "{own:?}");
        }
    }
}

/// Conformance 1.35, 5.9
#[tokio::test]
async fn a_response_with_an_id_has_no_header_that_lets_a_content_network_store_it() {
    let app = App::new();
    let own = &[
        ("cache-control", "private"),
        ("surrogate-control", "max-age=60"),
        ("cdn-cache-control", "public, max-age=60"),
        ("cloudflare-cdn-cache-control", "max-age=60"),
    ];
    let with_id = with_headers(&app, own, Session::regenerate).await;
    let without = with_headers(&app, own, |_| {}).await;
    assert!(with_id.cookie().is_some() && without.cookie().is_none());
    for (name, value) in &own[1..] {
        assert_eq!(with_id.header(name), None, "{name}");
        assert_eq!(without.header(name), Some(*value), "{name}");
    }
}

/// Conformance 1.35
#[tokio::test]
async fn a_response_without_an_id_keeps_the_cache_control_of_the_handler() {
    let app = App::new();
    let own = &[("cache-control", "public, max-age=60")];
    let reply = with_headers(&app, own, |_| {}).await;
    assert_eq!(reply.cookie(), None);
    assert_eq!(reply.header("cache-control"), Some("public, max-age=60"));
    assert_eq!(vary(&reply).as_deref(), Some("cookie"));
}

/// Conformance 1.35, 1.18, 5.9
#[tokio::test]
async fn a_response_with_an_id_in_a_header_is_stored_by_no_shared_cache() {
    let app = App::with(|builder| builder.id_source(IdSource::Header("X-Session".into())));
    let reply = app
        .browser()
        .act(|session| {
            session.set_user(7)?;
            let response = Response::builder();
            Ok(response.header("cache-control", "public").finish())
        })
        .await;
    let id = reply.header("x-session").expect("a new session");
    assert!(id.parse::<SessionId>().is_ok());
    assert_eq!(reply.header("cache-control"), Some("no-store"));
}

#[session]
async fn refuse(_shop: Session<Shop>, Path(status): Path<u16>) -> Result<()> {
    let status = StatusCode::from_u16(status).expect("a status");
    Err(Refused(status).into())
}

/// Conformance 1.35
#[tokio::test]
async fn an_error_keeps_its_type_if_caches_do_not_store_its_status_by_themselves() {
    let app = App::new();
    let routes = Route::new()
        .at("/:status", get(refuse))
        .with(app.sessions.clone())
        .catch_error(|_: Refused| async { "caught" });
    let visitor = serve_all(routes);
    for status in [400, 401, 403, 409, 422, 429, 500, 503] {
        let reply = visitor.get(&format!("/{status}")).await;
        assert_eq!(
            (reply.body.as_str(), vary(&reply)),
            ("caught", None),
            "{status}"
        );
    }
    // RFC 9110, section 15.1
    for status in [404, 405, 410, 414, 501] {
        let reply = visitor.get(&format!("/{status}")).await;
        assert_eq!(reply.status, status);
        assert_eq!(reply.body, "it is refused", "{status}");
        assert_eq!(vary(&reply).as_deref(), Some("cookie"), "{status}");
    }
}

/// Conformance 1.35
#[tokio::test]
async fn the_text_of_an_error_reaches_a_log_outside_of_the_middleware() {
    let texts = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&texts);
    let app = App::new();
    let routes = Route::new()
        .at("/:status", get(refuse))
        .with(app.sessions.clone())
        .inspect_all_err(move |error| {
            log.lock().expect("no panic").push(error.to_string());
        });
    let visitor = serve_all(routes);
    for status in [403, 404] {
        visitor.get(&format!("/{status}")).await;
    }
    let texts = texts.lock().expect("no panic").clone();
    assert_eq!(texts, ["it is refused", "it is refused"]);
}
