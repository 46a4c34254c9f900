//! Unusual uses of a session: changes during a save, several tasks, update closures that panic or use the session,
//! and structs that claim the same key.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    time::Duration,
};

use poem::{Route, get, handler};
use poem_session::{
    ExtractError, RequestError, Session, SessionData, Sessions, store::MemoryStore,
};

use crate::support::{App, Op, Shop, count};

type Act = fn(&Session<Shop>);

/// Conformance 1.15, 2.9
#[tokio::test]
async fn a_change_back_to_the_loaded_value_during_a_save_is_saved() {
    let app = App::new();
    let alice = app.sign_in().await;
    alice.act(|s| Ok(s.set_visits(1)?)).await;
    let session = app.open(&alice).await;
    let save = || {
        let session = session.clone();
        tokio::spawn(async move { session.save().await })
    };
    session.set_visits(2).expect("it fits");
    let mut write = app.store.pause(Op::Replace);
    let first = save();
    write.arrived().await;
    session.set_visits(1).expect("it fits");
    let second = save();
    tokio::task::yield_now().await;
    write.release();
    for saved in [first, second] {
        saved.await.expect("no panic").expect("it is live");
    }
    assert_eq!(app.open(&alice).await.visits(), Ok(1));
}

/// Conformance 1.1, 1.9, 1.11, 1.12, 2.2, 5.2
#[tokio::test]
async fn changes_made_during_a_save_are_saved_after_it() {
    let reset_and_set: Act = |session| {
        session.reset();
        session.set_visits(2).expect("it fits");
    };
    let update_both: Act = |session| {
        let updated = session.update_visits(|visits| *visits += 10);
        updated.expect("it fits");
        let updated = session.update_user(|user| *user = user.map(|n| n + 100));
        updated.expect("it fits");
    };
    // The change, and the user and the visits after it. The save sets user 8 and one visit.
    let cases: [(Act, Option<u64>, u64); 7] = [
        (Session::destroy, None, 0),
        (Session::regenerate, Some(8), 1),
        (reset_and_set, None, 2),
        (|s| s.set_user(9).expect("it fits"), Some(9), 1),
        // This is the stored value when the save begins.
        (|s| s.set_user(7).expect("it fits"), Some(7), 1),
        (|s| s.remove_visits(), Some(8), 0),
        (update_both, Some(108), 11),
    ];
    for (case, (change, user, visits)) in cases.into_iter().enumerate() {
        let app = App::new();
        let alice = app.sign_in().await;
        let old = alice.fork();
        let mut paused = app.store.pause(Op::Replace);
        let reply = alice
            .visit(move |session| async move {
                session.set_user(8)?;
                session.update_visits(|visits| *visits += 1)?;
                let saver = session.clone();
                let save = tokio::spawn(async move { saver.save().await });
                paused.arrived().await;
                change(&session);
                paused.release();
                Ok(save.await.expect("no panic")?)
            })
            .await;
        assert_eq!(reply.status, 200, "case {case}");
        assert_eq!(alice.id().is_none(), case == 0);
        let found = alice.ask(|s| Ok((s.user()?, s.visits()?))).await;
        assert_eq!(found, (user, visits), "case {case}");
        assert_eq!(old.user().await.is_none(), case < 3, "case {case}");
    }
}

/// Conformance 1.1
#[tokio::test]
async fn concurrent_saves_of_one_request_write_once() {
    let app = App::new();
    let alice = app.sign_in().await;
    app.store.calls();
    app.pass(Duration::from_mins(5));
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
    // The last load confirms that the id is still the newest one.
    assert_eq!(app.store.calls(), [Op::Load, Op::Replace, Op::Load]);
    assert_eq!(alice.visits().await, 1);
}

/// Conformance 1.1
#[tokio::test]
async fn changes_and_saves_of_several_tasks_are_all_kept() {
    let app = App::new();
    let alice = app.sign_in().await;
    let session = app.open(&alice).await;
    let tasks = (0..8).map(|_| {
        let session = session.clone();
        tokio::spawn(async move {
            for _ in 0..100 {
                count(&session);
            }
            session.save().await
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.expect("no panic").expect("the store works");
    }
    assert_eq!(alice.visits().await, 800);
}

/// Conformance 2.2
#[tokio::test]
async fn an_update_runs_again_if_another_thread_changes_the_value_meanwhile() {
    let app = App::new();
    let session = app.create();
    let (inside, entered) = mpsc::channel();
    let (go, gone) = mpsc::channel();
    let slow = session.clone();
    let thread = std::thread::spawn(move || {
        let mut runs = 0;
        slow.update_visits(move |visits| {
            runs += 1;
            if runs == 1 {
                inside.send(()).expect("the test waits");
                gone.recv().expect("the test sends");
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
    let alice = app.sign_in().await;
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
async fn an_update_closure_that_changes_its_own_key_is_an_error() {
    let app = App::new();
    let alice = app.sign_in().await;
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&runs);
    let error = alice
        .ask(move |session| {
            let inner = session.clone();
            let outcome = session.update_visits(move |visits| {
                let run = counted.fetch_add(1, Ordering::SeqCst);
                assert!(run < 10_000, "it runs without end");
                count(&inner);
                *visits += 1;
            });
            Ok(outcome.expect_err("one change would be lost"))
        })
        .await;
    assert!(error.to_string().contains("shop.visits"), "{error}");
    assert!(runs.load(Ordering::SeqCst) < 10_000);
}

/// Conformance 1.16, 2.2
#[tokio::test]
async fn an_update_closure_that_panics_leaves_the_session_usable() {
    let app = App::new();
    let alice = app.sign_in().await;
    let session = app.open(&alice).await;
    let worker = session.clone();
    let panicked = tokio::spawn(async move {
        worker
            .update_visits(|_| panic!("a mistake in a closure"))
            .ok();
    })
    .await;
    assert!(panicked.is_err());
    count(&session);
    session.save().await.expect("nothing is stuck");
    assert_eq!(alice.visits().await, 1);
}

/// Conformance 1.16, 2.2
#[tokio::test]
async fn an_update_closure_that_panics_on_the_newer_value_overwrites_nothing() {
    let app = App::new();
    let alice = app.sign_in().await;
    let session = app.open(&alice).await;
    session
        .update_visits(|visits| {
            assert!(*visits < 10, "a mistake in a closure");
            *visits += 1;
        })
        .expect("it fits");
    alice.act(|s| Ok(s.set_visits(10)?)).await;
    let saver = session.clone();
    let first = tokio::spawn(async move { saver.save().await }).await;
    assert!(first.is_err(), "the closure panics in the save");
    // A second attempt does not write an older value either.
    let saver = session.clone();
    let _ = tokio::spawn(async move { saver.save().await }).await;
    assert_eq!(alice.visits().await, 10);
}

/// Conformance 1.25, 2.1
#[tokio::test]
async fn an_update_of_a_newer_value_that_does_not_decode_is_an_error_and_overwrites_nothing() {
    let app = App::new();
    let alice = app.sign_in().await;
    let slow = alice.start_does(count).await;
    let text = b"\x81\xabshop.visits\xa4many";
    let id = alice.signed_id();
    app.store.plant(&id, &text[..], app.now()).await;
    let reply = slow.finish().await;
    assert_eq!((reply.status.as_u16(), reply.cookie()), (500, None));
    let record = app.store.record(&id, app.now()).await.expect("it is there");
    assert_eq!(record.data, &text[..]);
}

/// Conformance 5.13
#[tokio::test]
async fn an_update_closure_that_holds_its_session_is_dropped_at_the_end_of_the_request() {
    for status in [200, 409, 503] {
        let app = App::new();
        let alice = app.sign_in().await;
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
        match status {
            409 => drop(alice.does(Session::destroy).await),
            503 => app.store.fail(&[Op::Replace]),
            _ => {}
        }
        assert_eq!(request.finish().await.status, status);
        assert_eq!(Arc::strong_count(&held), 1, "{status}: it holds itself");
    }
}

/// A struct that claims a key of `Shop`.
#[derive(SessionData)]
#[session(namespace = "shop")]
struct Intruder {
    user: Option<String>,
}

/// A struct whose alias is a key of `Shop`.
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
async fn two_structs_that_claim_one_key_are_an_error_at_first_use() {
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
        assert_eq!(alice.get("/shop").await.status, 200);
    }
}

/// Conformance 3.1
#[tokio::test]
async fn a_registered_struct_may_be_used_and_one_that_clashes_with_it_is_an_error() {
    let routes = Route::new()
        .at("/shop", get(use_shop))
        .at("/intruder", get(use_intruder));
    let app = App::serving(routes, |builder| builder.data::<Shop>().data::<(Shop,)>());
    assert_eq!(app.browser().get("/intruder").await.status, 500);
    assert_eq!(app.browser().get("/shop").await.status, 200);
    assert!(app.sessions.create::<Intruder>().is_err());
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
