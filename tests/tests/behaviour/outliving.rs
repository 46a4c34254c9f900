//! Tasks that use a session after the end of its request.

use std::sync::{Arc, Mutex};

use poem::http::StatusCode;
use poem_session::{SaveError, Session};

use crate::support::{App, Op, Shop};

/// The session that a handler leaves for a task.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Option<Session<Shop>>>>);

impl Kept {
    fn put(&self, session: &Session<Shop>) {
        *self.0.lock().expect("no panic") = Some(session.clone());
    }

    fn take(&self) -> Session<Shop> {
        let kept = self.0.lock().expect("no panic").take();
        kept.expect("the handler has run")
    }
}

/// Conformance 1.16, 1.28
#[tokio::test]
async fn a_save_after_a_failed_request_returns_discarded() {
    let app = App::new();
    let alice = app.sign_in().await;
    let kept = Kept::default();
    let keep = kept.clone();
    let reply = alice
        .act(move |session| {
            session.set_visits(5)?;
            keep.put(session);
            Err::<(), _>(StatusCode::BAD_GATEWAY.into())
        })
        .await;
    assert_eq!(reply.status, 502);
    let session = kept.take();
    let error = session
        .save()
        .await
        .expect_err("the changes were discarded");
    assert!(matches!(error, SaveError::Discarded), "{error}");
    session.set_visits(6).expect("it fits");
    session
        .save()
        .await
        .expect("this value was set after the request");
    assert_eq!(alice.visits().await, 6);
}

/// Conformance 1.28
#[tokio::test]
async fn changes_after_the_response_are_saved() {
    let app = App::new();
    let alice = app.sign_in().await;
    let kept = Kept::default();
    let keep = kept.clone();
    alice
        .act(move |session| {
            keep.put(session);
            Ok(())
        })
        .await;
    let session = kept.take();
    session.set_visits(6).expect("it fits");
    session.save().await.expect("it lives");
    assert_eq!(alice.visits().await, 6);
}

/// Conformance 1.16
#[tokio::test]
async fn a_save_after_a_failed_request_does_not_sign_out() {
    let app = App::new();
    let alice = app.sign_in().await;
    let kept = Kept::default();
    let keep = kept.clone();
    alice
        .act(move |session| {
            session.destroy();
            keep.put(session);
            Err::<(), _>(StatusCode::BAD_GATEWAY.into())
        })
        .await;
    let session = kept.take();
    session.save().await.expect("there is nothing to save");
    assert_eq!(session.user(), Ok(Some(7)));
    assert_eq!(alice.user().await, Some(7));
}

/// Conformance 1.28
#[tokio::test(start_paused = true)]
async fn changes_made_during_the_last_save_of_a_request_are_saved_later() {
    let app = App::new();
    let alice = app.sign_in().await;
    let kept = Kept::default();
    let keep = kept.clone();
    let request = alice
        .start(move |session| {
            keep.put(session);
            Ok(session.set_user(8)?)
        })
        .await;
    let mut save = app.store.pause(Op::Replace);
    let request = request.release();
    save.arrived().await;
    let session = kept.take();
    session.set_visits(6).expect("it fits");
    save.release();
    assert_eq!(request.await.expect("no panic").status, 200);
    session.save().await.expect("it lives");
    let found = alice.ask(|s| Ok((s.user()?, s.visits()?))).await;
    assert_eq!(found, (Some(8), 6));
}
