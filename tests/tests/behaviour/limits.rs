//! What a session, an application and its store can be made to hold.

use std::{sync::Arc, time::Duration};

use poem::{
    Endpoint, EndpointExt, IntoResponse, get, handler,
    http::{Method, StatusCode},
};
use poem_session::{Session, Sessions, store::MemoryStore};

use crate::support::{App, Browser, COOKIE, Prefs, Scripted, Shop, request, settings};

async fn sign_in(app: &App) -> Browser {
    let alice = app.browser();
    alice.act(|s| Ok(s.set_user(7)?)).await;
    alice
}

/// Conformance 1.24
#[tokio::test]
async fn a_value_that_is_too_large_is_an_error_where_it_is_set() {
    let app = App::with(|builder| builder.max_session_size(1024));
    let alice = sign_in(&app).await;
    let reply = alice
        .act(|session| {
            let error = session.set_notice("x".repeat(2000)).expect_err("too large");
            assert!(error.to_string().contains("shop.notice"), "{error}");
            let error = session
                .update_cart(|cart| cart.push("x".repeat(2000)))
                .expect_err("too large");
            assert!(error.to_string().contains("shop.cart"), "{error}");
            Ok(session.set_notice("small".into())?)
        })
        .await;
    assert_eq!(reply.status, 200);
    let found = alice.ask(|s| Ok((s.notice()?, s.cart()?))).await;
    assert_eq!(found, (Some("small".into()), vec![]));
    let reply = alice.act(|s| Ok(s.set_notice("x".repeat(2000))?)).await;
    assert_eq!(reply.status, StatusCode::PAYLOAD_TOO_LARGE);
}

/// Conformance 1.24
#[tokio::test]
async fn what_fits_when_it_is_set_fits_when_it_is_saved() {
    let app = App::with(|builder| builder.max_session_size(256));
    for size in 0..300 {
        let reply = app
            .browser()
            .act(move |session| match session.set_notice("x".repeat(size)) {
                Ok(()) => Ok("fits"),
                Err(_) => Ok("too large"),
            })
            .await;
        assert_eq!(reply.status, 200, "{size} bytes");
        assert_eq!(
            reply.cookie().is_some(),
            reply.body == "fits",
            "{size} bytes"
        );
    }
}

/// Conformance 2.1
#[tokio::test]
async fn what_is_too_large_once_it_is_merged_is_refused_and_harms_nothing() {
    let app = App::with(|builder| builder.max_session_size(1024));
    let alice = app.browser();
    alice.act(|s| Ok(s.set_user(7)?)).await;
    let slow = alice.start(|s| Ok(s.set_notice("n".repeat(600))?)).await;
    alice.act(|s| Ok(s.set_cart(vec!["c".repeat(600)])?)).await;
    let reply = slow.finish().await;
    assert_eq!(reply.status, 413);
    assert_eq!(reply.cookie(), None);
    let found = alice.ask(|s| Ok((s.user()?, s.keys().len()))).await;
    assert_eq!(found, (Some(7), 2));
}

/// Conformance 2.1
#[tokio::test]
async fn an_update_that_grows_too_large_on_the_newer_value_is_refused() {
    let app = App::with(|builder| builder.max_session_size(1024));
    let alice = app.browser();
    alice.act(|s| Ok(s.set_user(7)?)).await;
    let slow = alice
        .start(|s| Ok(s.update_cart(|cart| cart.push("a".repeat(600)))?))
        .await;
    alice.act(|s| Ok(s.set_cart(vec!["b".repeat(600)])?)).await;
    assert_eq!(slow.finish().await.status, 413);
    assert_eq!(alice.ask(|s| Ok(s.cart()?)).await, ["b".repeat(600)]);
}

/// Conformance 5.13
#[tokio::test]
async fn a_value_has_a_limit_of_its_own() {
    let app = App::with(|builder| builder.max_value_size(100));
    let alice = sign_in(&app).await;
    let error = alice
        .ask(|session| {
            session.set_cart(vec!["c".repeat(90)])?;
            session.set_notice("n".repeat(90))?;
            Ok(session.set_notice("n".repeat(100)).expect_err("too large"))
        })
        .await;
    let message = error.to_string();
    assert!(
        message.contains("shop.notice") && message.contains("102 bytes, over the limit of 100"),
        "{message}"
    );
    let reply = alice.act(|s| Ok(s.set_notice("n".repeat(100))?)).await;
    assert_eq!(reply.status, StatusCode::PAYLOAD_TOO_LARGE);
    let found = alice.ask(|s| Ok((s.notice()?, s.cart()?.len()))).await;
    assert_eq!(found, (Some("n".repeat(90)), 1));
}

/// Conformance 5.13
#[tokio::test]
async fn the_keys_of_a_session_are_counted_over_all_structs() {
    let app = App::with(|builder| builder.max_keys(3));
    let alice = sign_in(&app).await;
    let error = alice
        .ask(|session| {
            // The library's own keys are not among them.
            session.set_idle_timeout(Duration::from_mins(5));
            session.set_visits(1)?;
            session.set_notice("n".into())?;
            Ok(session.set_cart(vec!["c".into()]).expect_err("a fourth"))
        })
        .await;
    assert!(
        error.to_string().contains("4 keys, over the limit of 3"),
        "{error}"
    );
    // A key in place of another, and a key that is there.
    let kept = alice
        .act(|session| {
            session.take_notice()?;
            session.set_cart(vec!["c".into()])?;
            Ok(session.set_visits(2)?)
        })
        .await;
    assert_eq!(kept.status, 200);
    let prefs = |session: Session<Prefs>| async move { Ok(session.set_theme("dark".into())?) };
    let reply = alice.visit_by(request(Method::GET, "/"), prefs).await;
    assert_eq!(reply.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(alice.ask(|s| Ok(s.keys().len())).await, 3);
}

/// Conformance 5.13
#[tokio::test]
async fn the_keys_that_one_request_sets_are_counted_where_they_are_set() {
    let app = App::with(|builder| builder.max_keys(2));
    let error = app
        .browser()
        .ask(|session| {
            session.set_user(7)?;
            session.set_visits(1)?;
            Ok(session.set_notice("n".into()).expect_err("a third"))
        })
        .await;
    assert!(error.to_string().contains("3 keys"), "{error}");
}

/// Conformance 2.1, 5.13
#[tokio::test]
async fn keys_that_are_too_many_once_they_are_merged_are_refused() {
    let app = App::with(|builder| builder.max_keys(2));
    let alice = sign_in(&app).await;
    let slow = alice.start(|s| Ok(s.set_notice("n".into())?)).await;
    alice.act(|s| Ok(s.set_visits(1)?)).await;
    let reply = slow.finish().await;
    assert_eq!((reply.status.as_u16(), reply.cookie()), (413, None));
    let found = alice.ask(|s| Ok((s.visits()?, s.notice()?))).await;
    assert_eq!(found, (1, None));
}

/// As when the limit was higher once.
///
/// Conformance 3.3
#[tokio::test]
async fn a_session_over_a_limit_is_still_read_and_changed() {
    let store = Arc::new(MemoryStore::new());
    let generous = App::on(Arc::clone(&store) as _, Scripted, settings);
    let alice = sign_in(&generous).await;
    alice.act(|s| Ok(s.set_visits(1)?)).await;
    let id = alice.signed_id();
    let strict = App::on(store, Scripted, |builder| builder.max_keys(1));
    let alice = strict.browser();
    alice.set_cookie(COOKIE, id.expose());
    assert_eq!(alice.act(|s| Ok(s.set_visits(2)?)).await.status, 200);
    let more = alice.act(|s| Ok(s.set_notice("n".into())?)).await;
    assert_eq!(more.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(
        alice.ask(|s| Ok((s.visits()?, s.keys().len()))).await,
        (2, 2)
    );
}

#[handler]
fn greet(shop: Session<Shop>) -> poem::Result<String> {
    Ok(format!("{:?}", shop.user()?))
}

/// Conformance 5.12
#[tokio::test(flavor = "multi_thread")]
async fn a_million_anonymous_requests_leave_no_record() {
    const TASKS: usize = 8;
    let store = Arc::new(MemoryStore::new());
    let sessions = Sessions::builder(Arc::clone(&store)).build().expect("fits");
    let site = Arc::new(get(greet).with(sessions));
    let tasks = (0..TASKS).map(|_| {
        let site = site.clone();
        tokio::spawn(async move {
            for _ in 0..1_000_000 / TASKS {
                let response = site.call(poem::Request::default()).await;
                let response = response.expect("it is served").into_response();
                assert!(response.headers().get("set-cookie").is_none());
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.expect("no panic");
    }
    assert!(store.is_empty());
}
