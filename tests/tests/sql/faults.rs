//! Failures of the server and of the network.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use poem_session::{
    PublicId,
    store::{
        Replaced, SessionStore, StoreError,
        StoreErrorKind::{TimedOut, Unavailable},
        Version,
    },
};
use poem_session_tests::{eventually, proxy::Proxy};
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{
    BRIEF, Home, LIMIT, PATIENCE, create, load, now, recovery,
    site::{Ask, Site},
    write,
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

/// A record that counts its writes.
struct Counter {
    key: PublicId,
    version: Version,
    /// The number of acknowledged writes.
    acknowledged: u64,
    /// Whether the last write failed: it may have been executed.
    in_doubt: bool,
}

impl Counter {
    async fn create(store: &Arc<dyn SessionStore>) -> Self {
        let (key, version) = create(store, "0").await;
        Self {
            key,
            version,
            acknowledged: 0,
            in_doubt: false,
        }
    }

    /// Writes once.
    async fn add(&mut self, store: &Arc<dyn SessionStore>) -> Result<(), StoreError> {
        let next = write((self.acknowledged + 1).to_string());
        let call = store.replace(self.key, self.version, next, now());
        match timeout(PATIENCE, call).await.expect("a call that ends") {
            Ok(Replaced::Replaced(version)) => {
                (self.version, self.acknowledged) = (version, self.acknowledged + 1);
                Ok(())
            }
            Ok(Replaced::Conflict(current)) => {
                assert!(self.in_doubt, "nobody else writes");
                let count = String::from_utf8_lossy(&current.data).parse();
                let count: u64 = count.expect("a number");
                assert_eq!(count, self.acknowledged + 1, "a write was lost or doubled");
                (self.version, self.acknowledged) = (current.version, count);
                self.in_doubt = false;
                Ok(())
            }
            Ok(Replaced::Gone) => panic!("the record is lost"),
            Err(error) => {
                self.in_doubt = true;
                Err(error)
            }
        }
    }
}

/// Conformance 5.11, 6.10
async fn a_server_is_killed_under_load_and_started_again(home: Home) {
    let store = home.open_at(&home.url, BRIEF).await;
    let site = Site::on(Arc::clone(&store));
    let guest = site.guest().await;
    let stop = Arc::new(AtomicBool::new(false));
    let done = Arc::new(AtomicU64::new(0));
    let mut load = JoinSet::new();
    for _ in 0..8 {
        let mut counter = Counter::create(&store).await;
        let (store, stop, done) = (Arc::clone(&store), Arc::clone(&stop), Arc::clone(&done));
        load.spawn(async move {
            let mut failures = 0;
            while !stop.load(Ordering::Relaxed) {
                if let Err(error) = counter.add(&store).await {
                    assert!(matches!(error.kind(), Unavailable | TimedOut), "{error:?}");
                    failures += 1;
                    sleep(Duration::from_millis(5)).await;
                } else {
                    done.fetch_add(1, Ordering::Relaxed);
                }
            }
            (counter, failures)
        });
    }
    let writes = async |more| {
        let enough = done.load(Ordering::Relaxed) + more;
        eventually("the load goes on", async || {
            (done.load(Ordering::Relaxed) >= enough).then_some(())
        })
        .await;
    };
    writes(200).await;
    home.server().kill().await;
    site.refuses(&guest, &Ask::ALL).await;
    home.server().restart().await;
    recovery(&store).await;
    writes(200).await;
    stop.store(true, Ordering::Relaxed);
    guest.goes_on(1).await;

    let mut failed = 0;
    for (counter, failures) in load.join_all().await {
        failed += failures;
        let stored = crate::load(&store, counter.key).await.expect("the record");
        let stored: u64 = stored.parse().expect("a number");
        let most = counter.acknowledged + u64::from(counter.in_doubt);
        assert!(
            (counter.acknowledged..=most).contains(&stored),
            "{} acknowledged, {stored} stored",
            counter.acknowledged
        );
    }
    assert!(failed > 0, "no write failed during the outage");
}

/// More calls time out than the pool has connections, and each returns its connection.
///
/// Conformance 5.11, 6.10
async fn a_stalled_server_does_not_block_the_pool_for_longer(home: Home) {
    let store = home.open_at(&home.url, BRIEF).await;
    let (known, _) = create(&store, "kept").await;
    let site = Site::with_timeout(Arc::clone(&store), LIMIT);
    let guest = site.guest().await;
    home.server().pause();
    let mut visits = JoinSet::new();
    for (mut visitor, ask) in [(guest.clone(), Ask::Look), (site.stranger(), Ask::Count)] {
        visits.spawn(async move { visitor.ask(ask).await.is_refused() });
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
    guest.goes_on(1).await;
}

/// Conformance 6.10
async fn a_read_is_repeated_if_its_connection_was_cut(home: Home) {
    let proxy = Proxy::start(home.server().address()).await;
    let store = home.open_at(&proxy.url(&home.url), PATIENCE).await;
    let mut counter = Counter::create(&store).await;
    for _ in 0..10 {
        // Concurrent reads open several connections.
        let mut loads = JoinSet::new();
        for _ in 0..20 {
            let (store, key) = (Arc::clone(&store), counter.key);
            loads.spawn(async move { store.load(key, now()).await });
        }
        loads.join_all().await;
        proxy.cut().await;
        let count = load(&store, counter.key).await;
        assert_eq!(count, Some(counter.acknowledged.to_string()));
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
    let site = Site::on(Arc::clone(&store));
    let guest = site.guest().await;

    proxy.refuse().await;
    proxy.cut().await;
    let refused = site.refuses(&guest, &Ask::ALL);
    let (loaded, ()) = tokio::join!(store.load(known, now()), refused);
    let error = loaded.expect_err("connections are refused");
    assert!(matches!(error.kind(), Unavailable | TimedOut), "{error:?}");
    proxy.pass().await;
    guest.goes_on(1).await;
    assert_eq!(load(&store, known).await.as_deref(), Some("kept"));

    proxy.stall().await;
    let call = timeout(Duration::from_millis(500), store.load(known, now())).await;
    assert!(call.is_err(), "a load through a stalled proxy ends");
    // A dropped call closes its connection.
    proxy.pass().await;
    recovery(&store).await;
    assert_eq!(load(&store, known).await.as_deref(), Some("kept"));
}
