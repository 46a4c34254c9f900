//! Sessions from outside of a request: jobs, admin pages, tests.

use std::{sync::Arc, time::Duration};

use poem_session::{
    OpenError, Session, SessionId,
    store::{MemoryStore, SessionStore},
};

use crate::support::{App, COOKIE, Op, Prefs, Scripted, Shop, settings, stores};

async fn opens(app: &App, id: &SessionId) -> bool {
    match app.sessions.open::<Shop>(id).await {
        Ok(_) => true,
        Err(OpenError::NotFound) => false,
        Err(error) => panic!("{error}"),
    }
}

/// Conformance 1.26
#[test]
fn an_empty_id_is_refused_before_anything_is_opened() {
    assert!("".parse::<SessionId>().is_err());
    assert!(SessionId::parse("x".repeat(21)).is_err());
    assert!(SessionId::parse("x".repeat(65)).is_err());
}

/// Conformance 1.26
#[tokio::test]
async fn a_missing_an_ended_and_an_expired_session_cannot_be_opened() {
    let app = App::new();
    let alice = app.browser();
    assert!(!opens(&app, &SessionId::random()).await);
    alice.act(|s| Ok(s.set_user(7)?)).await;
    let id = alice.signed_id();
    assert!(opens(&app, &id).await);
    app.pass(Duration::from_mins(30));
    assert!(!opens(&app, &id).await);
    alice.act(|s| Ok(s.set_user(7)?)).await;
    let id = alice.signed_id();
    alice.does(Session::destroy).await;
    assert!(!opens(&app, &id).await, "what is left of it is no session");
}

/// Conformance 1.26
#[tokio::test]
async fn an_opened_session_is_read_changed_and_saved() {
    let app = App::new();
    let alice = app.browser();
    alice.act(|s| Ok(s.set_user(7)?)).await;
    let id = alice.signed_id();
    let session = app.sessions.open::<Shop>(&id).await.expect("it lives");
    assert_eq!(session.user(), Ok(Some(7)));
    assert!(!session.is_new());
    assert_eq!(session.id(), id);
    session.set_notice("You have won.".into()).expect("it fits");
    session
        .update_visits(|visits| *visits += 1)
        .expect("it fits");
    session.save().await.expect("the store works");
    let found = alice.ask(|s| Ok((s.notice()?, s.visits()?))).await;
    assert_eq!(found, (Some("You have won.".into()), 1));
}

/// Conformance 1.26
#[tokio::test]
async fn an_opened_session_is_regenerated_and_reset() {
    let app = App::new();
    let alice = app.browser();
    alice.act(|s| Ok(s.set_user(7)?)).await;
    let old = alice.signed_id();
    let session = app.sessions.open::<Shop>(&old).await.expect("it lives");
    session.regenerate();
    session.save().await.expect("the store works");
    let new = session.id();
    assert!(!opens(&app, &old).await);
    assert!(opens(&app, &new).await);
    session.reset();
    session.save().await.expect("the store works");
    assert!(!opens(&app, &new).await);
    alice.set_cookie(COOKIE, session.id().expose());
    assert_eq!(
        alice.ask(|s| Ok((s.user()?, s.is_new()))).await,
        (None, false)
    );
}

/// Conformance 1.26
#[tokio::test]
async fn an_opened_session_is_destroyed() {
    let app = App::new();
    let alice = app.browser();
    alice.act(|s| Ok(s.set_user(7)?)).await;
    let session = app
        .sessions
        .open::<Shop>(&alice.signed_id())
        .await
        .expect("it lives");
    session.destroy();
    session.save().await.expect("the store works");
    assert!(!opens(&app, &alice.signed_id()).await);
    assert_eq!(alice.ask(|s| Ok(s.user()?)).await, None);
}

/// Conformance 1.26
#[tokio::test]
async fn a_session_dropped_without_a_save_changes_nothing() {
    let app = App::new();
    let alice = app.browser();
    alice.act(|s| Ok(s.set_user(7)?)).await;
    let id = alice.signed_id();
    let session = app.sessions.open::<Shop>(&id).await.expect("it lives");
    session.set_user(8).expect("it fits");
    session.regenerate();
    drop(session);
    assert_eq!(alice.ask(|s| Ok((s.id(), s.user()?))).await, (id, Some(7)));
}

/// Conformance 1.26
#[tokio::test]
async fn a_created_session_is_one_that_a_visitor_can_have() {
    let app = App::new();
    let session = app.sessions.create::<Shop>().expect("no key clashes");
    assert!(session.is_new());
    session.set_user(7).expect("it fits");
    assert_eq!(app.store.calls(), [], "nothing before it is saved");
    session.save().await.expect("the store works");
    let alice = app.browser();
    alice.set_cookie(COOKIE, session.id().expose());
    assert_eq!(
        alice.ask(|s| Ok((s.user()?, s.is_new()))).await,
        (Some(7), false)
    );
    let empty = app.sessions.create::<Prefs>().expect("no key clashes");
    empty.save().await.expect("the store works");
    assert!(opens(&app, &empty.id()).await, "an empty one is stored too");
    assert_ne!(empty.id(), session.id());
}

/// Conformance 1.26
#[tokio::test]
async fn what_the_store_cannot_do_reaches_who_opens_creates_or_revokes() {
    let app = App::new();
    let alice = app.browser();
    alice.act(|s| Ok(s.set_user(7)?)).await;
    let id = alice.signed_id();
    app.store.fail(&[Op::Load]);
    let opened = app.sessions.open::<Shop>(&id).await.map(drop);
    assert!(matches!(opened, Err(OpenError::Load(_))));
    app.sessions
        .revoke(id)
        .await
        .expect_err("it cannot be told");
    app.store.heal();
    app.store.fail(&[Op::Create, Op::Replace, Op::Clear]);
    let session = app.sessions.create::<Shop>().expect("no key clashes");
    session.save().await.expect_err("it is not stored");
    app.sessions.revoke(id).await.expect_err("it lives");
    app.sessions.clear().await.expect_err("they live");
    app.store.heal();
    assert!(opens(&app, &id).await);
}

/// Conformance 1.27, 5.5
#[tokio::test]
async fn a_revoked_session_is_anonymous_at_once_and_then_a_new_one() {
    let app = App::new();
    let (alice, bob) = (app.browser(), app.browser());
    for visitor in [&alice, &bob] {
        visitor.act(|s| Ok(s.set_user(7)?)).await;
    }
    let old = alice.signed_id();
    assert!(app.sessions.revoke(old).await.expect("the store works"));
    let found = alice.ask(|s| Ok((s.user()?, s.is_new()))).await;
    assert_eq!(found, (None, true));
    app.pass(Duration::from_secs(10));
    alice.act(|s| Ok(s.set_user(8)?)).await;
    assert_ne!(alice.signed_id(), old);
    assert_eq!(alice.ask(|s| Ok(s.user()?)).await, Some(8));
    assert_eq!(bob.ask(|s| Ok(s.user()?)).await, Some(7));
}

/// Conformance 1.27
#[tokio::test]
async fn revoking_what_is_not_there_is_fine_and_says_so() {
    let app = App::new();
    let alice = app.browser();
    alice.act(|s| Ok(s.set_user(7)?)).await;
    let public = alice.ask(|s| Ok(s.public_id())).await;
    assert_eq!(
        app.sessions.revoke(SessionId::random()).await.ok(),
        Some(false)
    );
    assert_eq!(app.sessions.revoke(public).await.ok(), Some(true));
    assert_eq!(app.sessions.revoke(public).await.ok(), Some(false));
    assert_eq!(alice.ask(|s| Ok(s.user()?)).await, None);
}

/// Conformance 1.27
#[tokio::test(start_paused = true)]
async fn a_revoke_wins_over_a_change_that_comes_between() {
    let app = App::new();
    let alice = app.browser();
    alice.act(|s| Ok(s.set_user(7)?)).await;
    let id = alice.signed_id();
    let mut end = app.store.pause(Op::Replace);
    let sessions = app.sessions.clone();
    let revoke = tokio::spawn(async move { sessions.revoke(id).await });
    end.arrived().await;
    alice.act(|s| Ok(s.set_user(8)?)).await;
    end.release();
    let revoked = revoke.await.expect("no panic").expect("the store works");
    assert!(revoked);
    assert!(!opens(&app, &id).await);
}

/// Conformance 1.27
#[tokio::test]
async fn clear_ends_the_sessions_of_this_application() {
    for backend in stores().await {
        let name = backend.name;
        let app = App::in_backend(backend);
        let visitors: Vec<_> = (0..5).map(|_| app.browser()).collect();
        for visitor in &visitors {
            visitor.act(|s| Ok(s.set_user(7)?)).await;
        }
        app.sessions.clear().await.expect("the store works");
        for visitor in &visitors {
            let user = visitor.ask(|s| Ok(s.user()?)).await;
            assert_eq!(user, None, "{name}");
        }
        assert!(app.store.records(app.now()).await.is_empty());
    }
}

/// Conformance 1.27
#[tokio::test]
async fn clear_leaves_the_sessions_of_another_application() {
    let (ours, theirs) = (App::new(), App::new());
    let (alice, bob) = (ours.browser(), theirs.browser());
    for visitor in [&alice, &bob] {
        visitor.act(|s| Ok(s.set_user(7)?)).await;
    }
    ours.sessions.clear().await.expect("the store works");
    assert_eq!(alice.ask(|s| Ok(s.user()?)).await, None);
    assert_eq!(bob.ask(|s| Ok(s.user()?)).await, Some(7));
}

/// Conformance 1.27
#[tokio::test(start_paused = true)]
async fn a_sweeper_removes_expired_records_until_it_is_dropped() {
    let app = App::new();
    app.browser().act(|s| Ok(s.set_user(7)?)).await;
    app.store.calls();
    let minute = Duration::from_mins(1);
    let sweeper = app.sessions.sweep_every(minute);
    tokio::time::sleep(minute * 3 + minute / 2).await;
    assert_eq!(app.store.calls(), [Op::DeleteExpired; 4]);
    // Trouble of the moment does not end it.
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
async fn expired_records_are_removed_when_asked_and_live_ones_stay() {
    let memory = Arc::new(MemoryStore::new());
    let store: Arc<dyn SessionStore> = memory.clone();
    let app = App::on(store, Scripted, settings);
    let gone = app.browser();
    gone.act(|s| Ok(s.set_user(7)?)).await;
    app.pass(Duration::from_mins(30));
    let alice = app.browser();
    alice.act(|s| Ok(s.set_user(8)?)).await;
    // A store may have swept it along with the write.
    let removed = app.sessions.delete_expired(10).await;
    assert!(removed.expect("the store works") <= 1);
    assert_eq!(memory.len(), 1);
    assert_eq!(alice.ask(|s| Ok(s.user()?)).await, Some(8));
}
