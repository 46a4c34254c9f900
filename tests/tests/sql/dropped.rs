//! Calls that are dropped while they are under way, as when a client disconnects.

use std::{sync::Arc, time::Duration};

use poem_session::store::{LockOwner, Rename, SessionStore};
use poem_session_tests::{
    PATIENCE,
    application::{App, Browser},
    eventually,
    proxy::Proxy,
    records::{create, key, now, write},
};
use tokio::{task::JoinSet, time::timeout};

use crate::{
    BRIEF, Home,
    client::Client,
    load,
    outage::{goes_on, is_unchanged},
    table,
};

crate::on_servers!(
    dropped_requests_cost_no_connection,
    a_request_that_is_dropped_while_it_connects_costs_no_connection,
    a_dropped_call_keeps_its_connection_for_a_limited_time,
);

/// The default size of a pool.
const POOL: usize = 10;
const REQUESTS: usize = 100;

/// Calls the store in each of its ways.
async fn call(store: Arc<dyn SessionStore>, number: usize) {
    let (id, version) = create(&store, "data").await;
    let (owner, until) = (LockOwner::random(), write("").expires_at);
    match number % 5 {
        0 => drop(store.touch(id, version, until, now()).await),
        1 => drop(store.lock(id, owner, until, now()).await),
        2 => drop(store.replace(id, version, write("more"), now()).await),
        3 => {
            let rename = Rename::new(id, version, key(), write("more"), write("left"));
            drop(store.rename(rename, now()).await);
        }
        _ => drop(store.delete_expired(1, now()).await),
    }
}

/// Sends requests that read a session, and waits for their responses.
async fn look(guest: &Browser, requests: usize) {
    let mut looks = JoinSet::new();
    for _ in 0..requests {
        let guest = guest.clone();
        looks.spawn(async move { is_unchanged(&guest).await });
    }
    looks.join_all().await;
}

/// An application that reaches its database through a proxy.
struct Behind {
    proxy: Proxy,
    store: Arc<dyn SessionStore>,
    guest: Browser,
    /// The connections that were opened and closed before the first request.
    closed: usize,
}

impl Behind {
    async fn new(home: &Home) -> Self {
        let proxy = Proxy::start(home.server().address()).await;
        let store = home.open_at(&proxy.url(&home.url), PATIENCE).await;
        // The pool has kept one connection. PostgreSQL's store has looked for a pooler with another one.
        let closed = proxy.accepted() - 1;
        let app = App::in_store(Arc::clone(&store) as _, PATIENCE);
        Self {
            guest: app.sign_in().await,
            proxy,
            store,
            closed,
        }
    }

    /// Checks that the pool has opened no connection in place of a lost one.
    fn assert_no_connection_is_lost(&self) {
        let opened = self.proxy.accepted() - self.closed;
        assert!(opened <= POOL, "{opened} connections were opened");
    }
}

/// Conformance 5.11, 5.18
async fn dropped_requests_cost_no_connection(home: Home) {
    let behind = Behind::new(&home).await;
    let Behind {
        proxy,
        store,
        guest,
        ..
    } = &behind;
    let mut dropped = 0;
    while dropped < REQUESTS {
        // The pool has all its connections, and each of them is free.
        look(guest, 4 * POOL).await;
        proxy.stall().await;
        let mut requests = JoinSet::new();
        for number in 0..POOL {
            if number % 2 == 0 {
                let guest = guest.clone();
                requests.spawn(async move {
                    guest.user().await;
                });
            } else {
                requests.spawn(call(Arc::clone(store), dropped + number));
            }
        }
        proxy.holds(POOL).await;
        dropped += requests.len();
        requests.shutdown().await;
        proxy.pass().await;
    }
    look(guest, 4 * POOL).await;
    behind.assert_no_connection_is_lost();
    goes_on(guest).await;
}

/// Conformance 5.11, 5.18
async fn a_request_that_is_dropped_while_it_connects_costs_no_connection(home: Home) {
    let behind = Behind::new(&home).await;
    let Behind { proxy, guest, .. } = &behind;
    proxy.hold().await;
    let mut requests = JoinSet::new();
    for _ in 0..REQUESTS {
        let guest = guest.clone();
        requests.spawn(async move {
            guest.user().await;
        });
    }
    proxy.accepts(POOL).await;
    requests.shutdown().await;
    let looks = look(guest, 4 * POOL);
    let pass = async {
        // The pool opens another connection if it has lost one.
        tokio::time::sleep(Duration::from_millis(500)).await;
        proxy.pass().await;
    };
    tokio::join!(looks, pass);
    behind.assert_no_connection_is_lost();
}

/// Another client locks a record. Dropped calls wait for it on all connections, and then the pool replaces them.
///
/// Conformance 5.11, 5.18, 6.10
async fn a_dropped_call_keeps_its_connection_for_a_limited_time(home: Home) {
    const CONNECTIONS: u32 = 2;

    let own = home.open().await;
    let (id, version) = create(&own, "locked").await;
    let (other, _) = create(&own, "free").await;
    let client = Client::pool(&home, CONNECTIONS, BRIEF).await;
    let store: Arc<dyn SessionStore> = client.store(table("poem_sessions"));
    let holder = Client::begin(&home).await;
    holder
        .run_on(id, "UPDATE poem_sessions SET version = version")
        .await;
    for _ in 0..CONNECTIONS {
        let touch = store.touch(id, version, write("").expires_at, now());
        let waited = timeout(Duration::from_millis(100), touch).await;
        assert!(waited.is_err(), "the record is locked: {waited:?}");
    }
    eventually("the pool replaces the connections", async || {
        store.load(other, now()).await.ok()
    })
    .await;
    holder.run("ROLLBACK").await;
    assert_eq!(load(&store, id).await.as_deref(), Some("locked"));
}
