//! Failures of the store, and corrupt records.

use std::{sync::Arc, time::Duration};

use poem::{Response, http::StatusCode};
use poem_session::{
    LoadError, OpenError, RequestError, SaveError, Session,
    store::{MemoryStore, StoreError, StoreErrorKind},
};

use tokio::time::Instant;

use crate::support::{App, End, Logs, Op, Reply, SECRET_OF_STORE, Scripted, Shop, settings};

/// A handler for each call of the store.
const REQUESTS: &[(Op, End)] = &[
    (Op::Load, |_| {}),
    (Op::Replace, |s| s.set_user(8).expect("it fits")),
    (Op::Rename, |session| {
        session.regenerate();
        session.set_user(8).expect("it fits");
    }),
    (Op::Rename, Session::reset),
    (Op::Replace, Session::destroy),
];

/// Conformance 1.11, 1.13, 1.24, 5.10, 5.11
#[tokio::test(start_paused = true)]
async fn a_request_fails_without_effect_while_the_store_is_down_or_hangs() {
    let limit = Duration::from_secs(3);
    let app = App::with(|builder| builder.store_timeout(limit));
    for ((op, act), hangs) in REQUESTS
        .iter()
        .flat_map(|request| [false, true].map(|hangs| (request, hangs)))
    {
        let alice = app.sign_in().await;
        let id = alice.signed_id();
        if hangs {
            app.store.hang(&[*op]);
        } else {
            app.store.fail(&[*op]);
        }
        let began = tokio::time::Instant::now();
        let reply = alice.does(*act).await;
        // The clock is paused, so that this is the exact time.
        let waited = if hangs { limit } else { Duration::ZERO };
        assert_eq!(began.elapsed().as_secs(), waited.as_secs(), "{op:?}");
        assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE, "{op:?}");
        assert_eq!(reply.body, "Service Unavailable");
        assert_eq!(reply.cookie(), None, "{op:?}");
        assert!(reply.header("retry-after").is_some());
        assert!(!format!("{reply:?}").contains(SECRET_OF_STORE), "{reply:?}");
        app.store.heal();
        assert_eq!(alice.ask(|s| Ok((s.id(), s.user()?))).await, (id, Some(7)));
        alice.does(Session::destroy).await;
        assert!(app.store.sessions(app.now()).await.is_empty(), "{op:?}");
    }
    app.store.fail(&[Op::Create]);
    let bob = app.browser();
    let reply = bob.act(|s| Ok(s.set_user(7)?)).await;
    assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(reply.cookie(), None);
    app.store.heal();
    bob.act(|s| Ok(s.set_user(7)?)).await;
    assert_eq!(bob.user().await, Some(7));
}

/// Conformance 5.11
#[tokio::test(start_paused = true)]
async fn store_timeout_limits_calls_outside_of_requests() {
    let app = App::new();
    let id = app.sign_in().await.signed_id();
    app.store.hang(&[Op::Load, Op::Create]);
    let is_timeout = |error: &StoreError| error.kind() == StoreErrorKind::TimedOut;
    let opened = app.sessions.open::<Shop>(&id).await.map(drop);
    assert!(
        matches!(&opened, Err(OpenError::Load(LoadError::Store(error))) if is_timeout(error)),
        "{opened:?}"
    );
    for saved in [
        app.create().save().await,
        app.sessions.revoke(id).await.map(drop),
    ] {
        assert!(
            matches!(&saved, Err(SaveError::Store(error)) if is_timeout(error)),
            "{saved:?}"
        );
    }
}

/// Conformance 1.5, 5.11
#[tokio::test(start_paused = true)]
async fn a_read_succeeds_without_a_cookie_if_the_touch_fails() {
    let app = App::new();
    let alice = app.sign_in().await;
    app.pass(Duration::from_mins(10));
    app.store.fail(&[Op::Touch]);
    let logs = Logs::capture();
    let reply = alice.act(|s| Ok(format!("{:?}", s.user()?))).await;
    assert_eq!((reply.body.as_str(), reply.cookie()), ("Some(7)", None));
    let text = logs.text();
    assert!(text.contains("could not touch a session"), "{text}");
}

/// The limits of a read whose touch, or whose rotation of the id, hangs: a tenth of `store_timeout` each.
const SOON: Duration = Duration::from_millis(500);

/// Conformance 1.5, 2.13, 5.11
#[tokio::test(start_paused = true)]
async fn a_touch_that_hangs_does_not_hold_responses_back() {
    let app = App::new();
    let alice = app.sign_in().await;
    app.pass(Duration::from_mins(10));
    app.store.hang(&[Op::Touch]);
    app.store.calls();
    let logs = Logs::capture();
    let began = Instant::now();
    for _ in 0..3 {
        let reply = alice.act(|s| Ok(format!("{:?}", s.user()?))).await;
        assert_eq!((reply.body.as_str(), reply.cookie()), ("Some(7)", None));
    }
    assert!(began.elapsed() <= SOON, "{:?}", began.elapsed());
    // The first request's touch is still under way.
    let calls = app.store.calls();
    assert_eq!(calls, [Op::Load, Op::Touch, Op::Load, Op::Load]);
    tokio::time::sleep(Duration::from_secs(5)).await;
    let text = logs.text();
    assert!(text.contains("could not touch a session"), "{text}");

    app.store.heal();
    let reply = alice.act(|s| Ok(format!("{:?}", s.user()?))).await;
    assert_eq!(reply.max_age(), Some(Duration::from_mins(30)));
}

/// Conformance 1.5
#[tokio::test(start_paused = true)]
async fn a_touch_that_takes_long_is_written_after_the_response() {
    let app = App::new();
    let alice = app.sign_in().await;
    app.pass(Duration::from_mins(10));
    let id = alice.signed_id();
    let expires_at = || async { app.store.record(&id, app.now()).await.map(|r| r.expires_at) };
    let before = expires_at().await;
    let touch = app.store.pause(Op::Touch);
    let reply = alice.act(|s| Ok(format!("{:?}", s.user()?))).await;
    assert_eq!((reply.body.as_str(), reply.cookie()), ("Some(7)", None));
    assert_eq!(expires_at().await, before);
    touch.release();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(
        expires_at().await,
        Some(app.now().saturating_add(Duration::from_mins(30)))
    );
}

/// Conformance 2.7, 2.13, 5.11
#[tokio::test(start_paused = true)]
async fn a_rotation_that_hangs_does_not_hold_a_read_back() {
    let app = App::with(|builder| builder.rotate_every(Duration::from_mins(15)));
    let alice = app.sign_in().await;
    app.pass(Duration::from_mins(15));
    app.store.hang(&[Op::Lock, Op::Touch]);
    let began = Instant::now();
    let reply = alice.act(|s| Ok(format!("{:?}", s.user()?))).await;
    assert_eq!((reply.body.as_str(), reply.cookie()), ("Some(7)", None));
    assert!(began.elapsed() <= SOON, "{:?}", began.elapsed());
    app.store.heal();
    // The lease may have been granted, and is released.
    tokio::time::sleep(Duration::from_secs(10)).await;
    let old = alice.signed_id();
    assert_eq!(alice.user().await, Some(7));
    assert_ne!(alice.signed_id(), old, "the id is rotated later");
}

/// Conformance 1.11, 5.11
#[tokio::test]
async fn a_write_whose_reply_is_lost_is_done_or_not_done() {
    let app = App::new();
    for (op, act) in &REQUESTS[1..] {
        let alice = app.sign_in().await;
        app.store.lose_reply(&[*op]);
        let reply = alice.does(*act).await;
        assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE, "{op:?}");
        assert_eq!(reply.cookie(), None, "{op:?}");
        app.store.heal();
        // The next request has the session, or a new one if the id has ended.
        let user = alice.user().await;
        assert!(matches!(user, None | Some(7 | 8)), "{op:?}");
    }
}

/// Conformance 1.24
#[tokio::test]
async fn the_error_handler_receives_each_error_and_makes_the_response() {
    let app = App::with(|builder| {
        builder.on_error(|error| {
            let what = match error {
                RequestError::Load(LoadError::Store(_)) => "load",
                RequestError::Load(LoadError::Corrupt { .. }) => "corrupt",
                RequestError::Save(SaveError::Store(_)) => "save",
                RequestError::Save(SaveError::Ended) => "ended",
                other => panic!("{other:?}"),
            };
            Response::builder()
                .status(StatusCode::IM_A_TEAPOT)
                .header("x-why", what)
                .body("our own page")
        })
    });
    let check = |reply: &Reply, why: &str| {
        assert_eq!(reply.status, StatusCode::IM_A_TEAPOT);
        assert_eq!(reply.body, "our own page");
        assert_eq!(reply.header("x-why"), Some(why));
        assert_eq!(reply.cookie(), None);
    };
    for (op, act) in REQUESTS {
        let alice = app.sign_in().await;
        app.store.fail(&[*op]);
        let why = if *op == Op::Load { "load" } else { "save" };
        check(&alice.does(*act).await, why);
        app.store.heal();
    }
    app.store.fail(&[Op::Create]);
    check(&app.browser().act(|s| Ok(s.set_user(7)?)).await, "save");
    app.store.heal();

    let alice = app.sign_in().await;
    let late = alice.start(|s| Ok(s.set_user(8)?)).await;
    let revoked = app.sessions.revoke(alice.signed_id()).await;
    revoked.expect("the store works");
    check(&late.finish().await, "ended");

    let bob = app.sign_in().await;
    let id = bob.signed_id();
    app.store.plant(&id, "garbage", app.now()).await;
    check(&bob.act(|_| Ok(())).await, "corrupt");
}

/// Conformance 1.24
#[tokio::test]
async fn the_error_handler_does_not_receive_errors_of_the_application() {
    let app = App::with(|builder| builder.on_error(|error| panic!("{error:?}")));
    for status in [StatusCode::NOT_FOUND, StatusCode::BAD_GATEWAY] {
        let reply = app
            .browser()
            .act(move |session| {
                session.set_user(7)?;
                Err::<(), _>(poem::Error::from_status(status))
            })
            .await;
        assert_eq!(reply.status, status);
    }
}

/// Conformance 1.25, 5.13
#[tokio::test]
async fn a_corrupt_record_is_an_error_and_stays_unchanged_until_it_is_revoked() {
    for bytes in [b"garbage".to_vec(), vec![], vec![0xff; 100]] {
        let app = App::new();
        let alice = app.sign_in().await;
        let id = alice.signed_id();
        app.store.plant(&id, bytes.clone(), app.now()).await;
        app.store.calls();
        let reply = alice.act(|s| Ok(s.set_user(8)?)).await;
        assert_eq!(reply.status, 500, "{bytes:?}");
        assert_eq!(reply.body, "Internal Server Error");
        assert_eq!(reply.cookie(), None);
        let opened = app.sessions.open::<Shop>(&id).await.map(drop);
        assert!(matches!(
            opened,
            Err(OpenError::Load(LoadError::Corrupt { session })) if session == id.public()
        ));
        assert_eq!(app.store.calls(), [Op::Load, Op::Load]);
        let record = app.store.record(&id, app.now()).await;
        assert_eq!(record.expect("it stays").data, bytes);
        assert_eq!(app.sessions.revoke(id).await.ok(), Some(true));
        assert_eq!(alice.user().await, None);
    }
    // The store may find that the record is corrupt.
    let app = App::new();
    let alice = app.sign_in().await;
    app.store.fail_as(&[Op::Load], StoreErrorKind::Corrupt);
    assert_eq!(alice.act(|_| Ok(())).await.status, 500);
}

/// Conformance 1.25
#[tokio::test]
async fn a_record_that_becomes_corrupt_before_the_save_is_an_error_and_stays_unchanged() {
    let app = App::new();
    let alice = app.sign_in().await;
    let id = alice.signed_id();
    let late = alice.start(|s| Ok(s.set_user(8)?)).await;
    app.store.plant(&id, "garbage", app.now()).await;
    let reply = late.finish().await;
    assert_eq!((reply.status.as_u16(), reply.cookie()), (500, None));
    let record = app.store.record(&id, app.now()).await;
    assert_eq!(record.expect("it stays").data, "garbage");
}

/// Conformance 5.11, 5.12
#[tokio::test]
async fn a_full_store_refuses_new_sessions_and_keeps_the_old_ones() {
    let store = MemoryStore::builder().capacity(1).build();
    let app = App::on(Arc::new(store), Scripted, settings);
    let alice = app.sign_in().await;
    let reply = app.browser().act(|s| Ok(s.set_user(8)?)).await;
    assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(reply.cookie(), None);
    assert_eq!(alice.user().await, Some(7));
}
