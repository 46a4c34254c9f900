//! Sessions outside of a request.

use std::{sync::Arc, time::Duration};

use poem_session::{
    OpenError, PublicId, Session, SessionId,
    store::{MemoryStore, SessionStore},
};

use crate::support::{App, COOKIE, Logs, Op, Prefs, Scripted, Shop, count, settings, stores};

/// Conformance 1.26
#[tokio::test]
async fn a_missing_expired_or_ended_session_is_not_found() {
    let app = App::new();
    assert!(!app.exists(&SessionId::random()).await);
    let id = app.sign_in().await.signed_id();
    assert!(app.exists(&id).await);
    app.pass(Duration::from_mins(30));
    assert!(!app.exists(&id).await);
    let alice = app.sign_in().await;
    let id = alice.signed_id();
    alice.does(Session::destroy).await;
    assert!(!app.exists(&id).await, "a tombstone is no session");
}

/// Conformance 1.26
#[tokio::test]
async fn an_opened_session_is_read_changed_and_saved() {
    let app = App::new();
    let alice = app.sign_in().await;
    let session = app.open(&alice).await;
    assert_eq!(session.user(), Ok(Some(7)));
    assert!(!session.is_new());
    assert_eq!(session.id(), alice.signed_id());
    session.set_notice("You have won.".into()).expect("it fits");
    count(&session);
    session.save().await.expect("the store works");
    let found = alice.ask(|s| Ok((s.notice()?, s.visits()?))).await;
    assert_eq!(found, (Some("You have won.".into()), 1));
}

/// Conformance 1.26
#[tokio::test]
async fn an_opened_session_is_regenerated_reset_and_destroyed() {
    let app = App::new();
    let alice = app.sign_in().await;
    let session = app.open(&alice).await;
    let mut ids = vec![session.id()];
    for (end, user) in [
        (Session::regenerate as fn(&Session<Shop>), Some(7)),
        (Session::reset, None),
    ] {
        end(&session);
        session.save().await.expect("the store works");
        ids.push(session.id());
        alice.set_cookie(COOKIE, session.id().expose());
        let found = alice.ask(|s| Ok((s.user()?, s.is_new()))).await;
        assert_eq!(found, (user, false));
    }
    session.destroy();
    session.save().await.expect("the store works");
    for id in ids {
        assert!(!app.exists(&id).await);
    }
    assert_eq!(alice.user().await, None);
}

/// Conformance 1.26
#[tokio::test]
async fn changes_of_an_opened_session_are_dropped_without_a_save() {
    let app = App::new();
    let alice = app.sign_in().await;
    let session = app.open(&alice).await;
    session.set_user(8).expect("it fits");
    session.regenerate();
    let id = alice.signed_id();
    drop(session);
    assert_eq!(alice.ask(|s| Ok((s.id(), s.user()?))).await, (id, Some(7)));
}

/// Conformance 1.26
#[tokio::test]
async fn a_created_session_is_stored_at_its_save_even_if_empty() {
    let app = App::new();
    let session = app.create();
    assert!(session.is_new());
    session.set_user(7).expect("it fits");
    assert_eq!(app.store.calls(), [], "it is not saved yet");
    session.save().await.expect("the store works");
    let alice = app.browser();
    alice.set_cookie(COOKIE, session.id().expose());
    let found = alice.ask(|s| Ok((s.user()?, s.is_new()))).await;
    assert_eq!(found, (Some(7), false));
    let empty = app.sessions.create::<Prefs>().expect("no key clashes");
    empty.save().await.expect("the store works");
    assert!(app.exists(&empty.id()).await);
    assert_ne!(empty.id(), session.id());
}

/// Conformance 1.26
#[tokio::test]
async fn open_create_revoke_and_clear_return_the_errors_of_the_store() {
    let app = App::new();
    let id = app.sign_in().await.signed_id();
    app.store.fail(&[Op::Load]);
    let opened = app.sessions.open::<Shop>(&id).await.map(drop);
    assert!(matches!(opened, Err(OpenError::Load(_))));
    app.sessions.revoke(id).await.expect_err("it cannot load");
    app.store.heal();
    app.store.fail(&[Op::Create, Op::Replace, Op::Clear]);
    app.create().save().await.expect_err("it is not stored");
    app.sessions.revoke(id).await.expect_err("it lives");
    app.sessions.clear().await.expect_err("it lives");
    app.store.heal();
    assert!(app.exists(&id).await);
}

/// Conformance 1.27, 5.5
#[tokio::test]
async fn a_revoked_session_ends_at_once_and_its_visitor_gets_a_new_one() {
    let app = App::new();
    let (alice, bob) = (app.sign_in().await, app.sign_in().await);
    let old = alice.signed_id();
    assert!(app.sessions.revoke(old).await.expect("the store works"));
    let found = alice.ask(|s| Ok((s.user()?, s.is_new()))).await;
    assert_eq!(found, (None, true));
    app.pass(Duration::from_secs(10));
    alice.act(|s| Ok(s.set_user(8)?)).await;
    assert_ne!(alice.signed_id(), old);
    assert_eq!(alice.user().await, Some(8));
    assert_eq!(bob.user().await, Some(7));
}

/// Conformance 1.27, 5.5
#[tokio::test]
async fn revoke_takes_a_public_id_and_returns_whether_the_session_existed() {
    let app = App::new();
    let alice = app.sign_in().await;
    let unknown = app.sessions.revoke(SessionId::random()).await;
    assert_eq!(unknown.ok(), Some(false));
    let shown = alice.ask(|s| Ok(s.public_id().to_string())).await;
    let public: PublicId = shown.parse().expect("a public id");
    assert_eq!(app.sessions.revoke(public).await.ok(), Some(true));
    assert_eq!(app.sessions.revoke(public).await.ok(), Some(false));
    assert_eq!(alice.user().await, None);
}

/// Conformance 1.27
#[tokio::test(start_paused = true)]
async fn a_revoke_wins_over_a_concurrent_change() {
    let app = App::new();
    let alice = app.sign_in().await;
    let id = alice.signed_id();
    let mut end = app.store.pause(Op::Replace);
    let sessions = app.sessions.clone();
    let revoke = tokio::spawn(async move { sessions.revoke(id).await });
    end.arrived().await;
    alice.act(|s| Ok(s.set_user(8)?)).await;
    end.release();
    let revoked = revoke.await.expect("no panic").expect("the store works");
    assert!(revoked);
    assert!(!app.exists(&id).await);
}

/// Conformance 1.27
#[tokio::test]
async fn clear_removes_the_sessions_of_this_application_only() {
    let other = App::new();
    let bob = other.sign_in().await;
    for backend in stores().await {
        let name = backend.name;
        let app = App::in_backend(backend);
        let mut visitors = Vec::new();
        for _ in 0..5 {
            visitors.push(app.sign_in().await);
        }
        app.sessions.clear().await.expect("the store works");
        for visitor in &visitors {
            assert_eq!(visitor.user().await, None, "{name}");
        }
        assert!(app.store.records(app.now()).await.is_empty());
        assert_eq!(bob.user().await, Some(7));
    }
}

/// Conformance 1.27
#[tokio::test(start_paused = true)]
async fn a_sweeper_removes_expired_records_until_it_is_dropped() {
    let app = App::new();
    app.sign_in().await;
    app.store.calls();
    let minute = Duration::from_mins(1);
    let sweeper = app.sessions.sweep_every(minute);
    tokio::time::sleep(minute * 3 + minute / 2).await;
    assert_eq!(app.store.calls(), [Op::DeleteExpired; 4]);
    // A failure of the store does not end the sweeper.
    app.store.fail(&[Op::DeleteExpired]);
    tokio::time::sleep(minute).await;
    app.store.heal();
    tokio::time::sleep(minute).await;
    assert_eq!(app.store.calls(), [Op::DeleteExpired; 2]);
    drop(sweeper);
    tokio::time::sleep(minute * 3).await;
    assert_eq!(app.store.calls(), []);
}

/// Conformance 1.27
#[tokio::test]
async fn delete_expired_removes_expired_records_only() {
    let memory = Arc::new(MemoryStore::new());
    let store: Arc<dyn SessionStore> = memory.clone();
    let app = App::on(store, Scripted, settings);
    app.sign_in().await;
    app.pass(Duration::from_mins(30));
    let alice = app.sign_in().await;
    // The store may have removed the expired record at the write.
    let removed = app.sessions.delete_expired(10).await;
    assert!(removed.expect("the store works") <= 1);
    assert_eq!(memory.len(), 1);
    assert_eq!(alice.user().await, Some(7));
}

/// Conformance 5.14, 1.27
#[tokio::test]
async fn revoke_follows_an_id_that_was_regenerated() {
    let app = App::new();
    let alice = app.sign_in().await;
    let listed = alice.signed_id();
    for _ in 0..3 {
        alice.does(Session::regenerate).await;
    }
    assert!(app.sessions.revoke(listed).await.expect("the store works"));
    assert_eq!(alice.user().await, None);
    assert!(!app.sessions.revoke(listed).await.expect("the store works"));
}

/// Conformance 1.41
#[tokio::test]
async fn changes_made_after_the_response_and_never_saved_are_logged_once() {
    let app = App::new();
    let alice = app.sign_in().await;
    for is_saved in [false, true] {
        let logs = Logs::capture();
        let (send, kept) = tokio::sync::oneshot::channel();
        let reply = alice.visit(|session| async move {
            drop(send.send(session));
            Ok(())
        });
        assert_eq!(reply.await.status, 200);
        let session = kept.await.expect("the handler has run");
        session.set_visits(4).expect("it fits");
        if is_saved {
            session.save().await.expect("the store works");
        }
        drop(session);
        let text = logs.text();
        let lines = text.matches("changes made after the response were never saved");
        assert_eq!(lines.count(), usize::from(!is_saved), "{text}");
        assert!(!text.contains(alice.signed_id().expose()), "{text}");
    }
}
