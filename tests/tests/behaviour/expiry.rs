//! The expiry of sessions. The unit tests of `expiry` prove the arithmetic.

use std::time::Duration;

use poem_session::{Session, TouchPolicy};

use crate::support::{App, Op, PATIENCE, count, stores};

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);

fn minutes(count: u32) -> Duration {
    MINUTE * count
}

/// An application whose sessions expire half an hour after the last request, and after an hour in any case.
fn office() -> App {
    App::with(|builder| {
        builder
            .idle_timeout(minutes(30))
            .absolute_timeout(minutes(60))
    })
}

/// Conformance 1.5, 5.3
#[tokio::test]
async fn an_idle_session_expires_at_its_idle_timeout() {
    let app = App::with(|builder| builder.idle_timeout(minutes(20)));
    let alice = app.sign_in().await;
    app.pass(minutes(20) - MILLISECOND);
    assert!(app.exists(&alice.signed_id()).await);
    app.pass(MILLISECOND);
    assert!(!app.exists(&alice.signed_id()).await);
    assert_eq!(alice.user().await, None);
}

/// Conformance 1.5
#[tokio::test]
async fn each_save_moves_the_expiry() {
    let app = App::with(|builder| {
        builder
            .idle_timeout(minutes(20))
            .touch(TouchPolicy::OnChange)
    });
    let alice = app.sign_in().await;
    for _ in 0..5 {
        app.pass(minutes(19));
        let reply = alice.does(count).await;
        assert_eq!(reply.max_age(), Some(minutes(20)));
    }
    app.pass(minutes(19));
    assert_eq!(alice.visits().await, 5);
    app.pass(minutes(1));
    assert!(!app.exists(&alice.signed_id()).await, "a read is no change");
}

/// Conformance 1.5
#[tokio::test]
async fn a_read_moves_the_expiry_at_the_intervals_of_the_touch_policy() {
    for (touch, interval) in [
        (TouchPolicy::Throttled, minutes(2)),
        (TouchPolicy::AtMostEvery(minutes(5)), minutes(5)),
        (TouchPolicy::AtMostEvery(Duration::ZERO), MILLISECOND),
    ] {
        let app = App::with(|builder| builder.idle_timeout(minutes(20)).touch(touch));
        let alice = app.sign_in().await;
        app.store.calls();
        app.pass(interval - MILLISECOND);
        let reply = alice.act(|s| Ok(format!("{:?}", s.user()?))).await;
        assert_eq!(app.store.calls(), [Op::Load]);
        assert_eq!(reply.cookie(), None);
        app.pass(MILLISECOND);
        let reply = alice.act(|s| Ok(format!("{:?}", s.user()?))).await;
        assert_eq!(app.store.calls(), [Op::Load, Op::Touch]);
        assert_eq!(reply.max_age(), Some(minutes(20)));
        app.pass(minutes(20) - MILLISECOND);
        assert!(app.exists(&alice.signed_id()).await);
        app.pass(MILLISECOND);
        assert!(!app.exists(&alice.signed_id()).await);
    }
}

/// Conformance 1.5
#[tokio::test]
async fn a_session_keeps_its_own_idle_timeout_over_saves_reads_and_new_ids() {
    for (own, touch) in [
        (minutes(5), TouchPolicy::Throttled),
        // The interval is longer than the timeout, so that a tenth of the timeout counts.
        (minutes(2), TouchPolicy::AtMostEvery(minutes(10))),
        (minutes(300), TouchPolicy::Throttled),
    ] {
        let app = App::with(|builder| builder.idle_timeout(minutes(30)).touch(touch));
        let alice = app.sign_in().await;
        let expected = app.now().saturating_add(own);
        let reply = alice
            .act(move |session| {
                session.set_idle_timeout(own);
                assert_eq!(session.expires_at(), Some(expected.into()));
                Ok(())
            })
            .await;
        assert_eq!(reply.max_age(), Some(own));
        app.pass(own - SECOND);
        alice.act(|s| Ok(s.set_visits(1)?)).await;
        app.pass(own - SECOND);
        assert_eq!(alice.user().await, Some(7));
        app.pass(own - SECOND);
        alice.does(Session::regenerate).await;
        app.pass(own - MILLISECOND);
        assert!(app.exists(&alice.signed_id()).await);
        app.pass(MILLISECOND);
        assert!(!app.exists(&alice.signed_id()).await);
    }
}

/// Conformance 1.5, 5.8
#[tokio::test]
async fn an_unlimited_idle_timeout_is_limited_by_cookie_and_store() {
    for backend in stores().await {
        let in_backend = App::in_backend(backend);
        let app = in_backend.redeployed(|builder| {
            let builder = builder.store_timeout(PATIENCE).lock_lease(PATIENCE * 2);
            builder.no_absolute_timeout()
        });
        let alice = app.sign_in().await;
        let reply = alice.does(|s| s.set_idle_timeout(Duration::MAX)).await;
        assert_eq!(reply.max_age(), Some(minutes(400 * 24 * 60)));
        app.pass(minutes(60 * 24 * 365));
        assert_eq!(alice.user().await, Some(7));
    }
}

/// Conformance 1.2, 1.6, 5.3
#[tokio::test]
async fn the_absolute_timeout_ends_a_session_in_spite_of_activity() {
    let app = office();
    let alice = app.sign_in().await;
    let id = alice.signed_id();
    for _ in 0..5 {
        app.pass(minutes(10));
        alice.does(count).await;
    }
    app.pass(minutes(10) - MILLISECOND);
    assert_eq!(alice.visits().await, 5);
    app.pass(MILLISECOND);
    assert!(!app.exists(&id).await);
    // The next session has a new id and a deadline of its own.
    let (is_new, user) = alice.ask(|s| Ok((s.is_new(), s.user()?))).await;
    assert_eq!((is_new, user), (true, None));
    alice.act(|s| Ok(s.set_user(8)?)).await;
    assert_ne!(alice.signed_id(), id);
    assert_eq!(alice.visits().await, 0);
    for _ in 0..5 {
        app.pass(minutes(10));
        assert_eq!(alice.user().await, Some(8));
    }
    app.pass(minutes(10));
    assert_eq!(alice.user().await, None);
}

/// Conformance 1.7
#[tokio::test]
async fn a_reset_starts_a_session_with_a_deadline_of_its_own() {
    let app = office();
    let alice = app.sign_in().await;
    app.pass(minutes(25));
    alice
        .act(|session| {
            session.reset();
            Ok(session.set_user(8)?)
        })
        .await;
    for _ in 0..2 {
        app.pass(minutes(29));
        assert_eq!(alice.user().await, Some(8));
    }
    app.pass(minutes(2) - MILLISECOND);
    assert!(app.exists(&alice.signed_id()).await);
    app.pass(MILLISECOND);
    assert!(!app.exists(&alice.signed_id()).await);
}

/// Conformance 1.7
#[tokio::test]
async fn turning_the_absolute_timeout_on_or_off_applies_to_existing_sessions() {
    let without = App::with(|builder| builder.idle_timeout(minutes(30)));
    let with = without.redeployed(|builder| {
        builder
            .idle_timeout(minutes(30))
            .absolute_timeout(minutes(60))
    });
    for (before, after, user) in [(&without, &with, None), (&with, &without, Some(7))] {
        let alice = before.sign_in().await;
        for _ in 0..4 {
            before.pass(minutes(14));
            assert_eq!(alice.user().await, Some(7));
        }
        let alice = alice.at(after);
        assert_eq!(alice.user().await, Some(7), "there are four minutes left");
        after.pass(minutes(4));
        assert_eq!(alice.user().await, user);
    }
}

/// Conformance 1.5
#[tokio::test]
async fn a_change_moves_the_expiry_and_sends_the_cookie_at_intervals() {
    for touch in [TouchPolicy::Throttled, TouchPolicy::OnChange] {
        let app = App::with(|builder| builder.idle_timeout(minutes(30)).touch(touch));
        let alice = app.sign_in().await;
        let end = async || {
            let record = app.store.record(&alice.signed_id(), app.now()).await;
            record.expect("it is stored").expires_at
        };
        let before = end().await;
        app.pass(minutes(3) - MILLISECOND);
        assert_eq!(alice.does(count).await.cookie(), None);
        assert_eq!(end().await, before);
        app.pass(MILLISECOND);
        assert_eq!(alice.does(count).await.max_age(), Some(minutes(30)));
        assert_eq!(end().await, app.now().saturating_add(minutes(30)));
        assert_eq!(alice.visits().await, 2);
    }
}

/// Conformance 1.5
#[tokio::test]
async fn a_lowered_idle_timeout_applies_to_existing_sessions() {
    let before = App::with(|builder| builder.idle_timeout(minutes(60)));
    let after = before.redeployed(|builder| builder.idle_timeout(minutes(20)));
    let (unused, used) = (before.sign_in().await, before.sign_in().await);
    before.pass(minutes(19));
    let used = used.at(&after);
    assert_eq!(used.user().await, Some(7));
    before.pass(minutes(1));
    let unused = unused.at(&after);
    assert_eq!(unused.user().await, None, "it was idle for 20 minutes");
    before.pass(minutes(18));
    assert_eq!(used.user().await, Some(7), "it was idle for 19 minutes");
    before.pass(minutes(20));
    assert_eq!(used.user().await, None);
}

/// Conformance 1.5
#[tokio::test]
async fn each_use_of_a_session_is_measured_by_the_idle_timeout_of_its_time() {
    let short = App::with(|builder| builder.idle_timeout(minutes(20)));
    let long = short.redeployed(|builder| builder.idle_timeout(minutes(60)));
    let alice = short.sign_in().await;
    for (app, idle) in [(&long, 60), (&short, 20), (&long, 60), (&short, 20)] {
        short.pass(minutes(15));
        let reply = alice.at(app).act(|s| Ok(format!("{:?}", s.user()?))).await;
        assert_eq!(reply.max_age(), Some(minutes(idle)));
    }
    short.pass(minutes(20) - MILLISECOND);
    assert!(long.exists(&alice.signed_id()).await);
    short.pass(MILLISECOND);
    assert!(!long.exists(&alice.signed_id()).await);
}

/// Conformance 1.8
#[tokio::test]
async fn neither_the_store_nor_the_cookie_keeps_a_session_past_its_deadline() {
    let app = office();
    let alice = app.sign_in().await;
    let deadline = app.now().saturating_add(minutes(60));
    app.pass(minutes(29));
    let read = alice.act(|s| Ok(format!("{:?}", s.user()?))).await;
    assert_eq!(read.max_age(), Some(minutes(30)));
    app.pass(minutes(20));
    let saved = alice.act(|s| Ok(s.set_visits(1)?)).await;
    assert_eq!(saved.max_age(), Some(minutes(11)));
    let regenerated = alice
        .act(|session| {
            session.regenerate();
            session.set_idle_timeout(minutes(600));
            Ok(())
        })
        .await;
    assert_eq!(regenerated.max_age(), Some(minutes(11)));
    for (_, record) in app.store.sessions(app.now()).await {
        assert_eq!(record.expires_at, deadline);
    }
    app.pass(minutes(11) - MILLISECOND);
    assert!(app.exists(&alice.signed_id()).await);
    app.pass(MILLISECOND);
    assert!(!app.exists(&alice.signed_id()).await);
}

/// NIST SP 800-63B-4, section 5.2: 30 days; 24 hours and an hour idle; 12 hours and 15 minutes idle.
///
/// Conformance 5.3
#[tokio::test]
async fn the_limits_of_each_assurance_level_can_be_set() {
    let hours = |count: u32| minutes(60 * count);
    for (idle, absolute) in [
        (hours(24 * 30), hours(24 * 30)),
        (hours(1), hours(24)),
        (minutes(15), hours(12)),
    ] {
        let app = App::with(|builder| builder.idle_timeout(idle).absolute_timeout(absolute));
        let idler = app.sign_in().await;
        app.pass(idle);
        assert!(!app.exists(&idler.signed_id()).await);
        let worker = app.sign_in().await;
        let mut left = absolute;
        while left > idle / 2 {
            app.pass(idle / 2);
            left -= idle / 2;
            assert_eq!(worker.user().await, Some(7));
        }
        app.pass(left);
        assert!(!app.exists(&worker.signed_id()).await);
    }
}

/// Conformance 5.3
#[tokio::test]
async fn a_session_ends_after_thirty_days_unless_the_limit_is_turned_off() {
    let day = minutes(24 * 60);
    for is_limited in [true, false] {
        let app = App::with(|builder| {
            let builder = builder.idle_timeout(day);
            if is_limited {
                builder
            } else {
                builder.no_absolute_timeout()
            }
        });
        let alice = app.sign_in().await;
        for _ in 0..59 {
            app.pass(day / 2);
            assert_eq!(alice.user().await, Some(7));
        }
        app.pass(day / 2);
        assert_eq!(alice.user().await.is_none(), is_limited);
    }
}
