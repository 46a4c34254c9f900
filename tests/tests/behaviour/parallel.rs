//! Parallel requests of one session, on each store. A test holds the handlers back until it has made the other
//! requests that it needs.

use std::time::Duration;

use futures_util::future::join_all;
use poem_session::{SaveError, Session};

use poem_session_tests::application::InFlight;

use crate::support::{App, ENDS, End, Logs, Op, Paused, count, stores};

/// An application on each store.
async fn apps() -> Vec<(&'static str, App)> {
    let stores = stores().await;
    let apps = stores.into_iter();
    apps.map(|backend| (backend.name, App::in_backend(backend)))
        .collect()
}

/// Conformance 2.1
#[tokio::test]
async fn changes_of_different_fields_are_all_kept_and_the_later_save_of_one_field_wins() {
    for (store, app) in apps().await {
        let alice = app.sign_in().await;
        let one = alice.start(|s| Ok(s.set_cart(vec!["tea".into()])?)).await;
        let two = alice.start(|s| Ok(s.set_notice("hello".into())?)).await;
        let three = alice.start_does(|session| session.remove_user()).await;
        let four = alice.start(|s| Ok(s.set_cart(vec!["milk".into()])?)).await;
        for request in [two, four, one, three] {
            assert_eq!(request.finish().await.status, 200, "{store}");
        }
        let found = alice.ask(|s| Ok((s.cart()?, s.notice()?, s.user()?))).await;
        let expected = (vec!["tea".to_owned()], Some("hello".to_owned()), None);
        assert_eq!(found, expected, "{store}");
    }
}

/// Conformance 2.2
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_hundred_increments_on_several_threads_add_up_to_a_hundred() {
    for (store, app) in apps().await {
        let alice = app.sign_in().await;
        let requests = (0..100).map(|_| {
            let alice = alice.clone();
            tokio::spawn(async move { alice.does(count).await })
        });
        for reply in join_all(requests).await {
            assert_eq!(reply.expect("no panic").status, 200, "{store}");
        }
        assert_eq!(alice.visits().await, 100, "{store}");
    }
}

/// Without this, many writers of one process would use up each other's attempts.
///
/// Conformance 2.2
#[tokio::test(start_paused = true)]
async fn after_a_conflict_the_writers_of_one_process_write_one_at_a_time() {
    let app = App::new();
    let alice = app.sign_in().await;
    let mut slow = Vec::new();
    for _ in 0..2 {
        slow.push(alice.start_does(count).await);
    }
    alice.does(count).await;
    app.store.calls();
    let [mut conflict, mut retry] = [Op::Replace; 2].map(|op| app.store.pause(op));
    let first = slow.remove(0).release();
    conflict.arrived().await;
    conflict.release();
    retry.arrived().await;
    let second = slow.remove(0).release();
    // Longer than any backoff, and shorter than `store_timeout`.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(app.store.calls(), [Op::Replace; 3], "one of the second");
    retry.release();
    for reply in [first, second] {
        assert_eq!(reply.await.expect("no panic").status, 200);
    }
    assert_eq!(alice.visits().await, 3);
}

/// Conformance 2.3
#[tokio::test]
async fn a_slow_change_is_refused_after_the_session_ended_elsewhere() {
    let changes: [End; 3] = [|_| {}, Session::regenerate, Session::reset];
    for (store, app) in apps().await {
        for (end, change) in ENDS
            .into_iter()
            .flat_map(|end| changes.map(|change| (end, change)))
        {
            let alice = app.sign_in().await;
            let old = alice.signed_id();
            let slow = alice
                .fork()
                .start(move |session| {
                    change(session);
                    Ok(session.set_visits(9)?)
                })
                .await;
            alice.does(end).await;
            let logs = Logs::capture();
            let reply = slow.finish().await;
            assert_eq!(reply.status, 409, "{store}");
            assert_eq!(reply.body, "Conflict");
            assert_eq!(reply.cookie(), None, "{store}");
            assert!(logs.text().contains("refused"), "{}", logs.text());
            assert!(!app.exists(&old).await);
            let left = app.store.sessions(app.now()).await.len();
            assert_eq!(left, usize::from(alice.id().is_some()), "{store}");
            assert_eq!(alice.visits().await, 0);
            alice.does(Session::destroy).await;
            assert!(app.store.sessions(app.now()).await.is_empty());
        }
    }
}

/// Conformance 2.3
#[tokio::test]
async fn save_returns_ended_after_the_session_was_revoked() {
    let app = App::new();
    let alice = app.sign_in().await;
    let sessions = app.sessions.clone();
    let reply = alice
        .visit(|session| async move {
            sessions.revoke(session.id()).await?;
            session.set_visits(9)?;
            let error = session.save().await.expect_err("it was revoked");
            assert!(matches!(error, SaveError::Ended), "{error}");
            // Only the values that this request has set are left.
            assert_eq!((session.user()?, session.visits()?), (None, 9));
            Ok(())
        })
        .await;
    assert_eq!((reply.status.as_u16(), reply.cookie()), (409, None));
}

/// Conformance 2.3, 2.4
#[tokio::test]
async fn the_cookie_of_an_early_save_is_not_sent_after_the_session_ended() {
    for (store, app) in apps().await {
        for (end, keeps_data) in ENDS.into_iter().zip([false, true, false]) {
            for changes_again in [false, true] {
                let alice = app.sign_in().await;
                let slow = alice
                    .fork()
                    .start_async(move |session| async move {
                        session.set_visits(1)?;
                        session.save().await?;
                        if changes_again {
                            session.set_visits(2)?;
                        }
                        Ok(())
                    })
                    .await;
                alice.does(end).await;
                let reply = slow.finish().await;
                assert_eq!(reply.status, if changes_again { 409 } else { 200 });
                assert_eq!(reply.cookie(), None, "{store}");
                assert_eq!(alice.visits().await, u64::from(keeps_data), "{store}");
            }
        }
    }
}

/// Conformance 2.4
#[tokio::test]
async fn a_slow_read_after_an_end_elsewhere_revives_nothing() {
    for (store, app) in apps().await {
        for end in ENDS {
            let alice = app.sign_in().await;
            // A touch is due.
            app.pass(Duration::from_mins(10));
            let slow = alice.fork().start(|s| Ok(format!("{:?}", s.user()?))).await;
            alice.does(end).await;
            let reply = slow.finish().await;
            assert_eq!(reply.status, 200, "{store}");
            assert_eq!(reply.body, "Some(7)");
            assert_eq!(reply.cookie(), None, "{store}: the id has ended");
            alice.does(Session::destroy).await;
            assert!(app.store.sessions(app.now()).await.is_empty());
        }
    }
}

/// Conformance 2.4
#[tokio::test]
async fn a_slow_anonymous_response_does_not_replace_the_cookie_of_a_sign_in() {
    for (store, app) in apps().await {
        let alice = app.browser();
        alice.act(|s| Ok(s.set_cart(vec!["tea".into()])?)).await;
        app.pass(Duration::from_mins(10));
        let reading = alice.start(|s| Ok(format!("{:?}", s.cart()?))).await;
        let writing = alice
            .start(|s| Ok(s.update_cart(|cart| cart.push("milk".into()))?))
            .await;
        alice
            .act(|session| {
                session.regenerate();
                Ok(session.set_user(7)?)
            })
            .await;
        let signed_in = alice.signed_id();
        for slow in [reading, writing] {
            assert_eq!(slow.finish().await.cookie(), None, "{store}");
        }
        assert_eq!(alice.signed_id(), signed_in, "{store}");
        let found = alice.ask(|s| Ok((s.user()?, s.cart()?))).await;
        assert_eq!(found, (Some(7), vec!["tea".into()]), "{store}");
    }
}

/// Conformance 2.4
#[tokio::test]
async fn a_late_request_with_the_old_id_does_not_replace_the_new_cookie() {
    for (store, app) in apps().await {
        for end in ENDS {
            let alice = app.sign_in().await;
            let late = alice.fork();
            alice.does(end).await;
            let wrote = late.act(|s| Ok(s.set_visits(9)?)).await;
            assert_eq!(wrote.cookie(), None, "{store}");
            let read = late.act(|s| Ok(format!("{:?}", s.user()?))).await;
            assert_eq!(read.body, "None", "{store}");
            assert_eq!(read.cookie(), None, "{store}");
        }
    }
}

/// Conformance 2.4
#[tokio::test]
async fn a_touch_does_not_overwrite_the_expiry_of_a_newer_write() {
    for (store, app) in apps().await {
        let alice = app.sign_in().await;
        app.pass(Duration::from_mins(10));
        let reading = alice.start(|s| Ok(format!("{:?}", s.user()?))).await;
        alice
            .does(|s| s.set_idle_timeout(Duration::from_mins(1)))
            .await;
        reading.finish().await;
        app.pass(Duration::from_mins(1));
        assert_eq!(alice.user().await, None, "{store}");
    }
}

/// Conformance 2.5
#[tokio::test]
async fn two_parallel_regenerates_leave_one_id() {
    for (store, app) in apps().await {
        let alice = app.sign_in().await;
        let one = alice.start_does(Session::regenerate).await;
        let two = alice.start_does(Session::regenerate).await;
        let first = one.finish().await;
        let second = two.finish().await;
        assert_eq!((first.status.as_u16(), second.status.as_u16()), (200, 409));
        assert!(first.cookie().is_some() && second.cookie().is_none());
        let sessions = app.store.sessions(app.now()).await;
        assert_eq!(sessions.len(), 1, "{store}");
        assert_eq!(sessions[0].0, alice.signed_id().public(), "{store}");
        let records = app.store.records(app.now()).await;
        assert_eq!(records.len(), 2, "{store}: the session and a tombstone");
        assert_eq!(alice.user().await, Some(7), "{store}");
    }
}

/// Conformance 2.1, 1.11
#[tokio::test]
async fn a_regenerate_keeps_the_changes_of_a_concurrent_request() {
    for (store, app) in apps().await {
        let alice = app.sign_in().await;
        let slow = alice
            .start(|session| {
                session.regenerate();
                Ok(session.set_user(8)?)
            })
            .await;
        alice.does(count).await;
        assert_eq!(slow.finish().await.status, 200, "{store}");
        let found = alice.ask(|s| Ok((s.user()?, s.visits()?))).await;
        assert_eq!(found, (Some(8), 1), "{store}");
        assert_eq!(app.store.sessions(app.now()).await.len(), 1, "{store}");
    }
}

/// Conformance 1.9, 2.3
#[tokio::test]
async fn a_destroy_wins_over_a_change_that_was_saved_first() {
    for (store, app) in apps().await {
        let alice = app.sign_in().await;
        let slow = alice.start_does(Session::destroy).await;
        alice.act(|s| Ok(s.set_visits(1)?)).await;
        assert_eq!(slow.finish().await.status, 200, "{store}");
        assert!(app.store.sessions(app.now()).await.is_empty(), "{store}");
        assert_eq!(alice.id(), None);
    }
}

/// Conformance 2.13
#[tokio::test(start_paused = true)]
async fn one_deadline_bounds_the_saves_of_requests_that_wait_for_each_other() {
    let limit = Duration::from_secs(1);
    let app = App::with(|builder| builder.store_timeout(limit));
    let alice = app.sign_in().await;
    let mut requests = Vec::new();
    for _ in 0..10 {
        requests.push(alice.start_does(count).await);
    }
    alice.does(count).await;
    let began = tokio::time::Instant::now();
    // The first write of each request is a conflict, and the second one hangs.
    let first_writes: Vec<_> = (0..10).map(|_| app.store.pause(Op::Replace)).collect();
    let replies: Vec<_> = requests.into_iter().map(InFlight::release).collect();
    let mut arrived = Vec::new();
    for mut write in first_writes {
        write.arrived().await;
        arrived.push(write);
    }
    app.store.hang(&[Op::Replace]);
    arrived.into_iter().for_each(Paused::release);
    for reply in replies {
        assert_eq!(reply.await.expect("no panic").status, 503);
    }
    assert!(began.elapsed() <= limit * 2, "{:?}", began.elapsed());
}
