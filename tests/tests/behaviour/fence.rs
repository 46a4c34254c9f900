//! Calls that a holder of a lock has sent, and that arrive when another holder has the lock, or nobody.

use std::time::Duration;

use poem_session::{
    PublicId, SaveError, Session, SessionLock, SessionsBuilder,
    store::{LockOwner, Locked, Rename, Replaced, SessionStore, StoreErrorKind, Stored, Write},
};

use tokio::task::JoinHandle;

use crate::support::{App, Browser, Op, Paused, Shop, settings};

const LEASE: Duration = Duration::from_secs(15);

/// Opens and locks the session.
async fn hold(app: &App, alice: &Browser) -> (Session<Shop>, SessionLock) {
    let session = app.open(alice).await;
    let lock = session.lock().await.expect("the lock is free");
    (session, lock)
}

/// Locks the session and starts a save, which stops before it reaches the store.
async fn hold_and_send(
    app: &App,
    alice: &Browser,
) -> (JoinHandle<Result<(), SaveError>>, Paused, SessionLock) {
    let (session, lock) = hold(app, alice).await;
    session.set_cart(vec!["first".into()]).expect("it fits");
    let mut sent = app.store.pause(Op::Replace);
    let first = tokio::spawn(async move { session.save().await });
    sent.arrived().await;
    (first, sent, lock)
}

async fn record(app: &App, alice: &Browser) -> (PublicId, Stored) {
    let id = alice.signed_id();
    let record = app.store.record(&id, app.now()).await;
    (id.public(), record.expect("it lives"))
}

/// Sends the writes of a request that has given up, which the store refuses.
async fn arrives_late(app: &App, (key, seen): (PublicId, Stored)) {
    let late = Write::new("late", seen.expires_at);
    let store = app.store.watched();
    let replaced = store.replace(key, seen.version, late.clone(), app.now());
    let outcome = replaced.await.expect("the store works");
    assert!(matches!(outcome, Replaced::Conflict(_)), "{outcome:?}");
    let to = PublicId::from_bytes([1; 32]);
    let rename = Rename::new(key, seen.version, to, late.clone(), late);
    let renamed = store.rename(rename, app.now());
    let outcome = renamed.await.expect("the store works");
    assert!(matches!(outcome, Replaced::Conflict(_)), "{outcome:?}");
}

/// Conformance 2.6
#[tokio::test(start_paused = true)]
async fn a_write_that_arrives_after_the_next_holder_has_loaded_is_refused() {
    let app = App::new();
    let other = app.redeployed(settings);
    let alice = app.sign_in().await;
    let (first, sent, lock) = hold_and_send(&app, &alice).await;
    app.pass(LEASE);
    let (next, next_lock) = hold(&other, &alice).await;
    let found = next.cart().expect("it decodes");
    sent.release();
    let late = first.await.expect("no panic");
    assert!(matches!(late, Err(SaveError::LeaseLost)), "{late:?}");
    drop(lock);
    next.set_cart([found, vec!["next".into()]].concat())
        .expect("it fits");
    next.save().await.expect("the lease is its own");
    drop(next_lock);
    assert_eq!(alice.cart().await, ["next"]);
}

/// Conformance 2.6
#[tokio::test(start_paused = true)]
async fn a_write_in_doubt_is_fenced_off_before_the_next_holder_loads() {
    for hangs in [true, false] {
        let app = App::new();
        let other = app.redeployed(settings);
        let alice = app.sign_in().await;
        let (session, lock) = hold(&app, &alice).await;
        let seen = record(&app, &alice).await;
        session.set_cart(vec!["first".into()]).expect("it fits");
        if hangs {
            app.store.hang(&[Op::Replace]);
        } else {
            app.store.fail(&[Op::Replace]);
        }
        let error = session.save().await.expect_err("the store fails");
        let SaveError::Store(error) = error else {
            panic!("{error}");
        };
        assert!(
            matches!(
                error.kind(),
                StoreErrorKind::TimedOut | StoreErrorKind::Unavailable
            ),
            "{error}"
        );
        app.store.heal();
        // The lock would last until the changes are saved.
        drop((lock, session));
        let began = tokio::time::Instant::now();
        let (_next, _lock) = hold(&other, &alice).await;
        assert!(began.elapsed() < Duration::from_secs(1));
        arrives_late(&app, seen).await;
    }
}

/// Conformance 2.6
#[tokio::test(start_paused = true)]
async fn a_write_that_succeeds_at_the_second_attempt_is_not_in_doubt() {
    let app = App::new();
    let alice = app.sign_in().await;
    let (session, lock) = hold(&app, &alice).await;
    session.set_cart(vec!["first".into()]).expect("it fits");
    app.store.fail(&[Op::Replace]);
    session.save().await.expect_err("the store fails");
    app.store.heal();
    session.save().await.expect("now it works");
    app.store.calls();
    drop(lock);
    let (_, written) = record(&app, &alice).await;
    let (_again, _lock) = hold(&app, &alice).await;
    assert_eq!(
        app.store.calls(),
        [Op::Load, Op::Unlock, Op::Lock, Op::Load]
    );
    assert_eq!(record(&app, &alice).await.1, written);
}

/// Conformance 2.6
#[tokio::test(start_paused = true)]
async fn a_touch_does_not_resolve_a_write_in_doubt() {
    let app = App::with(|builder| builder.lock_lease(Duration::from_hours(1)));
    let alice = app.sign_in().await;
    app.pass(Duration::from_mins(10));
    let (session, lock) = hold(&app, &alice).await;
    let seen = record(&app, &alice).await;
    session.set_cart(vec!["first".into()]).expect("it fits");
    app.store.fail(&[Op::Replace]);
    session.save().await.expect_err("the store fails");
    app.store.heal();
    session.remove_cart();
    app.store.calls();
    session.save().await.expect("it works");
    assert_eq!(app.store.calls(), [Op::Touch]);
    drop(lock);
    let (_next, _lock) = hold(&app, &alice).await;
    arrives_late(&app, seen).await;
}

fn rotating(builder: SessionsBuilder) -> SessionsBuilder {
    builder.rotate_every(Duration::from_mins(15))
}

/// Conformance 2.6, 2.7
#[tokio::test(start_paused = true)]
async fn a_rotation_that_arrives_too_late_is_not_tried_again_under_another_lock() {
    let app = App::with(rotating);
    let other = app.redeployed(rotating);
    let alice = app.sign_in().await;
    app.pass(Duration::from_mins(15));
    let mut sent = app.store.pause(Op::Rename);
    let visitor = alice.fork();
    let late = tokio::spawn(async move { visitor.act(|s| Ok(s.user().map(drop)?)).await });
    sent.arrived().await;
    app.pass(LEASE);
    let (next, lock) = hold(&other, &alice).await;
    let (key, _) = record(&app, &alice).await;
    app.store.calls();
    sent.release();
    let reply = late.await.expect("no panic");
    assert_eq!((reply.status.as_u16(), reply.cookie()), (200, None));
    assert!(!app.store.calls().contains(&Op::Rename));
    next.set_cart(vec!["next".into()]).expect("it fits");
    next.save().await.expect("the lease is its own");
    let sessions = app.store.sessions(app.now()).await;
    let keys: Vec<_> = sessions.iter().map(|(key, _)| *key).collect();
    assert_eq!(keys, [key], "the id is unchanged");
    drop(lock);
    assert_eq!(alice.cart().await, ["next"]);
}

/// Conformance 2.6, 2.7
#[tokio::test(start_paused = true)]
async fn a_rotation_in_doubt_does_not_move_the_session_of_the_next_holder() {
    let app = App::with(rotating);
    let other = app.redeployed(rotating);
    let alice = app.sign_in().await;
    let seen = record(&app, &alice).await;
    app.pass(Duration::from_mins(15));
    app.store.hang(&[Op::Rename]);
    let reply = alice.fork().act(|s| Ok(s.user().map(drop)?)).await;
    assert_eq!(reply.status, 503);
    app.store.heal();
    let (_next, _lock) = hold(&other, &alice).await;
    arrives_late(&app, seen).await;
}

/// Conformance 2.6
#[tokio::test(start_paused = true)]
async fn a_lock_dropped_during_a_write_is_released_after_the_write() {
    let app = App::new();
    let other = app.redeployed(settings);
    let alice = app.sign_in().await;
    let (first, sent, lock) = hold_and_send(&app, &alice).await;
    drop(lock);
    let until = app.now().saturating_add(LEASE);
    let key = alice.signed_id().public();
    let store = other.store.watched();
    let take = || store.lock(key, LockOwner::random(), until, other.now());
    // The release has had time to run.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(take().await.ok(), Some(Locked::Held));
    sent.release();
    first.await.expect("no panic").expect("the store works");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(take().await.ok(), Some(Locked::Acquired));
}

/// A renewal that arrives after the release would take the lease again, and nothing would release it.
///
/// Conformance 2.6, 2.12
#[tokio::test(start_paused = true)]
async fn a_lease_that_is_given_up_during_its_renewal_is_released_after_it() {
    let app = App::new();
    let alice = app.sign_in().await;
    let (session, lock) = hold(&app, &alice).await;
    let mut renewal = app.store.pause(Op::Lock);
    renewal.arrived().await;
    app.store.calls();
    drop((session, lock));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(app.store.calls(), [], "the renewal is still under way");
    renewal.release();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(app.store.calls(), [Op::Unlock]);
    let other = app.redeployed(settings);
    drop(hold(&other, &alice.at(&other)).await);
}

/// Conformance 2.6, 2.12
#[tokio::test(start_paused = true)]
async fn a_lease_that_a_dropped_request_has_asked_for_is_released_after_the_reply() {
    let app = App::new();
    let alice = app.sign_in().await;
    let mut asked = app.store.pause(Op::Lock);
    let waiting = {
        let (app, alice) = (app.clone(), alice.clone());
        tokio::spawn(async move { drop(hold(&app, &alice).await) })
    };
    asked.arrived().await;
    app.store.calls();
    waiting.abort();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(app.store.calls(), [], "the call is still under way");
    asked.release();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(app.store.calls(), [Op::Unlock]);
    let other = app.redeployed(settings);
    drop(hold(&other, &alice.at(&other)).await);
}
