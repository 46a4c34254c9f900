//! One visitor, one session.

use std::time::Duration;

use poem::{Request, get, handler, http::Method};
use poem_session::{Session, SessionId};

use crate::support::{App, COOKIE, Prefs, Shop, request, settings};

/// Conformance 1.1
#[tokio::test]
async fn what_is_set_is_there_on_the_next_request() {
    let app = App::new();
    let alice = app.browser();
    alice
        .act(|session| {
            session.set_user(7)?;
            session.set_cart(vec!["tea".into(), "milk".into()])?;
            Ok(())
        })
        .await;
    let found = alice.ask(|s| Ok((s.user()?, s.cart()?, s.visits()?))).await;
    assert_eq!(found, (Some(7), vec!["tea".into(), "milk".into()], 0));
    alice
        .act(|session| Ok(session.update_visits(|visits| *visits += 1)?))
        .await;
    assert_eq!(
        alice.ask(|s| Ok((s.user()?, s.visits()?))).await,
        (Some(7), 1)
    );
}

/// Conformance 1.1
#[tokio::test]
async fn what_is_removed_or_taken_is_gone_on_the_next_request() {
    let app = App::new();
    let alice = app.browser();
    alice
        .act(|session| {
            session.set_user(7)?;
            session.set_cart(vec!["tea".into()])?;
            session.set_visits(3)?;
            Ok(())
        })
        .await;
    let taken = alice
        .ask(|session| {
            session.remove_user();
            Ok(session.take_cart()?)
        })
        .await;
    assert_eq!(taken, ["tea"]);
    let left = alice
        .ask(|s| Ok((s.user()?, s.cart()?, s.visits()?, s.keys())))
        .await;
    assert_eq!(left, (None, vec![], 3, vec!["shop.visits"]));
}

/// Conformance 1.1
#[tokio::test]
async fn the_keys_that_hold_something_are_listed() {
    let app = App::new();
    let alice = app.browser();
    let keys = alice
        .ask(|session| {
            let none = session.keys();
            session.set_user(7)?;
            session.set_notice("hello".into())?;
            Ok((none, session.keys()))
        })
        .await;
    assert_eq!(keys, (vec![], vec!["shop.user", "shop.notice"]));
    // Listing, and asking whether something is there, is not reading.
    let still = alice
        .ask(|s| {
            s.keys();
            Ok((s.contains(Shop::NOTICE), s.contains(Shop::CART)))
        })
        .await;
    assert_eq!(still, (true, false));
    assert_eq!(
        alice.ask(|s| Ok(s.notice()?)).await.as_deref(),
        Some("hello")
    );
}

/// Conformance 1.1
#[tokio::test]
async fn methods_and_keys_reach_the_same_values() {
    let app = App::new();
    let alice = app.browser();
    let found = alice
        .ask(|session| {
            session.set(Shop::USER, 1)?;
            session.update(Shop::USER, |user| *user = user.map(|n| n + 1))?;
            session.set_cart(vec!["tea".into()])?;
            let taken = session.take(Shop::CART)?;
            session.update_visits(|visits| *visits += 5)?;
            let visits = session.get(Shop::VISITS)?;
            session.remove(Shop::VISITS);
            Ok((session.user()?, taken, visits, session.visits()?))
        })
        .await;
    assert_eq!(found, (Some(2), vec!["tea".into()], 5, 0));
}

/// Conformance 1.1
#[tokio::test]
async fn an_update_to_none_removes_the_key() {
    let app = App::new();
    let alice = app.browser();
    alice.act(|s| Ok(s.set_user(7)?)).await;
    alice.act(|s| Ok(s.update_user(|user| *user = None)?)).await;
    assert_eq!(alice.ask(|s| Ok(s.keys())).await, Vec::<&str>::new());
}

fn is_an_id(text: &str) -> bool {
    text.len() == 43
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

/// Conformance 1.2
#[tokio::test]
async fn a_visitor_without_an_id_gets_a_session_with_a_new_one() {
    let app = App::new();
    let alice = app.browser();
    let (fresh, id) = alice
        .ask(|session| {
            session.set_user(1)?;
            Ok((session.is_new(), session.id()))
        })
        .await;
    assert!(fresh);
    assert!(is_an_id(id.expose()));
    assert_eq!(alice.id(), Some(id), "the id is known before it is sent");
    let again = alice.ask(|s| Ok((s.is_new(), s.id()))).await;
    assert_eq!(again, (false, id));
}

/// Conformance 1.2
#[tokio::test]
async fn an_id_that_the_application_did_not_make_is_never_used() {
    let chosen = "x".repeat(43);
    for hostile in [chosen.as_str(), "short", "", "%41%41", "../../etc/passwd"] {
        let app = App::new();
        let mallory = app.browser();
        mallory.set_cookie(COOKIE, hostile);
        let (fresh, id) = mallory
            .ask(|session| {
                session.set_user(1)?;
                Ok((session.is_new(), session.id()))
            })
            .await;
        assert!(fresh, "{hostile}");
        assert!(is_an_id(id.expose()) && id.expose() != hostile, "{hostile}");
        assert_eq!(mallory.id(), Some(id), "{hostile}");
        let sessions = app.store.sessions(app.now()).await;
        assert_eq!(sessions.len(), 1, "{hostile}");
        assert_eq!(sessions[0].0, id.public(), "{hostile}");
    }
}

/// Conformance 1.2
#[tokio::test]
async fn an_expired_id_begins_a_new_session() {
    let app = App::new();
    let alice = app.browser();
    alice.act(|s| Ok(s.set_user(7)?)).await;
    let old = alice.signed_id();
    app.pass(Duration::from_mins(30));
    let (fresh, user) = alice
        .ask(|session| {
            let found = (session.is_new(), session.user()?);
            session.set_visits(1)?;
            Ok(found)
        })
        .await;
    assert_eq!((fresh, user), (true, None));
    assert_ne!(alice.signed_id(), old);
}

/// Two handles to one struct and one to another, in the order in which they are asked for.
#[handler]
async fn twice(
    first: Session<Shop>,
    second: Session<Shop>,
    prefs: Session<Prefs>,
) -> poem::Result<String> {
    let was_fresh = first.is_new();
    first.update_visits(|visits| *visits += 1)?;
    second.update_visits(|visits| *visits += 1)?;
    prefs.set_theme("dark".into())?;
    let same = first.id() == second.id() && first.id() == prefs.id();
    let agree = second.is_new() == was_fresh && prefs.is_new() == was_fresh;
    Ok(format!("{} {same} {agree}", first.visits()?))
}

/// Conformance 1.3
#[tokio::test]
async fn a_session_loaded_twice_in_a_request_is_one_session() {
    let app = App::serving(poem::Route::new().at("/", get(twice)), settings);
    let alice = app.browser();
    assert_eq!(alice.get("/").await.body, "2 true true");
    app.store.calls();
    assert_eq!(alice.get("/").await.body, "4 true true");
    let calls = app.store.calls();
    assert_eq!(calls.len(), 2, "one load and one write: {calls:?}");
    assert_eq!(app.store.sessions(app.now()).await.len(), 1);
}

/// Conformance 1.3
#[tokio::test]
async fn a_reset_is_seen_by_every_handle_of_the_request() {
    let app = App::new();
    let alice = app.browser();
    alice.act(|s| Ok(s.set_user(7)?)).await;
    let seen = alice
        .ask(|session| {
            let other = session.clone();
            session.reset();
            Ok((other.is_new(), other.user()?, other.id() == session.id()))
        })
        .await;
    assert_eq!(seen, (true, None, true));
}

/// Conformance 1.4
#[tokio::test]
async fn sessions_of_several_visitors_do_not_mix() {
    let app = App::new();
    let visitors: Vec<_> = (0..20).map(|_| app.browser()).collect();
    let mut in_flight = Vec::new();
    for (n, visitor) in (0..).zip(&visitors) {
        in_flight.push(visitor.start(move |s| Ok(s.set_user(n)?)).await);
    }
    // All handlers have run, none has been answered: now in the other order.
    for request in in_flight.into_iter().rev() {
        assert_eq!(request.finish().await.status, 200);
    }
    let mut ids: Vec<SessionId> = Vec::new();
    for (n, visitor) in (0..).zip(&visitors) {
        assert_eq!(visitor.ask(|s| Ok(s.user()?)).await, Some(n));
        assert!(!ids.contains(&visitor.signed_id()));
        ids.push(visitor.signed_id());
    }
}

/// Conformance 1.1
#[tokio::test]
async fn the_times_of_a_session_are_told() {
    let app = App::new();
    let alice = app.browser();
    let before = alice
        .ask(|session| {
            session.set_user(1)?;
            Ok((session.created_at(), session.expires_at()))
        })
        .await;
    assert_eq!(before, (None, None), "it is not stored yet");
    let began = app.now();
    app.pass(Duration::from_mins(1));
    let times = alice.ask(|s| Ok((s.created_at(), s.expires_at()))).await;
    let end = began.saturating_add(Duration::from_mins(30));
    assert_eq!(times, (Some(began.into()), Some(end.into())));
}

/// Conformance 1.1
#[tokio::test]
async fn a_session_left_behind_tells_no_times() {
    let app = App::new();
    let alice = app.browser();
    alice.act(|s| Ok(s.set_user(1)?)).await;
    let times = alice
        .ask(|session| {
            session.reset();
            Ok((session.created_at(), session.expires_at()))
        })
        .await;
    assert_eq!(times, (None, None), "the new session has not begun");
}

/// Conformance 1.1
#[tokio::test]
async fn a_request_can_read_again_what_another_has_written() {
    let app = App::new();
    let alice = app.browser();
    alice.act(|s| Ok(s.set_visits(1)?)).await;
    let other = alice.clone();
    let reply = alice
        .visit(|session| async move {
            session.set_user(7)?;
            session.update_visits(|visits| *visits += 1)?;
            other.act(|s| Ok(s.set_visits(10)?)).await;
            session.reload().await.map_err(poem::Error::from)?;
            Ok(format!("{:?} {}", session.user()?, session.visits()?))
        })
        .await;
    assert_eq!(reply.body, "Some(7) 11", "own changes stay on top");
    let found = alice.ask(|s| Ok((s.user()?, s.visits()?))).await;
    assert_eq!(found, (Some(7), 11));
}

/// Conformance 1.1
#[tokio::test]
async fn a_handler_finds_its_session_whatever_the_method() {
    let app = App::new();
    let alice = app.browser();
    for method in [Method::GET, Method::POST, Method::PUT, Method::DELETE] {
        let request: Request = request(method, "/");
        let reply = alice
            .visit_by(request, |session: Session<Shop>| async move {
                Ok(session.update_visits(|visits| *visits += 1)?)
            })
            .await;
        assert_eq!(reply.status, 200);
    }
    assert_eq!(alice.ask(|s| Ok(s.visits()?)).await, 4);
}
