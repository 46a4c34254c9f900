//! Ends that the handler asks for: destroy, regenerate and reset.

use std::time::Duration;

use poem::IntoResponse;
use poem_session::{SaveError, Session, SiteData};

use crate::support::{App, Browser, COOKIE, Op, Reply, Shop, settings};

/// A visitor with a session of user 7 that counts three visits.
async fn sign_in(app: &App) -> Browser {
    let alice = app.sign_in().await;
    alice.act(|s| Ok(s.set_visits(3)?)).await;
    alice
}

/// Conformance 1.9, 5.4
#[tokio::test]
async fn destroy_ends_the_session_and_removes_the_cookie() {
    let app = App::new();
    let alice = sign_in(&app).await;
    let thief = alice.fork();
    let seen = alice
        .ask(|session| {
            session.destroy();
            Ok((session.is_new(), session.user()?, session.keys()))
        })
        .await;
    assert_eq!(seen, (true, None, vec![]));
    assert_eq!(alice.cookie(COOKIE), None);
    assert!(app.store.sessions(app.now()).await.is_empty());
    assert_eq!(thief.user().await, None);
}

/// Conformance 1.9, 1.14
#[tokio::test]
async fn only_destroy_removes_the_cookie_of_an_unknown_id() {
    let app = App::new();
    let alice = app.browser();
    alice.set_cookie(COOKIE, &"x".repeat(43));
    let reply = alice.does(Session::regenerate).await;
    assert_eq!((reply.status.as_u16(), reply.cookie()), (200, None));
    let reply = alice.does(Session::destroy).await;
    let cookie = reply.cookie().expect("it removes the cookie");
    assert_eq!(cookie.value(), "");
    assert!(app.store.records(app.now()).await.is_empty());
}

/// Conformance 1.10
#[tokio::test]
async fn values_set_after_a_destroy_start_a_new_session() {
    let app = App::new();
    let alice = sign_in(&app).await;
    let old = alice.signed_id();
    let reply = alice
        .act(|session| {
            session.set_visits(100)?;
            session.destroy();
            Ok(session.set_notice("Good bye.".into())?)
        })
        .await;
    assert_eq!(reply.cookies().len(), 1, "one cookie for both sessions");
    assert_ne!(alice.signed_id(), old);
    assert_eq!(app.store.sessions(app.now()).await.len(), 1);
    let found = alice
        .ask(|s| Ok((s.user()?, s.visits()?, s.notice()?)))
        .await;
    assert_eq!(found, (None, 0, Some("Good bye.".into())));
}

/// Conformance 1.10
#[tokio::test]
async fn destroy_regenerate_and_reset_in_one_request_act_in_their_order() {
    type Step = fn(&Session<Shop>);
    let (destroy, regenerate, reset): (Step, Step, Step) =
        (Session::destroy, Session::regenerate, Session::reset);
    let set: Step = |session| session.set_user(2).expect("it fits");
    let remove: Step = |session| session.remove_user();
    // The steps, and the user after them.
    let cases = [
        (vec![destroy, set, destroy], None),
        (vec![regenerate, destroy], None),
        (vec![destroy, regenerate], None),
        (vec![reset, regenerate, set], Some(2)),
        (vec![regenerate, reset, set], Some(2)),
        (vec![set, regenerate], Some(2)),
        (vec![regenerate, regenerate, remove], None),
    ];
    for (case, (steps, user)) in cases.into_iter().enumerate() {
        let app = App::new();
        let alice = sign_in(&app).await;
        let old = alice.signed_id();
        let reply = alice
            .act(move |session| {
                for step in steps {
                    step(session);
                }
                Ok(())
            })
            .await;
        assert_eq!(reply.status, 200, "case {case}");
        assert!(reply.cookies().len() <= 1, "case {case}");
        assert!(!app.exists(&old).await, "case {case}");
        assert_eq!(alice.user().await, user, "case {case}");
        assert!(app.store.sessions(app.now()).await.len() <= 1);
    }
}

/// Conformance 1.10
#[tokio::test]
async fn each_save_of_a_request_may_end_a_session_and_start_another() {
    let app = App::new();
    let alice = sign_in(&app).await;
    let reply = alice
        .visit(|session| async move {
            session.destroy();
            session.save().await?;
            session.set_user(1)?;
            session.save().await?;
            session.regenerate();
            session.save().await?;
            session.reset();
            session.save().await?;
            Ok(session.set_user(2)?)
        })
        .await;
    assert_eq!(reply.cookies().len(), 1);
    assert_eq!(alice.user().await, Some(2));
    assert_eq!(app.store.sessions(app.now()).await.len(), 1);
}

/// Conformance 1.11, 5.2
#[tokio::test]
async fn regenerate_keeps_data_and_deadline_under_a_new_id_and_ends_the_old_id() {
    let hour = Duration::from_hours(1);
    let app = App::with(|builder| builder.idle_timeout(hour).absolute_timeout(hour));
    let alice = sign_in(&app).await;
    let thief = alice.fork();
    let old = alice.signed_id();
    app.pass(hour / 2);
    let (new, is_new) = alice
        .ask(|session| {
            session.regenerate();
            Ok((session.id(), session.is_new()))
        })
        .await;
    assert_eq!(alice.signed_id(), new);
    assert!(new != old && !is_new);
    let found = alice.ask(|s| Ok((s.user()?, s.visits()?))).await;
    assert_eq!(found, (Some(7), 3));
    let found = thief.ask(|s| Ok((s.user()?, s.is_new()))).await;
    assert_eq!(found, (None, true));
    let sessions = app.store.sessions(app.now()).await;
    assert_eq!(sessions.len(), 1);
    assert_eq!(sessions[0].0, new.public());
    app.pass(hour / 2);
    assert_eq!(alice.user().await, None, "the deadline is the old one");
}

/// Conformance 1.12
#[tokio::test]
async fn reset_starts_an_empty_session_under_a_new_id() {
    let app = App::new();
    let alice = sign_in(&app).await;
    let thief = alice.fork();
    let old = alice.signed_id();
    let reply = alice.does(Session::reset).await;
    assert!(reply.cookie().is_some());
    assert_ne!(alice.signed_id(), old);
    let found = alice.ask(|s| Ok((s.keys(), s.is_new()))).await;
    assert_eq!(found, (vec![], false), "the empty session is stored");
    assert_eq!(thief.user().await, None);
}

/// Conformance 1.13
#[tokio::test]
async fn save_returns_the_error_of_a_destroy_which_can_be_tried_again() {
    for heals in [false, true] {
        let app = App::new();
        let alice = sign_in(&app).await;
        let store = app.store.clone();
        let reply = alice
            .visit(move |session| async move {
                store.fail(&[Op::Replace, Op::Rename]);
                session.destroy();
                let error = session.save().await.expect_err("the store fails");
                assert!(matches!(error, SaveError::Store(_)));
                if heals {
                    store.heal();
                }
                Ok(())
            })
            .await;
        assert_eq!(reply.status, if heals { 200 } else { 503 });
        assert_eq!(alice.id().is_none(), heals);
        app.store.heal();
        assert_eq!(alice.user().await.is_none(), heals);
        let sessions = app.store.sessions(app.now()).await;
        assert_eq!(sessions.is_empty(), heals);
    }
}

/// Conformance 1.2, 1.9
#[tokio::test]
async fn a_write_with_an_ended_id_is_refused_while_the_tombstone_is_stored() {
    let app = App::with(|builder| settings(builder).retired_for(Duration::from_secs(10)));
    let alice = sign_in(&app).await;
    let late = alice.fork();
    let old = alice.signed_id();
    alice.does(Session::destroy).await;
    let refused = late.act(|s| Ok(s.set_user(1)?)).await;
    assert_eq!((refused.status.as_u16(), refused.cookie()), (409, None));
    app.pass(Duration::from_secs(10));
    let reply = late.act(|s| Ok(s.set_user(1)?)).await;
    assert_eq!(reply.status, 200);
    assert_ne!(late.signed_id(), old);
}

/// Conformance 5.4
#[tokio::test]
async fn clear_site_data_is_sent_at_a_sign_out_only() {
    let app = App::with(|builder| builder.clear_site_data([SiteData::Cache, SiteData::Storage]));
    let header = |reply: &Reply| reply.header("clear-site-data").map(str::to_owned);
    let expected = Some("\"cache\", \"storage\"".to_owned());
    let alice = sign_in(&app).await;
    for harmless in [Session::regenerate, Session::reset] {
        assert_eq!(header(&alice.does(harmless).await), None);
    }
    alice.act(|s| Ok(s.set_user(7)?)).await;
    let tab = alice.fork();
    assert_eq!(header(&alice.does(Session::destroy).await), expected);
    // The second sign-out of a session leaves the browser's data, which may be of a newer session.
    assert_eq!(header(&tab.does(Session::destroy).await), None);
    alice.act(|s| Ok(s.set_user(7)?)).await;
    let with_notice = alice
        .act(|session| {
            session.destroy();
            Ok(session.set_notice("Good bye.".into())?)
        })
        .await;
    assert_eq!(header(&with_notice), expected);
    let own = alice
        .act(|session| {
            session.destroy();
            Ok("".with_header("clear-site-data", "\"cookies\""))
        })
        .await;
    assert_eq!(header(&own), Some("\"cookies\"".to_owned()));
    let plain = sign_in(&App::new()).await;
    assert_eq!(header(&plain.does(Session::destroy).await), None);
}
