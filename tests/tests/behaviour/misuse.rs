//! What a handler should not do, and what it may do though it looks odd.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
    mpsc,
};

use futures_util::future::BoxFuture;
use poem::{Route, get, handler};
use poem_session::{
    ExtractError, RequestError, Session, SessionData, Sessions, store::MemoryStore,
};

use crate::support::{App, Browser, Op, Shop, settings};

async fn sign_in(app: &App) -> Browser {
    let alice = app.browser();
    alice.act(|s| Ok(s.set_user(7)?)).await;
    alice
}

/// Does something while a save of the same request is on its way to the store.
async fn during_a_save(app: &App, alice: &Browser, act: fn(&Session<Shop>) -> poem::Result<()>) {
    let mut paused = app.store.pause(Op::Replace);
    let reply = alice
        .visit(move |session| async move {
            session.set_user(8)?;
            let saver = session.clone();
            let save = tokio::spawn(async move { saver.save().await });
            paused.arrived().await;
            act(&session)?;
            paused.release();
            save.await.expect("no panic")?;
            Ok(())
        })
        .await;
    assert_eq!(reply.status, 200);
}

/// Conformance 1.9
#[tokio::test]
async fn a_destroy_during_a_save_is_not_forgotten() {
    let app = App::new();
    let alice = sign_in(&app).await;
    let thief = alice.fork();
    during_a_save(&app, &alice, |session| {
        session.destroy();
        Ok(())
    })
    .await;
    assert_eq!(alice.id(), None);
    assert_eq!(thief.ask(|s| Ok(s.user()?)).await, None);
}

/// Conformance 1.11, 5.2
#[tokio::test]
async fn a_regenerate_during_a_save_is_not_forgotten() {
    let app = App::new();
    let alice = sign_in(&app).await;
    let old = alice.fork();
    during_a_save(&app, &alice, |session| {
        session.regenerate();
        Ok(())
    })
    .await;
    assert_ne!(alice.id(), old.id());
    assert_eq!(old.ask(|s| Ok(s.user()?)).await, None);
    assert_eq!(alice.ask(|s| Ok(s.user()?)).await, Some(8));
}

/// Conformance 1.12
#[tokio::test]
async fn a_reset_during_a_save_is_not_forgotten() {
    let app = App::new();
    let alice = sign_in(&app).await;
    during_a_save(&app, &alice, |session| {
        session.reset();
        Ok(session.set_visits(1)?)
    })
    .await;
    let found = alice.ask(|s| Ok((s.user()?, s.visits()?))).await;
    assert_eq!(found, (None, 1));
}

/// Conformance 1.1
#[tokio::test]
async fn a_value_set_during_a_save_is_not_forgotten() {
    let app = App::new();
    let alice = sign_in(&app).await;
    // Another value, and the one that was stored before.
    during_a_save(&app, &alice, |s| Ok(s.set_user(9)?)).await;
    assert_eq!(alice.ask(|s| Ok(s.user()?)).await, Some(9));
    alice.act(|s| Ok(s.set_user(7)?)).await;
    during_a_save(&app, &alice, |s| Ok(s.set_user(7)?)).await;
    assert_eq!(alice.ask(|s| Ok(s.user()?)).await, Some(7));
}

/// Conformance 1.1
#[tokio::test]
async fn a_key_removed_during_a_save_is_not_forgotten() {
    let app = App::new();
    let alice = app.browser();
    alice.act(|s| Ok(s.set_visits(1)?)).await;
    // The save is the one that stores it for the first time.
    during_a_save(&app, &alice, |session| {
        session.remove_user();
        Ok(())
    })
    .await;
    assert_eq!(alice.ask(|s| Ok(s.user()?)).await, None);
}

/// Conformance 2.2
#[tokio::test]
async fn an_update_during_a_save_is_counted_once() {
    let app = App::new();
    let alice = sign_in(&app).await;
    alice
        .act(|s| Ok(s.update_visits(|visits| *visits += 1)?))
        .await;
    during_a_save(&app, &alice, |session| {
        session.update_visits(|visits| *visits += 10)?;
        Ok(session.update_user(|user| *user = user.map(|n| n + 100))?)
    })
    .await;
    let found = alice.ask(|s| Ok((s.visits()?, s.user()?))).await;
    assert_eq!(found, (11, Some(108)));
}

/// Conformance 1.1
#[tokio::test]
async fn saves_at_the_same_time_write_once() {
    let app = App::new();
    let alice = sign_in(&app).await;
    app.store.calls();
    let reply = alice
        .visit(|session| async move {
            session.update_visits(|visits| *visits += 1)?;
            let (one, two, three) = tokio::join!(session.save(), session.save(), session.save());
            one?;
            two?;
            three?;
            Ok(())
        })
        .await;
    assert_eq!(reply.status, 200);
    // The last one looks whether the id is still the client's newest, since the save was long ago.
    assert_eq!(app.store.calls(), [Op::Load, Op::Replace, Op::Load]);
    assert_eq!(alice.ask(|s| Ok(s.visits()?)).await, 1);
}

/// Conformance 1.1
#[tokio::test]
async fn the_same_session_is_loaded_once_by_tasks_that_ask_at_the_same_time() {
    let app = App::new();
    let alice = sign_in(&app).await;
    let session = app
        .sessions
        .open::<Shop>(&alice.signed_id())
        .await
        .expect("it lives");
    let tasks = (0..8).map(|_| {
        let session = session.clone();
        tokio::spawn(async move {
            for _ in 0..100 {
                session
                    .update_visits(|visits| *visits += 1)
                    .expect("it fits");
            }
            session.save().await
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.expect("no panic").expect("the store works");
    }
    assert_eq!(alice.ask(|s| Ok(s.visits()?)).await, 800);
}

/// Conformance 2.2
#[tokio::test]
async fn an_update_that_another_thread_overtakes_runs_again() {
    let app = App::new();
    let session = app.sessions.create::<Shop>().expect("no key clashes");
    let (inside, entered) = mpsc::channel();
    let (go, gone) = mpsc::channel();
    let slow = session.clone();
    let thread = std::thread::spawn(move || {
        let mut runs = 0;
        slow.update_visits(move |visits| {
            runs += 1;
            if runs == 1 {
                inside.send(()).expect("the test waits");
                gone.recv().expect("the test goes on");
            }
            *visits += 1;
        })
    });
    entered.recv().expect("the closure runs");
    session
        .update_visits(|visits| *visits += 10)
        .expect("it fits");
    go.send(()).expect("the closure waits");
    thread.join().expect("no panic").expect("it fits");
    assert_eq!(session.visits(), Ok(11));
}

/// Conformance 2.2
#[tokio::test]
async fn an_update_closure_may_use_other_keys_of_the_session() {
    let app = App::new();
    let alice = sign_in(&app).await;
    let found = alice
        .ask(|session| {
            let inner = session.clone();
            session.update_visits(move |visits| {
                let user = inner.user().expect("it decodes").unwrap_or_default();
                inner.set_cart(vec!["tea".into()]).expect("it fits");
                *visits += user;
            })?;
            Ok((session.visits()?, session.cart()?))
        })
        .await;
    assert_eq!(found, (7, vec!["tea".into()]));
}

/// Conformance 2.2
#[tokio::test]
async fn an_update_closure_that_changes_its_own_key_does_not_run_for_ever() {
    let app = App::new();
    let alice = sign_in(&app).await;
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&runs);
    let error = alice
        .ask(move |session| {
            let inner = session.clone();
            let outcome = session.update_visits(move |visits| {
                let run = counted.fetch_add(1, Ordering::SeqCst);
                assert!(run < 10_000, "it runs for ever");
                inner.update_visits(|visits| *visits += 1).expect("it fits");
                *visits += 1;
            });
            Ok(outcome.expect_err("neither change is to be lost"))
        })
        .await;
    assert!(error.to_string().contains("shop.visits"), "{error}");
    assert!(runs.load(Ordering::SeqCst) < 10_000);
}

/// Conformance 1.16, 2.2
#[tokio::test]
async fn an_update_closure_that_panics_leaves_the_session_usable() {
    let app = App::new();
    let alice = sign_in(&app).await;
    let session = app
        .sessions
        .open::<Shop>(&alice.signed_id())
        .await
        .expect("it lives");
    let worker = session.clone();
    let panicked = tokio::spawn(async move {
        worker
            .update_visits(|_| panic!("a closure's own fault"))
            .ok();
    })
    .await;
    assert!(panicked.is_err());
    session
        .update_visits(|visits| *visits += 1)
        .expect("it fits");
    session.save().await.expect("nothing is stuck");
    assert_eq!(alice.ask(|s| Ok(s.visits()?)).await, 1);
}

/// Conformance 1.16, 2.2
#[tokio::test]
async fn an_update_closure_that_panics_on_the_newer_value_overwrites_nothing() {
    let app = App::new();
    let alice = sign_in(&app).await;
    let session = app
        .sessions
        .open::<Shop>(&alice.signed_id())
        .await
        .expect("it lives");
    session
        .update_visits(|visits| {
            assert!(*visits < 10, "a closure's own fault");
            *visits += 1;
        })
        .expect("it fits");
    alice.act(|s| Ok(s.set_visits(10)?)).await;
    let saver = session.clone();
    let first = tokio::spawn(async move { saver.save().await }).await;
    assert!(first.is_err(), "it panics where it is saved");
    // Whatever a second try comes to, what the other request wrote is not replaced by an older value.
    let saver = session.clone();
    let _ = tokio::spawn(async move { saver.save().await }).await;
    assert_eq!(alice.ask(|s| Ok(s.visits()?)).await, 10);
}

/// Conformance 1.25, 2.1
#[tokio::test]
async fn an_update_closure_that_cannot_read_the_newer_value_is_an_error_and_overwrites_nothing() {
    let app = App::new();
    let alice = sign_in(&app).await;
    let slow = alice
        .start(|s| Ok(s.update_visits(|visits| *visits += 1)?))
        .await;
    let text = b"\x81\xabshop.visits\xa4many";
    let id = alice.signed_id();
    app.store.plant(&id, &text[..], app.now()).await;
    let reply = slow.finish().await;
    assert_eq!((reply.status.as_u16(), reply.cookie()), (500, None));
    let record = app.store.record(&id, app.now()).await.expect("it is there");
    assert_eq!(record.data, &text[..]);
}

/// Whether what a request's update closure held is let go of when the request is over.
async fn lets_go(end: fn(&App, &Browser) -> BoxFuture<'static, ()>, status: u16) {
    let app = App::new();
    let alice = sign_in(&app).await;
    let held = Arc::new(());
    let token = Arc::clone(&held);
    let request = alice
        .fork()
        .start(move |session| {
            let inner = session.clone();
            session.update_visits(move |visits| {
                let _ = (&token, inner.is_new());
                *visits += 1;
            })?;
            Ok(())
        })
        .await;
    end(&app, &alice).await;
    assert_eq!(request.finish().await.status.as_u16(), status);
    assert_eq!(
        Arc::strong_count(&held),
        1,
        "{status}: a session that holds itself"
    );
}

/// Conformance 5.13
#[tokio::test]
async fn an_update_closure_that_holds_its_session_is_let_go_of_when_the_request_is_over() {
    lets_go(|_, _| Box::pin(async {}), 200).await;
    lets_go(
        |_, alice| {
            let alice = alice.clone();
            Box::pin(async move {
                alice.does(Session::destroy).await;
            })
        },
        409,
    )
    .await;
    lets_go(
        |app, _| {
            app.store.fail(&[Op::Replace]);
            Box::pin(async {})
        },
        503,
    )
    .await;
}

/// A struct that claims a key of `Shop`.
#[derive(SessionData)]
#[session(namespace = "shop")]
struct Intruder {
    user: Option<String>,
}

/// Another that reads one by an old name.
#[derive(SessionData)]
#[session(namespace = "old")]
struct Alias {
    #[session(alias = "shop.cart")]
    cart: Option<String>,
}

#[handler]
async fn use_shop(shop: Session<Shop>) -> poem::Result<()> {
    Ok(shop.set_user(7)?)
}

#[handler]
async fn use_intruder(intruder: Session<Intruder>) -> poem::Result<String> {
    Ok(format!("{:?}", intruder.user()?))
}

#[handler]
async fn use_alias(alias: Session<Alias>) -> poem::Result<String> {
    Ok(format!("{:?}", alias.cart()?))
}

/// Conformance 3.1
#[tokio::test]
async fn two_structs_that_claim_one_key_are_found_at_first_use_with_both_names() {
    for path in ["/intruder", "/alias"] {
        let routes = Route::new()
            .at("/shop", get(use_shop))
            .at("/intruder", get(use_intruder))
            .at("/alias", get(use_alias));
        let app = App::serving(routes, |builder| {
            builder.on_error(|error| {
                let RequestError::Extract(ExtractError::KeyClash(clash)) = error else {
                    panic!("{error:?}");
                };
                poem::Response::builder()
                    .status(poem::http::StatusCode::INTERNAL_SERVER_ERROR)
                    .body(clash.to_string())
            })
        });
        let alice = app.browser();
        assert_eq!(alice.get("/shop").await.status, 200);
        let reply = alice.get(path).await;
        assert_eq!(reply.status, 500);
        for part in ["`Shop`", "shop.", "namespace"] {
            assert!(reply.body.contains(part), "{}", reply.body);
        }
        let name = if path == "/alias" {
            "`Alias`"
        } else {
            "`Intruder`"
        };
        assert!(reply.body.contains(name), "{}", reply.body);
        // The first one goes on.
        assert_eq!(alice.get("/shop").await.status, 200);
    }
}

/// Conformance 3.1
#[tokio::test]
async fn a_struct_that_clashes_with_one_named_at_start_up_is_refused_from_the_first_request() {
    let routes = Route::new().at("/intruder", get(use_intruder));
    let app = App::serving(routes, poem_session::SessionsBuilder::data::<Shop>);
    assert_eq!(app.browser().get("/intruder").await.status, 500);
    let opened = app.sessions.create::<Intruder>().map(drop);
    assert!(opened.is_err());
    let built = Sessions::builder(MemoryStore::new())
        .data::<Shop>()
        .data::<Intruder>()
        .build();
    let error = built.expect_err("they clash").to_string();
    assert!(
        error.contains("`Shop`") && error.contains("`Intruder`"),
        "{error}"
    );
}

/// Conformance 3.1
#[tokio::test]
async fn one_struct_may_be_named_and_used_as_often_as_one_likes() {
    let routes = Route::new().at("/shop", get(use_shop));
    let app = App::serving(routes, |builder| {
        settings(builder).data::<Shop>().data::<(Shop,)>()
    });
    for _ in 0..3 {
        assert_eq!(app.browser().get("/shop").await.status, 200);
    }
}
