//! Two sign-outs of one session, and a sign-out of a session that has changed elsewhere.

use std::{sync::Arc, time::Duration};

use poem::{FromRequest, Route, endpoint};
use poem_session::{ReloadError, SaveError, Session};

use tokio::sync::Notify;

use crate::support::{App, ENDS, End, Op, Scripted, Shop, settings};

/// Conformance 1.9, 1.10, 2.3, 2.4, 5.4
#[tokio::test]
async fn a_second_sign_out_succeeds_unless_it_would_lose_data() {
    let with_notice: End = |session| {
        session.destroy();
        session.set_notice("Good bye.".into()).expect("it fits");
    };
    let with_visits: End = |session| {
        session.destroy();
        session.set_visits(1).expect("it fits");
    };
    let cases: [(End, u16); 4] = [
        (Session::destroy, 200),
        // The flash value is dropped: the response to the first sign-out has one already.
        (with_notice, 200),
        (with_visits, 409),
        (Session::regenerate, 409),
    ];
    for (second, status) in cases {
        let app = App::new();
        let alice = app.sign_in().await;
        // One request loads the session before the first sign-out, and one after it.
        let (early, late) = (alice.fork(), alice.fork());
        let early = early.start_does(second).await;
        alice.does(Session::destroy).await;
        for reply in [early.finish().await, late.does(second).await] {
            let found = (reply.status.as_u16(), reply.cookie());
            assert_eq!(found, (status, None));
        }
        assert!(app.store.sessions(app.now()).await.is_empty());
    }
}

/// Conformance 1.9
#[tokio::test]
async fn a_saved_second_sign_out_is_not_written_again_and_starts_no_session() {
    let app = App::new();
    let alice = app.sign_in().await;
    let revoked = app.sessions.revoke(alice.signed_id()).await;
    revoked.expect("the store works");
    // Whether the session is revoked after it is loaded, and whether the sign-out leaves a flash value.
    for (between, notice) in [(true, false), (true, true), (false, false), (false, true)] {
        let alice = if between {
            app.sign_in().await
        } else {
            alice.fork()
        };
        let other = alice.fork();
        let (sessions, store) = (app.sessions.clone(), app.store.clone());
        let reply = alice
            .fork()
            .visit(move |session| async move {
                if between {
                    sessions.revoke(session.id()).await?;
                }
                session.set_visits(1)?;
                session.destroy();
                if notice {
                    session.set_notice("Good bye.".into())?;
                }
                session.save().await?;
                store.calls();
                session.save().await?;
                session.destroy();
                session.save().await?;
                assert_eq!(store.calls(), []);
                session.set_notice("Good bye.".into())?;
                let error = session.save().await.expect_err("the session has ended");
                assert!(matches!(error, SaveError::Ended), "{error}");
                session.destroy();
                Ok(())
            })
            .await;
        assert_eq!((reply.status.as_u16(), reply.cookie()), (200, None));
        assert!(other.ask(|s| Ok(s.is_new())).await);
    }
}

/// Conformance 2.4
#[tokio::test]
async fn a_second_sign_out_does_not_send_the_cookie_of_an_early_save() {
    let app = App::new();
    let alice = app.sign_in().await;
    let slow = alice
        .fork()
        .start_async(|session| async move {
            session.set_visits(1)?;
            session.save().await?;
            session.destroy();
            Ok(())
        })
        .await;
    alice.does(Session::destroy).await;
    let reply = slow.finish().await;
    assert_eq!((reply.status.as_u16(), reply.cookie()), (200, None));
}

/// Conformance 2.3
#[tokio::test]
async fn a_destroy_after_a_refused_save_is_a_conflict() {
    let app = App::new();
    let alice = app.sign_in().await;
    let slow = alice.fork();
    let store = app.store.clone();
    let tab = alice.clone();
    let reply = slow
        .visit(|session| async move {
            tab.does(Session::regenerate).await;
            session.set_visits(1)?;
            let refused = "the session has another id";
            session.save().await.expect_err(refused);
            store.calls();
            session.save().await.expect_err(refused);
            assert_eq!(store.calls(), [], "there is no second attempt");
            session.destroy();
            Ok(())
        })
        .await;
    assert_eq!((reply.status.as_u16(), reply.cookie()), (409, None));
    assert_eq!(alice.user().await, Some(7));
}

/// Conformance 1.32, 5.4
#[tokio::test(start_paused = true)]
async fn ended_returns_at_once_after_an_end_in_this_process() {
    for end in ENDS {
        let hour = Duration::from_hours(1);
        let app = App::with(|builder| settings(builder).end_poll_interval(hour));
        let alice = app.sign_in().await;
        let session = app.open(&alice).await;
        let waiting = tokio::spawn(async move { session.ended().await });
        tokio::time::sleep(Duration::from_secs(1)).await;
        // The end of another session causes no load.
        app.store.calls();
        app.sign_in().await.does(Session::destroy).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let loads = app.store.calls();
        let loads = loads.iter().filter(|op| **op == Op::Load).count();
        assert_eq!(loads, 1, "one, by the other visitor");
        alice.does(end).await;
        // Before the idle timeout, at which it looks again.
        let ended = tokio::time::timeout(Duration::from_mins(5), waiting).await;
        ended.expect("it returns").expect("no panic");
    }
}

/// Conformance 1.32, 1.27
#[tokio::test(start_paused = true)]
async fn ended_returns_at_once_when_all_sessions_are_removed_or_the_session_expires() {
    let hour = Duration::from_hours(1);
    for expires in [false, true] {
        let idle = if expires { hour / 2 } else { hour * 12 };
        let app = App::with(|builder| builder.end_poll_interval(hour).idle_timeout(idle));
        let alice = app.sign_in().await;
        let session = app.open(&alice).await;
        let waiting = tokio::spawn(async move { session.ended().await });
        tokio::time::sleep(Duration::from_secs(1)).await;
        if expires {
            app.pass(idle);
        } else {
            app.sessions.clear().await.expect("the store works");
        }
        let ended = tokio::time::timeout(hour * 2 / 3, waiting).await;
        ended.expect("it returns").expect("no panic");
    }
}

/// Conformance 1.32
#[tokio::test]
async fn reload_reports_that_the_session_has_ended() {
    for end in ENDS {
        let app = App::new();
        let alice = app.sign_in().await;
        let session = app.open(&alice).await;
        session.reload().await.expect("it lives");
        alice.does(end).await;
        let error = session.reload().await.expect_err("it has ended");
        assert!(matches!(error, ReloadError::Ended), "{error}");
    }
}

/// A slow upload, whose handler takes the session when it has read the body.
///
/// Conformance 2.3, 2.4
#[tokio::test]
async fn a_request_that_began_before_its_session_ended_is_refused_for_as_long_as_it_runs() {
    for end in ENDS {
        let (began, uploaded) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let upload = {
            let (began, uploaded) = (Arc::clone(&began), Arc::clone(&uploaded));
            endpoint::make(move |req| {
                let (began, uploaded) = (Arc::clone(&began), Arc::clone(&uploaded));
                async move {
                    began.notify_one();
                    uploaded.notified().await;
                    let shop = Session::<Shop>::from_request_without_body(&req).await?;
                    Ok::<_, poem::Error>(shop.set_user(8)?)
                }
            })
        };
        let app = App::serving(
            Route::new().at("/", Scripted).at("/upload", upload),
            settings,
        );
        let alice = app.sign_in().await;
        let slow = alice.fork();
        let uploading = tokio::spawn(async move { slow.get("/upload").await });
        began.notified().await;
        alice.does(end).await;
        app.pass(Duration::from_hours(23));
        uploaded.notify_one();
        let reply = uploading.await.expect("no panic");
        assert_eq!((reply.status.as_u16(), reply.cookie()), (409, None));
    }
}
