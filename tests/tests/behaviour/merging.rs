//! What comes of two requests that changed one field, each in its own way.

use poem_session::Session;

use crate::support::{App, Browser, Shop};

type Act = fn(&Session<Shop>) -> poem::Result<()>;

/// Runs both on one version of a session, saves the second before the first, and gives the session that
/// comes of it.
async fn meet(before: Act, first: Act, second: Act) -> (App, Browser) {
    let app = App::new();
    let alice = app.browser();
    alice.act(before).await;
    let slow = alice.start(first).await;
    let reply = alice.act(second).await;
    assert_eq!(reply.status, 200);
    assert_eq!(slow.finish().await.status, 200);
    (app, alice)
}

fn with_cart(session: &Session<Shop>) -> poem::Result<()> {
    Ok(session.set_cart(vec!["tea".into(), "milk".into()])?)
}

/// Conformance 2.1
#[tokio::test]
async fn an_update_runs_again_on_a_value_that_was_set_meanwhile() {
    let (_, alice) = meet(
        with_cart,
        |s| Ok(s.update_cart(|cart| cart.push("rice".into()))?),
        |s| Ok(s.set_cart(vec!["beer".into()])?),
    )
    .await;
    assert_eq!(alice.ask(|s| Ok(s.cart()?)).await, ["beer", "rice"]);
}

/// Conformance 2.1
#[tokio::test]
async fn an_update_runs_again_on_the_default_where_the_value_was_removed_meanwhile() {
    let (_, alice) = meet(
        with_cart,
        |s| Ok(s.update_cart(|cart| cart.push("rice".into()))?),
        |session| {
            session.remove_cart();
            Ok(())
        },
    )
    .await;
    assert_eq!(alice.ask(|s| Ok(s.cart()?)).await, ["rice"]);
}

/// Conformance 2.1
#[tokio::test]
async fn what_was_taken_and_then_updated_does_not_come_back() {
    let (_, alice) = meet(
        with_cart,
        |session| {
            session.take_cart()?;
            Ok(session.update_cart(|cart| cart.push("rice".into()))?)
        },
        |s| Ok(s.set_visits(1)?),
    )
    .await;
    assert_eq!(alice.ask(|s| Ok(s.cart()?)).await, ["rice"]);
}

/// Conformance 2.1
#[tokio::test]
async fn what_was_removed_and_then_updated_does_not_come_back() {
    let (_, alice) = meet(
        with_cart,
        |session| {
            session.remove_cart();
            Ok(session.update_cart(|cart| cart.push("rice".into()))?)
        },
        |s| Ok(s.set_visits(1)?),
    )
    .await;
    assert_eq!(alice.ask(|s| Ok(s.cart()?)).await, ["rice"]);
}

/// Conformance 2.1
#[tokio::test]
async fn an_update_on_top_of_a_value_of_its_own_keeps_that_value() {
    let (_, alice) = meet(
        with_cart,
        |session| {
            session.set_cart(vec!["beer".into()])?;
            Ok(session.update_cart(|cart| cart.push("rice".into()))?)
        },
        |s| Ok(s.update_cart(|cart| cart.push("bread".into()))?),
    )
    .await;
    assert_eq!(alice.ask(|s| Ok(s.cart()?)).await, ["beer", "rice"]);
}

/// Conformance 2.1
#[tokio::test]
async fn a_set_after_an_update_is_what_stays() {
    let (_, alice) = meet(
        with_cart,
        |session| {
            session.update_cart(|cart| cart.push("rice".into()))?;
            Ok(session.set_cart(vec!["beer".into()])?)
        },
        |s| Ok(s.update_cart(|cart| cart.push("bread".into()))?),
    )
    .await;
    assert_eq!(alice.ask(|s| Ok(s.cart()?)).await, ["beer"]);
}

/// Conformance 2.1, 3.4
#[tokio::test]
async fn a_flash_that_was_not_seen_is_not_consumed() {
    let (_, alice) = meet(
        |s| Ok(s.set_notice("first".into())?),
        |session| {
            assert_eq!(session.notice()?.as_deref(), Some("first"));
            Ok(())
        },
        |s| Ok(s.set_notice("second".into())?),
    )
    .await;
    let notice = alice.ask(|s| Ok(s.notice()?)).await;
    assert_eq!(notice.as_deref(), Some("second"));
}

/// Conformance 2.1, 3.4
#[tokio::test]
async fn a_flash_that_two_requests_saw_is_gone() {
    let (_, alice) = meet(
        |s| Ok(s.set_notice("first".into())?),
        |session| {
            assert_eq!(session.notice()?.as_deref(), Some("first"));
            Ok(())
        },
        |session| {
            assert_eq!(session.notice()?.as_deref(), Some("first"));
            Ok(session.set_visits(1)?)
        },
    )
    .await;
    assert_eq!(
        alice.ask(|s| Ok((s.notice()?, s.visits()?))).await,
        (None, 1)
    );
}

/// Conformance 2.1
#[tokio::test]
async fn a_removal_and_a_change_of_another_field_both_stay() {
    let (_, alice) = meet(
        with_cart,
        |session| {
            session.remove_cart();
            Ok(())
        },
        |s| Ok(s.set_user(7)?),
    )
    .await;
    assert_eq!(alice.ask(|s| Ok(s.keys())).await, ["shop.user"]);
}

/// Conformance 2.1
#[tokio::test]
async fn two_requests_that_set_the_same_value_agree() {
    let set: Act = |s| Ok(s.set_user(7)?);
    let (app, alice) = meet(with_cart, set, set).await;
    assert_eq!(alice.ask(|s| Ok(s.user()?)).await, Some(7));
    assert_eq!(app.store.sessions(app.now()).await.len(), 1);
}

/// Conformance 2.1
#[tokio::test]
async fn an_idle_timeout_and_a_change_both_stay() {
    let (app, alice) = meet(
        with_cart,
        |session| {
            session.set_idle_timeout(std::time::Duration::from_mins(1));
            Ok(())
        },
        |s| Ok(s.set_user(7)?),
    )
    .await;
    app.pass(std::time::Duration::from_secs(59));
    assert_eq!(alice.fork().ask(|s| Ok(s.user()?)).await, Some(7));
    app.pass(std::time::Duration::from_mins(1));
    assert_eq!(alice.ask(|s| Ok(s.user()?)).await, None);
}
