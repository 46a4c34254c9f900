//! When something is written, and when not.

use std::time::Duration;

use poem::{
    EndpointExt, IntoResponse, Route, get, handler, http::StatusCode, middleware::CatchPanic,
    web::Redirect,
};
use poem_session::Session;

use crate::support::{App, Op, Prefs, Scripted, Shop, settings};

/// Conformance 1.14, 5.12
#[tokio::test]
async fn a_visitor_who_changes_nothing_leaves_nothing_behind() {
    let app = App::new();
    let alice = app.browser();
    let reply = alice
        .act(|session| {
            // All that can be done without a change.
            session.user()?;
            session.notice()?;
            session.take_cart()?;
            session.remove_user();
            session.set_idle_timeout(Duration::from_mins(1));
            session.regenerate();
            session.id();
            Ok(format!("{:?}", session.keys()))
        })
        .await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.cookie(), None);
    assert_eq!(reply.header("cache-control"), None);
    assert_eq!(app.store.calls(), []);
    assert!(app.store.records(app.now()).await.is_empty());
}

/// Conformance 1.14, 5.12
#[tokio::test]
async fn an_update_that_leaves_the_default_as_it_is_leaves_nothing_behind() {
    let app = App::new();
    let reply = app
        .browser()
        .act(|session| {
            session.update_cart(|cart| cart.retain(|item| item != "tea"))?;
            Ok(session.update_user(|user| *user = None)?)
        })
        .await;
    assert_eq!(reply.cookie(), None);
    assert_eq!(app.store.calls(), []);
}

/// Conformance 1.14
#[tokio::test]
async fn what_is_set_and_removed_again_is_no_session() {
    let app = App::new();
    let reply = app
        .browser()
        .act(|session| {
            session.set_user(7)?;
            session.set_notice("hello".into())?;
            session.notice()?;
            session.remove_user();
            Ok(())
        })
        .await;
    assert_eq!(reply.cookie(), None);
    assert_eq!(app.store.calls(), []);
}

/// Conformance 1.14
#[tokio::test]
async fn a_destroy_without_a_session_changes_nothing() {
    let app = App::new();
    let reply = app.browser().does(Session::destroy).await;
    assert_eq!(reply.cookie(), None);
    assert_eq!(app.store.calls(), []);
}

#[handler]
fn no_session() -> &'static str {
    "hello"
}

/// Conformance 1.14
#[tokio::test]
async fn a_handler_that_takes_no_session_asks_no_store() {
    let routes = Route::new().at("/", Scripted).at("/plain", get(no_session));
    let app = App::serving(routes, settings);
    let alice = app.browser();
    alice.act(|s| Ok(s.set_user(7)?)).await;
    app.store.calls();
    app.pass(Duration::from_mins(20));
    let reply = alice.get("/plain").await;
    assert_eq!((reply.body.as_str(), reply.cookie()), ("hello", None));
    assert_eq!(app.store.calls(), []);
}

/// Conformance 1.14
#[tokio::test]
async fn a_read_is_one_call_and_a_change_two() {
    let app = App::new();
    let alice = app.browser();
    alice.act(|s| Ok(s.set_user(7)?)).await;
    assert_eq!(app.store.calls(), [Op::Create], "no id, nothing to load");
    assert_eq!(alice.ask(|s| Ok(s.user()?)).await, Some(7));
    assert_eq!(app.store.calls(), [Op::Load]);
    alice
        .act(|session| {
            session.set_user(8)?;
            session.set_visits(1)?;
            session.set_cart(vec!["tea".into()])?;
            Ok(())
        })
        .await;
    assert_eq!(app.store.calls(), [Op::Load, Op::Replace]);
    alice
        .act(|session| {
            session.regenerate();
            Ok(session.set_user(9)?)
        })
        .await;
    assert_eq!(app.store.calls(), [Op::Load, Op::Rename]);
}

/// Conformance 1.15
#[tokio::test]
async fn a_value_equal_to_the_stored_one_is_not_written() {
    let app = App::new();
    let alice = app.browser();
    alice
        .act(|session| {
            session.set_user(7)?;
            session.set_cart(vec!["tea".into()])?;
            Ok(())
        })
        .await;
    app.store.calls();
    let reply = alice
        .act(|session| {
            session.set_user(7)?;
            session.set_cart(vec!["tea".into()])?;
            session.update_user(|user| *user = Some(7))?;
            session.update_cart(|cart| cart.retain(|_| true))?;
            // There and back again.
            session.set_visits(5)?;
            session.remove_visits();
            session.remove_notice();
            Ok(())
        })
        .await;
    assert_eq!(reply.cookie(), None);
    assert_eq!(app.store.calls(), [Op::Load]);
}

/// Conformance 1.15
#[tokio::test]
async fn a_default_that_is_set_is_stored() {
    let app = App::new();
    let alice = app.browser();
    let reply = alice.act(|s| Ok(s.set_visits(0)?)).await;
    assert!(reply.cookie().is_some());
    assert_eq!(alice.ask(|s| Ok(s.keys())).await, ["shop.visits"]);
}

fn refuse(status: StatusCode) -> poem::Result<()> {
    Err(poem::Error::from_string("what went wrong", status))
}

/// Conformance 1.16
#[tokio::test]
async fn an_error_response_of_3xx_or_4xx_keeps_the_changes() {
    let app = App::new();
    for status in [302, 303, 400, 401, 404, 409, 422, 499] {
        let alice = app.browser();
        let status = StatusCode::from_u16(status).expect("a status");
        let reply = alice
            .act(move |session| {
                session.set_user(7)?;
                refuse(status)
            })
            .await;
        assert_eq!(reply.status, status);
        assert!(reply.cookie().is_some(), "{status}");
        assert_eq!(reply.header("cache-control"), Some("no-store"));
        assert_eq!(alice.ask(|s| Ok(s.user()?)).await, Some(7), "{status}");
    }
}

/// Conformance 1.16
#[tokio::test]
async fn an_error_response_keeps_its_body_and_headers_beside_the_cookie() {
    let app = App::new();
    let reply = app
        .browser()
        .act(|session| {
            session.set_user(7)?;
            let response = Redirect::see_other("/login").into_response();
            Err::<(), _>(poem::Error::from_response(response))
        })
        .await;
    assert_eq!(reply.status, StatusCode::SEE_OTHER);
    assert_eq!(reply.header("location"), Some("/login"));
    assert!(reply.cookie().is_some());
}

/// Conformance 1.16
#[tokio::test]
async fn a_5xx_keeps_no_change_whether_returned_or_raised() {
    let app = App::new();
    let alice = app.browser();
    alice.act(|s| Ok(s.set_user(7)?)).await;
    let id = alice.signed_id();
    app.store.calls();
    let raised = alice
        .act(|session| {
            session.set_user(8)?;
            refuse(StatusCode::BAD_GATEWAY)
        })
        .await;
    let returned = alice
        .act(|session| {
            session.set_user(9)?;
            Ok(StatusCode::INTERNAL_SERVER_ERROR)
        })
        .await;
    for reply in [raised, returned] {
        assert!(reply.status.is_server_error());
        assert_eq!(reply.cookie(), None);
    }
    assert_eq!(app.store.calls(), [Op::Load, Op::Load]);
    for end in [
        |session: &Session<Shop>| session.destroy(),
        |session: &Session<Shop>| session.regenerate(),
        |session: &Session<Shop>| session.reset(),
    ] {
        let reply = alice
            .act(move |session| {
                end(session);
                refuse(StatusCode::INTERNAL_SERVER_ERROR)
            })
            .await;
        assert_eq!(reply.cookie(), None);
    }
    assert_eq!(alice.ask(|s| Ok((s.id(), s.user()?))).await, (id, Some(7)));
}

/// Conformance 1.16
#[tokio::test]
async fn what_was_saved_before_a_5xx_stays_and_its_cookie_is_sent() {
    let app = App::new();
    let alice = app.browser();
    let reply = alice
        .visit(|session| async move {
            session.set_user(7)?;
            session.save().await?;
            session.set_user(8)?;
            refuse(StatusCode::INTERNAL_SERVER_ERROR)
        })
        .await;
    assert!(reply.status.is_server_error());
    assert!(reply.cookie().is_some());
    assert_eq!(alice.ask(|s| Ok(s.user()?)).await, Some(7));
}

/// Conformance 1.16
#[tokio::test]
async fn a_panic_keeps_no_change() {
    fn explode(session: &Session<Shop>) -> poem::Result<()> {
        session.set_user(8)?;
        panic!("a handler's own fault")
    }
    // Caught inside of the sessions, and outside.
    for inside in [true, false] {
        let app = if inside {
            App::serving(Scripted.with(CatchPanic::new()), settings)
        } else {
            App::new()
        };
        let alice = app.browser();
        alice.act(|s| Ok(s.set_user(7)?)).await;
        app.store.calls();
        if inside {
            let reply = alice.act(explode).await;
            assert_eq!((reply.status.as_u16(), reply.cookie()), (500, None));
        } else {
            let tab = alice.clone();
            let panicked = tokio::spawn(async move { tab.act(explode).await }).await;
            assert!(panicked.is_err());
        }
        assert_eq!(app.store.calls(), [Op::Load]);
        assert_eq!(alice.ask(|s| Ok(s.user()?)).await, Some(7));
    }
}

/// Conformance 1.1, 1.15
#[tokio::test]
async fn an_explicit_save_is_not_repeated_after_the_handler() {
    let app = App::new();
    let alice = app.browser();
    let reply = alice
        .visit(|session| async move {
            session.set_user(7)?;
            session.save().await?;
            session.save().await?;
            Ok(())
        })
        .await;
    assert!(reply.cookie().is_some());
    assert_eq!(app.store.calls(), [Op::Create]);
    let reply = alice
        .visit(|session| async move {
            session.set_user(8)?;
            session.save().await?;
            session.set_user(9)?;
            Ok(())
        })
        .await;
    assert!(reply.cookie().is_some());
    assert_eq!(app.store.calls(), [Op::Load, Op::Replace, Op::Replace]);
    assert_eq!(alice.ask(|s| Ok(s.user()?)).await, Some(9));
}

/// Conformance 1.15
#[tokio::test]
async fn after_a_save_a_value_that_is_put_back_is_no_change_and_its_use_is_noted_once() {
    let app = App::new();
    let alice = app.browser();
    alice.act(|s| Ok(s.set_visits(1)?)).await;
    app.store.calls();
    alice
        .visit(|session| async move {
            session.set_visits(2)?;
            session.save().await?;
            session.set_visits(3)?;
            Ok(session.set_visits(2)?)
        })
        .await;
    // At the end it is looked after once more, for the cookie that the early save asked for.
    assert_eq!(app.store.calls(), [Op::Load, Op::Replace, Op::Load]);
    app.pass(Duration::from_mins(20));
    alice
        .visit(|session| async move { Ok(session.save().await?) })
        .await;
    assert_eq!(app.store.calls(), [Op::Load, Op::Touch, Op::Load]);
}

#[handler]
async fn two_structs(shop: Session<Shop>, prefs: Session<Prefs>) -> poem::Result<()> {
    shop.set_user(7)?;
    prefs.set_theme("dark".into())?;
    Ok(())
}

/// Conformance 1.14
#[tokio::test]
async fn the_keys_of_several_structs_are_one_write() {
    let app = App::serving(Route::new().at("/", get(two_structs)), settings);
    app.browser().get("/").await;
    assert_eq!(app.store.calls(), [Op::Create]);
}
