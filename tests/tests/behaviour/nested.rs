//! Nested middlewares: one of them fails, or two of them send ids on one carrier; and error handlers of the
//! application around and inside of a middleware.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use poem::{
    Endpoint, EndpointExt, FromRequest, Request, Response, Result, Route, get, http::StatusCode,
    web::Path,
};
use poem_session::{
    CookieConfig, ExtractError, IdSource, RequestError, Session, SessionData, SessionsBuilder,
    session,
};

use crate::support::{App, Browser, Logs, Op, Prefs, Refused, Reply, Shop, serve_all};

/// Changes both sessions, gives the inner one a new id, and responds with this status.
#[session]
async fn change_both(
    shop: Session<Shop>,
    prefs: Session<Prefs>,
    Path(status): Path<u16>,
) -> Result<String> {
    shop.update_visits(|visits| *visits += 1)?;
    prefs.set_theme("dark".into())?;
    prefs.regenerate();
    let status = StatusCode::from_u16(status).expect("a status");
    if status.is_success() {
        return Ok(shop.visits()?.to_string());
    }
    Err(poem::Error::from_status(status))
}

#[session]
async fn read_both(shop: Session<Shop>, prefs: Session<Prefs>) -> Result<String> {
    Ok(format!("{} {:?}", shop.visits()?, prefs.theme()?))
}

/// Saves the outer session at once, and changes the inner one.
#[session]
async fn save_the_outer_one(shop: Session<Shop>, prefs: Session<Prefs>) -> Result<()> {
    shop.set_visits(5)?;
    shop.save().await?;
    prefs.set_theme("dark".into())?;
    Ok(())
}

fn routes() -> Route {
    Route::new()
        .at("/change/:status", get(change_both))
        .at("/read", get(read_both))
        .at("/save", get(save_the_outer_one))
}

/// The application whose sessions are the outer middleware.
fn outer(configure: impl FnOnce(SessionsBuilder) -> SessionsBuilder) -> App {
    App::with(|builder| configure(builder.cookie(CookieConfig::new("shop")).data::<Shop>()))
}

/// The application whose sessions are the inner middleware.
fn inner() -> App {
    App::with(|builder| builder.cookie(CookieConfig::new("prefs")).data::<Prefs>())
}

fn around(inner: &App, outer: &App) -> Browser {
    let app = routes().with(inner.sessions.clone());
    serve_all(app.with(outer.sessions.clone()))
}

fn names(reply: &Reply) -> Vec<String> {
    let cookies = reply.cookies();
    cookies
        .iter()
        .map(|cookie| cookie.name().to_owned())
        .collect()
}

/// Conformance 1.40
#[tokio::test]
async fn the_cookie_of_the_inner_middleware_is_sent_if_the_outer_one_cannot_save() {
    for status in [200, 302, 404, 422] {
        let (outer, inner) = (outer(|builder| builder), inner());
        let alice = around(&inner, &outer);
        alice.get("/change/200").await;
        let old = alice.cookie("__Host-prefs");
        outer.store.fail(&[Op::Replace]);
        let reply = alice.get(&format!("/change/{status}")).await;
        assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE, "{status}");
        assert_eq!(reply.body, "Service Unavailable");
        assert_eq!(names(&reply), ["__Host-prefs"], "{status}");
        assert_eq!(reply.header("cache-control"), Some("no-store"));
        assert_ne!(alice.cookie("__Host-prefs"), old);
        outer.store.heal();
        let read = alice.get("/read").await;
        assert_eq!(read.body, "1 Some(\"dark\")", "{status}");
    }
}

/// Conformance 1.40, 1.24
#[tokio::test]
async fn the_response_of_the_error_handler_has_the_cookie_of_the_inner_middleware() {
    let respond = |_: &RequestError| Response::builder().status(StatusCode::IM_A_TEAPOT).finish();
    let (outer, inner) = (outer(|builder| builder.on_error(respond)), inner());
    let alice = around(&inner, &outer);
    outer.store.fail(&[Op::Create]);
    let reply = alice.get("/change/200").await;
    assert_eq!(reply.status, StatusCode::IM_A_TEAPOT);
    assert_eq!(names(&reply), ["__Host-prefs"]);
}

/// Conformance 1.40
#[tokio::test]
async fn the_cookie_of_the_outer_middleware_is_sent_if_the_inner_one_cannot_save() {
    let (outer, inner) = (outer(|builder| builder), inner());
    let alice = around(&inner, &outer);
    inner.store.fail(&[Op::Create]);
    let reply = alice.get("/save").await;
    assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(names(&reply), ["__Host-shop"]);
    inner.store.heal();
    assert_eq!(alice.get("/read").await.body, "5 None");
}

/// The data of a middleware between the other two.
#[derive(SessionData)]
struct Third {
    #[session(default)]
    seen: bool,
}

#[session]
async fn change_three(
    shop: Session<Shop>,
    third: Session<Third>,
    prefs: Session<Prefs>,
) -> Result<()> {
    shop.set_visits(5)?;
    third.set_seen(true)?;
    Ok(prefs.set_theme("dark".into())?)
}

/// Conformance 1.40
#[tokio::test]
async fn of_three_middlewares_those_that_have_saved_send_their_cookies() {
    for (broken, sent) in [
        (0, vec!["__Host-prefs", "__Host-third"]),
        // The outer one sees the failure, and drops its changes.
        (1, vec!["__Host-prefs"]),
        (2, vec![]),
    ] {
        let (outer, inner) = (outer(|builder| builder), inner());
        let third = App::with(|builder| {
            let builder = builder.cookie(CookieConfig::new("third"));
            builder.data::<Third>()
        });
        let app = Route::new()
            .at("/", get(change_three))
            .with(inner.sessions.clone())
            .with(third.sessions.clone())
            .with(outer.sessions.clone());
        [&outer, &third, &inner][broken].store.fail(&[Op::Create]);
        let reply = serve_all(app).get("/").await;
        assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE, "{broken}");
        assert_eq!(names(&reply), sent, "{broken}");
    }
}

/// Conformance 1.30, 5.8
#[tokio::test]
async fn one_middleware_twice_with_another_one_between_is_one_session() {
    let (twice, between) = (outer(|builder| builder), inner());
    let app = Route::new()
        .nest("/nested", routes().with(twice.sessions.clone()))
        .with(between.sessions.clone())
        .with(twice.sessions.clone());
    let alice = serve_all(app);
    for visits in ["1", "2"] {
        twice.pass(Duration::from_mins(5));
        between.pass(Duration::from_mins(5));
        let reply = alice.get("/nested/change/200").await;
        assert_eq!(reply.body, visits);
        assert_eq!(names(&reply).len(), 2, "{reply:?}");
    }
    twice.store.calls();
    assert_eq!(alice.get("/nested/read").await.body, "2 Some(\"dark\")");
    assert_eq!(twice.store.calls(), [Op::Load]);
}

/// Conformance 1.30, 1.3, 5.8
#[tokio::test]
async fn what_is_set_between_a_middleware_and_itself_is_in_one_session() {
    let twice = App::new();
    let app = Route::new()
        .at("/", get(refuse))
        .with(twice.sessions.clone())
        .around(|endpoint, req: Request| async move {
            let shop = Session::<Shop>::from_request_without_body(&req).await?;
            shop.set_user(7)?;
            Ok(endpoint.get_response(req).await)
        })
        .with(twice.sessions.clone());
    let alice = serve_all(app);
    for visits in [1, 2] {
        twice.pass(Duration::from_mins(5));
        let reply = alice.get("/").await;
        assert_eq!(reply.cookies().len(), 1, "{reply:?}");
        let id = alice.cookie("__Host-id").expect("a session");
        let id = id.parse().expect("an id");
        let opened = twice.sessions.open::<Shop>(&id).await;
        let session = opened.expect("it lives");
        assert_eq!(
            (session.user(), session.visits()),
            (Ok(Some(7)), Ok(visits))
        );
    }
    assert_eq!(twice.store.sessions(twice.now()).await.len(), 1);
}

/// Conformance 1.30, 1.23
#[tokio::test]
async fn one_middleware_twice_serves_a_request_that_the_outer_one_skips() {
    let twice = App::with(|builder| {
        // Inside of `nest`, the path begins after the prefix.
        builder.skip(|req| req.uri().path().starts_with("/nested"))
    });
    let app = Route::new()
        .nest("/nested", routes().with(twice.sessions.clone()))
        .with(twice.sessions.clone());
    let alice = serve_all(app);
    let reply = alice.get("/nested/read").await;
    assert_eq!(reply.body, "0 None");
}

#[session(destroy, exclusive)]
async fn sign_out(_shop: Session<Shop>) {}

/// Conformance 1.30, 5.4
#[tokio::test]
async fn the_options_of_a_handler_act_once_if_a_middleware_is_there_twice() {
    let (twice, between) = (outer(|builder| builder), inner());
    let app = Route::new()
        .at("/change/:status", get(change_both))
        .at("/sign-out", get(sign_out))
        .with(twice.sessions.clone())
        .with(between.sessions.clone())
        .with(twice.sessions.clone());
    let alice = serve_all(app);
    alice.get("/change/200").await;
    twice.store.calls();
    let reply = alice.get("/sign-out").await;
    assert_eq!(
        (reply.status.as_u16(), names(&reply)),
        (200, vec!["__Host-shop".into()])
    );
    let expected = [Op::Load, Op::Lock, Op::Load, Op::Replace];
    assert_eq!(twice.store.calls()[..4], expected);
    assert_eq!(alice.cookie("__Host-shop"), None);
}

/// Conformance 1.30, 5.8
#[tokio::test]
async fn two_middlewares_with_one_carrier_are_refused() {
    static RUNS: AtomicUsize = AtomicUsize::new(0);

    #[session]
    async fn counted() {
        RUNS.fetch_add(1, Ordering::SeqCst);
    }

    let header = |name: &str| IdSource::Chain(vec![IdSource::Header(name.into())]);
    let cookies: Vec<(App, App, &str)> = vec![
        (App::new(), App::new(), "the cookie `__Host-id`"),
        (
            App::with(|builder| builder.id_source(header("X-Session"))),
            App::with(|builder| {
                builder.id_source(IdSource::Chain(vec![IdSource::Cookie, header("x-session")]))
            }),
            "the header `x-session`",
        ),
    ];
    for (inner, outer, carrier) in cookies {
        let app = Route::new()
            .at("/", get(counted))
            .with(inner.sessions.clone())
            .with(outer.sessions.clone());
        let logs = Logs::capture();
        let reply = serve_all(app).get("/").await;
        assert_eq!(reply.status, StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(reply.cookie(), None);
        let logs = logs.text();
        assert!(logs.contains(carrier), "{logs}");
        assert!(logs.contains("two `Sessions` middlewares"), "{logs}");
    }
    assert_eq!(RUNS.load(Ordering::SeqCst), 0);
}

/// Conformance 1.30, 1.24
#[tokio::test]
async fn the_error_handler_receives_the_error_of_two_middlewares_with_one_carrier() {
    let outer = App::new();
    let inner = App::with(|builder| {
        builder.on_error(|error| {
            let RequestError::Extract(ExtractError::CarrierClash { carrier }) = error else {
                panic!("{error:?}");
            };
            Response::builder().body(carrier.clone())
        })
    });
    let app = Route::new()
        .at("/read", get(read_both))
        .with(inner.sessions.clone())
        .with(outer.sessions.clone());
    let reply = serve_all(app).get("/read").await;
    assert_eq!(reply.body, "cookie `__Host-id`");
}

/// Conformance 1.30, 1.23
#[tokio::test]
async fn a_middleware_that_is_skipped_may_have_the_carrier_of_another_one() {
    let outer = App::with(|builder| builder.skip(|_| true));
    let inner = App::new();
    let app = routes()
        .with(inner.sessions.clone())
        .with(outer.sessions.clone());
    let reply = serve_all(app).get("/read").await;
    assert_eq!(reply.body, "0 None");
}

#[session]
async fn refuse(shop: Session<Shop>) -> Result<()> {
    shop.update_visits(|visits| *visits += 1)?;
    Err(Refused(StatusCode::UNPROCESSABLE_ENTITY).into())
}

/// Conformance 1.16
#[tokio::test]
async fn an_error_handler_inside_of_the_middleware_receives_errors_with_their_type() {
    let app = App::new();
    let routes = Route::new()
        .at("/", get(refuse))
        .catch_error(|_: Refused| async { "our own page" })
        .with(app.sessions.clone());
    let alice = serve_all(routes);
    for _ in 0..2 {
        app.pass(Duration::from_mins(5));
        let reply = alice.get("/").await;
        assert_eq!(reply.body, "our own page");
        assert!(reply.cookie().is_some());
    }
}

/// Conformance 1.16
#[tokio::test]
async fn an_error_with_a_cookie_reaches_an_error_handler_around_the_middleware_as_a_response() {
    let app = App::new();
    let routes = Route::new()
        .at("/", get(refuse))
        .with(app.sessions.clone())
        .catch_error(|_: Refused| async { "not reached" });
    let reply = serve_all(routes).get("/").await;
    assert_eq!(reply.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(reply.body, "it is refused");
    assert!(reply.cookie().is_some());
}
