//! Passive requests, such as polls and prefetches: they do not count as use and consume no flash value.

use std::time::Duration;

use poem::{
    Endpoint, EndpointExt, FromRequest, Request, Result, Route, get,
    http::{HeaderValue, Method, StatusCode},
};
use poem_session::{Session, session};

use crate::support::{App, Browser, Op, Scripted, Shop, count, request, settings};

#[session(passive)]
async fn poll(shop: Session<Shop>) -> Result<String> {
    Ok(format!("{:?} {:?}", shop.user()?, shop.notice()?))
}

#[session(passive)]
async fn snapshot(shop: Shop) -> String {
    format!("{:?} {:?}", shop.user, shop.notice)
}

#[session(passive)]
async fn edited(shop: &mut Shop) -> String {
    format!("{:?} {:?}", shop.user, shop.notice)
}

#[session(passive)]
async fn by_key(
    #[key(Shop::USER)] user: Option<u64>,
    #[key(Shop::NOTICE)] notice: Option<String>,
) -> String {
    format!("{user:?} {notice:?}")
}

#[session(passive)]
async fn taken(shop: Session<Shop>) -> Result<String> {
    Ok(format!("{:?} {:?}", shop.user()?, shop.take_notice()?))
}

#[session(passive)]
async fn counting(shop: Session<Shop>) -> Result<String> {
    count(&shop);
    Ok(shop.visits()?.to_string())
}

#[session(passive, exclusive)]
async fn exclusive(shop: Session<Shop>) -> Result<String> {
    Ok(format!("{:?}", shop.user()?))
}

#[session(passive)]
async fn without_a_session() {}

#[session]
async fn active(shop: Session<Shop>) -> Result<String> {
    Ok(format!("{:?} {:?}", shop.user()?, shop.notice()?))
}

const FORMS: [&str; 5] = ["/poll", "/snapshot", "/edited", "/by-key", "/taken"];

fn routes() -> Route {
    Route::new()
        .at("/", Scripted)
        .at("/poll", get(poll))
        .at("/snapshot", get(snapshot))
        .at("/edited", get(edited))
        .at("/by-key", get(by_key))
        .at("/taken", get(taken))
        .at("/counting", get(counting))
        .at("/exclusive", get(exclusive))
        .at("/without", get(without_a_session))
        .at("/active", get(active))
        .at("/ruled", get(active))
}

fn app() -> App {
    App::serving(routes(), |builder| {
        builder.passive(|req| req.uri().path() == "/ruled")
    })
}

/// A request of this path with a `Sec-Purpose` header.
fn prefetch(path: &str, purpose: &'static str) -> Request {
    let mut request = request(Method::GET, path);
    let purpose = HeaderValue::from_static(purpose);
    request.headers_mut().insert("sec-purpose", purpose);
    request
}

/// A visitor with a session of user 7 and a notice.
async fn with_notice(app: &App) -> Browser {
    let visitor = app.sign_in().await;
    visitor.act(|s| Ok(s.set_notice("Saved.".into())?)).await;
    visitor
}

const SEEN: &str = "Some(7) Some(\"Saved.\")";
const GONE: &str = "Some(7) None";

/// Conformance 1.36
#[tokio::test]
async fn passive_requests_do_not_keep_a_session_alive() {
    let app = app();
    let requests: [fn() -> Request; 5] = [
        || request(Method::GET, "/poll"),
        || request(Method::GET, "/ruled"),
        || prefetch("/active", "prefetch"),
        || prefetch("/active", "prefetch;prerender"),
        || prefetch("/active", "Prefetch; anonymous-client-ip"),
    ];
    for request in requests {
        let alice = app.sign_in().await;
        app.store.calls();
        for _ in 0..2 {
            app.pass(Duration::from_mins(14));
            let reply = alice.send(request()).await;
            assert_eq!((reply.body.as_str(), reply.cookie()), (GONE, None));
        }
        assert_eq!(app.store.calls(), [Op::Load, Op::Load]);
        app.pass(Duration::from_mins(2));
        assert_eq!(alice.user().await, None);
    }
}

/// Conformance 1.36, 1.5
#[tokio::test]
async fn other_requests_keep_a_session_alive() {
    let app = app();
    let requests: [fn() -> Request; 4] = [
        || request(Method::GET, "/active"),
        || prefetch("/active", "x-prefetch"),
        || prefetch("/active", "prefetcher"),
        || prefetch("/active", ""),
    ];
    for request in requests {
        let alice = app.sign_in().await;
        app.pass(Duration::from_mins(20));
        assert!(alice.send(request()).await.cookie().is_some());
        app.pass(Duration::from_mins(20));
        assert_eq!(alice.user().await, Some(7));
    }
}

/// Conformance 1.36, 3.4
#[tokio::test]
async fn a_passive_request_reads_a_flash_value_and_leaves_it() {
    let app = app();
    for path in FORMS {
        let alice = with_notice(&app).await;
        for _ in 0..2 {
            assert_eq!(alice.get(path).await.body, SEEN, "{path}");
        }
        let prefetched = alice.send(prefetch("/active", "prefetch")).await;
        assert_eq!(prefetched.body, SEEN);
        assert_eq!(alice.get("/ruled").await.body, SEEN);
        assert_eq!(alice.get("/active").await.body, SEEN);
        assert_eq!(alice.get(path).await.body, GONE, "{path}");
    }
}

/// Conformance 1.36
#[tokio::test]
async fn the_changes_of_a_passive_request_are_saved_and_the_expiry_stays() {
    let app = app();
    let alice = app.sign_in().await;
    let id = alice.signed_id();
    let end = async || {
        let record = app.store.record(&id, app.now()).await;
        record.expect("it is stored").expires_at
    };
    let before = end().await;
    app.pass(Duration::from_mins(20));
    let reply = alice.get("/counting").await;
    assert_eq!(reply.body, "1");
    assert_eq!(reply.cookie(), None);
    assert_eq!(end().await, before);
    assert_eq!(app.open(&alice).await.visits(), Ok(1));
    app.pass(Duration::from_mins(11));
    assert_eq!(alice.user().await, None);
    // A session that begins has its whole time.
    let bob = app.browser();
    let began = bob.get("/counting").await;
    assert_eq!(began.max_age(), Some(Duration::from_mins(30)));
}

/// Conformance 1.36
#[tokio::test]
async fn a_passive_request_reports_the_expiry_that_it_leaves() {
    let app = app();
    let alice = app.sign_in().await;
    let end = app.open(&alice).await.expires_at();
    app.pass(Duration::from_mins(20));
    let request = prefetch("/", "prefetch");
    let reply = alice
        .act_by(request, move |session| {
            assert_eq!(session.expires_at(), end);
            session.set_visits(1)?;
            assert_eq!(session.expires_at(), end);
            Ok("as before")
        })
        .await;
    assert_eq!(reply.body, "as before");
}

/// Conformance 1.36
#[tokio::test]
async fn a_passive_handler_without_a_session_loads_none() {
    let app = app();
    let alice = app.sign_in().await;
    app.store.calls();
    let reply = alice.get("/without").await;
    assert_eq!((reply.status, reply.header("vary")), (StatusCode::OK, None));
    assert_eq!(app.store.calls(), []);
}

/// Conformance 1.36, 2.6
#[tokio::test]
async fn a_passive_handler_can_be_exclusive() {
    let app = app();
    let alice = app.sign_in().await;
    app.pass(Duration::from_mins(20));
    app.store.calls();
    assert_eq!(alice.get("/exclusive").await.body, "Some(7)");
    let calls = app.store.calls();
    assert!(
        calls.contains(&Op::Lock) && !calls.contains(&Op::Touch),
        "{calls:?}"
    );
}

/// Conformance 1.36, 1.3
#[tokio::test]
async fn a_passive_handler_undoes_the_use_of_a_middleware_of_the_application() {
    // Reads the session, with its flash value, before the handler.
    let routes = routes().around(|endpoint, req: Request| async move {
        if req.uri().path() != "/" {
            let shop = Session::<Shop>::from_request_without_body(&req).await?;
            assert_eq!(shop.user()?, Some(7));
            shop.notice()?;
        }
        endpoint.call(req).await
    });
    let app = App::serving(routes, settings);
    let alice = with_notice(&app).await;
    app.pass(Duration::from_mins(20));
    let reply = alice.get("/poll").await;
    assert_eq!((reply.body.as_str(), reply.cookie()), (SEEN, None));
    assert_eq!(alice.get("/without").await.cookie(), None);
    app.pass(Duration::from_mins(11));
    assert_eq!(alice.user().await, None);
}

/// Conformance 1.39, 1.5
#[tokio::test]
async fn a_head_request_is_treated_as_a_get_request() {
    let app = app();
    let alice = with_notice(&app).await;
    app.pass(Duration::from_mins(20));
    let head = |path: &str| request(Method::HEAD, path);
    let reply = alice.send(head("/poll")).await;
    assert_eq!((reply.status.as_u16(), reply.cookie()), (200, None));
    let reply = alice.send(head("/active")).await;
    assert_eq!((reply.status.as_u16(), reply.body.as_str()), (200, ""));
    assert_eq!(reply.max_age(), Some(Duration::from_mins(30)));
    assert_eq!(reply.header("vary"), Some("Cookie"));
    app.pass(Duration::from_mins(20));
    assert_eq!(alice.get("/active").await.body, GONE);
}
