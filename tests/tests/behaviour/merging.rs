//! Two requests that change the session at the same time, each in its own way. The unit tests of `changes` prove the
//! rules of a merge.

use std::time::Duration;

use poem_session::Session;

use crate::support::{App, Browser, Shop};

type Act = fn(&Session<Shop>);

/// Runs both handlers on the same version of a session, and saves the second before the first.
async fn meet(
    before: Act,
    first: impl FnOnce(&Session<Shop>) + Send + 'static,
    second: Act,
) -> (App, Browser) {
    let app = App::new();
    let alice = app.browser();
    alice.does(before).await;
    let slow = alice.start(|session| {
        first(session);
        Ok(())
    });
    let slow = slow.await;
    assert_eq!(alice.does(second).await.status, 200);
    assert_eq!(slow.finish().await.status, 200);
    (app, alice)
}

fn set_cart(session: &Session<Shop>) {
    let cart = vec!["tea".into(), "milk".into()];
    session.set_cart(cart).expect("it fits");
}

fn set_beer(session: &Session<Shop>) {
    session.set_cart(vec!["beer".into()]).expect("it fits");
}

fn add(session: &Session<Shop>, item: &'static str) {
    let added = session.update_cart(move |cart| cart.push(item.into()));
    added.expect("it fits");
}

fn add_rice(session: &Session<Shop>) {
    add(session, "rice");
}

fn add_bread(session: &Session<Shop>) {
    add(session, "bread");
}

fn set_visits(session: &Session<Shop>) {
    session.set_visits(1).expect("it fits");
}

/// Conformance 2.1, 2.9
#[tokio::test]
async fn the_later_save_applies_its_changes_to_the_newer_values() {
    // The changes of the request that is saved second, those of the one saved first, and the cart after both.
    let cases: [(&str, Act, Act, &[&str]); 10] = [
        ("update, set", add_rice, set_beer, &["beer", "rice"]),
        ("update, remove", add_rice, |s| s.remove_cart(), &["rice"]),
        (
            "take and update, other key",
            |session| {
                session.take_cart().expect("it decodes");
                add_rice(session);
            },
            set_visits,
            &["rice"],
        ),
        (
            "remove and update, other key",
            |session| {
                session.remove_cart();
                add_rice(session);
            },
            set_visits,
            &["rice"],
        ),
        (
            "set and update, update",
            |session| {
                set_beer(session);
                add_rice(session);
            },
            add_bread,
            &["beer", "rice"],
        ),
        (
            "update and set, update",
            |session| {
                add_rice(session);
                set_beer(session);
            },
            add_bread,
            &["beer"],
        ),
        ("remove, other key", |s| s.remove_cart(), set_visits, &[]),
        ("set, set the same", set_beer, set_beer, &["beer"]),
        // Conformance 2.9
        (
            "set to the loaded value, set",
            set_cart,
            set_beer,
            &["tea", "milk"],
        ),
        (
            "update without effect, update",
            |session| {
                let drop_bread = session.update_cart(|cart| cart.retain(|item| item != "bread"));
                drop_bread.expect("it fits");
            },
            add_bread,
            &["tea", "milk"],
        ),
    ];
    for (case, first, second, cart) in cases {
        let first = move |session: &Session<Shop>| {
            first(session);
            // A change without effect is written together with another one.
            session.set_user(7).expect("it fits");
        };
        let (app, alice) = meet(set_cart, first, second).await;
        assert_eq!(alice.cart().await, cart, "{case}");
        let visits = u64::from(case.contains("other key"));
        assert_eq!(alice.visits().await, visits, "{case}");
        assert_eq!(app.store.sessions(app.now()).await.len(), 1, "{case}");
    }
}

/// Conformance 2.1, 3.4
#[tokio::test]
async fn a_flash_value_is_consumed_only_if_it_was_read() {
    let set_first: Act = |s| s.set_notice("first".into()).expect("it fits");
    let set_second: Act = |s| s.set_notice("second".into()).expect("it fits");
    let read: Act = |session| {
        let notice = session.notice().expect("it decodes");
        assert_eq!(notice.as_deref(), Some("first"));
    };
    let (_, alice) = meet(set_first, read, set_second).await;
    let notice = alice.ask(|s| Ok(s.notice()?)).await;
    assert_eq!(notice.as_deref(), Some("second"), "no request has read it");

    let (_, alice) = meet(set_first, read, read).await;
    assert_eq!(alice.ask(|s| Ok(s.notice()?)).await, None);
}

/// Conformance 2.1
#[tokio::test]
async fn an_idle_timeout_and_a_change_of_a_value_are_both_kept() {
    let set_timeout: Act = |s| s.set_idle_timeout(Duration::from_mins(1));
    let set_user: Act = |s| s.set_user(7).expect("it fits");
    let (app, alice) = meet(set_cart, set_timeout, set_user).await;
    app.pass(Duration::from_secs(59));
    assert_eq!(alice.fork().user().await, Some(7));
    app.pass(Duration::from_mins(1));
    assert_eq!(alice.user().await, None);
}
