//! A sign-out that meets another, or comes when the session is not what it was.

use std::time::Duration;

use poem_session::{SaveError, Session};

use crate::support::{App, Browser, COOKIE, Op, Shop, settings};

async fn sign_in(app: &App) -> Browser {
    let alice = app.browser();
    alice.act(|s| Ok(s.set_user(7)?)).await;
    alice
}

/// What a second sign-out of a session sets for what follows, and what becomes of it: with the session loaded
/// before the first sign-out, and after it.
async fn second(leave: fn(&Session<Shop>) -> poem::Result<()>, status: u16) {
    let app = App::new();
    let alice = sign_in(&app).await;
    let (early, late) = (alice.fork(), alice.fork());
    let early = early.start(leave).await;
    alice.does(Session::destroy).await;
    for reply in [early.finish().await, late.act(leave).await] {
        assert_eq!((reply.status.as_u16(), reply.cookie()), (status, None));
    }
    assert!(app.store.sessions(app.now()).await.is_empty());
}

/// The other response has shown one already.
///
/// Conformance 1.9, 1.10, 2.4
#[tokio::test]
async fn a_second_sign_out_may_leave_a_notice_that_is_dropped() {
    let leave = |session: &Session<Shop>| {
        session.destroy();
        Ok(session.set_notice("Good bye.".into())?)
    };
    second(leave, 200).await;
}

/// Conformance 1.10, 2.3, 2.4
#[tokio::test]
async fn what_a_second_sign_out_wants_to_keep_is_refused_and_not_dropped() {
    let leave = |session: &Session<Shop>| {
        session.destroy();
        Ok(session.set_visits(1)?)
    };
    second(leave, 409).await;
}

/// Conformance 2.3
#[tokio::test]
async fn a_regenerate_after_a_sign_out_elsewhere_is_refused_also_without_changes() {
    let regenerate = |session: &Session<Shop>| {
        session.regenerate();
        Ok(())
    };
    second(regenerate, 409).await;
}

/// Conformance 1.9
#[tokio::test]
async fn a_second_sign_out_that_was_saved_is_not_written_again_and_nothing_follows_it() {
    let app = App::new();
    let alice = sign_in(&app).await;
    app.sessions
        .revoke(alice.signed_id())
        .await
        .expect("the store works");
    // The other may come between, and this one may have a notice to show.
    for (between, notice) in [(true, false), (true, true), (false, false), (false, true)] {
        let alice = if between {
            sign_in(&app).await
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
                // Nor is it an error to ask for it again.
                session.destroy();
                session.save().await?;
                assert_eq!(store.calls(), []);
                session.set_notice("Good bye.".into())?;
                let error = session.save().await.expect_err("it is over");
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
async fn no_cookie_comes_of_an_early_save_before_a_second_sign_out() {
    let app = App::new();
    let alice = sign_in(&app).await;
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
async fn a_sign_out_after_a_refused_save_does_not_claim_to_have_ended_what_goes_on() {
    let app = App::new();
    let alice = sign_in(&app).await;
    let slow = alice.fork();
    let store = app.store.clone();
    let tab = alice.clone();
    let reply = slow
        .visit(|session| async move {
            tab.does(Session::regenerate).await;
            session.set_visits(1)?;
            session.save().await.expect_err("it is under another id");
            store.calls();
            session.save().await.expect_err("it is so still");
            assert_eq!(store.calls(), [], "the store is not asked again");
            session.destroy();
            Ok(())
        })
        .await;
    assert_eq!((reply.status.as_u16(), reply.cookie()), (409, None));
    assert_eq!(alice.ask(|s| Ok(s.user()?)).await, Some(7));
}

/// Conformance 1.14
#[tokio::test]
async fn only_a_sign_out_removes_the_cookie_of_an_unknown_id() {
    let app = App::new();
    let alice = app.browser();
    alice.set_cookie(COOKIE, &"x".repeat(43));
    let reply = alice.does(Session::regenerate).await;
    assert_eq!((reply.status.as_u16(), reply.cookie()), (200, None));
}

/// Whoever waits in this process is told, and need not look.
///
/// Conformance 1.32, 5.4
#[tokio::test(start_paused = true)]
async fn who_waits_for_the_end_learns_at_once_of_one_by_another_request() {
    let ends: [fn(&Session<Shop>); 3] = [Session::destroy, Session::regenerate, Session::reset];
    for end in ends {
        let hour = Duration::from_hours(1);
        let app = App::with(|builder| settings(builder).end_poll_interval(hour));
        let alice = sign_in(&app).await;
        let session = app
            .sessions
            .open::<Shop>(&alice.signed_id())
            .await
            .expect("it lives");
        let waiting = tokio::spawn(async move { session.ended().await });
        tokio::time::sleep(Duration::from_secs(1)).await;
        // Ends of other sessions wake nobody up.
        app.store.calls();
        sign_in(&app).await.does(Session::destroy).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let loads = app.store.calls();
        let loads = loads.iter().filter(|op| **op == Op::Load).count();
        assert_eq!(loads, 1, "by the other visitor");
        alice.does(end).await;
        let told = tokio::time::timeout(hour / 2, waiting).await;
        told.expect("it is told").expect("no panic");
    }
}
