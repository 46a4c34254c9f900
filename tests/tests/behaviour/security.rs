//! What an attacker, a curious administrator or a log must not get.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use poem_session::{
    CookieConfig, PublicId, SaveError, Session, SessionId, Sessions, store::MemoryStore,
};

use crate::support::{App, COOKIE, Logs, Op, SECRET_OF_STORE, Scripted, Shop, settings};

/// Conformance 5.1
#[tokio::test]
async fn ids_have_256_bits_and_no_two_are_alike() {
    let ids: HashSet<String> = (0..10_000)
        .map(|_| SessionId::random().expose().to_owned())
        .collect();
    assert_eq!(ids.len(), 10_000);
    let app = App::new();
    let alice = app.browser();
    alice.act(|s| Ok(s.set_user(7)?)).await;
    // 43 characters of six bits hold 256.
    assert_eq!(alice.signed_id().expose().len(), 43);
    // Each character is used, in each place but the last: nothing is fixed or counted.
    for place in 0..42 {
        let used: HashSet<u8> = ids.iter().map(|id| id.as_bytes()[place]).collect();
        assert_eq!(used.len(), 64, "place {place}");
    }
}

/// Conformance 5.1
#[tokio::test]
async fn an_id_says_nothing_of_what_is_in_the_session() {
    let app = App::new();
    let mut ids = HashSet::new();
    for _ in 0..10 {
        let alice = app.browser();
        alice.act(|s| Ok(s.set_user(7)?)).await;
        ids.insert(alice.signed_id().expose().to_owned());
    }
    assert_eq!(ids.len(), 10, "the same content, and other ids");
}

/// Conformance 5.1, 5.13
#[tokio::test]
async fn what_is_no_id_does_not_reach_the_store() {
    let app = App::new();
    let long = "a".repeat(10_000);
    for text in [
        "",
        "short",
        &"a".repeat(21),
        &"a".repeat(65),
        &long,
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa%",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa aa",
        "' OR 1=1; DROP TABLE sessions; --aaaaaaaaaa",
        "../../../../../../../../../../../etc/passwd",
        "*aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    ] {
        let mallory = app.browser();
        mallory.set_cookie(COOKIE, text);
        let found = mallory.ask(|s| Ok((s.user()?, s.is_new()))).await;
        assert_eq!(found, (None, true), "{text}");
        assert_eq!(app.store.calls(), [], "{text}");
    }
}

/// Conformance 5.1
#[tokio::test]
async fn the_store_never_learns_an_id() {
    let app = App::new();
    let alice = app.browser();
    alice.act(|s| Ok(s.set_user(7)?)).await;
    alice.does(Session::regenerate).await;
    let id = alice.signed_id();
    for (key, record) in app.store.records(app.now()).await {
        assert_ne!(key.to_string(), id.expose());
        let bytes = id.expose().as_bytes();
        let found = record.data.windows(bytes.len()).any(|w| w == bytes);
        assert!(!found, "the id is in a record");
    }
    // And its key opens nothing.
    let thief = app.browser();
    for key in [
        id.public().to_string(),
        id.public().to_string()[..43].to_owned(),
    ] {
        thief.set_cookie(COOKIE, &key);
        assert_eq!(thief.ask(|s| Ok(s.user()?)).await, None);
    }
}

/// Conformance 5.2
#[tokio::test]
async fn an_id_that_an_attacker_planted_is_not_the_one_after_the_sign_in() {
    let app = App::new();
    // A real session of the attacker's, put into the victim's browser.
    let mallory = app.browser();
    mallory.act(|s| Ok(s.set_visits(1)?)).await;
    let victim = mallory.fork();
    victim
        .act(|session| {
            session.regenerate();
            Ok(session.set_user(7)?)
        })
        .await;
    assert_ne!(victim.id(), mallory.id());
    assert_eq!(mallory.ask(|s| Ok(s.user()?)).await, None);
    assert_eq!(victim.ask(|s| Ok(s.user()?)).await, Some(7));
}

/// Conformance 5.4
#[tokio::test]
async fn after_a_sign_out_requests_that_were_under_way_recreate_nothing() {
    let app = App::new();
    let alice = app.browser();
    alice.act(|s| Ok(s.set_user(7)?)).await;
    let thief = alice.fork();
    let mut under_way = Vec::new();
    for _ in 0..10 {
        under_way.push(thief.start(|s| Ok(s.set_visits(1)?)).await);
    }
    alice.does(Session::destroy).await;
    for request in under_way {
        assert_eq!(request.finish().await.status, 409);
    }
    assert!(app.store.sessions(app.now()).await.is_empty());
    assert_eq!(thief.ask(|s| Ok(s.user()?)).await, None);
}

/// All that is logged while a session goes through its life, well and badly.
async fn life_of_a_session(app: &App) -> (String, Vec<SessionId>) {
    let logs = Logs::capture();
    let alice = app.browser();
    let mut ids = Vec::new();
    alice
        .act(|session| {
            session.set_user(7)?;
            session.set_notice("a-secret-notice".into())?;
            tracing::info!(?session, id = ?session.id(), public = ?session.public_id(), "ours");
            Ok(())
        })
        .await;
    ids.push(alice.signed_id());
    app.pass(Duration::from_mins(10));
    app.store.fail(&[Op::Touch, Op::Rename, Op::Replace]);
    alice.act(|_| Ok(())).await;
    alice.does(Session::destroy).await;
    alice.does(Session::regenerate).await;
    app.store.heal();
    app.store.fail(&[Op::Load]);
    alice.act(|_| Ok(())).await;
    app.store.heal();
    let late = alice.start(|s| Ok(s.set_visits(1)?)).await;
    let other = alice.fork();
    other.does(Session::regenerate).await;
    ids.push(other.signed_id());
    assert_eq!(late.finish().await.status, 409);
    app.store
        .plant(&other.signed_id(), "garbage", app.now())
        .await;
    assert_eq!(other.act(|_| Ok(())).await.status, 500);
    (logs.text(), ids)
}

/// Conformance 1.29, 5.10
#[tokio::test]
async fn logs_show_ids_only_masked_and_no_values() {
    let app = App::new();
    let (logs, ids) = life_of_a_session(&app).await;
    for id in &ids {
        assert!(!logs.contains(id.expose()), "{logs}");
        assert!(!logs.contains(&id.expose()[..16]), "{logs}");
        assert!(!logs.contains(&id.public().to_string()), "{logs}");
    }
    assert!(!logs.contains("a-secret-notice"), "{logs}");
    let masked = format!("{:?}", ids[0].public());
    assert!(logs.contains(&masked), "but it can be followed: {logs}");
}

/// Conformance 1.29, 5.10
#[tokio::test]
async fn debug_output_shows_no_secret() {
    let app = App::new();
    let session = app.sessions.create::<Shop>().expect("no key clashes");
    session
        .set_notice("a-secret-notice".into())
        .expect("it fits");
    session.save().await.expect("the store works");
    let record = app.store.record(&session.id(), app.now()).await;
    let texts = [
        format!("{session:?}"),
        format!("{:?}", session.id()),
        format!("{:?}", session.public_id()),
        format!("{:?}", app.sessions),
        format!("{:?}", Sessions::builder(MemoryStore::new())),
        format!("{record:?}"),
    ];
    let id = session.id();
    for text in texts {
        for secret in [id.expose(), &id.public().to_string(), "a-secret-notice"] {
            assert!(!text.contains(secret), "{text}");
        }
    }
}

/// Conformance 5.10
#[tokio::test]
async fn errors_show_neither_ids_nor_values_nor_addresses() {
    let app = App::new();
    let alice = app.browser();
    alice
        .act(|s| Ok(s.set_notice("a-secret-notice".into())?))
        .await;
    let id = alice.signed_id();
    let session = app.sessions.open::<Shop>(&id).await.expect("it lives");
    let mut texts = Vec::new();
    let mut note = |error: &dyn std::error::Error| texts.push(error.to_string());
    note(
        &session
            .set_notice("x".repeat(100_000))
            .expect_err("too large"),
    );
    app.store.fail(&[Op::Load, Op::Replace]);
    session.set_visits(1).expect("it fits");
    note(&session.save().await.expect_err("the store refuses"));
    note(&session.reload().await.expect_err("the store refuses"));
    note(
        &app.sessions
            .revoke(id)
            .await
            .expect_err("the store refuses"),
    );
    note(
        &app.sessions
            .open::<Shop>(&id)
            .await
            .expect_err("the store refuses"),
    );
    app.store.heal();
    app.store.plant(&id, "garbage", app.now()).await;
    note(
        &app.sessions
            .open::<Shop>(&id)
            .await
            .expect_err("it is corrupt"),
    );
    note(&session.save().await.expect_err("it is corrupt"));
    note(&"short".parse::<SessionId>().expect_err("no id"));
    note(&"short".parse::<PublicId>().expect_err("no id"));
    note(&SaveError::Ended);
    for text in texts {
        for secret in [
            id.expose(),
            &id.public().to_string(),
            "a-secret-notice",
            SECRET_OF_STORE,
            "xxxx",
        ] {
            assert!(!text.contains(secret), "{text}");
        }
    }
}

/// Conformance 5.10, 1.24
#[tokio::test]
async fn a_value_that_does_not_decode_is_not_shown() {
    let app = App::new();
    let alice = app.browser();
    alice.act(|s| Ok(s.set_user(7)?)).await;
    let record = [b"\x81\xa9shop.user".as_slice(), b"\xafa-secret-number"].concat();
    app.store.plant(&alice.signed_id(), record, app.now()).await;
    let logs = Logs::capture();
    let reply = alice
        .act(|session| {
            let error = session.user().expect_err("it is a text");
            assert!(error.to_string().contains("shop.user"), "{error}");
            assert!(!format!("{error} {error:?}").contains("a-secret-number"));
            Ok(format!("{:?}", session.user()?))
        })
        .await;
    assert_eq!(
        (reply.status.as_u16(), reply.body.as_str()),
        (500, "Internal Server Error")
    );
    assert!(!logs.text().contains("a-secret-number"), "{}", logs.text());
}

/// Conformance 5.12
#[tokio::test]
async fn traffic_without_sessions_leaves_nothing_in_the_store() {
    let app = App::new();
    for n in 0..200 {
        let visitor = app.browser();
        if n % 2 == 0 {
            visitor.set_cookie(COOKIE, SessionId::random().expose());
        }
        let reply = visitor.act(|s| Ok(format!("{:?}", s.user()?))).await;
        assert_eq!(reply.cookie(), None);
    }
    assert!(app.store.records(app.now()).await.is_empty());
    assert!(app.store.calls().iter().all(|call| *call == Op::Load));
}

/// Conformance 5.1, 1.2
#[tokio::test]
async fn a_generator_of_the_applications_own_is_asked_for_each_new_id() {
    let made = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&made);
    let app = App::with(|builder| {
        builder.id_generator(move || {
            let n = count.fetch_add(1, Ordering::SeqCst);
            format!("{n:032}").parse().expect("an id")
        })
    });
    let alice = app.browser();
    alice.act(|s| Ok(s.set_user(7)?)).await;
    assert_eq!(alice.signed_id().expose(), format!("{:032}", 0));
    alice.does(Session::regenerate).await;
    assert_eq!(alice.signed_id().expose(), format!("{:032}", 1));
}

/// Conformance 5.1
#[tokio::test(start_paused = true)]
async fn a_generator_that_repeats_itself_gives_nobody_the_session_of_another() {
    let app = App::with(|builder| {
        builder
            .max_save_attempts(5)
            .id_generator(|| "x".repeat(43).parse().expect("an id"))
    });
    let alice = app.browser();
    alice.act(|s| Ok(s.set_user(7)?)).await;
    let bob = app.browser();
    let reply = bob.act(|s| Ok(s.set_user(8)?)).await;
    assert_eq!((reply.status.as_u16(), reply.cookie()), (503, None));
    assert_eq!(alice.ask(|s| Ok(s.user()?)).await, Some(7));
}

/// Conformance 5.1, 1.2
#[tokio::test(start_paused = true)]
async fn a_generator_that_repeats_itself_once_is_asked_for_another_id() {
    let made = Arc::new(AtomicUsize::new(0));
    let app = App::with(|builder| {
        builder.id_generator(move || {
            let n = made.fetch_add(1, Ordering::SeqCst) / 2;
            format!("{n:032}").parse().expect("an id")
        })
    });
    let (alice, bob) = (app.browser(), app.browser());
    for (visitor, number) in [(&alice, 7), (&bob, 8)] {
        let reply = visitor.act(move |s| Ok(s.set_user(number)?)).await;
        assert_eq!(reply.status, 200);
    }
    assert_ne!(alice.signed_id(), bob.signed_id());
    assert_eq!(alice.ask(|s| Ok(s.user()?)).await, Some(7));
    assert_eq!(bob.ask(|s| Ok(s.user()?)).await, Some(8));
}

/// Conformance 5.1, 1.11
#[tokio::test(start_paused = true)]
async fn a_regenerate_onto_an_id_in_use_takes_nobodys_session() {
    let next = Arc::new(AtomicUsize::new(0));
    let ids = Arc::clone(&next);
    let app = App::with(|builder| {
        builder.max_save_attempts(5).id_generator(move || {
            let n = ids.load(Ordering::SeqCst);
            format!("{n:032}").parse().expect("an id")
        })
    });
    let alice = app.browser();
    alice.act(|s| Ok(s.set_user(7)?)).await;
    next.store(1, Ordering::SeqCst);
    let bob = app.browser();
    bob.act(|s| Ok(s.set_user(8)?)).await;
    // Onto another's, and onto the one it has.
    for (n, visitor) in [(0, &bob), (1, &bob), (0, &alice)] {
        next.store(n, Ordering::SeqCst);
        visitor.does(Session::regenerate).await;
        assert_eq!(alice.ask(|s| Ok(s.user()?)).await, Some(7), "onto {n}");
        assert_eq!(bob.ask(|s| Ok(s.user()?)).await, Some(8), "onto {n}");
    }
}

/// Conformance 5.7
#[test]
fn a_name_that_claims_a_prefix_by_itself_is_refused() {
    for name in ["__Host-id", "__Secure-id", "__host-id"] {
        let built = Sessions::builder(MemoryStore::new())
            .cookie(CookieConfig::new(name))
            .build();
        assert!(built.is_err(), "{name}");
    }
}

/// Conformance 5.5, 1.27
#[tokio::test]
async fn a_session_is_found_by_a_handle_that_gives_no_access() {
    let app = App::on(Arc::new(MemoryStore::new()), Scripted, settings);
    let alice = app.browser();
    alice.act(|s| Ok(s.set_user(7)?)).await;
    let shown = alice
        .ask(|s: &Session<Shop>| Ok(s.public_id().to_string()))
        .await;
    assert!(
        shown
            .parse::<SessionId>()
            .is_ok_and(|id| id != alice.signed_id())
    );
    let public: PublicId = shown.parse().expect("what is shown can be read");
    assert_eq!(app.sessions.revoke(public).await.ok(), Some(true));
    assert_eq!(alice.ask(|s| Ok(s.user()?)).await, None);
}
