//! The parameters and the options of `#[session]`.

use std::time::Duration;

use poem::{
    IntoResponse, Response, Route, get, handler,
    http::StatusCode,
    post,
    web::{Form, Query, Redirect},
};
use poem_session::{Session, session};
use serde::Deserialize;

use crate::support::{App, Browser, Op, Scripted, Shop, settings};

#[session]
async fn by_handle(shop: Session<Shop>) -> poem::Result<String> {
    Ok(shop.notice()?.unwrap_or_default())
}

#[session]
async fn by_snapshot(shop: Shop) -> String {
    shop.notice.unwrap_or_default()
}

#[session]
async fn by_struct(shop: &mut Shop) -> String {
    shop.notice.clone().unwrap_or_default()
}

#[session]
async fn by_key(#[key(Shop::NOTICE)] notice: Option<String>) -> String {
    notice.unwrap_or_default()
}

#[session]
async fn show_unread(shop: Session<Shop>) -> poem::Result<String> {
    let is_unread = shop.contains(Shop::NOTICE);
    Ok(format!("{:?} {is_unread}", shop.user()?))
}

#[derive(Deserialize)]
struct Add {
    item: String,
}

#[session]
async fn add_item(shop: &mut Shop, Form(add): Form<Add>) {
    shop.cart.push(add.item);
}

#[session]
async fn add_and_fail(shop: &mut Shop, Query(add): Query<Add>) -> poem::Result<()> {
    shop.cart.push(add.item);
    Err(poem::Error::from_status(StatusCode::INTERNAL_SERVER_ERROR))
}

#[session]
async fn add_and_refuse(shop: &mut Shop) -> poem::Result<()> {
    shop.cart.push("rice".into());
    Err(poem::Error::from_status(StatusCode::BAD_REQUEST))
}

#[session]
fn remove_all(shop: &mut Shop) {
    *shop = Shop {
        user: None,
        cart: vec![],
        visits: 0,
        notice: None,
    };
}

#[session]
async fn show(shop: &mut Shop) -> String {
    format!("{:?} {:?} {}", shop.user, shop.cart, shop.visits)
}

#[session(or_redirect = "/login")]
async fn show_account(#[key(Shop::USER)] user: u64) -> String {
    format!("user {user}")
}

#[session]
async fn show_api(#[key(Shop::USER)] user: u64) -> String {
    format!("user {user}")
}

#[session]
async fn show_greeting(
    #[key(Shop::USER)] user: Option<u64>,
    #[key(Shop::VISITS)] visits: u64,
) -> String {
    format!("{user:?} {visits}")
}

#[session(or_redirect = "/login")]
async fn notice_and_account(
    #[key(Shop::NOTICE)] notice: Option<String>,
    #[key(Shop::USER)] user: u64,
) -> String {
    format!("{notice:?} {user}")
}

#[session]
async fn notice_and_query(
    #[key(Shop::NOTICE)] notice: Option<String>,
    Query(add): Query<Add>,
) -> String {
    format!("{notice:?} {}", add.item)
}

#[derive(Deserialize)]
struct Login {
    status: u16,
}

#[session(regenerate)]
async fn do_login(shop: Session<Shop>, Query(login): Query<Login>) -> poem::Result<Response> {
    shop.set_user(8)?;
    let status = StatusCode::from_u16(login.status).map_err(poem::error::BadRequest)?;
    Ok(status.into_response())
}

#[session(destroy)]
async fn do_logout(shop: Session<Shop>, Query(login): Query<Login>) -> poem::Result<Redirect> {
    shop.set_notice("Good bye.".into())?;
    if login.status < 400 {
        return Ok(Redirect::see_other("/"));
    }
    let status = StatusCode::from_u16(login.status).map_err(poem::error::BadRequest)?;
    Err(poem::Error::from_status(status))
}

#[session(destroy)]
async fn plain_logout() {}

#[session(idle_timeout = "2h")]
async fn remember_me() {}

#[session(regenerate, idle_timeout = "2h")]
async fn login_and_remember(shop: Session<Shop>) -> poem::Result<()> {
    Ok(shop.set_user(8)?)
}

#[handler]
async fn under_handler(shop: Session<Shop>, snapshot: Shop) -> poem::Result<String> {
    Ok(format!("{:?} {:?}", shop.user()?, snapshot.user))
}

fn app() -> App {
    let routes = Route::new()
        .at("/", Scripted)
        .at("/by-handle", get(by_handle))
        .at("/by-snapshot", get(by_snapshot))
        .at("/by-struct", get(by_struct))
        .at("/by-key", get(by_key))
        .at("/unread", get(show_unread))
        .at("/add", post(add_item))
        .at("/add-and-fail", get(add_and_fail))
        .at("/add-and-refuse", get(add_and_refuse))
        .at("/remove-all", get(remove_all))
        .at("/look", get(show))
        .at("/account", get(show_account))
        .at("/api", get(show_api))
        .at("/greet", get(show_greeting))
        .at("/notice-and-account", get(notice_and_account))
        .at("/notice-and-query", get(notice_and_query))
        .at("/login", get(do_login))
        .at("/logout", get(do_logout))
        .at("/plain-logout", get(plain_logout))
        .at("/remember-me", get(remember_me))
        .at("/login-and-remember", get(login_and_remember))
        .at("/under-handler", get(under_handler));
    App::serving(routes, settings)
}

async fn sign_in(app: &App) -> Browser {
    let alice = app.sign_in().await;
    alice.act(|s| Ok(s.set_notice("hello".into())?)).await;
    alice
}

/// Conformance 3.4
#[tokio::test]
async fn each_form_of_parameter_reads_a_flash_value_once() {
    for path in ["/by-handle", "/by-snapshot", "/by-struct", "/by-key"] {
        let app = app();
        let alice = sign_in(&app).await;
        for _ in 0..2 {
            let unread = alice.get("/unread").await;
            assert_eq!(unread.body, "Some(7) true", "{path}: it was not read");
        }
        assert_eq!(alice.get(path).await.body, "hello", "{path}");
        assert_eq!(alice.get("/unread").await.body, "Some(7) false", "{path}");
        assert_eq!(alice.get(path).await.body, "", "{path}");
    }
}

/// Conformance 3.4
#[tokio::test]
async fn take_and_get_read_a_flash_value_once() {
    let alice = sign_in(&app()).await;
    let seen = alice.ask(|s| Ok((s.take_notice()?, s.notice()?))).await;
    assert_eq!(seen, (Some("hello".into()), None));
    alice.act(|s| Ok(s.set_notice("again".into())?)).await;
    let seen = alice
        .ask(|s| Ok((s.get(Shop::NOTICE)?, s.get(Shop::NOTICE)?)))
        .await;
    assert_eq!(seen, (Some("again".into()), None));
    assert_eq!(alice.ask(|s| Ok(s.keys())).await, ["shop.user"]);
}

/// Conformance 3.4
#[tokio::test]
async fn a_flash_value_survives_redirects_failures_and_requests_that_are_refused() {
    let app = app();
    let alice = app.browser();
    let reply = alice
        .act(|session| {
            session.set_notice("hello".into())?;
            Ok(Redirect::see_other("/by-handle"))
        })
        .await;
    assert_eq!(reply.status, StatusCode::SEE_OTHER);
    let failed = alice
        .act(|session| {
            assert_eq!(session.notice()?.as_deref(), Some("hello"));
            Ok(StatusCode::INTERNAL_SERVER_ERROR)
        })
        .await;
    assert_eq!(failed.status, 500);
    // The handlers of these requests do not run.
    let redirected = alice.get("/notice-and-account").await;
    assert_eq!(redirected.header("location"), Some("/login"));
    assert_eq!(alice.get("/unread").await.body, "None true");
    let malformed = alice.get("/notice-and-query").await;
    assert_eq!(malformed.status, StatusCode::BAD_REQUEST);
    assert_eq!(alice.get("/by-handle").await.body, "hello");
}

/// Conformance 1.1
#[tokio::test]
async fn an_edited_struct_is_saved() {
    let app = app();
    let alice = sign_in(&app).await;
    app.store.calls();
    alice.post("/add", "item=tea").await;
    assert_eq!(app.store.calls(), [Op::Load, Op::Replace]);
    assert_eq!(alice.cart().await, ["tea"]);
    alice.get("/remove-all").await;
    let keys = alice.ask(|s| Ok(s.keys())).await;
    assert_eq!(
        keys,
        ["shop.cart"],
        "an empty cart is a value, and `visits` was never set"
    );
}

/// Conformance 1.15
#[tokio::test]
async fn a_struct_that_is_only_read_is_not_written() {
    let app = app();
    let alice = app.browser();
    let reply = alice.get("/look").await;
    assert_eq!((reply.body.as_str(), reply.cookie()), ("None [] 0", None));
    alice.act(|s| Ok(s.set_user(7)?)).await;
    app.store.calls();
    assert_eq!(alice.get("/look").await.body, "Some(7) [] 0");
    assert_eq!(app.store.calls(), [Op::Load]);
}

/// Conformance 1.16
#[tokio::test]
async fn changes_of_a_struct_are_kept_on_4xx_and_dropped_on_5xx() {
    let app = app();
    let alice = sign_in(&app).await;
    assert_eq!(alice.get("/add-and-fail?item=tea").await.status, 500);
    assert_eq!(alice.cart().await, Vec::<String>::new());
    assert_eq!(alice.get("/add-and-refuse").await.status, 400);
    assert_eq!(alice.cart().await, ["rice"]);
}

/// Conformance 2.1
#[tokio::test]
async fn an_edited_struct_changes_only_the_edited_fields() {
    let app = app();
    let alice = sign_in(&app).await;
    let mut save = app.store.pause(Op::Replace);
    let tab = alice.clone();
    let adding = tokio::spawn(async move { tab.post("/add", "item=tea").await });
    save.arrived().await;
    alice.act(|s| Ok(s.set_user(9)?)).await;
    save.release();
    assert_eq!(adding.await.expect("no panic").status, 200);
    let found = alice.ask(|s| Ok((s.user()?, s.cart()?))).await;
    assert_eq!(found, (Some(9), vec!["tea".into()]));
}

/// Conformance 2.10
#[tokio::test]
async fn edits_of_one_field_by_parallel_requests_are_refused_and_not_lost() {
    let app = app();
    let alice = sign_in(&app).await;
    let mut requests = Vec::new();
    for _ in 0..10 {
        let mut save = app.store.pause(Op::Replace);
        let tab = alice.clone();
        let adding = tokio::spawn(async move { tab.post("/add", "item=tea").await });
        save.arrived().await;
        requests.push((save, adding));
    }
    let mut statuses = Vec::new();
    for (save, adding) in requests {
        save.release();
        statuses.push(adding.await.expect("no panic").status);
    }
    let conflicts = statuses
        .iter()
        .filter(|s| **s == StatusCode::CONFLICT)
        .count();
    assert_eq!((statuses[0], conflicts), (StatusCode::OK, 9));
    assert_eq!(alice.cart().await, ["tea"]);
    assert_eq!(alice.post("/add", "item=milk").await.status, 200);
    assert_eq!(alice.cart().await, ["tea", "milk"]);
}

/// Conformance 1.24
#[tokio::test]
async fn an_edit_over_the_size_limit_is_an_error() {
    let routes = Route::new().at("/add", post(add_item));
    let app = App::serving(routes, |builder| builder.max_session_size(512));
    let alice = app.browser();
    let reply = alice
        .post("/add", &format!("item={}", "x".repeat(600)))
        .await;
    assert_eq!(reply.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(reply.cookie(), None);
}

/// Conformance 1.1
#[tokio::test]
async fn a_request_without_a_required_key_is_redirected_or_refused() {
    let app = app();
    let alice = app.browser();
    let account = alice.get("/account").await;
    assert_eq!(account.status, StatusCode::SEE_OTHER);
    assert_eq!(account.header("location"), Some("/login"));
    assert_eq!(alice.get("/api").await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(alice.get("/greet").await.body, "None 0");
    let alice = sign_in(&app).await;
    assert_eq!(alice.get("/account").await.body, "user 7");
    assert_eq!(alice.get("/api").await.body, "user 7");
    assert_eq!(alice.get("/greet").await.body, "Some(7) 0");
}

/// Conformance 1.11, 5.2
#[tokio::test]
async fn the_regenerate_option_acts_if_the_handler_succeeds() {
    for (status, moved) in [(200, true), (302, true), (401, false), (500, false)] {
        let app = app();
        let alice = sign_in(&app).await;
        let old = alice.signed_id();
        let reply = alice.get(&format!("/login?status={status}")).await;
        assert_eq!(reply.status.as_u16(), status);
        assert_eq!(alice.signed_id() != old, moved, "{status}");
        let user = if status < 500 { 8 } else { 7 };
        assert_eq!(alice.user().await, Some(user), "{status}");
    }
}

/// Conformance 1.9, 1.10, 5.4
#[tokio::test]
async fn the_destroy_option_ends_the_session_and_keeps_the_values_that_the_handler_set() {
    let app = app();
    let alice = sign_in(&app).await;
    let old = alice.fork();
    let reply = alice.get("/logout?status=303").await;
    assert_eq!(reply.status, StatusCode::SEE_OTHER);
    assert_eq!(reply.cookies().len(), 1);
    assert_ne!(alice.id(), old.id());
    assert_eq!(old.user().await, None);
    let found = alice.ask(|s| Ok((s.user()?, s.notice()?))).await;
    assert_eq!(found, (None, Some("Good bye.".into())));

    let bob = sign_in(&app).await;
    assert_eq!(bob.get("/logout?status=403").await.status, 403);
    let found = bob.ask(|s| Ok((s.user()?, s.notice()?))).await;
    assert_eq!(found, (Some(7), Some("Good bye.".into())));

    let eve = sign_in(&app).await;
    eve.get("/plain-logout").await;
    assert_eq!(eve.id(), None);
}

/// Conformance 1.5
#[tokio::test]
async fn the_idle_timeout_option_sets_the_idle_timeout_of_the_session() {
    for path in ["/remember-me", "/login-and-remember"] {
        let app = app();
        let alice = sign_in(&app).await;
        alice.get(path).await;
        app.pass(Duration::from_hours(2) - Duration::from_millis(1));
        assert!(alice.user().await.is_some(), "{path}");
        app.pass(Duration::from_hours(2));
        assert_eq!(alice.user().await, None, "{path}");
    }
    let app = app();
    let reply = app.browser().get("/remember-me").await;
    assert_eq!(reply.cookie(), None, "there is no session");
    assert!(app.store.records(app.now()).await.is_empty());
}

/// Conformance 1.1
#[tokio::test]
async fn the_extractors_work_in_handlers_of_poem() {
    let app = app();
    let alice = sign_in(&app).await;
    assert_eq!(alice.get("/under-handler").await.body, "Some(7) Some(7)");
}
