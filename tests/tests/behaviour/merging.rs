//! Two requests that change the session at the same time. The unit tests of `changes` and `lifecycle` prove the rules
//! of a merge.

use std::time::Duration;

use poem_session::Session;

use crate::support::{Act, App, Browser, Shop};

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
    session.set_cart(vec!["tea".into()]).expect("it fits");
}

/// Conformance 2.9
#[tokio::test]
async fn a_change_without_effect_applies_to_a_newer_value() {
    let drop_bread: Act = |session| {
        let update = session.update_cart(|cart| cart.retain(|item| item != "bread"));
        update.expect("it fits");
    };
    let add_bread: Act = |session| {
        let update = session.update_cart(|cart| cart.push("bread".into()));
        update.expect("it fits");
    };
    for without_effect in [set_cart, drop_bread] {
        let first = move |session: &Session<Shop>| {
            without_effect(session);
            // It is written together with another change.
            session.set_user(7).expect("it fits");
        };
        let (_, alice) = meet(set_cart, first, add_bread).await;
        assert_eq!(alice.cart().await, ["tea"]);
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
