//! Id rotation. The unit tests of `lifecycle` prove when an id is rotated.

use std::time::Duration;

use poem::{Route, get, http::Method};
use poem_session::{IdSource, OpenError, Session, SessionsBuilder, session};

use crate::support::{App, Browser, ENDS, Op, Scripted, Shop, count, request};

const EVERY: Duration = Duration::from_mins(15);
const GRACE: Duration = Duration::from_secs(30);

fn rotating(builder: SessionsBuilder) -> SessionsBuilder {
    builder.rotate_every(EVERY).rotation_grace(GRACE)
}

/// A visitor whose id is due for rotation.
async fn due(app: &App) -> Browser {
    let alice = app.sign_in().await;
    app.pass(EVERY);
    alice
}

/// A visitor whose id was rotated, and a browser that still has the old id.
async fn rotated(app: &App) -> (Browser, Browser) {
    let alice = due(app).await;
    let old = alice.fork();
    assert_eq!(alice.user().await, Some(7));
    assert_ne!(alice.id(), old.id());
    (alice, old)
}

/// Conformance 1.6, 5.2
#[tokio::test]
async fn an_id_is_rotated_at_its_interval_and_keeps_the_absolute_deadline() {
    let hour = Duration::from_hours(1);
    let app = App::with(|builder| rotating(builder).idle_timeout(hour).absolute_timeout(hour));
    let alice = app.sign_in().await;
    let first = alice.signed_id();
    app.pass(EVERY - Duration::from_millis(1));
    assert_eq!(alice.user().await, Some(7));
    assert_eq!(alice.signed_id(), first);
    app.pass(Duration::from_millis(1));
    assert_eq!(alice.user().await, Some(7));
    let second = alice.signed_id();
    assert_ne!(second, first);
    assert_eq!(alice.user().await, Some(7));
    assert_eq!(alice.signed_id(), second);
    app.pass(EVERY);
    assert_eq!(alice.user().await, Some(7));
    assert_ne!(alice.signed_id(), second);
    assert_eq!(app.store.sessions(app.now()).await.len(), 1);
    app.pass(EVERY * 2);
    assert_eq!(alice.user().await, None);
}

/// Conformance 1.26, 5.2
#[tokio::test]
async fn the_old_id_resolves_to_the_session_until_the_grace_is_over() {
    let app = App::with(rotating);
    let (alice, old) = rotated(&app).await;
    app.pass(GRACE - Duration::from_millis(1));
    // The response that sent the newest id may be lost, so this one sends it again.
    let reply = old.fork().act(|s| Ok(s.set_visits(5)?)).await;
    let sent = reply.cookie().expect("the newest id").value().to_owned();
    assert_eq!(
        (reply.status.as_u16(), &*sent),
        (200, alice.signed_id().expose())
    );
    assert_eq!(alice.visits().await, 5);
    let session = app.open(&old).await;
    assert_eq!(session.user(), Ok(Some(7)));
    assert_eq!(session.public_id(), alice.signed_id().public());
    app.pass(Duration::from_millis(1));
    assert_eq!(old.user().await, None);
    assert_eq!(alice.user().await, Some(7));
    let opened = app.sessions.open::<Shop>(&old.signed_id()).await.map(drop);
    assert!(matches!(opened, Err(OpenError::NotFound)));
}

/// Conformance 2.7
#[tokio::test]
async fn requests_in_flight_during_a_rotation_succeed_and_sign_nobody_out() {
    let app = App::with(rotating);
    let alice = due(&app).await;
    let mut in_flight = Vec::new();
    for n in 0..10 {
        let request = alice
            .start(move |session| {
                session.update_visits(|visits| *visits += 1)?;
                Ok(session.update_cart(move |cart| cart.push(n.to_string()))?)
            })
            .await;
        in_flight.push(request);
    }
    let mut cookies = 0;
    for request in in_flight {
        let reply = request.finish().await;
        assert_eq!(reply.status, 200);
        cookies += reply.cookies().len();
    }
    assert_eq!(cookies, 1, "the id is rotated once");
    app.pass(GRACE);
    let found = alice
        .ask(|s| Ok((s.user()?, s.visits()?, s.cart()?.len())))
        .await;
    assert_eq!(found, (Some(7), 10, 10));
    assert_eq!(app.store.sessions(app.now()).await.len(), 1);
}

/// Conformance 2.7
#[tokio::test(start_paused = true)]
async fn two_requests_that_find_an_id_due_rotate_it_once() {
    let app = App::with(rotating);
    let other = app.redeployed(rotating);
    let alice = due(&app).await;
    let old = alice.signed_id();
    let mut rename = app.store.pause(Op::Rename);
    let first = alice.start(|s| Ok(format!("{:?}", s.user()?))).await;
    let first = first.release();
    rename.arrived().await;
    // Requests in this process and in another one leave the rotation to the first request.
    for app in [&app, &other] {
        assert_eq!(alice.at(app).user().await, Some(7));
        assert_eq!(alice.signed_id(), old);
    }
    rename.release();
    let reply = first.await.expect("no panic");
    let found = (reply.status.as_u16(), reply.body.as_str());
    assert_eq!(found, (200, "Some(7)"));
    assert_ne!(alice.signed_id(), old);
    app.pass(GRACE);
    assert_eq!(alice.user().await, Some(7));
    assert_eq!(app.store.sessions(app.now()).await.len(), 1);
}

/// Conformance 1.9, 2.7
#[tokio::test]
async fn a_second_sign_out_succeeds_if_the_id_was_rotated_before_the_first() {
    let app = App::with(rotating);
    let alice = due(&app).await;
    let slow = alice.fork().start_does(Session::destroy).await;
    alice.user().await;
    alice.does(Session::destroy).await;
    let reply = slow.finish().await;
    assert_eq!((reply.status.as_u16(), reply.cookie()), (200, None));
    assert!(app.store.sessions(app.now()).await.is_empty());
}

/// Conformance 2.6, 2.7, 5.2
#[tokio::test(start_paused = true)]
async fn the_id_of_a_locked_session_is_neither_rotated_nor_sent_again() {
    let app = App::with(rotating);
    let other = app.redeployed(rotating);
    let alice = due(&app).await;
    let old = alice.signed_id();
    let holder = app.open(&alice).await;
    let lock = holder.lock().await.expect("the lock is free");
    for app in [&app, &other] {
        let reply = alice.at(app).does(count).await;
        // The old id is not sent again. The response with the new id may reach the client first, and the client
        // would lose its session at the end of the grace.
        assert_eq!((reply.status.as_u16(), reply.cookie()), (200, None));
    }
    let session = other.open(&alice).await;
    let waiting = tokio::spawn(async move { session.lock().await.map(drop) });
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!waiting.is_finished());
    drop(lock);
    waiting.await.expect("no panic").expect("the lock is free");
    assert_eq!(alice.visits().await, 2);
    assert_ne!(alice.signed_id(), old);
}

#[session(exclusive)]
async fn save_early(shop: Session<Shop>) -> poem::Result<String> {
    let before = shop.public_id();
    shop.set_visits(1)?;
    shop.save().await?;
    assert_eq!(shop.public_id(), before, "the lock is of this id");
    Ok(before.to_string())
}

/// Conformance 2.6, 5.2
#[tokio::test]
async fn an_exclusive_handler_rotates_the_id_after_its_return() {
    let routes = Route::new().at("/", Scripted).at("/early", get(save_early));
    let app = App::serving(routes, rotating);
    let alice = due(&app).await;
    let old = alice.signed_id();
    let reply = alice.get("/early").await;
    assert_eq!(reply.body, old.public().to_string());
    assert_ne!(alice.signed_id(), old);
    let found = alice.ask(|s| Ok((s.user()?, s.visits()?))).await;
    assert_eq!(found, (Some(7), 1));
}

/// Conformance 2.6
#[tokio::test(start_paused = true)]
async fn a_rotation_releases_its_lock() {
    let app = App::with(rotating);
    let alice = due(&app).await;
    app.store.calls();
    alice.user().await;
    tokio::task::yield_now().await;
    assert_eq!(app.store.calls(), [Op::Load, Op::Lock, Op::Rename]);

    // Another process rotates the id first.
    app.pass(EVERY);
    let mut lock = app.store.pause(Op::Lock);
    let slow = alice.fork().start(|s| Ok(s.set_visits(1)?)).await.release();
    lock.arrived().await;
    let other = app.redeployed(rotating);
    alice.at(&other).user().await;
    lock.release();
    assert_eq!(slow.await.expect("no panic").status, 200);
    let session = app.open(&alice).await;
    session.lock().await.map(drop).expect("the lock is free");
    assert_eq!(session.visits(), Ok(1));
}

/// Conformance 5.2
#[tokio::test]
async fn an_id_from_a_read_only_source_is_not_rotated() {
    let sources = vec![IdSource::Query("sid".into()), IdSource::Cookie];
    let app = App::with(|builder| rotating(builder).id_source(IdSource::Chain(sources)));
    let session = app.create();
    session.set_user(7).expect("it fits");
    session.save().await.expect("the store works");
    let path = format!("/?sid={}", session.id().expose());
    for _ in 0..3 {
        app.pass(EVERY);
        let reply = app
            .browser()
            .act_by(request(Method::GET, &path), |s| {
                Ok(format!("{:?}", s.user()?))
            })
            .await;
        assert_eq!(reply.body, "Some(7)");
    }
}

/// Conformance 1.32, 2.7
#[tokio::test(start_paused = true)]
async fn ended_does_not_return_at_a_rotation() {
    let app = App::with(rotating);
    let alice = due(&app).await;
    let session = app.open(&alice).await;
    let waiting = tokio::spawn(async move { session.ended().await });
    // Polls before the rotation, during the grace, after it, and over hours of rotations.
    let steps = [Duration::ZERO, GRACE / 2, GRACE];
    for step in steps.into_iter().chain([Duration::from_mins(10); 18]) {
        app.pass(step);
        assert_eq!(alice.user().await, Some(7));
        tokio::time::sleep(Duration::from_mins(1)).await;
        assert!(!waiting.is_finished(), "{step:?} later");
    }
    alice.does(Session::destroy).await;
    waiting.await.expect("no panic");
}

/// Conformance 1.32, 2.7
#[tokio::test]
async fn a_stream_can_save_after_the_grace_of_a_rotation() {
    let app = App::with(rotating);
    let alice = due(&app).await;
    let stream = app.open(&alice).await;
    assert_eq!(alice.user().await, Some(7));
    stream.set_visits(1).expect("it fits");
    stream.save().await.expect("within the grace");
    app.pass(GRACE * 2);
    stream.set_visits(2).expect("it fits");
    stream.save().await.expect("it has resolved the new id");
    stream.reload().await.expect("the store works");
    assert_eq!(stream.visits(), Ok(2));
    assert_eq!(stream.user(), Ok(Some(7)), "the session lives");
    assert_eq!(alice.visits().await, 2);
}

/// Conformance 2.7
#[tokio::test]
async fn a_request_longer_than_the_grace_of_a_rotation_can_save() {
    let app = App::with(rotating);
    let alice = due(&app).await;
    let slow = alice.fork().start(|s| Ok(s.set_visits(5)?)).await;
    assert_eq!(alice.user().await, Some(7));
    app.pass(GRACE * 2);
    let reply = slow.finish().await;
    assert_eq!((reply.status.as_u16(), reply.cookie()), (200, None));
    assert_eq!(alice.visits().await, 5);
}

/// Conformance 1.32, 5.2
#[tokio::test]
async fn after_the_response_changes_are_saved_without_a_rotation() {
    let app = App::with(rotating);
    let (alice, _) = rotated(&app).await;
    let session = alice.ask(|s| Ok(s.clone())).await;
    app.pass(EVERY);
    session.set_visits(5).expect("it fits");
    session.save().await.expect("under the id that it has");
    assert_eq!(alice.visits().await, 5);
}

/// Conformance 1.11, 5.2
#[tokio::test]
async fn an_id_that_becomes_due_within_one_request_is_rotated() {
    let app = App::with(rotating);
    let alice = app.sign_in().await;
    let clock = app.clock.clone();
    let reply = alice
        .visit(|session| async move {
            session.regenerate();
            session.save().await?;
            let first = session.id();
            clock.advance(EVERY);
            session.save().await?;
            assert_ne!(session.id(), first);
            Ok(())
        })
        .await;
    assert_eq!(reply.status, 200);
    assert_eq!(alice.user().await, Some(7));
}

/// Conformance 1.9, 2.7
#[tokio::test]
async fn a_sign_out_by_the_old_id_succeeds_when_new_requests_are_no_longer_refused() {
    let retired = GRACE / 3;
    let app = App::with(|builder| rotating(builder).retired_for(retired));
    let (alice, old) = rotated(&app).await;
    alice.does(Session::destroy).await;
    // The tombstone no longer refuses new requests, and the forward can still be followed.
    app.pass(retired);
    assert_eq!(old.does(Session::destroy).await.status, 200);
    assert_eq!(old.id(), None);
}

/// Conformance 1.9, 1.11, 1.27, 2.3, 2.7, 5.2, 5.5
#[tokio::test]
async fn an_end_by_either_id_ends_both_ids() {
    // By the old id in a request.
    for (end, user) in ENDS.into_iter().zip([None, Some(7), None]) {
        let app = App::with(rotating);
        let (alice, old) = rotated(&app).await;
        assert_eq!(old.does(end).await.status, 200);
        assert_eq!(old.user().await, user);
        assert_eq!(alice.user().await, None);
    }
    // By the old id outside of a request.
    let app = App::with(rotating);
    let (alice, old) = rotated(&app).await;
    let revoked = app.sessions.revoke(old.signed_id()).await;
    assert_eq!(revoked.ok(), Some(true));
    assert_eq!(alice.user().await, None);
    // By the new id.
    let app = App::with(rotating);
    let (alice, old) = rotated(&app).await;
    let late = old.start(|s| Ok(s.set_visits(1)?)).await;
    alice.does(Session::destroy).await;
    let reply = late.finish().await;
    assert_eq!((reply.status.as_u16(), reply.cookie()), (409, None));
    assert_eq!(old.user().await, None);
    assert!(app.store.sessions(app.now()).await.is_empty());
}

/// Conformance 1.11, 2.7, 5.2
#[tokio::test]
async fn an_end_requested_when_the_id_is_due_leaves_no_forward() {
    for meets_a_rotation in [false, true] {
        for (end, user) in ENDS.into_iter().zip([None, Some(7), None]) {
            let app = App::with(rotating);
            let alice = due(&app).await;
            let other = alice.fork();
            let request = alice.start_does(end).await;
            if meets_a_rotation {
                assert_eq!(other.user().await, Some(7));
                assert_ne!(other.id(), alice.id());
            }
            let reply = request.finish().await;
            assert_eq!(reply.status, 200);
            assert_eq!(other.user().await, None, "by the id from before the end");
            assert_eq!(alice.user().await, user);
        }
    }
}

/// Conformance 1.11, 2.6, 5.2, 5.11
#[tokio::test(start_paused = true)]
async fn a_rotation_that_failed_keeps_the_id_and_is_tried_again_by_the_next_save() {
    let app = App::with(rotating);
    let alice = due(&app).await;
    let old = alice.signed_id();
    app.store.fail(&[Op::Rename]);
    assert_eq!(alice.act(|_| Ok(())).await.cookie(), None);
    assert_eq!(alice.signed_id(), old);
    // The lock of this request is released.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let store = app.store.clone();
    let reply = alice
        .visit(|session| async move {
            session.save().await.expect_err("the store fails");
            store.heal();
            // Meanwhile the lock of the first attempt is released.
            tokio::time::sleep(Duration::from_secs(1)).await;
            store.calls();
            session.save().await?;
            let calls = store.calls();
            // The failed rotation may have been executed.
            assert_eq!(calls[..2], [Op::Load, Op::Lock], "{calls:?}");
            assert_eq!(calls.last(), Some(&Op::Rename), "{calls:?}");
            Ok(())
        })
        .await;
    assert_eq!(reply.status, 200);
    assert_ne!(alice.signed_id(), old);
    assert_eq!(alice.user().await, Some(7));
}

/// Conformance 2.14
#[tokio::test]
async fn forwards_expire_and_a_job_that_slept_finds_its_session_after_many_rotations() {
    let app = App::with(|builder| rotating(builder).idle_timeout(EVERY * 2));
    let alice = app.sign_in().await;
    let job = app.open(&alice).await;
    for _ in 0..90 {
        app.pass(EVERY);
        assert_eq!(alice.user().await, Some(7));
    }
    assert!(job.reload().await.is_ok());
    assert_eq!(job.public_id(), alice.signed_id().public());
    for _ in 0..200 {
        app.pass(EVERY);
        assert_eq!(alice.user().await, Some(7));
    }
    let records = app.store.records(app.now()).await.len();
    let kept = Duration::from_hours(24).div_duration_f32(EVERY);
    assert!(records as f32 <= kept + 2.0, "{records} records");
}
