//! Requests of one session that run one at a time.

use std::{sync::Arc, time::Duration};

use poem::{EndpointExt, Route, get, web::Data};
use poem_session::{
    LockError, SaveError, Session, session,
    store::{LockOwner, Locked, SessionStore},
};
use tokio::{
    sync::{Notify, oneshot},
    task::JoinHandle,
};

use crate::support::{App, Browser, Op, Reply, Scripted, Shop, settings};

const LEASE: Duration = Duration::from_secs(15);

async fn sign_in(app: &App) -> Browser {
    let alice = app.browser();
    alice.act(|s| Ok(s.set_user(7)?)).await;
    alice
}

/// A job that holds the session until it is told to go on, and then adds to what it found.
async fn hold(app: &App, alice: &Browser, name: &'static str) -> (Arc<Notify>, JoinHandle<()>) {
    let session = app
        .sessions
        .open::<Shop>(&alice.signed_id())
        .await
        .expect("it lives");
    let go = Arc::new(Notify::new());
    let told = Arc::clone(&go);
    let lock = session.lock().await.expect("nobody holds it");
    let job = tokio::spawn(async move {
        let cart = session.cart().expect("it decodes");
        told.notified().await;
        session
            .set_cart([cart, vec![name.into()]].concat())
            .expect("it fits");
        session.save().await.expect("the store works");
        drop(lock);
    });
    (go, job)
}

/// A request whose handler reads, locked, what it then writes.
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
async fn critical_sections_do_not_overlap() {
    let app = App::new();
    let alice = sign_in(&app).await;
    let (go, first) = hold(&app, &alice, "first").await;
    let second = append(&alice, "second");
    let third = append(&alice, "third");
    app.store.calls();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!second.is_finished() && !third.is_finished());
    // They stand in line here, and do not ask the store again and again.
    assert_eq!(app.store.calls(), [Op::Load, Op::Load]);
    go.notify_one();
    first.await.expect("no panic");
    for request in [second, third] {
        assert_eq!(request.await.expect("no panic").status, 200);
    }
    // Nothing is lost though each wrote the whole list.
    assert_eq!(
        alice.ask(|s| Ok(s.cart()?)).await,
        ["first", "second", "third"]
    );
}

/// Conformance 2.6
#[tokio::test(start_paused = true)]
async fn critical_sections_of_two_processes_do_not_overlap() {
    let app = App::new();
    let other = app.redeployed(settings);
    let alice = sign_in(&app).await;
    let (go, first) = hold(&app, &alice, "first").await;
    let second = append(&alice.at(&other), "second");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!second.is_finished());
    go.notify_one();
    first.await.expect("no panic");
    assert_eq!(second.await.expect("no panic").status, 200);
    assert_eq!(alice.ask(|s| Ok(s.cart()?)).await, ["first", "second"]);
}

/// Conformance 2.6
#[tokio::test(start_paused = true)]
async fn a_request_that_does_not_lock_is_not_held_up() {
    let app = App::new();
    let alice = sign_in(&app).await;
    let (go, first) = hold(&app, &alice, "first").await;
    alice.act(|s| Ok(s.set_visits(5)?)).await;
    go.notify_one();
    first.await.expect("no panic");
    let found = alice.ask(|s| Ok((s.visits()?, s.cart()?))).await;
    assert_eq!(found, (5, vec!["first".into()]));
}

/// Conformance 2.6
#[tokio::test(start_paused = true)]
async fn sessions_of_two_visitors_do_not_wait_for_each_other() {
    let app = App::new();
    let (alice, bob) = (sign_in(&app).await, sign_in(&app).await);
    let (go, first) = hold(&app, &alice, "first").await;
    assert_eq!(append(&bob, "bob's").await.expect("no panic").status, 200);
    go.notify_one();
    first.await.expect("no panic");
}

/// Conformance 2.6
#[tokio::test(start_paused = true)]
async fn a_handler_that_locks_its_session_twice_does_not_wait_for_itself() {
    let app = App::new();
    let alice = sign_in(&app).await;
    let reply = alice
        .visit(|session| async move {
            let one = session.lock().await.map_err(poem::Error::from)?;
            let two = session.lock().await.map_err(poem::Error::from)?;
            drop(one);
            session.set_visits(1)?;
            session.save().await?;
            drop(two);
            let again = session.lock().await.map_err(poem::Error::from)?;
            drop(again);
            Ok(())
        })
        .await;
    assert_eq!(reply.status, 200);
}

/// Conformance 2.6
#[tokio::test(start_paused = true)]
async fn two_tasks_of_one_request_that_lock_its_session_share_the_lock() {
    let app = App::new();
    let alice = sign_in(&app).await;
    let reply = alice
        .visit(|session| async move {
            // One guard is held until the other is there as well.
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
}

/// A holder in a process that is no more.
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
async fn the_lease_of_a_crashed_holder_ends() {
    let app = App::new();
    let alice = sign_in(&app).await;
    crashed_holder(&app, &alice).await;
    let mut asked = app.store.pause(Op::Lock);
    let waiting = append(&alice, "after the crash");
    asked.arrived().await;
    asked.release();
    // It was refused once; now the lease runs out.
    let mut again = app.store.pause(Op::Lock);
    again.arrived().await;
    app.pass(LEASE);
    again.release();
    assert_eq!(waiting.await.expect("no panic").status, 200);
    assert_eq!(alice.ask(|s| Ok(s.cart()?)).await, ["after the crash"]);
}

/// Conformance 2.6
#[tokio::test(start_paused = true)]
async fn waiting_has_a_limit_and_then_a_clear_error() {
    let app = App::with(|builder| builder.lock_timeout(Duration::from_secs(2)));
    let alice = sign_in(&app).await;
    crashed_holder(&app, &alice).await;
    let began = tokio::time::Instant::now();
    let reply = append(&alice, "never").await.expect("no panic");
    // The clock is paused: this is the time that was waited for.
    assert_eq!(began.elapsed().as_secs(), 2);
    assert_eq!(reply.status, 503);
    assert_eq!(reply.body, "Service Unavailable");
    let session = app
        .sessions
        .open::<Shop>(&alice.signed_id())
        .await
        .expect("it lives");
    let error = session.lock().await.expect_err("it is held");
    assert!(matches!(error, LockError::TimedOut { .. }), "{error}");
    assert!(error.to_string().contains("2s"), "{error}");
    assert_eq!(alice.ask(|s| Ok(s.cart()?)).await, Vec::<String>::new());
}

/// Conformance 2.6
#[tokio::test(start_paused = true)]
async fn who_lost_the_lease_cannot_write() {
    let app = App::new();
    let alice = sign_in(&app).await;
    let session = app
        .sessions
        .open::<Shop>(&alice.signed_id())
        .await
        .expect("it lives");
    let lock = session.lock().await.expect("nobody holds it");
    session.set_cart(vec!["too late".into()]).expect("it fits");
    // The process stood still for longer than its lease.
    app.pass(LEASE);
    let error = session.save().await.expect_err("the lease has run out");
    assert!(matches!(error, SaveError::LeaseLost), "{error}");
    drop(lock);
    assert_eq!(alice.ask(|s| Ok(s.cart()?)).await, Vec::<String>::new());
}

/// Conformance 2.6
#[tokio::test(start_paused = true)]
async fn who_lost_the_lease_and_has_nothing_to_write_has_not_failed() {
    let app = App::new();
    let alice = sign_in(&app).await;
    let session = app
        .sessions
        .open::<Shop>(&alice.signed_id())
        .await
        .expect("it lives");
    let _lock = session.lock().await.expect("nobody holds it");
    app.pass(LEASE);
    session.save().await.expect("nothing is to be written");
}

/// Conformance 2.6
#[tokio::test(start_paused = true)]
async fn a_holder_that_lives_keeps_its_lease() {
    let app = App::new();
    let alice = sign_in(&app).await;
    let (go, first) = hold(&app, &alice, "first").await;
    for _ in 0..10 {
        // Both clocks move on, a third of the lease at a time.
        app.pass(LEASE / 3);
        tokio::time::sleep(LEASE / 3 + Duration::from_millis(1)).await;
    }
    go.notify_one();
    first.await.expect("it could save");
    assert_eq!(alice.ask(|s| Ok(s.cart()?)).await, ["first"]);
}

/// Conformance 2.6
#[tokio::test(start_paused = true)]
async fn a_session_that_ends_while_a_request_waits_for_it_is_a_conflict() {
    let app = App::new();
    let alice = sign_in(&app).await;
    let session = app
        .sessions
        .open::<Shop>(&alice.signed_id())
        .await
        .expect("it lives");
    let lock = session.lock().await.expect("nobody holds it");
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
async fn a_locked_handler_that_panics_or_goes_away_gives_the_session_back() {
    let app = App::new();
    let alice = sign_in(&app).await;
    let tab = alice.clone();
    let panicked = tokio::spawn(async move {
        tab.visit(|session| async move {
            let _lock = session.lock().await.map_err(poem::Error::from)?;
            assert_eq!(session.user()?, Some(8), "a handler's own fault");
            Ok(())
        })
        .await
    });
    assert!(panicked.await.is_err());
    let (tell, told) = oneshot::channel();
    let tab = alice.clone();
    let gone = tokio::spawn(async move {
        tab.visit(|session| async move {
            let _lock = session.lock().await.map_err(poem::Error::from)?;
            let _ = tell.send(());
            std::future::pending::<poem::Result<()>>().await
        })
        .await
    });
    told.await.expect("it gets the lock");
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

/// What a handler gives away to a task that goes on when it has returned.
#[derive(Clone, Default)]
struct Given(Arc<std::sync::Mutex<Option<Session<Shop>>>>);

#[session(exclusive)]
async fn exclusive_give(shop: Session<Shop>, given: Data<&Given>) {
    *given.0.0.lock().expect("no panic") = Some(shop);
}

/// Conformance 2.6
#[tokio::test(start_paused = true)]
async fn exclusive_as_an_option_ends_with_the_request_even_if_a_task_keeps_the_session() {
    let given = Given::default();
    let routes = Route::new()
        .at("/", Scripted)
        .at("/give", get(exclusive_give))
        .at("/append", get(exclusive_append));
    let app = App::serving(routes.data(given.clone()), settings);
    let alice = sign_in(&app).await;
    assert_eq!(alice.get("/give").await.status, 200);
    assert!(given.0.lock().expect("no panic").is_some());
    assert_eq!(alice.get("/append").await.status, 200);
}

/// Conformance 2.6
#[tokio::test(start_paused = true)]
async fn exclusive_as_an_option_runs_requests_of_a_session_one_at_a_time() {
    let routes = Route::new()
        .at("/", Scripted)
        .at("/append", get(exclusive_append))
        .at("/visitor", get(exclusive_visitor));
    let app = App::serving(routes, settings);
    let alice = sign_in(&app).await;
    let requests = (0..10).map(|_| {
        let alice = alice.clone();
        tokio::spawn(async move { alice.get("/append").await })
    });
    for request in requests.collect::<Vec<_>>() {
        assert_eq!(request.await.expect("no panic").status, 200);
    }
    let expected: Vec<String> = (0..10).map(|n| n.to_string()).collect();
    assert_eq!(alice.ask(|s| Ok(s.cart()?)).await, expected);
    let stranger = app.browser();
    assert_eq!(stranger.get("/visitor").await.body, "true");
}

/// Conformance 2.6
#[tokio::test(start_paused = true)]
async fn who_finds_nothing_left_to_lock_asks_the_store_for_nothing_more() {
    let routes = Route::new()
        .at("/", Scripted)
        .at("/append", get(exclusive_append));
    let app = App::serving(routes, settings);
    let alice = sign_in(&app).await;
    // Its use would be noted.
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
