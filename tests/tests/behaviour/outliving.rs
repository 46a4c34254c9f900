//! Tasks that use a session after the end of its request.

use std::sync::mpsc;

use poem::http::StatusCode;
use poem_session::{SaveError, Session};

use crate::support::{App, Browser, End, Op, Shop};

/// Sends a request whose handler uses the session and fails, and returns that session.
async fn failed(visitor: &Browser, act: End) -> Session<Shop> {
    let (sender, receiver) = mpsc::channel();
    let reply = visitor
        .act(move |session| {
            act(session);
            sender.send(session.clone()).expect("the test receives");
            Err::<(), _>(StatusCode::BAD_GATEWAY.into())
        })
        .await;
    assert_eq!(reply.status, 502);
    receiver.recv().expect("the handler has run")
}

/// Conformance 1.16, 1.28
#[tokio::test]
async fn the_first_save_after_a_failed_request_returns_discarded() {
    let app = App::new();
    let alice = app.sign_in().await;
    let session = failed(&alice, |s| s.set_visits(5).expect("it fits")).await;
    let saved = session.save().await;
    assert!(matches!(saved, Err(SaveError::Discarded)), "{saved:?}");
    session.set_visits(6).expect("it fits");
    session.save().await.expect("this is a new change");
    assert_eq!(alice.visits().await, 6);
}

/// Conformance 1.16
#[tokio::test]
async fn a_save_after_a_failed_request_does_not_sign_out() {
    let app = App::new();
    let alice = app.sign_in().await;
    let session = failed(&alice, Session::destroy).await;
    session.save().await.expect("there is nothing to save");
    assert_eq!(session.user(), Ok(Some(7)));
    assert_eq!(alice.user().await, Some(7));
}

/// Conformance 1.28
#[tokio::test]
async fn changes_after_the_response_are_saved() {
    let app = App::new();
    let alice = app.sign_in().await;
    let session = alice.ask(|s| Ok(s.clone())).await;
    session.set_visits(6).expect("it fits");
    session.save().await.expect("it lives");
    assert_eq!(alice.visits().await, 6);
}

/// Conformance 1.28
#[tokio::test(start_paused = true)]
async fn changes_made_during_the_last_save_of_a_request_are_saved_later() {
    let app = App::new();
    let alice = app.sign_in().await;
    let (sender, receiver) = mpsc::channel();
    let request = alice
        .start(move |session| {
            sender.send(session.clone()).expect("the test receives");
            Ok(session.set_user(8)?)
        })
        .await;
    let mut save = app.store.pause(Op::Replace);
    let request = request.release();
    save.arrived().await;
    let session = receiver.recv().expect("the handler has run");
    session.set_visits(6).expect("it fits");
    save.release();
    assert_eq!(request.await.expect("no panic").status, 200);
    session.save().await.expect("it lives");
    let found = alice.ask(|s| Ok((s.user()?, s.visits()?))).await;
    assert_eq!(found, (Some(8), 6));
}
