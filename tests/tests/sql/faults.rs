//! Failures of the server and of the network.

use std::{sync::Arc, time::Duration};

use poem_session::store::{
    SessionStore as _,
    StoreErrorKind::{TimedOut, Unavailable},
};
use poem_session_tests::{
    PATIENCE,
    application::{App, count},
    load::{Counter, Load},
    proxy::Proxy,
    records::{create, key, now, recovery},
};
use tokio::{task::JoinSet, time::timeout};

use crate::{
    BRIEF, Home, LIMIT, load,
    outage::{ALL, goes_on, refuses},
};

crate::on_private_servers!(
    Options::new();
    a_server_is_killed_under_load_and_started_again,
);
crate::on_private_servers!(
    Options::new().fast();
    a_stalled_server_does_not_block_the_pool_for_longer,
);
crate::on_servers!(
    a_read_is_repeated_if_its_connection_was_cut,
    a_lost_network_is_an_error_until_it_is_back,
);

/// Conformance 5.11, 6.10
async fn a_server_is_killed_under_load_and_started_again(home: Home) {
    let store = home.open_at(&home.url, BRIEF).await;
    let app = App::in_store(Arc::clone(&store), PATIENCE);
    let guest = app.sign_in().await;
    let load = Load::begin(8, Arc::clone(&store), &store).await;
    load.adds(200).await;
    home.server().kill().await;
    refuses(&app, &guest, &ALL).await;
    load.fails().await;
    home.server().restart().await;
    recovery(&store).await;
    load.adds(200).await;
    goes_on(&guest).await;
    for each in load.end().await {
        let mut kinds = each.failures.iter();
        let is_right = kinds.all(|kind| matches!(kind, Unavailable | TimedOut));
        assert!(is_right, "{each:?}");
        each.assert_exact(&store).await;
    }
}

/// More calls time out than the pool has connections, and each returns its connection.
///
/// Conformance 5.11, 6.10
async fn a_stalled_server_does_not_block_the_pool_for_longer(home: Home) {
    let store = home.open_at(&home.url, BRIEF).await;
    let (known, _) = create(&store, "kept").await;
    let app = App::in_store(Arc::clone(&store), LIMIT);
    let guest = app.sign_in().await;
    home.server().pause();
    let mut visits = JoinSet::new();
    for (visitor, act) in [(guest.clone(), ALL[0]), (app.browser(), count)] {
        visits.spawn(async move { visitor.does(act).await.assert_refused() });
    }
    let mut calls = JoinSet::new();
    for _ in 0..30 {
        let store = Arc::clone(&store);
        calls.spawn(async move { timeout(LIMIT, store.load(known, now())).await });
    }
    // The time limit of the sessions ends a call, or that of the pool.
    for result in calls.join_all().await.into_iter().flatten() {
        let error = result.expect_err("the server is paused");
        assert_eq!(error.kind(), TimedOut, "{error:?}");
    }
    visits.join_all().await;
    home.server().resume();
    recovery(&store).await;
    assert_eq!(load(&store, known).await.as_deref(), Some("kept"));
    goes_on(&guest).await;
}

/// Conformance 6.10
async fn a_read_is_repeated_if_its_connection_was_cut(home: Home) {
    let proxy = Proxy::start(home.server().address()).await;
    let store = home.open_at(&proxy.url(&home.url), PATIENCE).await;
    let mut counter = Counter::create(&store).await;
    for step in 1..=10 {
        // Concurrent reads open several connections.
        let mut loads = JoinSet::new();
        for _ in 0..20 {
            let (store, key) = (Arc::clone(&store), key());
            loads.spawn(async move { store.load(key, now()).await });
        }
        loads.join_all().await;
        proxy.cut().await;
        assert_eq!(counter.stored(&store).await, Some(step - 1));
        // The pool still contains broken connections, and a write is not repeated.
        while let Err(error) = counter.add(&store).await {
            assert_eq!(error.kind(), Unavailable, "{error:?}");
        }
    }
}

/// Conformance 5.11, 6.10
async fn a_lost_network_is_an_error_until_it_is_back(home: Home) {
    let proxy = Proxy::start(home.server().address()).await;
    let store = home.open_at(&proxy.url(&home.url), BRIEF).await;
    let (known, _) = create(&store, "kept").await;
    let app = App::in_store(Arc::clone(&store), PATIENCE);
    let guest = app.sign_in().await;

    proxy.refuse().await;
    proxy.cut().await;
    let refused = refuses(&app, &guest, &ALL);
    let (loaded, ()) = tokio::join!(store.load(known, now()), refused);
    let error = loaded.expect_err("connections are refused");
    assert!(matches!(error.kind(), Unavailable | TimedOut), "{error:?}");
    proxy.pass().await;
    goes_on(&guest).await;
    assert_eq!(load(&store, known).await.as_deref(), Some("kept"));

    proxy.stall().await;
    let call = timeout(Duration::from_millis(500), store.load(known, now())).await;
    assert!(call.is_err(), "a load through a stalled proxy ends");
    // A dropped call goes on until it has its reply, and returns its connection.
    proxy.pass().await;
    recovery(&store).await;
    assert_eq!(load(&store, known).await.as_deref(), Some("kept"));
}
