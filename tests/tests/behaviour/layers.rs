//! Requests that skip the middleware, handlers without it, and several middlewares.

use std::sync::Arc;

use poem::{Endpoint, EndpointExt, FromRequest, Request, Route, get, handler, http::Method, post};
use poem_session::{
    CookieConfig, ExtractError, IdSource, RequestError, Session, SessionData, SessionId, Sessions,
    clock::ManualClock, session, store::MemoryStore,
};

use crate::support::{App, Browser, Logs, Op, Scripted, Shop, request, serve_all, settings};

/// Conformance 1.23
#[tokio::test]
async fn a_session_in_a_skipped_request_is_an_error() {
    #[handler]
    fn plain() -> &'static str {
        "plain"
    }

    let routes = Route::new()
        .at("/", Scripted)
        .at("/health", get(plain))
        .at("/assets/app.css", Scripted);
    let app = App::serving(routes, |builder| {
        builder.skip(|req| {
            let path = req.uri().path();
            path == "/health" || path.starts_with("/assets/")
        })
    });
    let alice = app.sign_in().await;
    app.store.calls();
    let health = alice.get("/health").await;
    assert_eq!((health.body.as_str(), health.cookie()), ("plain", None));
    let logs = Logs::capture();
    let asset = alice
        .act_by(request(Method::GET, "/assets/app.css"), |s| {
            Ok(s.set_user(8)?)
        })
        .await;
    assert_eq!((asset.status.as_u16(), asset.cookie()), (500, None));
    assert!(logs.text().contains("`skip` rule"), "{}", logs.text());
    assert_eq!(app.store.calls(), []);
    assert_eq!(alice.user().await, Some(7));
}

/// Conformance 1.23, 1.24
#[tokio::test]
async fn the_error_handler_receives_the_error_of_a_skipped_request() {
    let app = App::with(|builder| {
        builder.skip(|_| true).on_error(|error| {
            let skipped = matches!(error, RequestError::Extract(ExtractError::Skipped));
            poem::Response::builder().body(format!("skipped: {skipped}"))
        })
    });
    let reply = app.browser().act(|s| Ok(s.set_user(7)?)).await;
    assert_eq!(reply.body, "skipped: true");
}

/// Conformance 1.31
#[tokio::test]
async fn the_error_without_the_middleware_names_the_middleware() {
    #[session(destroy)]
    async fn with_option() {}

    let logs = Logs::capture();
    let request = Request::default();
    let handle = Session::<Shop>::from_request_without_body(&request).await;
    let snapshot = Shop::from_request_without_body(&request).await;
    let option = with_option.call(Request::default()).await;
    for error in [handle.err(), snapshot.err(), option.err()] {
        let error = error.expect("there is no middleware").to_string();
        assert!(error.contains("`Sessions` middleware"), "{error}");
        assert!(error.contains(".with(sessions)"), "{error}");
    }
    let logs = logs.text();
    assert!(logs.contains("`Sessions` middleware"), "{logs}");
    // The response does not contain the error.
    let response = get(count_visits).get_response(request).await;
    assert_eq!(response.status(), 500);
    let body = response.into_body().into_string().await.expect("text");
    assert_eq!(body, "Internal Server Error");
}

#[handler]
async fn count_visits(shop: Session<Shop>) -> poem::Result<String> {
    shop.update_visits(|visits| *visits += 1)?;
    Ok(shop.visits()?.to_string())
}

/// The data of one middleware.
#[derive(SessionData)]
struct Account {
    user: Option<u64>,
}

/// The data of another middleware.
#[derive(SessionData)]
struct Basket {
    #[session(default)]
    items: u64,
}

fn layer(name: &str) -> poem_session::SessionsBuilder {
    Sessions::builder(MemoryStore::new())
        .clock(Arc::new(ManualClock::new()))
        .cookie(CookieConfig::new(name))
}

#[handler]
async fn both(account: Session<Account>, basket: Session<Basket>) -> poem::Result<String> {
    basket.update_items(|items| *items += 1)?;
    if account.user()?.is_none() {
        account.set_user(7)?;
    }
    Ok(format!("{:?} {}", account.user()?, basket.items()?))
}

#[session(regenerate)]
async fn sign_in(account: Session<Account>) -> poem::Result<()> {
    Ok(account.set_user(7)?)
}

#[session(destroy)]
async fn sign_out(_account: Session<Account>) {}

#[session(idle_timeout = "2h")]
async fn remember(_account: Session<Account>) {}

#[session(exclusive)]
async fn one_at_a_time(account: Session<Account>) -> poem::Result<String> {
    Ok(format!("{:?}", account.user()?))
}

/// An application with accounts in the outer middleware and baskets in the inner one.
fn two_layers() -> (Browser, Sessions, Sessions) {
    let accounts = layer("account").data::<Account>().build().expect("fits");
    let (alice, baskets) = with_baskets(&accounts);
    (alice, accounts, baskets)
}

fn with_baskets(accounts: &Sessions) -> (Browser, Sessions) {
    let baskets = layer("basket").data::<Basket>().build().expect("fits");
    let app = Route::new()
        .at("/both", get(both))
        .at("/sign-in", post(sign_in))
        .at("/sign-out", post(sign_out))
        .at("/remember", post(remember))
        .at("/one-at-a-time", post(one_at_a_time))
        .at("/counted/sign-out", post(sign_out).around(count_visit))
        .with(baskets.clone())
        .with(accounts.clone());
    (serve_all(app), baskets)
}

/// A middleware that uses a session of its own.
async fn count_visit(
    endpoint: std::sync::Arc<impl Endpoint>,
    req: Request,
) -> poem::Result<impl poem::IntoResponse> {
    let basket = Session::<Basket>::from_request_without_body(&req).await?;
    basket.update_items(|items| *items += 1)?;
    endpoint.call(req).await
}

/// Conformance 1.30
#[tokio::test]
async fn two_nested_middlewares_do_not_affect_each_other() {
    let (alice, accounts, baskets) = two_layers();
    let reply = alice.get("/both").await;
    assert_eq!(reply.body, "Some(7) 1");
    assert_eq!(reply.cookies().len(), 2);
    assert_eq!(alice.get("/both").await.body, "Some(7) 2");
    accounts.clear().await.expect("the store works");
    let reply = alice.get("/both").await;
    assert_eq!(reply.body, "Some(7) 3");
    assert_eq!(reply.cookies().len(), 1, "a new account");
    baskets.clear().await.expect("the store works");
    assert_eq!(alice.get("/both").await.body, "Some(7) 1");
}

/// Conformance 1.30
#[tokio::test]
async fn middlewares_on_different_routes_do_not_affect_each_other() {
    let shop = layer("shop").build().expect("fits");
    let admin = layer("admin").build().expect("fits");
    let app = Route::new()
        .nest("/shop", get(count_visits).with(shop))
        .nest("/admin", get(count_visits).with(admin));
    let alice = serve_all(app);
    for count in ["1", "2"] {
        assert_eq!(alice.get("/shop").await.body, count);
    }
    assert_eq!(alice.get("/admin").await.body, "1");
    assert_eq!(alice.get("/shop").await.body, "3");
    assert!(alice.cookie("__Host-shop").is_some());
    assert!(alice.cookie("__Host-admin").is_some());
}

/// Conformance 1.30, 5.2, 5.4
#[tokio::test]
async fn the_options_of_a_handler_act_on_the_session_that_the_handler_takes() {
    let account = |alice: &Browser| -> SessionId {
        let cookie = alice.cookie("__Host-account").expect("an account");
        cookie.parse().expect("an id")
    };
    for path in ["/sign-out", "/counted/sign-out"] {
        let (alice, accounts, _) = two_layers();
        alice.get("/both").await;
        let basket = alice.cookie("__Host-basket");
        let planted = account(&alice);
        alice.post("/sign-in", "").await;
        let signed_in = account(&alice);
        assert_ne!(signed_in, planted);
        assert!(accounts.open::<Account>(&planted).await.is_err());

        alice.post("/remember", "").await;
        let opened = accounts.open::<Account>(&signed_in).await;
        let session = opened.expect("it lives");
        let times = session.expires_at().zip(session.created_at());
        let (end, began) = times.expect("it is stored");
        assert!(end.duration_since(began).expect("later").as_secs() >= 7200);

        alice.post(path, "").await;
        assert!(accounts.open::<Account>(&signed_in).await.is_err());
        assert_eq!(alice.cookie("__Host-basket"), basket);
    }
}

/// Conformance 1.30, 2.6
#[tokio::test]
async fn the_exclusive_option_locks_the_session_that_the_handler_takes() {
    let app = App::with(|builder| {
        builder
            .cookie(CookieConfig::new("account"))
            .data::<Account>()
    });
    let (alice, _) = with_baskets(&app.sessions);
    alice.get("/both").await;
    app.store.calls();
    assert_eq!(alice.post("/one-at-a-time", "").await.body, "Some(7)");
    let calls = app.store.calls();
    assert!(calls.contains(&Op::Lock), "{calls:?}");
}

/// Conformance 1.30
#[tokio::test]
async fn a_middleware_with_headers_and_one_with_cookies_each_use_their_carrier() {
    let api = layer("api")
        .id_source(IdSource::Header("X-Session".into()))
        .data::<Account>()
        .build()
        .expect("fits");
    let web = layer("web").data::<Basket>().build().expect("fits");
    let app = Route::new().at("/both", get(both)).with(web).with(api);
    let reply = serve_all(app).get("/both").await;
    assert!(reply.header("x-session").is_some());
    let cookie = reply.cookie().expect("one cookie");
    assert_eq!(cookie.name(), "__Host-web");
}

/// Conformance 1.30
#[tokio::test]
async fn one_middleware_twice_around_a_route_is_one_session() {
    let app = App::new();
    let twice = Route::new()
        .at("/", get(count_visits))
        .with(app.sessions.clone())
        .with(app.sessions.clone());
    let alice = serve_all(twice);
    let reply = alice.get("/").await;
    assert_eq!(reply.cookies().len(), 1);
    assert_eq!(alice.get("/").await.body, "2");
}

/// Conformance 1.3
#[tokio::test]
async fn a_middleware_of_the_application_and_the_handler_share_the_session() {
    let routes = Route::new()
        .at("/", get(count_visits))
        .around(|ep, req| async move {
            let shop = Session::<Shop>::from_request_without_body(&req).await?;
            shop.set_visits(10)?;
            let response = ep.get_response(req).await;
            shop.update_visits(|visits| *visits += 100)?;
            Ok(response)
        });
    let app = App::serving(routes, settings);
    let alice = app.browser();
    assert_eq!(alice.get("/").await.body, "11");
    assert_eq!(app.open(&alice).await.visits(), Ok(111));
}
