//! The limits of a session. The unit tests of `limits` prove the arithmetic.

use std::time::Duration;

use poem::http::{Method, StatusCode};
use poem_session::{Session, SessionsBuilder};

use crate::support::{App, Prefs, Shop, request};

/// Conformance 1.24, 5.13
#[tokio::test]
async fn a_value_over_the_size_limits_is_an_error_of_the_call_that_sets_it() {
    type Configure = fn(SessionsBuilder) -> SessionsBuilder;
    let limits: [Configure; 2] = [
        |builder| builder.max_session_size(256),
        |builder| builder.max_value_size(100),
    ];
    for configure in limits {
        let app = App::with(configure);
        let alice = app.sign_in().await;
        let reply = alice
            .act(|session| {
                let error = session.set_notice("x".repeat(250)).expect_err("too large");
                assert!(error.to_string().contains("shop.notice"), "{error}");
                assert!(error.to_string().contains("over the limit of"), "{error}");
                let error = session
                    .update_cart(|cart| cart.push("x".repeat(2000)))
                    .expect_err("too large");
                assert!(error.to_string().contains("shop.cart"), "{error}");
                Ok(session.set_notice("x".repeat(60))?)
            })
            .await;
        assert_eq!(reply.status, 200);
        let reply = alice.act(|s| Ok(s.set_cart(vec!["x".repeat(2000)])?)).await;
        assert_eq!(reply.status, StatusCode::PAYLOAD_TOO_LARGE);
        let found = alice.ask(|s| Ok((s.notice()?, s.cart()?))).await;
        assert_eq!(found, (Some("x".repeat(60)), vec![]));
    }
}

type Act = fn(&Session<Shop>) -> poem::Result<()>;

/// Conformance 2.1, 5.13
#[tokio::test]
async fn a_save_that_is_over_a_limit_after_the_merge_is_refused_and_changes_nothing() {
    let set_notice: Act = |s| Ok(s.set_notice("n".repeat(600))?);
    let add_to_cart: Act = |s| Ok(s.update_cart(|cart| cart.push("a".repeat(600)))?);
    let set_cart: Act = |s| Ok(s.set_cart(vec!["c".repeat(600)])?);
    let set_third_key: Act = |s| Ok(s.set_notice("n".into())?);
    for (first, max_keys) in [(set_notice, 64), (add_to_cart, 64), (set_third_key, 2)] {
        let app = App::with(|builder| builder.max_session_size(1024).max_keys(max_keys));
        let alice = app.sign_in().await;
        let slow = alice.start(first).await;
        alice.act(set_cart).await;
        let reply = slow.finish().await;
        assert_eq!((reply.status.as_u16(), reply.cookie()), (413, None));
        let found = alice
            .ask(|s| Ok((s.user()?, s.cart()?, s.keys().len())))
            .await;
        assert_eq!(found, (Some(7), vec!["c".repeat(600)], 2));
    }
}

/// Conformance 5.13
#[tokio::test]
async fn the_keys_of_all_structs_of_a_session_are_counted() {
    let app = App::with(|builder| builder.max_keys(3));
    let alice = app.sign_in().await;
    let error = alice
        .ask(|session| {
            // The library's own keys do not count.
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
    // A key may replace another one, and an existing key may change.
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
    // A session over a limit that was lowered is still read and changed.
    let alice = alice.at(&app.redeployed(|builder| builder.max_keys(1)));
    assert_eq!(alice.act(|s| Ok(s.set_visits(3)?)).await.status, 200);
    let more = alice.act(|s| Ok(s.set_notice("n".into())?)).await;
    assert_eq!(more.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(alice.visits().await, 3);
}

/// Conformance 1.8
#[tokio::test]
async fn a_session_that_is_larger_than_the_limit_of_today_may_shrink() {
    let app = App::new();
    let alice = app.sign_in().await;
    let cart = vec!["x".repeat(600), "tea".into()];
    alice.act(move |s| Ok(s.set_cart(cart)?)).await;
    let app = app.redeployed(|builder| builder.max_session_size(512));
    let alice = alice.at(&app);
    assert_eq!(alice.user().await, Some(7));
    let grown = alice.act(|s| Ok(s.set_visits(1)?)).await;
    assert_eq!(grown.status, StatusCode::PAYLOAD_TOO_LARGE);
    let shrunk = alice
        .act(|s| Ok(s.update_cart(|cart| drop(cart.pop()))?))
        .await;
    assert_eq!(shrunk.status, 200);
    assert_eq!(alice.does(|s| s.remove_cart()).await.status, 200);
    assert_eq!(alice.act(|s| Ok(s.set_visits(1)?)).await.status, 200);
}
