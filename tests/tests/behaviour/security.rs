//! Secrets in the store, in logs, in errors and in `Debug` output; session fixation; id generators.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use poem_session::{
    PublicId, SaveError, Session, SessionId, Sessions, SessionsBuilder, store::MemoryStore,
};

use crate::support::{App, COOKIE, Logs, Op, SECRET_OF_STORE, Shop};

/// Conformance 5.1
#[test]
fn every_character_of_an_id_is_random() {
    let ids: HashSet<String> = (0..10_000)
        .map(|_| SessionId::random().expose().to_owned())
        .collect();
    assert_eq!(ids.len(), 10_000);
    // Each of the 64 characters is used in each place but the last, which has fewer than six bits.
    for place in 0..42 {
        let used: HashSet<u8> = ids.iter().map(|id| id.as_bytes()[place]).collect();
        assert_eq!(used.len(), 64, "place {place}");
    }
}

/// Conformance 5.1
#[tokio::test]
async fn the_store_never_receives_a_session_id() {
    let app = App::new();
    let alice = app.sign_in().await;
    alice.does(Session::regenerate).await;
    let id = alice.signed_id();
    for (key, record) in app.store.records(app.now()).await {
        assert_ne!(key.to_string(), id.expose());
        let bytes = id.expose().as_bytes();
        let found = record.data.windows(bytes.len()).any(|w| w == bytes);
        assert!(!found, "the id is in a record");
    }
    // The key of a record is no session id.
    let thief = app.browser();
    for key in [
        id.public().to_string(),
        id.public().to_string()[..43].to_owned(),
    ] {
        thief.set_cookie(COOKIE, &key);
        assert_eq!(thief.user().await, None);
    }
}

/// Conformance 5.2
#[tokio::test]
async fn a_sign_in_replaces_an_id_that_an_attacker_planted() {
    let app = App::new();
    // The attacker puts the id of their own session into the victim's browser.
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
    assert_eq!(mallory.user().await, None);
    assert_eq!(victim.user().await, Some(7));
}

/// Uses a session in every way, and returns the log and the ids.
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
async fn logs_contain_masked_ids_only_and_no_values() {
    let app = App::new();
    let (logs, ids) = life_of_a_session(&app).await;
    for id in &ids {
        assert!(!logs.contains(id.expose()), "{logs}");
        assert!(!logs.contains(&id.expose()[..16]), "{logs}");
        assert!(!logs.contains(&id.public().to_string()), "{logs}");
    }
    assert!(!logs.contains("a-secret-notice"), "{logs}");
    let masked = format!("{:?}", ids[0].public());
    assert!(logs.contains(&masked), "{logs}");
}

/// Conformance 1.29, 5.10
#[tokio::test]
async fn debug_output_contains_no_secret() {
    let app = App::new();
    let session = app.create();
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
async fn errors_contain_neither_ids_nor_values_nor_addresses() {
    let app = App::new();
    let alice = app.browser();
    alice
        .act(|s| Ok(s.set_notice("a-secret-notice".into())?))
        .await;
    let id = alice.signed_id();
    let session = app.open(&alice).await;
    let mut texts = Vec::new();
    let mut note = |error: &dyn std::error::Error| texts.push(error.to_string());
    let too_large = session.set_notice("x".repeat(100_000));
    note(&too_large.expect_err("too large"));
    session.set_visits(1).expect("it fits");
    for is_corrupt in [false, true] {
        if is_corrupt {
            app.store.heal();
            app.store.plant(&id, "garbage", app.now()).await;
        } else {
            app.store.fail(&[Op::Load, Op::Replace]);
            note(&app.sessions.revoke(id).await.expect_err("it fails"));
        }
        note(&session.save().await.expect_err("it fails"));
        note(&session.reload().await.expect_err("it fails"));
        let opened = app.sessions.open::<Shop>(&id).await;
        note(&opened.expect_err("it fails"));
    }
    note(&"short".parse::<SessionId>().expect_err("no id"));
    note(&"short".parse::<PublicId>().expect_err("no id"));
    note(&SaveError::Ended);
    let public = id.public().to_string();
    let secrets = [
        id.expose(),
        &public,
        "a-secret-notice",
        SECRET_OF_STORE,
        "xxxx",
    ];
    for text in texts {
        assert!(
            !secrets.iter().any(|secret| text.contains(secret)),
            "{text}"
        );
    }
}

/// Conformance 5.10, 1.24
#[tokio::test]
async fn the_error_of_a_value_that_does_not_decode_does_not_contain_the_value() {
    let app = App::with(SessionsBuilder::no_absolute_timeout);
    let alice = app.sign_in().await;
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

/// An application whose ids are the numbers that `next` returns.
fn numbered(next: impl Fn() -> usize + Send + Sync + 'static) -> App {
    App::with(|builder| {
        builder
            .max_save_attempts(5)
            .id_generator(move || format!("{:032}", next()).parse().expect("an id"))
    })
}

/// Conformance 5.1, 1.2
#[tokio::test(start_paused = true)]
async fn each_new_id_comes_from_the_generator_which_runs_again_if_the_id_exists() {
    let made = AtomicUsize::new(0);
    let app = numbered(move || made.fetch_add(1, Ordering::SeqCst) / 2);
    let alice = app.sign_in().await;
    assert_eq!(alice.signed_id().expose(), format!("{:032}", 0));
    // The generator returns 0 a second time.
    let bob = app.browser();
    assert_eq!(bob.act(|s| Ok(s.set_user(8)?)).await.status, 200);
    assert_eq!(bob.signed_id().expose(), format!("{:032}", 1));
    assert_eq!(alice.user().await, Some(7));
    assert_eq!(bob.user().await, Some(8));
}

/// Conformance 5.1, 1.11
#[tokio::test(start_paused = true)]
async fn a_generator_that_returns_an_id_in_use_gives_nobody_the_session_of_another() {
    let next = Arc::new(AtomicUsize::new(0));
    let ids = Arc::clone(&next);
    let app = numbered(move || ids.load(Ordering::SeqCst));
    let alice = app.sign_in().await;
    let bob = app.browser();
    let reply = bob.act(|s| Ok(s.set_user(8)?)).await;
    assert_eq!((reply.status.as_u16(), reply.cookie()), (503, None));
    next.store(1, Ordering::SeqCst);
    bob.act(|s| Ok(s.set_user(8)?)).await;
    // The id of another session, and the session's own id.
    for (n, visitor) in [(0, &bob), (1, &bob), (0, &alice)] {
        next.store(n, Ordering::SeqCst);
        visitor.does(Session::regenerate).await;
        assert_eq!(alice.user().await, Some(7), "with {n}");
        assert_eq!(bob.user().await, Some(8), "with {n}");
    }
}
