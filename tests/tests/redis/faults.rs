//! Failures of the server and of the network.

use std::time::Instant;

use poem_session::{
    PublicId,
    store::{
        RedisStore, SessionStore,
        StoreErrorKind::{self, Corrupt, Full, TimedOut, Unavailable},
    },
};
use poem_session_tests::{
    PATIENCE,
    load::{Counter, Load},
    proxy::Proxy,
    records::{create, data, key, now, recovery, write},
    servers::{Options, redis},
};
use tokio::time::timeout;

use crate::{open, open_with_timeout};

/// Returns the kind of the error that a load returns.
pub(crate) async fn failure(store: &RedisStore) -> StoreErrorKind {
    let load = timeout(PATIENCE, store.load(key(), now())).await;
    let error = load.expect("a call that ends").expect_err("an outage");
    assert_ne!(error.kind(), Corrupt);
    error.kind()
}

/// Returns the kind of the error of a write that the server refuses. Repeats a write that a busy machine has
/// delayed beyond the time limit.
async fn refusal(counter: &mut Counter, store: &RedisStore) -> StoreErrorKind {
    let begun = Instant::now();
    loop {
        let error = counter.add(store).await.expect_err("a refusal");
        if error.kind() != TimedOut || begun.elapsed() > PATIENCE {
            return error.kind();
        }
    }
}

/// Conformance 5.11, 6.10
#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_killed_under_load_and_started_again() {
    let options = Options::new().arguments(["--appendfsync", "always"]);
    let Some(server) = redis::private(options).await else {
        return;
    };
    let store = open(&server.url()).await;
    let load = Load::begin(8, store.clone(), &store).await;
    load.adds(200).await;
    server.kill().await;
    load.fails().await;
    server.restart().await;
    recovery(&store).await;
    load.adds(200).await;

    for each in load.end().await {
        let is_right = each.failures.iter().all(|kind| *kind == Unavailable);
        assert!(is_right, "{each:?}");
        each.assert_exact(&store).await;
    }
}

/// Conformance 5.11, 6.10
#[tokio::test(flavor = "multi_thread")]
async fn a_call_to_a_stalled_server_times_out() {
    let Some(server) = redis::private(Options::new().fast()).await else {
        return;
    };
    let store = open_with_timeout(&server.url()).await;
    let patient = open(&server.url()).await;
    let (key, _) = create(&patient, b"data").await;
    server.pause();
    let calls: Vec<_> = (0..20)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move { failure(&store).await })
        })
        .collect();
    for call in calls {
        assert_eq!(call.await.unwrap(), TimedOut);
    }
    assert_eq!(failure(&store).await, TimedOut);
    server.resume();
    recovery(&store).await;
    assert_eq!(data(&patient, key).await.as_deref(), Some(&b"data"[..]));
}

/// Conformance 5.11, 6.10
#[tokio::test(flavor = "multi_thread")]
async fn a_cut_connection_is_replaced_without_an_error() {
    let Some(server) = redis::shared().await else {
        return;
    };
    let proxy = Proxy::start(server.address()).await;
    let url = proxy.url(&server.url());
    let store = open(&url).await;
    let brief = open_with_timeout(&url).await;
    let mut counter = Counter::create(&store).await;
    for step in 1..=20 {
        proxy.cut().await;
        counter.add(&store).await.expect("the write is repeated");
        assert_eq!(counter.stored(&store).await, Some(step));
    }

    proxy.refuse().await;
    proxy.cut().await;
    // The store reports a refused connection without waiting for its timeout.
    assert_eq!(failure(&store).await, Unavailable);
    proxy.pass().await;
    recovery(&store).await;
    recovery(&brief).await;

    proxy.stall().await;
    assert_eq!(failure(&brief).await, TimedOut);
    proxy.pass().await;
    recovery(&brief).await;
    assert_eq!(counter.stored(&store).await, Some(20));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_free_connections_is_an_error_until_it_has_one() {
    let Some(server) = redis::private(Options::new().fast()).await else {
        return;
    };
    let proxy = Proxy::start(server.address()).await;
    let store = open(&proxy.url(&server.url())).await;
    let holder = tokio::net::TcpStream::connect(server.address()).await;
    server.run("CONFIG SET maxclients 1").await;
    proxy.cut().await;
    assert_eq!(failure(&store).await, Unavailable);
    drop(holder);
    recovery(&store).await;
}

/// Creates records of this size until one fails. Returns the acknowledged keys and the error.
async fn fill(store: &RedisStore, size: usize) -> (Vec<PublicId>, StoreErrorKind) {
    let mut keys = Vec::new();
    loop {
        let key = key();
        match store.create(key, write(vec![7; size]), now()).await {
            Ok(_) => keys.push(key),
            Err(error) => return (keys, error.kind()),
        }
        assert!(keys.len() < 200, "the server is not full");
    }
}

/// Conformance 5.11, 6.10
#[tokio::test(flavor = "multi_thread")]
async fn a_full_memory_refuses_writes_and_serves_reads() {
    let options = Options::new().fast();
    let options = options.arguments(["--maxmemory", "4mb", "--maxmemory-policy", "noeviction"]);
    let Some(server) = redis::private(options).await else {
        return;
    };
    let store = open(&server.url()).await;
    let (keys, error) = fill(&store, 50_000).await;
    assert_eq!(error, Full);
    for key in &keys {
        assert_eq!(data(&store, *key).await, Some(vec![7; 50_000]));
    }
    store.clear().await.expect("a removal needs no memory");
    create(&store, b"data").await;
}

/// Conformance 5.11, 6.10
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_writes() {
    let options = Options::new().arguments(["--appendfsync", "always"]);
    let Some(server) = redis::private(options.file_limit(200_000)).await else {
        return;
    };
    let (_, error) = fill(&open(&server.url()).await, 10_000).await;
    assert_eq!(error, Unavailable);
}

/// Conformance 5.11, 6.10
#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_server_is_an_error_until_it_is_writable() {
    let Some(server) = redis::private(Options::new().fast()).await else {
        return;
    };
    let store = open(&server.url()).await;
    // A write waits for a writable server until the timeout.
    let brief = open_with_timeout(&server.url()).await;
    let mut counter = Counter::create(&store).await;
    server.run("REPLICAOF 127.0.0.1 1").await;
    assert_eq!(refusal(&mut counter, &brief).await, Unavailable);
    server.run("REPLICAOF NO ONE").await;
    counter.add(&store).await.expect("the server is a master");

    server.run("CONFIG SET min-replicas-to-write 1").await;
    assert_eq!(refusal(&mut counter, &brief).await, Unavailable);
    assert_eq!(counter.stored(&store).await, Some(1));
}
