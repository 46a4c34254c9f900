//! Exclusive sections of a session.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use poem::{EndpointExt, Route, get, web::Data};
use poem_session::{
    LockError, SaveError, Session,
    clock::ManualClock,
    session,
    store::{LockOwner, Locked, SessionStore},
};
use tokio::{
    sync::{Notify, oneshot},
    task::JoinHandle,
};

use crate::support::{App, Browser, Op, Reply, Scripted, Shop, settings};

const LEASE: Duration = Duration::from_secs(15);

/// Locks the session in a job, which appends to the cart that it has read when it is notified.
async fn hold(app: &App, alice: &Browser, name: &'static str) -> (Arc<Notify>, JoinHandle<()>) {
    let session = app.open(alice).await;
    let go = Arc::new(Notify::new());
    let proceed = Arc::clone(&go);
    let lock = session.lock().await.expect("the lock is free");
    let job = tokio::spawn(async move {
        let cart = session.cart().expect("it decodes");
        proceed.notified().await;
        session
            .set_cart([cart, vec![name.into()]].concat())
            .expect("it fits");
        session.save().await.expect("the store works");
        drop(lock);
    });
    (go, job)
}

/// Sends a request whose handler locks the session, reads the cart and appends to it.
fn append(alice: &Browser, name: &'static str) -> JoinHandle<Reply> {
    let alice = alice.clone();
    tokio::spawn(async move {
        alice
            .visit(move |session| async move {
                let lock = session.lock().await.map_err(poem::Error::from)?;
                let cart = session.cart()?;
                session.set_cart([cart, vec![name.into()]].concat())?;
                session.save().await?;
                drop(lock);
                Ok(())
            })
            .await
    })
}

/// Conformance 2.6
#[tokio::test(start_paused = true)]
async fn exclusive_sections_of_one_process_do_not_overlap() {
    let app = App::new();
    let alice = app.sign_in().await;
    let (go, first) = hold(&app, &alice, "first").await;
    let second = append(&alice, "second");
    let third = append(&alice, "third");
    app.store.calls();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!second.is_finished() && !third.is_finished());
    // The waiting requests of this process make no store calls.
    assert_eq!(app.store.calls(), [Op::Load, Op::Load]);
    go.notify_one();
    first.await.expect("no panic");
    for request in [second, third] {
        assert_eq!(request.await.expect("no panic").status, 200);
    }
    assert_eq!(alice.cart().await, ["first", "second", "third"]);
}

/// Conformance 2.6
#[tokio::test(start_paused = true)]
async fn exclusive_sections_of_two_processes_do_not_overlap() {
    let app = App::new();
    let other = app.redeployed(settings);
    let alice = app.sign_in().await;
    let (go, first) = hold(&app, &alice, "first").await;
    let second = append(&alice.at(&other), "second");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!second.is_finished());
    go.notify_one();
    first.await.expect("no panic");
    assert_eq!(second.await.expect("no panic").status, 200);
    assert_eq!(alice.cart().await, ["first", "second"]);
}

/// Conformance 2.6
#[tokio::test(start_paused = true)]
async fn a_lock_blocks_neither_requests_without_a_lock_nor_other_sessions() {
    let app = App::new();
    let (alice, bob) = (app.sign_in().await, app.sign_in().await);
    let (go, first) = hold(&app, &alice, "first").await;
    alice.act(|s| Ok(s.set_visits(5)?)).await;
    assert_eq!(append(&bob, "bob's").await.expect("no panic").status, 200);
    go.notify_one();
    first.await.expect("no panic");
    let found = alice.ask(|s| Ok((s.visits()?, s.cart()?))).await;
    assert_eq!(found, (5, vec!["first".into()]));
}

/// Conformance 2.6
#[tokio::test(start_paused = true)]
async fn all_locks_of_one_request_share_one_lease() {
    let app = App::new();
    let alice = app.sign_in().await;
    let reply = alice
        .visit(|session| async move {
            // Each guard is held until the other one is there.
            let (one, two) = tokio::join!(session.lock(), session.lock());
            let both = (
                one.map_err(poem::Error::from)?,
                two.map_err(poem::Error::from)?,
            );
            drop(both);
            Ok(())
        })
        .await;
    assert_eq!(reply.status, 200);
    let reply = alice
        .visit(|session| async move {
            let one = session.lock().await.map_err(poem::Error::from)?;
            let two = session.lock().await.map_err(poem::Error::from)?;
            drop(one);
            session.set_visits(1)?;
            session.save().await?;
            drop(two);
            // The lease is being released, so both wait.
            let (one, two) = tokio::join!(session.lock(), session.lock());
            one.and(two).map(drop).map_err(poem::Error::from)
        })
        .await;
    assert_eq!(reply.status, 200);
}

/// Takes the lock for a process that has crashed.
async fn crashed_holder(app: &App, alice: &Browser) {
    let until = app.now().saturating_add(LEASE);
    let key = alice.signed_id().public();
    let locked = app
        .store
        .watched()
        .lock(key, LockOwner::random(), until, app.now())
        .await;
    assert_eq!(locked.ok(), Some(Locked::Acquired));
}

/// Conformance 2.6
#[tokio::test(start_paused = true)]
async fn a_request_gets_the_lock_when_the_lease_of_a_crashed_holder_expires() {
    let app = App::new();
    let alice = app.sign_in().await;
    crashed_holder(&app, &alice).await;
    let mut asked = app.store.pause(Op::Lock);
    let waiting = append(&alice, "after the crash");
    asked.arrived().await;
    asked.release();
    // The first attempt is refused. The lease expires before the second.
    let mut again = app.store.pause(Op::Lock);
    again.arrived().await;
    app.pass(LEASE);
    again.release();
    assert_eq!(waiting.await.expect("no panic").status, 200);
    assert_eq!(alice.cart().await, ["after the crash"]);
}

/// Conformance 2.6
#[tokio::test(start_paused = true)]
async fn waiting_for_a_lock_ends_with_an_error_after_lock_timeout() {
    let app = App::with(|builder| builder.lock_timeout(Duration::from_secs(2)));
    let alice = app.sign_in().await;
    crashed_holder(&app, &alice).await;
    let began = tokio::time::Instant::now();
    let reply = append(&alice, "never").await.expect("no panic");
    // The clock is paused, so that this is the exact time.
    assert_eq!(began.elapsed().as_secs(), 2);
    assert_eq!(reply.status, 503);
    assert_eq!(reply.body, "Service Unavailable");
    let session = app.open(&alice).await;
    let error = session.lock().await.expect_err("it is held");
    assert!(matches!(error, LockError::TimedOut { .. }), "{error}");
    assert!(error.to_string().contains("2s"), "{error}");
    assert_eq!(alice.cart().await, Vec::<String>::new());
}

/// Conformance 2.6
#[tokio::test(start_paused = true)]
async fn a_save_after_the_lease_is_lost_is_refused_if_it_has_changes() {
    for has_changes in [true, false] {
        let app = App::new();
        let alice = app.sign_in().await;
        let session = app.open(&alice).await;
        let lock = session.lock().await.expect("the lock is free");
        if has_changes {
            session.set_cart(vec!["too late".into()]).expect("it fits");
        }
        // The process stops for longer than its lease.
        app.pass(LEASE);
        let saved = session.save().await;
        assert_eq!(saved.is_ok(), !has_changes, "{saved:?}");
        assert!(matches!(saved, Ok(()) | Err(SaveError::LeaseLost)));
        drop(lock);
        assert_eq!(alice.cart().await, Vec::<String>::new());
    }
}

/// Conformance 2.6
#[tokio::test(start_paused = true)]
async fn a_running_holder_renews_its_lease() {
    let app = App::new();
    let alice = app.sign_in().await;
    let (go, first) = hold(&app, &alice, "first").await;
    for _ in 0..10 {
        // Both clocks advance by a third of the lease.
        app.pass(LEASE / 3);
        tokio::time::sleep(LEASE / 3 + Duration::from_millis(1)).await;
    }
    go.notify_one();
    first.await.expect("it could save");
    assert_eq!(alice.cart().await, ["first"]);
}

/// Conformance 2.6
#[tokio::test(start_paused = true)]
async fn a_session_that_ends_while_a_request_waits_for_its_lock_is_a_conflict() {
    let app = App::new();
    let alice = app.sign_in().await;
    let session = app.open(&alice).await;
    let lock = session.lock().await.expect("the lock is free");
    let waiting = append(&alice.fork(), "never");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!waiting.is_finished());
    session.destroy();
    session.save().await.expect("the store works");
    drop(lock);
    assert_eq!(waiting.await.expect("no panic").status, 409);
}

/// Conformance 2.6
#[tokio::test(start_paused = true)]
async fn a_handler_that_panics_or_is_dropped_releases_its_lock() {
    let app = App::new();
    let alice = app.sign_in().await;
    let tab = alice.clone();
    let panicked = tokio::spawn(async move {
        tab.visit(|session| async move {
            let _lock = session.lock().await.map_err(poem::Error::from)?;
            assert_eq!(session.user()?, Some(8), "a mistake in a handler");
            Ok(())
        })
        .await
    });
    assert!(panicked.await.is_err());
    let (sender, receiver) = oneshot::channel();
    let tab = alice.clone();
    let gone = tokio::spawn(async move {
        tab.visit(|session| async move {
            let _lock = session.lock().await.map_err(poem::Error::from)?;
            let _ = sender.send(());
            std::future::pending::<poem::Result<()>>().await
        })
        .await
    });
    receiver.await.expect("it gets the lock");
    gone.abort();
    assert_eq!(append(&alice, "next").await.expect("no panic").status, 200);
}

#[session(exclusive)]
async fn exclusive_append(shop: Session<Shop>) -> poem::Result<()> {
    let cart = shop.cart()?;
    let name = cart.len().to_string();
    tokio::task::yield_now().await;
    Ok(shop.set_cart([cart, vec![name]].concat())?)
}

#[session(exclusive)]
async fn exclusive_visitor(shop: Session<Shop>) -> poem::Result<String> {
    Ok(shop.is_new().to_string())
}

/// The session that a handler leaves for a task.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Option<Session<Shop>>>>);

#[session(exclusive)]
async fn exclusive_keep(shop: Session<Shop>, kept: Data<&Kept>) {
    *kept.0.0.lock().expect("no panic") = Some(shop);
}

fn exclusive_app(kept: &Kept) -> App {
    let routes = Route::new()
        .at("/", Scripted)
        .at("/append", get(exclusive_append))
        .at("/visitor", get(exclusive_visitor))
        .at("/keep", get(exclusive_keep));
    App::serving(routes.data(kept.clone()), settings)
}

/// Conformance 2.6
#[tokio::test(start_paused = true)]
async fn the_exclusive_option_ends_with_the_request_even_if_a_task_keeps_the_session() {
    let kept = Kept::default();
    let app = exclusive_app(&kept);
    let alice = app.sign_in().await;
    assert_eq!(alice.get("/keep").await.status, 200);
    assert!(kept.0.lock().expect("no panic").is_some());
    assert_eq!(alice.get("/append").await.status, 200);
}

/// Conformance 2.6
#[tokio::test(start_paused = true)]
async fn the_exclusive_option_runs_the_requests_of_a_session_one_at_a_time() {
    let app = exclusive_app(&Kept::default());
    let alice = app.sign_in().await;
    let requests = (0..10).map(|_| {
        let alice = alice.clone();
        tokio::spawn(async move { alice.get("/append").await })
    });
    for request in requests.collect::<Vec<_>>() {
        assert_eq!(request.await.expect("no panic").status, 200);
    }
    let expected: Vec<String> = (0..10).map(|n| n.to_string()).collect();
    assert_eq!(alice.cart().await, expected);
    // Without a session there is nothing to lock.
    assert_eq!(app.browser().get("/visitor").await.body, "true");
}

/// Conformance 2.6
#[tokio::test(start_paused = true)]
async fn a_session_that_is_gone_at_the_lock_causes_no_further_store_call() {
    let app = exclusive_app(&Kept::default());
    let alice = app.sign_in().await;
    // A touch is due.
    app.pass(Duration::from_mins(10));
    let mut lock = app.store.pause(Op::Lock);
    let late = alice.fork();
    let late = tokio::spawn(async move { late.get("/append").await });
    lock.arrived().await;
    app.sessions.clear().await.expect("the store works");
    app.store.calls();
    lock.release();
    let reply = late.await.expect("no panic");
    assert_eq!((reply.status.as_u16(), reply.cookie()), (409, None));
    assert_eq!(app.store.calls(), []);
}

/// Conformance 2.12
#[tokio::test(start_paused = true)]
async fn a_lock_whose_guard_is_dropped_with_unsaved_changes_lasts_until_they_are_saved() {
    let hour = Duration::from_hours(1);
    let app = App::with(|builder| builder.store_timeout(hour).lock_lease(hour * 2));
    let alice = app.sign_in().await;
    let mut save = app.store.pause(Op::Replace);
    let tab = alice.clone();
    let adding = tokio::spawn(async move {
        tab.visit(|session| async move {
            let _lock = session.lock().await?;
            let visits = session.visits()?;
            Ok(session.set_visits(visits + 1)?)
        })
        .await
    });
    save.arrived().await;
    let other = app.open(&alice).await;
    let error = other.lock().await.expect_err("the changes are not saved");
    assert!(matches!(error, LockError::TimedOut { .. }), "{error}");
    save.release();
    assert_eq!(adding.await.expect("no panic").status, 200);
    let _lock = other.lock().await.expect("the changes are saved");
    assert_eq!(other.visits(), Ok(1));
}

/// Conformance 2.12
#[tokio::test(start_paused = true)]
async fn the_lock_of_a_cancelled_request_ends_although_a_task_has_its_session() {
    let app = App::serving(
        Route::new().at("/", Scripted).at("/wait", get(wait)),
        settings,
    );
    let alice = app.sign_in().await;
    let waiting = alice.clone();
    let request = tokio::spawn(async move { waiting.get("/wait").await });
    while KEPT.lock().expect("no panic").is_none() {
        tokio::task::yield_now().await;
    }
    request.abort();
    drop(request.await);
    let other = app.open(&alice).await;
    let _lock = other.lock().await.expect("the request is over");
}

/// Keeps the session of a request, as a task would.
static KEPT: Mutex<Option<Session<Shop>>> = Mutex::new(None);

#[session(exclusive)]
async fn wait(session: Session<Shop>) {
    *KEPT.lock().expect("no panic") = Some(session);
    std::future::pending::<()>().await;
}

/// An application whose clock is ahead by longer than a lease.
fn ahead(app: &App) -> App {
    let clock = Arc::new(ManualClock::new());
    clock.advance(LEASE * 2);
    app.redeployed(|builder| builder.clock(clock))
}

/// Conformance 2.12
#[tokio::test(start_paused = true)]
async fn a_holder_whose_lease_another_clock_has_ended_does_not_write() {
    for is_renewed in [false, true] {
        let app = App::new();
        let alice = app.sign_in().await;
        let session = app.open(&alice).await;
        let _lock = session.lock().await.expect("the lock is free");
        let next = ahead(&app).open(&alice).await;
        let _next_lock = next.lock().await.expect("the lease has expired");
        next.set_visits(5).expect("it fits");
        next.save().await.expect("it holds the lock");
        if is_renewed {
            tokio::time::sleep(LEASE / 2).await;
        }
        app.store.calls();
        session.set_user(9).expect("it fits");
        let error = session
            .save()
            .await
            .expect_err("another request holds the lock");
        assert!(matches!(error, SaveError::LeaseLost), "{error}");
        let calls = app.store.calls();
        let expected: &[Op] = if is_renewed {
            &[]
        } else {
            &[Op::Replace, Op::Lock]
        };
        assert_eq!(calls, expected);
        assert_eq!(alice.user().await, Some(7));
    }
}

/// Conformance 2.12
#[tokio::test]
async fn a_lock_whose_guard_is_dropped_ends_with_the_save_of_the_changes() {
    let app = App::new();
    let alice = app.sign_in().await;
    let session = app.open(&alice).await;
    let lock = session.lock().await.expect("nobody holds it");
    session.set_visits(1).expect("it fits");
    drop(lock);
    session.save().await.expect("it is live");
    let other = app.open(&alice).await;
    drop(other.lock().await.expect("it is released"));
    assert_eq!(session.visits(), Ok(1), "the handle still exists");
}
