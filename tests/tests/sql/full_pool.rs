//! A pool without free connections.

use std::time::Duration;

use poem_session::store::{SessionStore as _, StoreErrorKind};
use poem_session_tests::{
    PATIENCE,
    application::{App, Browser, count},
    eventually,
    records::{key, now},
};
use tokio::{task::JoinSet, time::sleep};

use crate::{
    BRIEF, Home, LIMIT,
    client::Client,
    outage::{ALL, goes_on, is_unchanged, refuses},
    table, text,
};

crate::on_databases!(an_exhausted_pool_is_an_error_in_time);
crate::on_servers!(requests_that_wait_for_a_row_lock_block_the_pool_until_their_timeout);

const CONNECTIONS: u32 = 2;

/// Conformance 5.11, 6.10
async fn an_exhausted_pool_is_an_error_in_time(home: Home) {
    let client = Client::pool(&home, CONNECTIONS, BRIEF).await;
    // Another store creates the table, because that may take longer than this pool waits.
    home.open().await;
    let store = client.store(table("poem_sessions"));
    let app = App::in_store(store.clone(), PATIENCE);
    let guest = app.sign_in().await;
    let mut held = Vec::new();
    for _ in 0..CONNECTIONS {
        held.push(client.hold().await);
    }
    let refused = refuses(&app, &guest, &ALL);
    let (loaded, ()) = tokio::join!(store.load(key(), now()), refused);
    let error = loaded.expect_err("the test holds all connections");
    assert_eq!(error.kind(), StoreErrorKind::TimedOut, "{error:?}");
    assert!(text(&error).contains("all are in use"), "{error:?}");
    drop(held);
    goes_on(&guest).await;
}

/// Another client locks the record of a session. The requests of that session take all connections.
///
/// Conformance 5.11, 6.10
async fn requests_that_wait_for_a_row_lock_block_the_pool_until_their_timeout(home: Home) {
    home.open().await;
    let client = Client::pool(&home, CONNECTIONS, BRIEF).await;
    let app = App::in_store(client.store(table("poem_sessions")), LIMIT);
    let other_guest = app.sign_in().await;
    let guest = app.sign_in().await;
    let holder = Client::begin(&home).await;
    holder
        .run("UPDATE poem_sessions SET version = version")
        .await;

    let waits = |guest: Browser| async move { guest.does(count).await };
    eventually("no connection is free", async || {
        let mut waiting: JoinSet<_> = (0..CONNECTIONS).map(|_| waits(guest.clone())).collect();
        sleep(Duration::from_millis(300)).await;
        let reply = other_guest.does(ALL[0]).await;
        while let Some(reply) = waiting.join_next().await {
            reply.expect("a request that ends").assert_refused();
        }
        // On a busy machine, the requests may not have taken the connections yet.
        (reply.status != 200).then(|| reply.assert_refused())
    })
    .await;
    // The database still executes the statements, but the pool has replaced their connections.
    is_unchanged(&other_guest).await;
    holder.run("ROLLBACK").await;
    goes_on(&other_guest).await;
}
