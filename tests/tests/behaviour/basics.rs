//! One visitor with one session.

use std::time::Duration;

use poem::{get, handler};
use poem_session::{Session, SessionId};

use crate::support::{App, COOKIE, Prefs, Shop, count, settings};

/// Conformance 1.1
#[tokio::test]
async fn values_are_there_at_the_next_request() {
    let app = App::new();
    let alice = app.browser();
    alice
        .act(|session| {
            session.set_user(7)?;
            Ok(session.set_cart(vec!["tea".into(), "milk".into()])?)
        })
        .await;
    let found = alice.ask(|s| Ok((s.user()?, s.cart()?, s.visits()?))).await;
    assert_eq!(found, (Some(7), vec!["tea".into(), "milk".into()], 0));
    alice.does(count).await;
    let found = alice.ask(|s| Ok((s.user()?, s.visits()?))).await;
    assert_eq!(found, (Some(7), 1));
}

/// Conformance 1.1
#[tokio::test]
async fn removed_and_taken_values_are_gone_at_the_next_request() {
    let app = App::new();
    let alice = app.browser();
    alice
        .act(|session| {
            session.set_user(7)?;
            session.set_cart(vec!["tea".into()])?;
            session.set_notice("hello".into())?;
            Ok(session.set_visits(3)?)
        })
        .await;
    let taken = alice
        .ask(|session| {
            session.remove_user();
            session.update_notice(|notice| *notice = None)?;
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
async fn keys_with_a_value_are_listed_without_being_read() {
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
    let found = alice
        .ask(|s| {
            s.keys();
            Ok((s.contains(Shop::NOTICE), s.contains(Shop::CART)))
        })
        .await;
    assert_eq!(found, (true, false));
    let notice = alice.ask(|s| Ok(s.notice()?)).await;
    assert_eq!(notice.as_deref(), Some("hello"), "it was not read before");
}

/// Conformance 1.1
#[tokio::test]
async fn methods_and_keys_access_the_same_values() {
    let app = App::new();
    let found = app
        .browser()
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

fn is_an_id(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    text.len() == 43 && text.bytes().all(is_allowed)
}

/// Conformance 1.2
#[tokio::test]
async fn a_visitor_without_an_id_gets_a_session_with_a_new_id() {
    let app = App::new();
    let alice = app.browser();
    let (is_new, id) = alice
        .ask(|session| {
            session.set_user(1)?;
            Ok((session.is_new(), session.id()))
        })
        .await;
    assert!(is_new);
    assert!(is_an_id(id.expose()));
    assert_eq!(alice.id(), Some(id), "the id is known before it is sent");
    let again = alice.ask(|s| Ok((s.is_new(), s.id()))).await;
    assert_eq!(again, (false, id));
}

/// Conformance 1.2, 5.1, 5.13
#[tokio::test]
async fn an_id_that_the_client_chose_is_never_used() {
    let well_formed = "x".repeat(43);
    let long = "a".repeat(10_000);
    for chosen in [
        well_formed.as_str(),
        &long,
        &"a".repeat(21),
        &"a".repeat(65),
        "short",
        "",
        "%41%41",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa aa",
        "' OR 1=1; DROP TABLE sessions; --aaaaaaaaaa",
        "../../../../../../../../../../../etc/passwd",
        "*aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    ] {
        let app = App::new();
        let mallory = app.browser();
        mallory.set_cookie(COOKIE, chosen);
        let found = mallory.ask(|s| Ok((s.user()?, s.is_new()))).await;
        assert_eq!(found, (None, true), "{chosen}");
        let calls = app.store.calls().len();
        assert_eq!(calls == 1, chosen == well_formed, "{chosen}: {calls} calls");
        let id = mallory
            .ask(|session| {
                session.set_user(1)?;
                Ok(session.id())
            })
            .await;
        assert!(is_an_id(id.expose()) && id.expose() != chosen, "{chosen}");
        assert_eq!(mallory.id(), Some(id), "{chosen}");
        let sessions = app.store.sessions(app.now()).await;
        assert_eq!(sessions.len(), 1, "{chosen}");
        assert_eq!(sessions[0].0, id.public(), "{chosen}");
    }
}

/// Takes two handles of one struct and one of another.
#[handler]
async fn three_handles(
    first: Session<Shop>,
    second: Session<Shop>,
    prefs: Session<Prefs>,
) -> poem::Result<String> {
    let is_new = first.is_new();
    first.update_visits(|visits| *visits += 1)?;
    second.update_visits(|visits| *visits += 1)?;
    prefs.set_theme("dark".into())?;
    let same = first.id() == second.id() && first.id() == prefs.id();
    let agree = second.is_new() == is_new && prefs.is_new() == is_new;
    Ok(format!("{} {same} {agree}", first.visits()?))
}

/// Conformance 1.3, 1.14
#[tokio::test]
async fn all_handles_of_a_request_share_one_session_one_load_and_one_write() {
    let app = App::serving(poem::Route::new().at("/", get(three_handles)), settings);
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
async fn every_handle_of_a_request_sees_a_reset() {
    let app = App::new();
    let seen = app
        .sign_in()
        .await
        .ask(|session| {
            let other = session.clone();
            session.reset();
            assert_eq!((other.created_at(), other.expires_at()), (None, None));
            Ok((other.is_new(), other.user()?, other.id() == session.id()))
        })
        .await;
    assert_eq!(seen, (true, None, true));
}

/// Conformance 1.4
#[tokio::test]
async fn sessions_of_parallel_visitors_do_not_mix() {
    let app = App::new();
    let visitors: Vec<_> = (0..20).map(|_| app.browser()).collect();
    let mut in_flight = Vec::new();
    for (n, visitor) in (0..).zip(&visitors) {
        in_flight.push(visitor.start(move |s| Ok(s.set_user(n)?)).await);
    }
    // All handlers have run. The responses are sent in the opposite order.
    for request in in_flight.into_iter().rev() {
        assert_eq!(request.finish().await.status, 200);
    }
    let mut ids: Vec<SessionId> = Vec::new();
    for (n, visitor) in (0..).zip(&visitors) {
        assert_eq!(visitor.user().await, Some(n));
        assert!(!ids.contains(&visitor.signed_id()));
        ids.push(visitor.signed_id());
    }
}

/// Conformance 1.1
#[tokio::test]
async fn a_stored_session_has_times_of_creation_and_expiry() {
    let app = App::new();
    let alice = app.browser();
    let before = alice
        .ask(|session| {
            session.set_user(1)?;
            Ok((session.created_at(), session.expires_at()))
        })
        .await;
    assert_eq!(before, (None, None), "it is not stored yet");
    let created = app.now();
    app.pass(Duration::from_mins(1));
    let times = alice.ask(|s| Ok((s.created_at(), s.expires_at()))).await;
    let expires = created.saturating_add(Duration::from_mins(30));
    assert_eq!(times, (Some(created.into()), Some(expires.into())));
}

/// Conformance 1.1
#[tokio::test]
async fn reload_loads_newer_values_and_keeps_the_changes_of_the_request() {
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
    assert_eq!(reply.body, "Some(7) 11");
    let found = alice.ask(|s| Ok((s.user()?, s.visits()?))).await;
    assert_eq!(found, (Some(7), 11));
}
