//! When a request writes to the store, and when not.

use std::time::Duration;

use poem::{
    EndpointExt, IntoResponse, Route, get, handler, http::StatusCode, middleware::CatchPanic,
    web::Redirect,
};
use poem_session::Session;

use crate::support::{App, ENDS, Op, Scripted, Shop, settings};

type Act = fn(&Session<Shop>) -> poem::Result<()>;

/// Conformance 1.14, 5.12
#[tokio::test]
async fn a_request_without_changes_stores_nothing_and_sets_no_cookie() {
    let requests: [Act; 4] = [
        |session| {
            session.user()?;
            session.notice()?;
            session.take_cart()?;
            session.remove_user();
            session.set_idle_timeout(Duration::from_mins(1));
            session.regenerate();
            session.id();
            session.keys();
            Ok(())
        },
        |session| {
            session.update_cart(|cart| cart.retain(|item| item != "tea"))?;
            Ok(session.update_user(|user| *user = None)?)
        },
        |session| {
            session.set_user(7)?;
            session.set_notice("hello".into())?;
            session.notice()?;
            session.remove_user();
            Ok(())
        },
        |session| {
            session.destroy();
            Ok(())
        },
    ];
    for request in requests {
        let app = App::new();
        let reply = app.browser().act(request).await;
        assert_eq!(reply.status, 200);
        assert_eq!(reply.cookie(), None);
        assert_eq!(reply.header("cache-control"), None);
        assert_eq!(app.store.calls(), []);
    }
}

#[handler]
fn no_session() -> &'static str {
    "hello"
}

/// Conformance 1.14
#[tokio::test]
async fn a_handler_without_a_session_makes_no_store_call() {
    let routes = Route::new().at("/", Scripted).at("/plain", get(no_session));
    let app = App::serving(routes, settings);
    let alice = app.sign_in().await;
    app.store.calls();
    app.pass(Duration::from_mins(20));
    let reply = alice.get("/plain").await;
    assert_eq!((reply.body.as_str(), reply.cookie()), ("hello", None));
    assert_eq!(app.store.calls(), []);
}

/// Conformance 1.14
#[tokio::test]
async fn a_read_makes_one_store_call_and_a_change_two() {
    let app = App::new();
    let alice = app.sign_in().await;
    assert_eq!(app.store.calls(), [Op::Create], "there is no id to load");
    assert_eq!(alice.user().await, Some(7));
    assert_eq!(app.store.calls(), [Op::Load]);
    alice
        .act(|session| {
            session.set_user(8)?;
            session.set_visits(1)?;
            Ok(session.set_cart(vec!["tea".into()])?)
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
async fn a_value_equal_to_the_stored_value_is_not_written() {
    let app = App::new();
    let alice = app.sign_in().await;
    alice.act(|s| Ok(s.set_cart(vec!["tea".into()])?)).await;
    app.store.calls();
    let reply = alice
        .act(|session| {
            session.set_user(7)?;
            session.set_cart(vec!["tea".into()])?;
            session.update_user(|user| *user = Some(7))?;
            session.update_cart(|cart| cart.retain(|_| true))?;
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
async fn a_default_value_that_is_set_is_stored() {
    let app = App::new();
    let alice = app.browser();
    let reply = alice.act(|s| Ok(s.set_visits(0)?)).await;
    assert!(reply.cookie().is_some());
    assert_eq!(alice.ask(|s| Ok(s.keys())).await, ["shop.visits"]);
}

fn fail(status: StatusCode) -> poem::Result<()> {
    Err(poem::Error::from_string("an error", status))
}

/// Conformance 1.16
#[tokio::test]
async fn an_error_response_below_500_keeps_the_changes() {
    let app = App::new();
    for status in [302, 303, 400, 401, 404, 409, 422, 499] {
        let alice = app.browser();
        let status = StatusCode::from_u16(status).expect("a status");
        let reply = alice
            .act(move |session| {
                session.set_user(7)?;
                fail(status)
            })
            .await;
        assert_eq!(reply.status, status);
        assert!(reply.cookie().is_some(), "{status}");
        assert_eq!(reply.header("cache-control"), Some("no-store"));
        assert_eq!(alice.user().await, Some(7), "{status}");
    }
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
async fn a_5xx_response_drops_the_changes_whether_returned_or_an_error() {
    let app = App::new();
    let alice = app.sign_in().await;
    let id = alice.signed_id();
    app.store.calls();
    let error = alice
        .act(|session| {
            session.set_user(8)?;
            fail(StatusCode::BAD_GATEWAY)
        })
        .await;
    let returned = alice
        .act(|session| {
            session.set_user(9)?;
            Ok(StatusCode::INTERNAL_SERVER_ERROR)
        })
        .await;
    for reply in [error, returned] {
        assert!(reply.status.is_server_error());
        assert_eq!(reply.cookie(), None);
    }
    assert_eq!(app.store.calls(), [Op::Load, Op::Load]);
    for end in ENDS {
        let reply = alice
            .act(move |session| {
                end(session);
                fail(StatusCode::INTERNAL_SERVER_ERROR)
            })
            .await;
        assert_eq!(reply.cookie(), None);
    }
    assert_eq!(alice.ask(|s| Ok((s.id(), s.user()?))).await, (id, Some(7)));
}

/// Conformance 1.16
#[tokio::test]
async fn an_early_save_before_a_5xx_response_stays_and_its_cookie_is_sent() {
    let app = App::new();
    let alice = app.browser();
    let reply = alice
        .visit(|session| async move {
            session.set_user(7)?;
            session.save().await?;
            session.set_user(8)?;
            fail(StatusCode::INTERNAL_SERVER_ERROR)
        })
        .await;
    assert!(reply.status.is_server_error());
    assert!(reply.cookie().is_some());
    assert_eq!(alice.user().await, Some(7));
}

/// Conformance 1.16
#[tokio::test]
async fn a_panic_drops_the_changes_whether_caught_inside_or_outside_of_the_middleware() {
    fn panics(session: &Session<Shop>) -> poem::Result<()> {
        session.set_user(8)?;
        panic!("a mistake in a handler")
    }
    for inside in [true, false] {
        let app = if inside {
            App::serving(Scripted.with(CatchPanic::new()), settings)
        } else {
            App::new()
        };
        let alice = app.sign_in().await;
        app.store.calls();
        if inside {
            let reply = alice.act(panics).await;
            assert_eq!((reply.status.as_u16(), reply.cookie()), (500, None));
        } else {
            let tab = alice.clone();
            let panicked = tokio::spawn(async move { tab.act(panics).await }).await;
            assert!(panicked.is_err());
        }
        assert_eq!(app.store.calls(), [Op::Load]);
        assert_eq!(alice.user().await, Some(7));
    }
}

/// Conformance 1.1, 1.15
#[tokio::test]
async fn an_early_save_is_not_repeated_after_the_handler() {
    let app = App::new();
    let alice = app.browser();
    let reply = alice
        .visit(|session| async move {
            session.set_user(7)?;
            session.save().await?;
            Ok(session.save().await?)
        })
        .await;
    assert!(reply.cookie().is_some());
    assert_eq!(app.store.calls(), [Op::Create]);
    app.pass(Duration::from_mins(5));
    let reply = alice
        .visit(|session| async move {
            session.set_user(8)?;
            session.save().await?;
            Ok(session.set_user(9)?)
        })
        .await;
    assert!(reply.cookie().is_some());
    assert_eq!(app.store.calls(), [Op::Load, Op::Replace, Op::Replace]);
    assert_eq!(alice.user().await, Some(9));
}

/// Conformance 1.15
#[tokio::test]
async fn after_an_early_save_only_changes_of_the_saved_values_are_written() {
    let app = App::new();
    let alice = app.browser();
    alice.act(|s| Ok(s.set_visits(1)?)).await;
    app.store.calls();
    app.pass(Duration::from_mins(5));
    alice
        .visit(|session| async move {
            session.set_visits(2)?;
            session.save().await?;
            session.set_visits(3)?;
            Ok(session.set_visits(2)?)
        })
        .await;
    // The last load confirms that the id of the early save is still the newest one.
    assert_eq!(app.store.calls(), [Op::Load, Op::Replace, Op::Load]);
    app.pass(Duration::from_mins(20));
    alice
        .visit(|session| async move { Ok(session.save().await?) })
        .await;
    assert_eq!(app.store.calls(), [Op::Load, Op::Touch, Op::Load]);
}
