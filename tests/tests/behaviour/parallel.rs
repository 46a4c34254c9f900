//! Requests of one session at the same time. Each handler is kept from returning until the test has what
//! it wants in between.

use std::time::Duration;

use futures_util::future::join_all;
use poem_session::{SaveError, Session};

use crate::support::{App, Browser, Logs, Op, Shop, stores};

/// An application on each store.
async fn apps() -> Vec<(&'static str, App)> {
    let stores = stores().await;
    let apps = stores.into_iter();
    apps.map(|backend| (backend.name, App::in_backend(backend)))
        .collect()
}

async fn sign_in(app: &App) -> Browser {
    let alice = app.browser();
    let reply = alice.act(|s| Ok(s.set_user(7)?)).await;
    assert_eq!(reply.status, 200);
    alice
}

type End = fn(&Session<Shop>);

/// Ways in which a session ends elsewhere.
const ENDS: &[(&str, End)] = &[
    ("destroy", Session::destroy),
    ("regenerate", Session::regenerate),
    ("reset", Session::reset),
];

async fn end(alice: &Browser, how: End) {
    assert_eq!(alice.does(how).await.status, 200);
}

/// Conformance 2.1
#[tokio::test]
async fn changes_of_two_fields_both_survive() {
    for (store, app) in apps().await {
        let alice = sign_in(&app).await;
        let one = alice.start(|s| Ok(s.set_cart(vec!["tea".into()])?)).await;
        let two = alice.start(|s| Ok(s.set_notice("hello".into())?)).await;
        let three = alice
            .start(|session| {
                session.remove_user();
                Ok(())
            })
            .await;
        for request in [two, one, three] {
            assert_eq!(request.finish().await.status, 200, "{store}");
        }
        let found = alice.ask(|s| Ok((s.cart()?, s.notice()?, s.user()?))).await;
        let expected = (vec!["tea".to_owned()], Some("hello".to_owned()), None);
        assert_eq!(found, expected, "{store}");
    }
}

/// Conformance 2.1
#[tokio::test]
async fn of_two_values_set_for_one_field_the_later_save_stays() {
    for (store, app) in apps().await {
        let alice = sign_in(&app).await;
        let one = alice.start(|s| Ok(s.set_user(1)?)).await;
        let two = alice.start(|s| Ok(s.set_user(2)?)).await;
        two.finish().await;
        one.finish().await;
        assert_eq!(alice.ask(|s| Ok(s.user()?)).await, Some(1), "{store}");
    }
}

/// Conformance 2.2
#[tokio::test]
async fn a_hundred_increments_are_a_hundred() {
    for (store, app) in apps().await {
        let alice = sign_in(&app).await;
        let mut requests = Vec::new();
        for _ in 0..100 {
            let request = alice
                .start(|s| Ok(s.update_visits(|visits| *visits += 1)?))
                .await;
            requests.push(request.release());
        }
        for reply in join_all(requests).await {
            assert_eq!(reply.expect("no panic").status, 200, "{store}");
        }
        assert_eq!(alice.ask(|s| Ok(s.visits()?)).await, 100, "{store}");
    }
}

/// Conformance 2.2
#[tokio::test]
async fn increments_from_one_old_version_are_all_counted() {
    for (store, app) in apps().await {
        let alice = sign_in(&app).await;
        let mut requests = Vec::new();
        for n in 0..20 {
            let request = alice
                .start(move |session| {
                    session.update_visits(|visits| *visits += 1)?;
                    // A second closure of one request runs after the first.
                    session.update_visits(|visits| *visits += 100)?;
                    Ok(session.update_cart(move |cart| cart.push(n.to_string()))?)
                })
                .await;
            requests.push(request);
        }
        // Every one of them has loaded the session before any is saved.
        for request in requests {
            assert_eq!(request.finish().await.status, 200, "{store}");
        }
        let (visits, cart) = alice.ask(|s| Ok((s.visits()?, s.cart()?))).await;
        let expected: Vec<String> = (0..20).map(|n| n.to_string()).collect();
        assert_eq!((visits, cart), (2020, expected), "{store}");
    }
}

/// Conformance 2.2
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn increments_on_several_threads_are_all_counted() {
    for (store, app) in apps().await {
        let alice = sign_in(&app).await;
        let requests = (0..100).map(|_| {
            let alice = alice.clone();
            tokio::spawn(async move {
                alice
                    .act(|s| Ok(s.update_visits(|visits| *visits += 1)?))
                    .await
            })
        });
        for reply in join_all(requests).await {
            assert_eq!(reply.expect("no panic").status, 200, "{store}");
        }
        assert_eq!(alice.ask(|s| Ok(s.visits()?)).await, 100, "{store}");
    }
}

/// Else many writers of one process would use up each other's attempts.
///
/// Conformance 2.2
#[tokio::test(start_paused = true)]
async fn who_has_met_another_writer_waits_while_a_third_has_its_turn() {
    let app = App::new();
    let alice = sign_in(&app).await;
    let mut slow = Vec::new();
    for _ in 0..2 {
        let count = |s: &Session<Shop>| Ok(s.update_visits(|visits| *visits += 1)?);
        slow.push(alice.start(count).await);
    }
    alice
        .act(|s| Ok(s.update_visits(|visits| *visits += 1)?))
        .await;
    app.store.calls();
    let [mut met, mut turn] = [Op::Replace; 2].map(|op| app.store.pause(op));
    let first = slow.remove(0).release();
    met.arrived().await;
    met.release();
    turn.arrived().await;
    let second = slow.remove(0).release();
    // Longer than anybody backs off, and shorter than the store may take.
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    assert_eq!(app.store.calls(), [Op::Replace; 3], "the second, once");
    turn.release();
    for reply in [first, second] {
        assert_eq!(reply.await.expect("no panic").status, 200);
    }
    assert_eq!(alice.ask(|s| Ok(s.visits()?)).await, 3);
}

/// Conformance 2.3
#[tokio::test]
async fn a_slow_write_after_an_end_elsewhere_is_refused() {
    for (store, app) in apps().await {
        for (name, how) in ENDS {
            let alice = sign_in(&app).await;
            let (old, before) = (alice.signed_id(), app.store.sessions(app.now()).await.len());
            let slow = alice.fork().start(|s| Ok(s.set_visits(9)?)).await;
            end(&alice, *how).await;
            let logs = Logs::capture();
            let reply = slow.finish().await;
            assert_eq!(reply.status, 409, "{store} {name}");
            assert_eq!(reply.body, "Conflict");
            assert_eq!(reply.cookie(), None, "{store} {name}");
            assert!(logs.text().contains("refused"), "{}", logs.text());
            assert!(app.sessions.open::<Shop>(&old).await.is_err());
            let after = app.store.sessions(app.now()).await.len();
            let ended = usize::from(*name == "destroy");
            assert_eq!(after, before - ended, "{store} {name}");
            assert_eq!(alice.ask(|s| Ok(s.visits()?)).await, 0);
            end(&alice, Session::destroy).await;
        }
    }
}

/// Conformance 2.3
#[tokio::test]
async fn a_slow_write_is_refused_also_when_nothing_of_the_ended_session_is_left() {
    for (store, app) in apps().await {
        for (name, how) in ENDS {
            let alice = sign_in(&app).await;
            let slow = alice.fork().start(|s| Ok(s.set_visits(9)?)).await;
            end(&alice, *how).await;
            app.pass(Duration::from_mins(1));
            let reply = slow.finish().await;
            assert_eq!(reply.status, 409, "{store} {name}");
            assert_eq!(reply.cookie(), None, "{store} {name}");
        }
    }
}

/// Conformance 2.3
#[tokio::test]
async fn a_slow_regenerate_or_reset_after_an_end_elsewhere_is_refused() {
    for (store, app) in apps().await {
        let late: [End; 2] = [Session::regenerate, Session::reset];
        for ((name, how), late) in ENDS.iter().flat_map(|end| late.map(|late| (end, late))) {
            let alice = sign_in(&app).await;
            let slow = alice
                .fork()
                .start(move |session| {
                    late(session);
                    Ok(session.set_visits(9)?)
                })
                .await;
            end(&alice, *how).await;
            let reply = slow.finish().await;
            assert_eq!(reply.status, 409, "{store} {name}");
            assert_eq!(reply.cookie(), None, "{store} {name}");
            end(&alice, Session::destroy).await;
            assert!(app.store.sessions(app.now()).await.is_empty());
        }
    }
}

/// Conformance 2.3
#[tokio::test]
async fn a_handler_that_saves_sees_that_its_session_has_ended() {
    let app = App::new();
    let alice = sign_in(&app).await;
    let sessions = app.sessions.clone();
    let reply = alice
        .visit(|session| async move {
            sessions.revoke(session.id()).await?;
            session.set_visits(9)?;
            let error = session.save().await.expect_err("it was revoked");
            assert!(matches!(error, SaveError::Ended), "{error}");
            // Reading shows what is: nothing but what this request has set.
            Ok(format!("{:?} {}", session.user()?, session.visits()?))
        })
        .await;
    assert_eq!(reply.status, 409, "what was refused is no success");
    assert_eq!(reply.cookie(), None);
}

/// Conformance 2.3
#[tokio::test]
async fn no_cookie_comes_of_an_early_save_when_the_session_ended_before_the_last() {
    for (store, app) in apps().await {
        for (name, how) in ENDS {
            let alice = sign_in(&app).await;
            let slow = alice
                .fork()
                .start_async(|session| async move {
                    session.set_visits(1)?;
                    session.save().await?;
                    Ok(session.set_visits(2)?)
                })
                .await;
            end(&alice, *how).await;
            let reply = slow.finish().await;
            assert_eq!(reply.status, 409, "{store} {name}");
            assert_eq!(reply.cookie(), None, "{store} {name}: the id is dead");
        }
    }
}

/// Conformance 2.4
#[tokio::test]
async fn an_early_save_does_not_bring_an_old_cookie_over_a_newer_one() {
    for (store, app) in apps().await {
        let alice = sign_in(&app).await;
        let slow = alice
            .start_async(|session| async move {
                session.set_visits(1)?;
                Ok(session.save().await?)
            })
            .await;
        alice.does(Session::regenerate).await;
        let newest = alice.id();
        let reply = slow.finish().await;
        assert_eq!((reply.status.as_u16(), reply.cookie()), (200, None));
        assert_eq!(alice.id(), newest, "{store}");
        let found = alice.ask(|s| Ok((s.user()?, s.visits()?))).await;
        assert_eq!(found, (Some(7), 1), "{store}");
    }
}

/// Conformance 2.4
#[tokio::test]
async fn a_slow_read_after_an_end_elsewhere_brings_nothing_back() {
    for (store, app) in apps().await {
        for (name, how) in ENDS {
            let alice = sign_in(&app).await;
            // Old enough for its use to be noted.
            app.pass(Duration::from_mins(10));
            let slow = alice.fork().start(|s| Ok(format!("{:?}", s.user()?))).await;
            end(&alice, *how).await;
            let reply = slow.finish().await;
            assert_eq!(reply.status, 200, "{store} {name}");
            assert_eq!(reply.body, "Some(7)");
            assert_eq!(reply.cookie(), None, "{store} {name}: the id is dead");
            end(&alice, Session::destroy).await;
            assert!(app.store.sessions(app.now()).await.is_empty());
        }
    }
}

/// Conformance 2.4
#[tokio::test]
async fn a_slow_anonymous_response_does_not_replace_the_cookie_of_a_sign_in() {
    for (store, app) in apps().await {
        // A visitor with a cart, and nobody signed in.
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
async fn a_request_that_comes_late_with_the_old_id_does_not_replace_the_new_cookie() {
    for (store, app) in apps().await {
        for (name, how) in ENDS {
            let alice = sign_in(&app).await;
            let late = alice.fork();
            end(&alice, *how).await;
            let wrote = late.act(|s| Ok(s.set_visits(9)?)).await;
            assert_eq!(wrote.cookie(), None, "{store} {name}");
            let read = late.act(|s| Ok(format!("{:?}", s.user()?))).await;
            assert_eq!(read.body, "None", "{store} {name}");
            assert_eq!(read.cookie(), None, "{store} {name}");
        }
    }
}

/// Conformance 2.4
#[tokio::test]
async fn noting_the_use_of_a_session_does_not_undo_what_a_write_set() {
    for (store, app) in apps().await {
        let alice = sign_in(&app).await;
        app.pass(Duration::from_mins(10));
        let reading = alice.start(|s| Ok(format!("{:?}", s.user()?))).await;
        alice
            .act(|session| {
                session.set_idle_timeout(Duration::from_mins(1));
                Ok(())
            })
            .await;
        reading.finish().await;
        app.pass(Duration::from_mins(1));
        assert_eq!(alice.ask(|s| Ok(s.user()?)).await, None, "{store}");
    }
}

/// Conformance 2.5
#[tokio::test]
async fn of_two_regenerates_at_once_one_id_is_left() {
    for (store, app) in apps().await {
        let alice = sign_in(&app).await;
        let regenerate = |session: &Session<Shop>| {
            session.regenerate();
            Ok(())
        };
        let one = alice.start(regenerate).await;
        let two = alice.start(regenerate).await;
        let first = one.finish().await;
        let second = two.finish().await;
        assert_eq!((first.status.as_u16(), second.status.as_u16()), (200, 409));
        assert!(first.cookie().is_some() && second.cookie().is_none());
        let sessions = app.store.sessions(app.now()).await;
        assert_eq!(sessions.len(), 1, "{store}");
        assert_eq!(sessions[0].0, alice.signed_id().public(), "{store}");
        let records = app.store.records(app.now()).await;
        assert_eq!(
            records.len(),
            2,
            "{store}: it and what is left of the old one"
        );
        assert_eq!(alice.ask(|s| Ok(s.user()?)).await, Some(7), "{store}");
    }
}

/// Conformance 2.5
#[tokio::test]
async fn of_two_regenerates_that_meet_in_the_store_one_id_is_left() {
    for (store, app) in apps().await {
        let alice = sign_in(&app).await;
        let mut renames = Vec::new();
        let mut requests = Vec::new();
        for _ in 0..2 {
            let mut rename = app.store.pause(Op::Rename);
            let request = alice.start_does(Session::regenerate).await;
            requests.push(request.release());
            rename.arrived().await;
            renames.push(rename);
        }
        // Both have sent their write.
        for rename in renames {
            rename.release();
        }
        let replies = join_all(requests).await;
        let statuses: Vec<u16> = replies
            .into_iter()
            .map(|reply| reply.expect("no panic").status.as_u16())
            .collect();
        assert!(
            statuses.contains(&200) && statuses.contains(&409),
            "{store}"
        );
        assert_eq!(app.store.sessions(app.now()).await.len(), 1, "{store}");
    }
}

/// Conformance 2.1, 1.11
#[tokio::test]
async fn a_regenerate_takes_along_what_another_request_has_written_meanwhile() {
    for (store, app) in apps().await {
        let alice = sign_in(&app).await;
        let slow = alice
            .start(|session| {
                session.regenerate();
                Ok(session.set_user(8)?)
            })
            .await;
        alice
            .act(|s| Ok(s.update_visits(|visits| *visits += 1)?))
            .await;
        assert_eq!(slow.finish().await.status, 200, "{store}");
        let found = alice.ask(|s| Ok((s.user()?, s.visits()?))).await;
        assert_eq!(found, (Some(8), 1), "{store}");
        assert_eq!(app.store.sessions(app.now()).await.len(), 1, "{store}");
    }
}

/// Conformance 1.9, 2.3
#[tokio::test]
async fn a_destroy_wins_over_a_change_that_came_first() {
    for (store, app) in apps().await {
        let alice = sign_in(&app).await;
        let slow = alice.start_does(Session::destroy).await;
        alice.act(|s| Ok(s.set_visits(1)?)).await;
        assert_eq!(slow.finish().await.status, 200, "{store}");
        assert!(app.store.sessions(app.now()).await.is_empty(), "{store}");
        assert_eq!(alice.id(), None);
    }
}
