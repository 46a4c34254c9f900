//! A store that is full.

use std::{sync::Arc, time::Duration};

use poem::http::StatusCode;
use poem_session::{
    Session, SessionsBuilder,
    store::{MemoryStore, OnFull, RedisStore, SessionStore, StoreErrorKind},
};
use poem_session_tests::{
    PATIENCE, eventually,
    servers::{Options, Server, redis},
};

use crate::support::{App, Browser, End, Op, Scripted, Shop, count, settings};

/// A sign-out that leaves a notice for the next page.
const WITH_NOTICE: End = |session| {
    session.destroy();
    session.set_notice("Good bye.".into()).expect("it fits");
};

/// The ways in which an existing session ends or gets a new id, and the user after them.
const ENDS: [(End, Option<u64>); 5] = [
    (Session::destroy, None),
    (WITH_NOTICE, None),
    (Session::reset, None),
    (Session::regenerate, Some(7)),
    // A sign-in adds to the session.
    (
        |session| {
            session.regenerate();
            session.set_user(8).expect("it fits");
            session.set_cart(vec!["x".repeat(50)]).expect("it fits");
        },
        Some(8),
    ),
];

/// Ends sessions that exist in a full store in every way, and checks that the store is still full.
async fn sessions_end(app: &App, visitors: Vec<Browser>) {
    assert_eq!(visitors.len(), ENDS.len() + 1);
    let mut visitors = visitors.into_iter();
    // First those that free no space.
    for ((end, user), alice) in ENDS.into_iter().rev().zip(&mut visitors) {
        let thief = alice.fork();
        let reply = alice.does(end).await;
        assert_eq!(reply.status, StatusCode::OK, "{reply:?}");
        assert_eq!(alice.user().await, user);
        assert_eq!(thief.user().await, None, "the old id has ended");
    }
    let alice = visitors.next().expect("one more");
    let revoked = app.sessions.revoke(alice.signed_id()).await;
    assert!(revoked.expect("the store accepts a tombstone"));
    assert_eq!(alice.user().await, None);
}

/// Conformance 5.14
#[tokio::test]
async fn sessions_in_a_memory_store_at_capacity_end_and_get_new_ids() {
    let limits: [fn() -> MemoryStore; 3] = [
        || MemoryStore::builder().capacity(6).build(),
        || {
            let builder = MemoryStore::builder().capacity(6);
            builder.on_full(OnFull::EvictSoonest).build()
        },
        // A record of the fixture takes some 230 bytes.
        || MemoryStore::builder().max_bytes(1500).build(),
    ];
    for store in limits {
        let store = Arc::new(store());
        let app = App::on(store, Scripted, settings);
        let mut visitors = Vec::new();
        for _ in 0..6 {
            visitors.push(app.sign_in().await);
        }
        sessions_end(&app, visitors).await;
    }
}

/// Conformance 5.12, 5.14
#[tokio::test]
async fn a_session_that_signs_in_a_hundred_times_takes_no_space_of_others() {
    let store = Arc::new(MemoryStore::builder().capacity(2).build());
    let app = App::on(store.clone(), Scripted, settings);
    let (alice, bob) = (app.sign_in().await, app.sign_in().await);
    for _ in 0..100 {
        let reply = alice.does(Session::regenerate).await;
        assert_eq!(reply.status, StatusCode::OK);
    }
    assert_eq!((alice.user().await, bob.user().await), (Some(7), Some(7)));
    assert_eq!(store.len(), 3, "two sessions and the newest tombstone");
    let refused = app.browser().act(|s| Ok(s.set_user(9)?)).await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
}

/// Conformance 2.7, 5.14
#[tokio::test]
async fn an_id_is_rotated_in_a_full_store_and_the_old_one_is_followed() {
    let store = MemoryStore::builder().capacity(1).build();
    let rotating = |builder: SessionsBuilder| {
        let builder = builder.rotate_every(Duration::from_mins(5));
        builder.rotation_grace(Duration::from_mins(1))
    };
    let app = App::on(Arc::new(store), Scripted, rotating);
    let alice = app.sign_in().await;
    for _ in 0..5 {
        app.pass(Duration::from_mins(6));
        let tab = alice.fork();
        assert_eq!(alice.user().await, Some(7));
        assert_ne!(alice.signed_id(), tab.signed_id());
        assert_eq!(tab.user().await, Some(7));
    }
}

/// A Redis server without free memory, and an application with sessions from before.
async fn full_redis(visitors: usize) -> Option<(Server, App, Vec<Browser>)> {
    let server = redis::private(Options::new().fast()).await?;
    let store = RedisStore::builder(server.url()).call_timeout(PATIENCE);
    let store: Arc<dyn SessionStore> = Arc::new(store.connect().await.expect("it runs"));
    let app = App::on(store, Scripted, |builder| builder.store_timeout(PATIENCE));
    let mut signed_in = Vec::new();
    for _ in 0..visitors {
        signed_in.push(app.sign_in().await);
    }
    // A value of another application takes the memory.
    server.run("SETRANGE other 2000000 x").await;
    server.run("CONFIG SET maxmemory-policy noeviction").await;
    server.run("CONFIG SET maxmemory 2000000").await;
    Some((server, app, signed_in))
}

/// Conformance 5.14
#[tokio::test(flavor = "multi_thread")]
async fn sessions_in_redis_at_maxmemory_end_and_get_new_ids() {
    let Some((_server, app, visitors)) = full_redis(6).await else {
        return;
    };
    let refused = app.browser().act(|s| Ok(s.set_user(9)?)).await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    sessions_end(&app, visitors).await;
    let refused = app.browser().act(|s| Ok(s.set_user(9)?)).await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
}

/// Conformance 1.5, 5.14
#[tokio::test(flavor = "multi_thread")]
async fn sessions_in_redis_at_maxmemory_are_used_and_locked() {
    let Some((_server, app, visitors)) = full_redis(1).await else {
        return;
    };
    let alice = &visitors[0];
    app.pass(Duration::from_mins(20));
    let reply = alice.act(|s| Ok(s.set_user(5)?)).await;
    assert_eq!(reply.status, StatusCode::OK, "the record does not grow");
    app.pass(Duration::from_mins(20));
    assert_eq!(alice.user().await, Some(5), "its use is written");
    app.pass(Duration::from_mins(20));
    let reply = alice
        .visit(|session| async move {
            let lock = session.lock().await?;
            session.destroy();
            session.save().await?;
            drop(lock);
            Ok(())
        })
        .await;
    assert_eq!(reply.status, StatusCode::OK);
    assert_eq!(alice.user().await, None);
}

/// Conformance 2.3, 5.14
#[tokio::test(flavor = "multi_thread")]
async fn a_tombstone_that_redis_evicts_revives_nothing() {
    let Some(server) = redis::private(Options::new().fast()).await else {
        return;
    };
    let store = RedisStore::builder(server.url()).call_timeout(PATIENCE);
    let store: Arc<dyn SessionStore> = Arc::new(store.connect().await.expect("it runs"));
    let app = App::on(store, Scripted, |builder| builder.store_timeout(PATIENCE));
    for end in [Session::destroy, Session::regenerate] {
        let alice = app.sign_in().await;
        let old = alice.fork();
        let sets = old.start(|s| Ok(s.set_visits(1)?)).await;
        let regenerates = old.fork().start_does(Session::regenerate).await;
        let destroys = old.fork().start_does(Session::destroy).await;
        alice.does(end).await;
        let key = format!("poem-session:{{{}}}", old.signed_id().public());
        server.run("CONFIG SET maxmemory-policy allkeys-lru").await;
        server.run("CONFIG SET maxmemory 1").await;
        eventually("the server evicts the tombstone", async || {
            // A write has the server make space.
            server.run("SET other x").await;
            (server.run(format!("EXISTS {key}")).await.trim() == "0").then_some(())
        })
        .await;
        server.run("CONFIG SET maxmemory 0").await;
        for late in [sets, regenerates] {
            let reply = late.finish().await;
            assert_eq!((reply.status.as_u16(), reply.cookie()), (409, None));
        }
        // The session has ended, as the handler asked.
        assert_eq!(destroys.finish().await.status, StatusCode::OK);
        assert_eq!(old.user().await, None);
        assert_eq!(server.run("KEYS poem-session:*").await.trim(), "");
    }
}

/// A store that has no space for a move at all, unlike those of this crate.
///
/// Conformance 1.10, 5.14
#[tokio::test]
async fn a_destroy_ends_the_session_although_its_notice_is_refused() {
    for racing in [false, true] {
        let app = App::new();
        let alice = app.sign_in().await;
        let (id, tab) = (alice.signed_id(), alice.fork());
        let leaving = alice.start_does(WITH_NOTICE).await;
        if racing {
            // The sign-out meets a newer record.
            tab.does(count).await;
        }
        app.store.calls();
        app.store.fail_as(&[Op::Rename], StoreErrorKind::Full);
        let reply = leaving.finish().await;
        assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE);
        let cookie = reply.cookie().expect("it removes the cookie");
        assert_eq!(cookie.value(), "");
        let attempt = [Op::Rename, Op::Replace];
        let calls = app.store.calls();
        if racing {
            assert_eq!(calls, [attempt, attempt].concat());
        } else {
            assert_eq!(calls, attempt);
        }
        assert!(!app.exists(&id).await);
        assert_eq!(tab.user().await, None);
        assert!(app.store.sessions(app.now()).await.is_empty());
    }
}

/// Conformance 1.11, 5.14
#[tokio::test]
async fn a_regenerate_that_a_full_store_refuses_changes_nothing() {
    for end in [Session::regenerate, Session::reset] {
        let app = App::new();
        let alice = app.sign_in().await;
        app.store.fail_as(&[Op::Rename], StoreErrorKind::Full);
        let reply = alice.does(end).await;
        assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(reply.cookie(), None);
        assert_eq!(alice.user().await, Some(7));
    }
}

/// Conformance 1.32, 5.14
#[tokio::test]
async fn a_notice_that_a_full_store_refused_may_be_saved_again() {
    let app = App::new();
    let alice = app.sign_in().await;
    let (own, tab) = (app.clone(), alice.fork());
    let reply = alice
        .visit(|session| async move {
            WITH_NOTICE(&session);
            own.store.fail_as(&[Op::Rename], StoreErrorKind::Full);
            session.save().await.expect_err("there is no space");
            own.store.heal();
            assert_eq!(tab.user().await, None, "the session has ended");
            session.save().await?;
            Ok(())
        })
        .await;
    assert_eq!(reply.status, StatusCode::OK);
    let found = alice.ask(|s| Ok((s.user()?, s.notice()?))).await;
    assert_eq!(found, (None, Some("Good bye.".into())));
}

/// Conformance 5.14
#[tokio::test]
async fn a_failed_sign_in_leaves_a_session_for_a_short_time() {
    let minute = Duration::from_mins(1);
    let app = App::new();
    let fails: [End; 3] = [
        |session| session.set_notice("Wrong.".into()).expect("it fits"),
        // `#[session(regenerate)]` acts on a redirect too.
        |session| {
            session.set_notice("Wrong.".into()).expect("it fits");
            session.regenerate();
        },
        WITH_NOTICE,
    ];
    for fail in fails {
        let visitor = app.browser();
        let reply = visitor.does(fail).await;
        assert_eq!(reply.max_age(), Some(5 * minute));
        app.pass(4 * minute);
        assert!(visitor.ask(|s| Ok(s.notice()?)).await.is_some());
        app.pass(4 * minute);
        assert_eq!(visitor.ask(|s| Ok(s.notice()?)).await, None);
        assert_eq!(app.store.sessions(app.now()).await.len(), 1);
        app.pass(5 * minute);
        assert!(app.store.sessions(app.now()).await.is_empty());
    }

    let visitor = app.browser();
    visitor.does(fails[0]).await;
    let reply = visitor.act(|s| Ok(s.set_user(7)?)).await;
    assert_eq!(reply.max_age(), Some(30 * minute), "it is a session now");
    visitor.does(|session| session.remove_user()).await;
    app.pass(29 * minute);
    let reply = visitor.does(fails[0]).await;
    assert_eq!(reply.max_age(), Some(30 * minute), "it has been one");
}

/// Conformance 5.14
#[tokio::test]
async fn the_timeout_of_a_session_of_flash_values_is_a_setting() {
    let notice: End = |session| session.set_notice("Wrong.".into()).expect("it fits");
    let seconds = Duration::from_secs;
    for (flash, idle, expected) in [(20, 60, 20), (90, 60, 60)] {
        let app = App::with(|builder| {
            let builder = builder.idle_timeout(seconds(idle));
            builder.flash_timeout(seconds(flash))
        });
        let reply = app.browser().does(notice).await;
        assert_eq!(reply.max_age(), Some(seconds(expected)));
    }
}

/// Conformance 5.12, 5.16
#[tokio::test]
async fn anonymous_visitors_do_not_evict_users_who_have_signed_in() {
    let builder = MemoryStore::builder().capacity(20);
    let store = Arc::new(builder.on_full(OnFull::EvictSoonest).build());
    let app = App::on(store.clone(), Scripted, settings);
    let mut users = Vec::new();
    for _ in 0..15 {
        let user = app.sign_in().await;
        assert_eq!(user.does(Session::regenerate).await.status, StatusCode::OK);
        users.push(user);
    }
    let visit = async || {
        let visitor = app.browser();
        let reply = visitor
            .act(|s| Ok(s.set_cart(vec!["x".repeat(500)])?))
            .await;
        (visitor, reply.status)
    };
    // The users are about to expire.
    app.pass(Duration::from_mins(28));
    let mut visitors = Vec::new();
    for _ in 0..100 {
        let (visitor, status) = visit().await;
        assert_eq!(status, StatusCode::OK);
        visitors.push(visitor);
    }
    for user in &users {
        assert_eq!(user.user().await, Some(7));
    }
    let mut left = 0;
    for visitor in &visitors {
        left += usize::from(!visitor.cart().await.is_empty());
    }
    assert_eq!(left, 5);
    for _ in 0..5 {
        let visitor = app.browser();
        let sign_in = |session: &Session<Shop>| {
            session.regenerate();
            Ok(session.set_user(7)?)
        };
        assert_eq!(visitor.act(sign_in).await.status, StatusCode::OK);
        users.push(visitor);
    }
    let (_, status) = visit().await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    for user in &users {
        assert_eq!(user.user().await, Some(7));
    }
}

/// Conformance 5.12, 5.16
#[tokio::test]
async fn large_anonymous_sessions_do_not_exceed_the_bytes_of_the_store() {
    let store = Arc::new(MemoryStore::builder().max_bytes(1_000_000).build());
    let app = App::on(store.clone(), Scripted, settings);
    let mut accepted = 0;
    for _ in 0..50 {
        let reply = app
            .browser()
            .act(|s| Ok(s.set_cart(vec!["x".repeat(60_000)])?))
            .await;
        accepted += usize::from(reply.status == StatusCode::OK);
    }
    assert_eq!(accepted, 16);
    assert!(store.bytes() <= 1_000_000, "{store:?}");
}
