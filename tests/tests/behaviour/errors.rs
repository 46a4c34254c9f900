//! What happens when the store does not do its part.

use std::{sync::Arc, time::Duration};

use poem::{Response, http::StatusCode};
use poem_session::{
    LoadError, OpenError, RequestError, SaveError, Session,
    store::{MemoryStore, StoreErrorKind},
};

use crate::support::{App, Browser, Logs, Op, Reply, SECRET_OF_STORE, Scripted, Shop, settings};

async fn sign_in(app: &App) -> Browser {
    let alice = app.browser();
    let reply = alice.act(|s| Ok(s.set_user(7)?)).await;
    assert_eq!(reply.status, 200);
    alice
}

type Act = fn(&Session<Shop>) -> poem::Result<()>;

/// A request for each call that a store is asked to do in one.
const REQUESTS: &[(Op, Act)] = &[
    (Op::Load, |_| Ok(())),
    (Op::Replace, |session| Ok(session.set_user(8)?)),
    (Op::Rename, |session| {
        session.regenerate();
        Ok(())
    }),
    (Op::Rename, |session| {
        session.reset();
        Ok(())
    }),
    (Op::Replace, |session| {
        session.destroy();
        Ok(())
    }),
];

/// Conformance 1.24, 1.13, 5.11
#[tokio::test]
async fn with_the_store_down_requests_fail_closed_and_recover_by_themselves() {
    let app = App::new();
    for (op, act) in REQUESTS {
        let alice = sign_in(&app).await;
        let id = alice.signed_id();
        app.store.fail(&[*op]);
        let reply = alice.act(*act).await;
        assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE, "{op:?}");
        assert_eq!(reply.body, "Service Unavailable");
        assert_eq!(reply.cookie(), None, "{op:?}: the cookie is left alone");
        assert!(reply.header("retry-after").is_some());
        app.store.heal();
        assert_eq!(alice.ask(|s| Ok((s.id(), s.user()?))).await, (id, Some(7)));
    }
    app.store.fail(&[Op::Create]);
    let bob = app.browser();
    let reply = bob.act(|s| Ok(s.set_user(7)?)).await;
    assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(reply.cookie(), None);
    app.store.heal();
    bob.act(|s| Ok(s.set_user(7)?)).await;
    assert_eq!(bob.ask(|s| Ok(s.user()?)).await, Some(7));
}

/// Conformance 5.11
#[tokio::test(start_paused = true)]
async fn a_store_that_hangs_is_given_up_within_the_time_limit() {
    let limit = Duration::from_secs(3);
    let app = App::with(|builder| builder.store_timeout(limit));
    for (op, act) in REQUESTS {
        let alice = sign_in(&app).await;
        app.store.hang(&[*op]);
        let began = tokio::time::Instant::now();
        let reply = alice.act(*act).await;
        // The clock is paused: this is the time that was waited for, to the millisecond.
        assert_eq!(began.elapsed().as_secs(), limit.as_secs(), "{op:?}");
        assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE, "{op:?}");
        assert_eq!(reply.cookie(), None, "{op:?}");
        app.store.heal();
        assert_eq!(alice.ask(|s| Ok(s.user()?)).await, Some(7), "{op:?}");
    }
}

/// Conformance 1.5, 5.11
#[tokio::test(start_paused = true)]
async fn a_read_whose_use_cannot_be_noted_in_time_is_answered_all_the_same() {
    let app = App::new();
    let alice = sign_in(&app).await;
    app.pass(Duration::from_mins(10));
    app.store.hang(&[Op::Touch]);
    let reply = alice.act(|s| Ok(format!("{:?}", s.user()?))).await;
    assert_eq!((reply.body.as_str(), reply.cookie()), ("Some(7)", None));
}

/// Conformance 5.11
#[tokio::test(start_paused = true)]
async fn outside_of_requests_a_store_that_hangs_is_given_up_too() {
    let app = App::new();
    let alice = sign_in(&app).await;
    let id = alice.signed_id();
    app.store.hang(&[Op::Load, Op::Create]);
    let timed_out = |error: &poem_session::store::StoreError| {
        assert_eq!(error.kind(), StoreErrorKind::TimedOut);
    };
    match app.sessions.open::<Shop>(&id).await.map(drop) {
        Err(OpenError::Load(LoadError::Store(error))) => timed_out(&error),
        other => panic!("{other:?}"),
    }
    let session = app.sessions.create::<Shop>().expect("no key clashes");
    match session.save().await {
        Err(SaveError::Store(error)) => timed_out(&error),
        other => panic!("{other:?}"),
    }
    match app.sessions.revoke(id).await {
        Err(SaveError::Store(error)) => timed_out(&error),
        other => panic!("{other:?}"),
    }
}

/// Conformance 1.5, 5.11
#[tokio::test]
async fn a_read_does_not_fail_because_its_use_could_not_be_noted() {
    let app = App::new();
    let alice = sign_in(&app).await;
    app.pass(Duration::from_mins(10));
    app.store.fail(&[Op::Touch]);
    let logs = Logs::capture();
    let reply = alice.act(|s| Ok(format!("{:?}", s.user()?))).await;
    assert_eq!(reply.body, "Some(7)");
    assert_eq!(reply.cookie(), None, "its end has not moved");
    assert!(
        logs.text().contains("could not touch a session"),
        "{}",
        logs.text()
    );
}

/// Conformance 1.11, 5.11
#[tokio::test]
async fn a_write_whose_answer_is_lost_is_not_half_done() {
    let app = App::new();
    for (op, act) in &REQUESTS[1..] {
        let alice = sign_in(&app).await;
        app.store.lose_answer(&[*op]);
        let reply = alice.act(*act).await;
        assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE, "{op:?}");
        assert_eq!(reply.cookie(), None, "{op:?}");
        app.store.heal();
        // Written or not, the next request works: with the session, or as a stranger.
        let user = alice.ask(|s| Ok(s.user()?)).await;
        assert!(matches!(user, None | Some(7 | 8)), "{op:?}");
    }
}

/// Conformance 1.24
#[tokio::test]
async fn the_error_handler_is_given_each_error_and_makes_the_response() {
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
        let alice = sign_in(&app).await;
        app.store.fail(&[*op]);
        let why = if *op == Op::Load { "load" } else { "save" };
        check(&alice.act(*act).await, why);
        app.store.heal();
    }
    app.store.fail(&[Op::Create]);
    check(&app.browser().act(|s| Ok(s.set_user(7)?)).await, "save");
    app.store.heal();

    let alice = sign_in(&app).await;
    let late = alice.start(|s| Ok(s.set_user(8)?)).await;
    app.sessions
        .revoke(alice.signed_id())
        .await
        .expect("the store works");
    check(&late.finish().await, "ended");

    let bob = sign_in(&app).await;
    app.store
        .plant(&bob.signed_id(), "garbage", app.now())
        .await;
    check(&bob.act(|_| Ok(())).await, "corrupt");
}

/// Conformance 1.24
#[tokio::test]
async fn the_error_handler_is_not_asked_about_errors_of_the_handlers() {
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

/// Bytes that are no record.
fn garbage() -> Vec<Vec<u8>> {
    vec![
        b"garbage".to_vec(),
        vec![],
        vec![0xff; 100],
        vec![0x81, 0xa1, b'a'],
        vec![0xdf, 0xff, 0xff, 0xff, 0xff],
        vec![0x80, 0x80],
        vec![0x81, 0x01, 0x01],
        vec![0xc1; 10],
        [vec![0x81, 0xa1, b'a'], vec![0x91; 10_000]].concat(),
    ]
}

/// Conformance 1.25, 5.13
#[tokio::test]
async fn a_corrupt_record_is_an_error_and_stays_as_it_is() {
    for bytes in garbage() {
        let app = App::new();
        let alice = sign_in(&app).await;
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
        // Who must can end it.
        assert_eq!(app.sessions.revoke(id).await.ok(), Some(true));
        assert_eq!(alice.ask(|s| Ok(s.user()?)).await, None);
    }
}

/// Conformance 1.25
#[tokio::test]
async fn a_record_that_is_corrupt_by_the_time_of_the_save_is_an_error_and_stays() {
    let app = App::new();
    let alice = sign_in(&app).await;
    let id = alice.signed_id();
    let late = alice.start(|s| Ok(s.set_user(8)?)).await;
    app.store.plant(&id, "garbage", app.now()).await;
    let reply = late.finish().await;
    assert_eq!(reply.status, 500, "no trouble of the moment");
    assert_eq!(reply.cookie(), None);
    let record = app.store.record(&id, app.now()).await;
    assert_eq!(record.expect("it stays").data, "garbage");
}

/// Conformance 1.25
#[tokio::test]
async fn a_store_that_reports_a_corrupt_record_is_not_said_to_be_unavailable() {
    let app = App::new();
    let alice = sign_in(&app).await;
    app.store.fail_as(&[Op::Load], StoreErrorKind::Corrupt);
    assert_eq!(alice.act(|_| Ok(())).await.status, 500);
}

/// Conformance 5.11, 5.12
#[tokio::test]
async fn a_full_store_refuses_new_sessions_and_keeps_the_old() {
    let store = MemoryStore::builder().capacity(1).build();
    let app = App::on(Arc::new(store), Scripted, settings);
    let alice = sign_in(&app).await;
    let reply = app.browser().act(|s| Ok(s.set_user(8)?)).await;
    assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(reply.cookie(), None);
    assert_eq!(alice.ask(|s| Ok(s.user()?)).await, Some(7));
}

/// Conformance 5.10, 1.24
#[tokio::test]
async fn no_answer_shows_what_the_store_said() {
    let app = App::new();
    for (op, act) in REQUESTS {
        let alice = sign_in(&app).await;
        app.store.fail(&[*op]);
        let reply = alice.act(*act).await;
        assert!(!format!("{reply:?}").contains(SECRET_OF_STORE), "{reply:?}");
        app.store.heal();
    }
}
