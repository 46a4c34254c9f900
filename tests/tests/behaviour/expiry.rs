//! How sessions end by time.

use std::time::Duration;

use poem_session::{OpenError, Session, TouchPolicy};

use crate::support::{App, Browser, Op, Shop, stores};

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);

fn minutes(count: u32) -> Duration {
    MINUTE * count
}

/// An application whose sessions end after half an hour of idleness, and after an hour in any case.
fn office() -> App {
    App::with(|builder| {
        builder
            .idle_timeout(minutes(30))
            .absolute_timeout(minutes(60))
    })
}

async fn sign_in(app: &App) -> Browser {
    let alice = app.browser();
    let reply = alice.act(|s| Ok(s.set_user(7)?)).await;
    assert_eq!(reply.status, 200);
    alice
}

/// Asks without being a counted use of the session.
async fn lives(app: &App, visitor: &Browser) -> bool {
    match app.sessions.open::<Shop>(&visitor.signed_id()).await {
        Ok(_) => true,
        Err(OpenError::NotFound) => false,
        Err(error) => panic!("{error}"),
    }
}

/// Conformance 1.5, 5.3
#[tokio::test]
async fn an_idle_session_ends_at_its_idle_timeout() {
    let app = App::with(|builder| builder.idle_timeout(minutes(20)));
    let alice = sign_in(&app).await;
    app.pass(minutes(20) - MILLISECOND);
    assert!(lives(&app, &alice).await);
    app.pass(MILLISECOND);
    assert!(!lives(&app, &alice).await);
    assert_eq!(alice.ask(|s| Ok(s.user()?)).await, None);
}

/// Conformance 1.5
#[tokio::test]
async fn each_save_moves_the_idle_timeout() {
    let app = App::with(|builder| {
        builder
            .idle_timeout(minutes(20))
            .touch(TouchPolicy::OnChange)
    });
    let alice = sign_in(&app).await;
    for _ in 0..5 {
        app.pass(minutes(19));
        let reply = alice
            .act(|s| Ok(s.update_visits(|visits| *visits += 1)?))
            .await;
        let age = reply.cookie().and_then(|cookie| cookie.max_age());
        assert_eq!(
            age.map(cookie::time::SignedDuration::whole_minutes),
            Some(20)
        );
    }
    assert_eq!(alice.ask(|s| Ok(s.visits()?)).await, 5);
    app.pass(minutes(20));
    assert!(!lives(&app, &alice).await);
}

/// Conformance 1.5
#[tokio::test]
async fn reading_is_use_and_is_noted_at_most_once_in_a_tenth_of_the_idle_timeout() {
    let app = App::with(|builder| builder.idle_timeout(minutes(20)));
    let alice = sign_in(&app).await;
    app.store.calls();
    app.pass(minutes(2) - MILLISECOND);
    let reply = alice.act(|s| Ok(format!("{:?}", s.user()?))).await;
    assert_eq!(app.store.calls(), [Op::Load]);
    assert_eq!(reply.cookie(), None);
    app.pass(MILLISECOND);
    let reply = alice.act(|s| Ok(format!("{:?}", s.user()?))).await;
    assert_eq!(app.store.calls(), [Op::Load, Op::Touch]);
    let age = reply.cookie().and_then(|cookie| cookie.max_age());
    assert_eq!(
        age.map(cookie::time::SignedDuration::whole_minutes),
        Some(20)
    );
    app.pass(minutes(20) - MILLISECOND);
    assert!(lives(&app, &alice).await, "the read has moved its end");
    app.pass(MILLISECOND);
    assert!(!lives(&app, &alice).await);
}

/// Conformance 1.5
#[tokio::test]
async fn how_often_reading_is_noted_can_be_chosen() {
    let every = App::with(|builder| builder.touch(TouchPolicy::AtMostEvery(Duration::ZERO)));
    let on_change = App::with(|builder| builder.touch(TouchPolicy::OnChange));
    let at_times = App::with(|builder| builder.touch(TouchPolicy::AtMostEvery(minutes(5))));
    for (app, noted_after) in [
        (every, Some(MILLISECOND)),
        (at_times, Some(minutes(5))),
        (on_change, None),
    ] {
        let alice = sign_in(&app).await;
        app.store.calls();
        if let Some(time) = noted_after {
            app.pass(time.saturating_sub(MILLISECOND));
            alice.ask(|s| Ok(s.user()?)).await;
            assert_eq!(app.store.calls(), [Op::Load]);
            app.pass(MILLISECOND);
            alice.ask(|s| Ok(s.user()?)).await;
            assert_eq!(app.store.calls(), [Op::Load, Op::Touch]);
        } else {
            app.pass(minutes(30) - MILLISECOND);
            alice.ask(|s| Ok(s.user()?)).await;
            assert_eq!(app.store.calls(), [Op::Load]);
        }
    }
}

/// Conformance 1.5
#[tokio::test]
async fn a_session_in_use_goes_on_without_end() {
    let app = App::with(|builder| builder.idle_timeout(minutes(20)));
    let alice = sign_in(&app).await;
    for _ in 0..100 {
        app.pass(minutes(19));
        assert_eq!(alice.ask(|s| Ok(s.user()?)).await, Some(7));
    }
}

/// Conformance 1.5
#[tokio::test]
async fn an_idle_timeout_of_the_sessions_own_holds_from_then_on() {
    for (own, touch) in [
        (minutes(5), TouchPolicy::Throttled),
        (minutes(5), TouchPolicy::AtMostEvery(minutes(1))),
        (minutes(300), TouchPolicy::Throttled),
    ] {
        let app = App::with(|builder| builder.idle_timeout(minutes(30)).touch(touch));
        let alice = sign_in(&app).await;
        let reply = alice
            .act(move |session| {
                session.set_idle_timeout(own);
                Ok(())
            })
            .await;
        let age = reply.cookie().and_then(|cookie| cookie.max_age());
        assert_eq!(
            age.map(cookie::time::SignedDuration::unsigned_abs),
            Some(own)
        );
        // Over a save, a read, and a new id.
        app.pass(own - SECOND);
        alice.act(|s| Ok(s.set_visits(1)?)).await;
        app.pass(own - SECOND);
        assert_eq!(alice.ask(|s| Ok(s.user()?)).await, Some(7));
        app.pass(own - SECOND);
        alice.does(Session::regenerate).await;
        app.pass(own - MILLISECOND);
        assert!(lives(&app, &alice).await);
        app.pass(MILLISECOND);
        assert!(!lives(&app, &alice).await);
    }
}

/// Conformance 1.5
#[tokio::test]
async fn an_idle_timeout_of_the_sessions_own_shows_before_it_is_saved() {
    let app = office();
    let alice = sign_in(&app).await;
    let end = alice
        .ask(|session| {
            session.set_idle_timeout(minutes(5));
            Ok(session.expires_at())
        })
        .await;
    assert_eq!(end, Some(app.now().saturating_add(minutes(5)).into()));
}

/// Conformance 1.5
#[tokio::test]
async fn reading_keeps_a_session_whose_own_timeout_is_shorter_than_the_interval_of_noting() {
    let app = App::with(|builder| {
        builder
            .idle_timeout(minutes(30))
            .touch(TouchPolicy::AtMostEvery(minutes(10)))
    });
    let alice = sign_in(&app).await;
    alice
        .act(|session| {
            session.set_idle_timeout(minutes(2));
            Ok(())
        })
        .await;
    for _ in 0..3 {
        app.pass(minutes(1));
        assert_eq!(alice.ask(|s| Ok(s.user()?)).await, Some(7));
    }
}

/// Conformance 1.5
#[tokio::test]
async fn an_idle_timeout_without_end_is_within_the_bounds_of_cookie_and_store() {
    for backend in stores().await {
        eternal(&App::in_backend(backend)).await;
    }
}

async fn eternal(app: &App) {
    let alice = sign_in(app).await;
    let reply = alice
        .act(|session| {
            session.set_idle_timeout(Duration::MAX);
            Ok(())
        })
        .await;
    let age = reply.cookie().and_then(|cookie| cookie.max_age());
    assert_eq!(age.map(cookie::time::SignedDuration::whole_days), Some(400));
    app.pass(minutes(60 * 24 * 365));
    assert_eq!(alice.ask(|s| Ok(s.user()?)).await, Some(7));
}

/// Conformance 1.6, 5.3
#[tokio::test]
async fn the_absolute_timeout_ends_a_session_in_spite_of_activity() {
    let app = office();
    let alice = sign_in(&app).await;
    let id = alice.signed_id();
    for _ in 0..5 {
        app.pass(minutes(10));
        alice
            .act(|s| Ok(s.update_visits(|visits| *visits += 1)?))
            .await;
    }
    app.pass(minutes(10) - MILLISECOND);
    assert_eq!(alice.ask(|s| Ok(s.visits()?)).await, 5);
    app.pass(MILLISECOND);
    let error = app.sessions.open::<Shop>(&id).await.map(drop);
    assert!(matches!(error, Err(OpenError::NotFound)));
    // What comes then is a new session with a deadline of its own.
    alice.act(|s| Ok(s.set_user(8)?)).await;
    assert_ne!(alice.signed_id(), id);
    assert_eq!(alice.ask(|s| Ok(s.visits()?)).await, 0);
    for _ in 0..5 {
        app.pass(minutes(10));
        assert_eq!(alice.ask(|s| Ok(s.user()?)).await, Some(8));
    }
    app.pass(minutes(10));
    assert_eq!(alice.ask(|s| Ok(s.user()?)).await, None);
}

/// Conformance 1.6
#[tokio::test]
async fn the_absolute_timeout_holds_against_a_longer_idle_timeout_of_the_session() {
    let app = office();
    let alice = sign_in(&app).await;
    alice
        .act(|session| {
            session.set_idle_timeout(minutes(600));
            Ok(())
        })
        .await;
    app.pass(minutes(60) - MILLISECOND);
    assert!(lives(&app, &alice).await);
    app.pass(MILLISECOND);
    assert!(!lives(&app, &alice).await);
}

/// Conformance 1.7
#[tokio::test]
async fn a_reset_begins_a_session_with_a_deadline_of_its_own() {
    let app = office();
    let alice = sign_in(&app).await;
    app.pass(minutes(25));
    alice
        .act(|session| {
            session.reset();
            Ok(session.set_user(8)?)
        })
        .await;
    // It lives beyond the deadline of the first one, and ends at its own.
    for _ in 0..2 {
        app.pass(minutes(29));
        assert_eq!(alice.ask(|s| Ok(s.user()?)).await, Some(8));
    }
    app.pass(minutes(2) - MILLISECOND);
    assert!(lives(&app, &alice).await);
    app.pass(MILLISECOND);
    assert!(!lives(&app, &alice).await);
}

/// Conformance 1.7
#[tokio::test]
async fn an_absolute_timeout_turned_on_later_ends_sessions_that_exist() {
    let before = App::with(|builder| builder.idle_timeout(minutes(30)));
    let alice = sign_in(&before).await;
    for _ in 0..4 {
        before.pass(minutes(14));
        assert_eq!(alice.ask(|s| Ok(s.user()?)).await, Some(7));
    }
    let after = before.redeployed(|builder| {
        builder
            .idle_timeout(minutes(30))
            .absolute_timeout(minutes(60))
    });
    let alice = alice.at(&after);
    assert_eq!(
        alice.ask(|s| Ok(s.user()?)).await,
        Some(7),
        "four minutes left"
    );
    after.pass(minutes(4));
    assert_eq!(alice.ask(|s| Ok(s.user()?)).await, None);
}

/// Conformance 1.7
#[tokio::test]
async fn an_absolute_timeout_turned_off_later_lets_sessions_go_on() {
    let before = office();
    let alice = sign_in(&before).await;
    for _ in 0..2 {
        before.pass(minutes(25));
        assert_eq!(alice.ask(|s| Ok(s.user()?)).await, Some(7));
    }
    let after = before.redeployed(|builder| builder.idle_timeout(minutes(30)));
    let alice = alice.at(&after);
    for _ in 0..4 {
        after.pass(minutes(9));
        assert_eq!(alice.ask(|s| Ok(s.user()?)).await, Some(7));
    }
}

/// Conformance 1.8
#[tokio::test]
async fn neither_store_nor_cookie_reach_past_the_deadline() {
    let app = office();
    let alice = sign_in(&app).await;
    let deadline = app.now().saturating_add(minutes(60));
    app.pass(minutes(29));
    // A read, a save, a new id and an idle timeout of its own.
    let mut replies = vec![alice.act(|s| Ok(format!("{:?}", s.user()?))).await];
    app.pass(minutes(20));
    replies.push(alice.act(|s| Ok(s.set_visits(1)?)).await);
    replies.push(
        alice
            .act(|session| {
                session.regenerate();
                session.set_idle_timeout(minutes(600));
                Ok(())
            })
            .await,
    );
    let ages: Vec<i64> = replies
        .iter()
        .map(|reply| {
            let age = reply.cookie().and_then(|cookie| cookie.max_age());
            age.expect("each of them moves the end").whole_minutes()
        })
        .collect();
    assert_eq!(ages, [30, 11, 11]);
    for (_, record) in app.store.sessions(app.now()).await {
        assert_eq!(record.expires_at, deadline);
    }
}

/// Conformance 1.8
#[tokio::test]
async fn the_end_in_the_store_is_the_end_in_the_cookie() {
    let app = App::with(|builder| builder.idle_timeout(minutes(20)));
    let alice = app.browser();
    let reply = alice.act(|s| Ok(s.set_user(7)?)).await;
    let cookie = reply.cookie().expect("a new session");
    let record = app.store.record(&alice.signed_id(), app.now()).await;
    let end = record.expect("it is stored").expires_at;
    assert_eq!(end, app.now().saturating_add(minutes(20)));
    let age = cookie.max_age().expect("it has one").unsigned_abs();
    assert_eq!(end.saturating_since(app.now()), age);
}

/// Conformance 5.3
#[tokio::test]
async fn a_client_that_keeps_its_cookie_for_longer_gains_nothing() {
    let app = office();
    let alice = sign_in(&app).await;
    let kept = alice.fork();
    app.pass(minutes(60));
    let found = kept.ask(|s| Ok((s.is_new(), s.user()?))).await;
    assert_eq!(found, (true, None));
}

/// NIST SP 800-63B-4, section 5.2: 30 days; 24 hours and an hour idle; 12 hours and 15 minutes idle.
///
/// Conformance 5.3
#[tokio::test]
async fn the_limits_of_each_assurance_level_can_be_expressed() {
    let hours = |count: u32| minutes(60 * count);
    for (idle, absolute) in [
        (hours(24 * 30), hours(24 * 30)),
        (hours(1), hours(24)),
        (minutes(15), hours(12)),
    ] {
        let app = App::with(|builder| builder.idle_timeout(idle).absolute_timeout(absolute));
        let idler = sign_in(&app).await;
        app.pass(idle);
        assert!(!lives(&app, &idler).await);
        let worker = sign_in(&app).await;
        let mut left = absolute;
        while left > idle / 2 {
            app.pass(idle / 2);
            left -= idle / 2;
            assert_eq!(worker.ask(|s| Ok(s.user()?)).await, Some(7));
        }
        app.pass(left);
        assert!(!lives(&app, &worker).await);
    }
}
