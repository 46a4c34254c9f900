//! Ends that somebody asks for: destroy, regenerate and reset.

use std::time::Duration;

use poem::IntoResponse;
use poem_session::{CookieConfig, SameSite, SaveError, Session, SiteData};

use crate::support::{App, Browser, COOKIE, Op, Reply, Shop, settings};

async fn sign_in(app: &App) -> Browser {
    let alice = app.browser();
    alice
        .act(|session| {
            session.set_user(7)?;
            Ok(session.set_visits(3)?)
        })
        .await;
    assert!(alice.id().is_some());
    alice
}

/// Conformance 1.9, 5.4
#[tokio::test]
async fn destroy_ends_the_record_and_removes_the_cookie() {
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
    assert_eq!(thief.ask(|s| Ok(s.user()?)).await, None);
}

/// What two cookies must agree in for one to remove the other, and what browsers check of the name.
fn attributes(reply: &Reply) -> String {
    let cookie = reply.cookie().expect("it sets the cookie");
    format!(
        "{} {:?} {:?} {:?} {:?} {:?} {:?}",
        cookie.name(),
        cookie.path(),
        cookie.domain(),
        cookie.secure(),
        cookie.http_only(),
        cookie.same_site(),
        cookie.partitioned(),
    )
}

/// Conformance 1.9, 5.7
#[tokio::test]
async fn the_cookie_is_removed_with_the_attributes_it_was_set_with() {
    for config in [
        CookieConfig::default(),
        CookieConfig::new("sid")
            .domain("example.com")
            .path("/app")
            .same_site(SameSite::None)
            .partitioned(),
        CookieConfig::new("sid")
            .insecure_http()
            .insecure_script_access()
            .same_site(SameSite::Strict),
        CookieConfig::new("sid").browser_session(),
    ] {
        let app = App::with(|builder| builder.cookie(config));
        let alice = app.browser();
        let set = alice.act(|s| Ok(s.set_user(7)?)).await;
        let removed = alice.does(Session::destroy).await;
        assert_eq!(attributes(&set), attributes(&removed));
        let cookie = removed.cookie().expect("it removes the cookie");
        assert_eq!(cookie.value(), "");
        assert!(
            cookie
                .max_age()
                .is_some_and(cookie::time::SignedDuration::is_zero)
        );
        let end = cookie.expires_datetime().expect("for old clients");
        assert!(end.unix_timestamp() < 1_000_000_000);
        assert_eq!(removed.header("cache-control"), Some("no-store"));
    }
}

/// Conformance 1.9
#[tokio::test]
async fn destroying_with_an_unknown_id_removes_the_cookie() {
    let app = App::new();
    let alice = app.browser();
    alice.set_cookie(COOKIE, &"x".repeat(43));
    let reply = alice.does(Session::destroy).await;
    assert!(
        reply
            .cookie()
            .is_some_and(|cookie| cookie.value().is_empty())
    );
    assert!(app.store.records(app.now()).await.is_empty());
}

/// Conformance 1.10
#[tokio::test]
async fn what_is_set_after_destroy_begins_a_new_session() {
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
    assert_eq!(reply.cookies().len(), 1, "one word on the cookie, not two");
    assert_ne!(alice.signed_id(), old);
    assert_eq!(app.store.sessions(app.now()).await.len(), 1);
    let found = alice
        .ask(|s| Ok((s.user()?, s.visits()?, s.notice()?)))
        .await;
    assert_eq!(found, (None, 0, Some("Good bye.".into())));
}

/// Conformance 1.10
#[tokio::test]
async fn the_last_word_in_a_request_counts() {
    type Steps = fn(&Session<Shop>) -> poem::Result<()>;
    // What is done, whether the old id lives on, and what the visitor then has.
    let cases: &[(&str, Steps, bool, Option<u64>)] = &[
        (
            "destroy set destroy",
            |session| {
                session.destroy();
                session.set_user(1)?;
                session.destroy();
                Ok(())
            },
            false,
            None,
        ),
        (
            "regenerate destroy",
            |session| {
                session.regenerate();
                session.destroy();
                Ok(())
            },
            false,
            None,
        ),
        (
            "destroy regenerate",
            |session| {
                session.destroy();
                session.regenerate();
                Ok(())
            },
            false,
            None,
        ),
        (
            "reset regenerate set",
            |session| {
                session.reset();
                session.regenerate();
                Ok(session.set_user(2)?)
            },
            false,
            Some(2),
        ),
        (
            "regenerate reset set",
            |session| {
                session.regenerate();
                session.reset();
                Ok(session.set_user(2)?)
            },
            false,
            Some(2),
        ),
        (
            "set regenerate",
            |session| {
                session.set_user(2)?;
                session.regenerate();
                Ok(())
            },
            false,
            Some(2),
        ),
        (
            "regenerate twice, then remove",
            |session| {
                session.regenerate();
                session.regenerate();
                session.remove_user();
                Ok(())
            },
            false,
            None,
        ),
        ("nothing", |_| Ok(()), true, Some(7)),
    ];
    for (name, steps, old_lives, user) in cases {
        let app = App::new();
        let alice = sign_in(&app).await;
        let old = alice.signed_id();
        let reply = alice.act(*steps).await;
        assert_eq!(reply.status, 200, "{name}");
        assert!(reply.cookies().len() <= 1, "{name}");
        let opened = app.sessions.open::<Shop>(&old).await;
        assert_eq!(opened.is_ok(), *old_lives, "{name}");
        assert_eq!(alice.ask(|s| Ok(s.user()?)).await, *user, "{name}");
        assert!(app.store.sessions(app.now()).await.len() <= 1, "{name}");
    }
}

/// Conformance 1.10
#[tokio::test]
async fn each_save_in_a_request_may_end_a_session_and_begin_another() {
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
            session.set_user(2)?;
            Ok(())
        })
        .await;
    assert_eq!(reply.cookies().len(), 1);
    assert_eq!(alice.ask(|s| Ok(s.user()?)).await, Some(2));
    assert_eq!(app.store.sessions(app.now()).await.len(), 1);
}

/// Conformance 1.11, 5.2
#[tokio::test]
async fn regenerate_keeps_the_data_under_a_new_id_and_the_old_one_is_dead() {
    let app = App::new();
    let alice = sign_in(&app).await;
    let thief = alice.fork();
    let old = alice.signed_id();
    let (new, fresh) = alice
        .ask(|session| {
            session.regenerate();
            Ok((session.id(), session.is_new()))
        })
        .await;
    assert_eq!(alice.signed_id(), new);
    assert!(new != old && !fresh);
    assert_eq!(
        alice.ask(|s| Ok((s.user()?, s.visits()?))).await,
        (Some(7), 3)
    );
    assert_eq!(
        thief.ask(|s| Ok((s.user()?, s.is_new()))).await,
        (None, true)
    );
    let sessions = app.store.sessions(app.now()).await;
    assert_eq!(sessions.len(), 1);
    assert_eq!(sessions[0].0, new.public());
}

/// Conformance 1.11
#[tokio::test]
async fn regenerate_keeps_the_absolute_deadline() {
    let hour = Duration::from_hours(1);
    let app = App::with(|builder| builder.idle_timeout(hour).absolute_timeout(hour));
    let alice = sign_in(&app).await;
    app.pass(hour / 2);
    alice.does(Session::regenerate).await;
    app.pass(hour / 2);
    assert_eq!(alice.ask(|s| Ok(s.user()?)).await, None);
}

/// Conformance 1.11
#[tokio::test]
async fn a_regenerate_that_cannot_be_written_leaves_the_old_session_as_it_was() {
    let app = App::new();
    let alice = sign_in(&app).await;
    let old = alice.signed_id();
    app.store.fail(&[Op::Rename]);
    let reply = alice
        .act(|session| {
            session.regenerate();
            Ok(session.set_user(8)?)
        })
        .await;
    assert_eq!(reply.status, 503);
    assert_eq!(reply.cookie(), None);
    app.store.heal();
    assert_eq!(alice.ask(|s| Ok((s.id(), s.user()?))).await, (old, Some(7)));
    assert_eq!(app.store.sessions(app.now()).await.len(), 1);
}

/// Conformance 1.12
#[tokio::test]
async fn reset_gives_a_new_id_and_no_data() {
    let app = App::new();
    let alice = sign_in(&app).await;
    let thief = alice.fork();
    let old = alice.signed_id();
    let reply = alice.does(Session::reset).await;
    assert!(reply.cookie().is_some());
    assert_ne!(alice.signed_id(), old);
    let found = alice.ask(|s| Ok((s.keys(), s.is_new()))).await;
    assert_eq!(found, (vec![], false), "an empty session, and it is stored");
    assert_eq!(thief.ask(|s| Ok(s.user()?)).await, None);
}

/// Conformance 1.13
#[tokio::test]
async fn a_destroy_that_cannot_be_written_leaves_data_and_cookie_as_they_were() {
    let app = App::new();
    let alice = sign_in(&app).await;
    app.store.fail(&[Op::Replace, Op::Rename]);
    let reply = alice.does(Session::destroy).await;
    assert_eq!(reply.status, 503);
    assert_eq!(reply.cookie(), None);
    app.store.heal();
    assert_eq!(alice.ask(|s| Ok(s.user()?)).await, Some(7));
}

/// Conformance 1.13
#[tokio::test]
async fn a_handler_that_saves_sees_that_a_destroy_failed() {
    let app = App::new();
    let alice = sign_in(&app).await;
    app.store.fail(&[Op::Replace, Op::Rename]);
    let reply = alice
        .visit(|session| async move {
            session.destroy();
            let error = session.save().await.expect_err("the store refuses");
            assert!(matches!(error, SaveError::Store(_)));
            Ok(())
        })
        .await;
    assert_eq!(reply.status, 503, "it still cannot be done");
    assert_eq!(reply.cookie(), None);
    app.store.heal();
    assert_eq!(alice.ask(|s| Ok(s.user()?)).await, Some(7));
}

/// Conformance 1.13
#[tokio::test]
async fn a_destroy_that_failed_can_be_done_again() {
    let app = App::new();
    let alice = sign_in(&app).await;
    let store = app.store.clone();
    let reply = alice
        .visit(|session| async move {
            store.fail(&[Op::Replace]);
            session.destroy();
            session.save().await.expect_err("the store refuses");
            store.heal();
            session.save().await?;
            Ok(())
        })
        .await;
    assert_eq!(reply.status, 200);
    assert_eq!(alice.id(), None);
    assert!(app.store.sessions(app.now()).await.is_empty());
}

/// Conformance 1.9, 5.4
#[tokio::test]
async fn a_second_sign_out_of_the_same_session_is_no_error() {
    let app = App::new();
    let alice = sign_in(&app).await;
    let (one, two) = (alice.fork(), alice.fork());
    // Both have loaded it; a third comes when it is all over.
    let first = one.start_does(Session::destroy).await;
    let second = two.start_does(Session::destroy).await;
    assert_eq!(first.finish().await.status, 200);
    assert_eq!(second.finish().await.status, 200);
    assert_eq!(alice.does(Session::destroy).await.status, 200);
    assert!(app.store.sessions(app.now()).await.is_empty());
}

/// Conformance 1.2, 1.9
#[tokio::test]
async fn an_ended_id_begins_a_new_session_once_no_request_can_be_under_way_with_it() {
    let app = App::with(|builder| settings(builder).retired_for(Duration::from_secs(10)));
    let alice = sign_in(&app).await;
    let late = alice.fork();
    let old = alice.signed_id();
    alice.does(Session::destroy).await;
    let refused = late.act(|s| Ok(s.set_user(1)?)).await;
    assert_eq!((refused.status.as_u16(), refused.cookie()), (409, None));
    app.pass(Duration::from_secs(10));
    let begun = late.act(|s| Ok(s.set_user(1)?)).await;
    assert_eq!(begun.status, 200);
    assert_ne!(late.signed_id(), old);
}

/// Conformance 5.4
#[tokio::test]
async fn browsers_are_asked_to_forget_what_the_settings_name_and_only_at_a_sign_out() {
    let app = App::with(|builder| builder.clear_site_data([SiteData::Cache, SiteData::Storage]));
    let header = |reply: &Reply| reply.header("clear-site-data").map(str::to_owned);
    let asked = Some("\"cache\", \"storage\"".to_owned());
    let alice = sign_in(&app).await;
    for harmless in [Session::regenerate, Session::reset] {
        assert_eq!(header(&alice.does(harmless).await), None);
    }
    alice.act(|s| Ok(s.set_user(7)?)).await;
    let tab = alice.fork();
    assert_eq!(header(&alice.does(Session::destroy).await), asked);
    // The browser has been told, and the response to the first sign-out may be out of date by now.
    assert_eq!(header(&tab.does(Session::destroy).await), None);
    alice.act(|s| Ok(s.set_user(7)?)).await;
    let farewell = alice
        .act(|session| {
            session.destroy();
            Ok(session.set_notice("Good bye.".into())?)
        })
        .await;
    assert_eq!(header(&farewell), asked);
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
