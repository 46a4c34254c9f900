//! A pool without free connections.

use std::time::Duration;

use poem_session::store::{SessionStore as _, StoreErrorKind};
use poem_session_tests::{
    eventually,
    records::{key, now},
};
use tokio::{task::JoinSet, time::sleep};

use crate::{
    BRIEF, Home, LIMIT,
    client::Client,
    site::{ALL, Site, Visitor},
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
    let site = Site::on(store.clone());
    let guest = site.guest().await;
    let mut held = Vec::new();
    for _ in 0..CONNECTIONS {
        held.push(client.hold().await);
    }
    let refused = site.refuses(&guest, &ALL);
    let (loaded, ()) = tokio::join!(store.load(key(), now()), refused);
    let error = loaded.expect_err("the test holds all connections");
    assert_eq!(error.kind(), StoreErrorKind::TimedOut, "{error:?}");
    assert!(text(&error).contains("all are in use"), "{error:?}");
    drop(held);
    guest.goes_on().await;
}

/// Another client locks the record of a session. The requests of that session take all connections.
///
/// Conformance 5.11, 6.10
async fn requests_that_wait_for_a_row_lock_block_the_pool_until_their_timeout(home: Home) {
    home.open().await;
    let client = Client::pool(&home, CONNECTIONS, BRIEF).await;
    let site = Site::with_timeout(client.store(table("poem_sessions")), LIMIT);
    let mut other_guest = site.guest().await;
    let guest = site.guest().await;
    let holder = Client::begin(&home).await;
    holder
        .run("UPDATE poem_sessions SET version = version")
        .await;

    let count = |mut guest: Visitor| async move { guest.ask("/count").await };
    eventually("no connection is free", async || {
        let mut waiting: JoinSet<_> = (0..CONNECTIONS).map(|_| count(guest.clone())).collect();
        sleep(Duration::from_millis(300)).await;
        let reply = other_guest.ask("/look").await;
        while let Some(reply) = waiting.join_next().await {
            reply.expect("a request that ends").is_refused();
        }
        // On a busy machine, the requests may not have taken the connections yet.
        reply.is_refusal().then(|| reply.is_refused())
    })
    .await;
    // The database still executes the statements, but the pool has replaced their connections.
    other_guest.has_counted(1).await;
    holder.run("ROLLBACK").await;
    other_guest.goes_on().await;
}
