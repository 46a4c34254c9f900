//! Tasks that go on with a session when the request is over.

use std::sync::{Arc, Mutex};

use poem::http::StatusCode;
use poem_session::{SaveError, Session};

use crate::support::{App, Browser, Op, Shop};

async fn sign_in(app: &App) -> Browser {
    let alice = app.browser();
    alice.act(|s| Ok(s.set_user(7)?)).await;
    alice
}

/// Where a handler leaves its session for a task that goes on with it.
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

/// A task that goes on with a session when its request is over is told that its changes went with it.
///
/// Conformance 1.16, 1.28
#[tokio::test]
async fn a_save_after_the_request_has_failed_says_that_the_changes_are_gone() {
    let app = App::new();
    let alice = sign_in(&app).await;
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
    let error = session.save().await.expect_err("they were discarded");
    assert!(matches!(error, SaveError::Discarded), "{error}");
    session.set_visits(6).expect("it fits");
    session.save().await.expect("this one was set since");
    assert_eq!(alice.ask(|s| Ok(s.visits()?)).await, 6);
}

/// Conformance 1.28
#[tokio::test]
async fn what_a_task_changes_when_the_response_has_left_is_kept() {
    let app = App::new();
    let alice = sign_in(&app).await;
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
    assert_eq!(alice.ask(|s| Ok(s.visits()?)).await, 6);
}

/// A handler that has failed leaves nothing to be done by a task that goes on with its session.
///
/// Conformance 1.16
#[tokio::test]
async fn a_sign_out_of_a_request_that_failed_is_not_made_up_for_by_a_later_save() {
    let app = App::new();
    let alice = sign_in(&app).await;
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
    session.save().await.expect("nothing is to be saved");
    assert_eq!(session.user(), Ok(Some(7)));
    assert_eq!(alice.ask(|s| Ok(s.user()?)).await, Some(7));
}

/// Conformance 1.28
#[tokio::test(start_paused = true)]
async fn what_a_task_changes_while_the_response_is_held_up_by_the_store_is_kept() {
    let app = App::new();
    let alice = sign_in(&app).await;
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
