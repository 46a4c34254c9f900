//! A server, or the way to it, that fails.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use poem_session::{
    PublicId,
    store::{
        Replaced, SessionStore, StoreError,
        StoreErrorKind::{TimedOut, Unavailable},
        TableName, Version,
    },
};
use poem_session_tests::{proxy::Proxy, servers::Options};
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{
    BRIEF, Database, LIMIT, PATIENCE, create, key, load, now,
    site::{Ask, Site},
    write,
};

crate::on_each_database!(
    a_server_is_killed_under_load_and_started_again,
    a_server_that_stalls_blocks_the_pool_no_longer_than_it_does,
    reads_do_not_notice_that_connections_were_cut,
    a_network_that_is_gone_and_comes_back,
);

/// A record that counts, and what its writer was told.
struct Counter {
    key: PublicId,
    version: Version,
    acknowledged: u64,
    /// Whether the last step may have been done, though its answer was an error.
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

    /// One step, which has to end.
    async fn add(&mut self, store: &Arc<dyn SessionStore>) -> Result<(), StoreError> {
        let next = write((self.acknowledged + 1).to_string());
        let call = store.replace(self.key, self.version, next, now());
        let answer = timeout(PATIENCE, call).await.expect("an answer");
        match answer {
            Ok(Replaced::Replaced(version)) => {
                (self.version, self.acknowledged) = (version, self.acknowledged + 1);
                Ok(())
            }
            Ok(Replaced::Conflict(current)) => {
                assert!(self.in_doubt, "nobody else writes");
                let count = String::from_utf8_lossy(&current.data).parse();
                let count: u64 = count.expect("a number");
                assert_eq!(count, self.acknowledged + 1, "a step was lost or doubled");
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

/// Asks until it is answered.
async fn recovery(store: &Arc<dyn SessionStore>) {
    let begun = Instant::now();
    while let Err(error) = store.load(key(), now()).await {
        assert!(begun.elapsed() < PATIENCE, "still {error:?}");
        sleep(Duration::from_millis(10)).await;
    }
}

/// A store that does not wait for connections for long.
async fn open(database: Database, url: &str) -> Arc<dyn SessionStore> {
    let store = database.connect_within(BRIEF, url, TableName::default());
    let store = store.await.expect("the server answers");
    store.migrate().await.expect("a table");
    store.sessions()
}

/// Conformance 5.11, 6.10
async fn a_server_is_killed_under_load_and_started_again(database: Database) {
    let Some(server) = database.private(Options::new()).await else {
        return;
    };
    let store = open(database, &server.url()).await;
    let site = Site::on(Arc::clone(&store));
    let guest = site.guest().await;
    let (stop, done) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU64::new(0)),
    );
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
    while done.load(Ordering::Relaxed) < 200 {
        sleep(Duration::from_millis(1)).await;
    }
    server.kill().await;
    site.refuses(&guest, &Ask::ALL).await;
    server.restart().await;
    recovery(&store).await;
    let before = done.load(Ordering::Relaxed);
    while done.load(Ordering::Relaxed) < before + 200 {
        sleep(Duration::from_millis(1)).await;
    }
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
    assert!(failed > 0, "the outage was not noticed");
}

/// More calls are given up than the pool has connections; none of those may stay taken.
///
/// Conformance 5.11, 6.10
async fn a_server_that_stalls_blocks_the_pool_no_longer_than_it_does(database: Database) {
    let Some(server) = database.private(Options::new().fast()).await else {
        return;
    };
    let store = open(database, &server.url()).await;
    let (known, _) = create(&store, "kept").await;
    let site = Site::with_timeout(Arc::clone(&store), LIMIT);
    let guest = site.guest().await;
    server.pause();
    let mut visits = JoinSet::new();
    for (mut visitor, ask) in [(guest.clone(), Ask::Look), (site.stranger(), Ask::Count)] {
        visits.spawn(async move { visitor.ask(ask).await.is_refused() });
    }
    let mut calls = JoinSet::new();
    for _ in 0..30 {
        let store = Arc::clone(&store);
        calls.spawn(async move { timeout(LIMIT, store.load(known, now())).await });
    }
    // The time limit that ends a call is that of the sessions, or that of the pool.
    for answer in calls.join_all().await.into_iter().flatten() {
        let error = answer.expect_err("nobody answers");
        assert_eq!(error.kind(), TimedOut, "{error:?}");
    }
    visits.join_all().await;
    server.resume();
    // Much sooner than the network would notice that nobody answers.
    recovery(&store).await;
    assert_eq!(load(&store, known).await.as_deref(), Some("kept"));
    guest.goes_on(1).await;
}

/// Cuts the connections, and waits until they are.
async fn cut(proxy: &Proxy) {
    proxy.cut();
    while proxy.open() > 0 {
        sleep(Duration::from_millis(1)).await;
    }
}

/// Conformance 6.10
async fn reads_do_not_notice_that_connections_were_cut(database: Database) {
    let Some(server) = database.shared().await else {
        return;
    };
    let proxy = Proxy::start(server.address()).await;
    let url = proxy.url(&server.new_database().await);
    let store = database.open(&url).await;
    let mut counter = Counter::create(&store).await;
    for _ in 0..10 {
        // Several connections, so that several are broken.
        let mut loads = JoinSet::new();
        for _ in 0..20 {
            let (store, key) = (Arc::clone(&store), counter.key);
            loads.spawn(async move { store.load(key, now()).await });
        }
        loads.join_all().await;
        cut(&proxy).await;
        let count = load(&store, counter.key).await;
        assert_eq!(count, Some(counter.acknowledged.to_string()));
        // Those that the read did not meet are broken still; a write is not repeated.
        while let Err(error) = counter.add(&store).await {
            assert_eq!(error.kind(), Unavailable, "{error:?}");
        }
    }
}

/// Conformance 5.11, 6.10
async fn a_network_that_is_gone_and_comes_back(database: Database) {
    let Some(server) = database.shared().await else {
        return;
    };
    let proxy = Proxy::start(server.address()).await;
    let url = proxy.url(&server.new_database().await);
    let store = open(database, &url).await;
    let (known, _) = create(&store, "kept").await;
    let site = Site::on(Arc::clone(&store));
    let guest = site.guest().await;

    proxy.refuse().await;
    cut(&proxy).await;
    let refused = site.refuses(&guest, &Ask::ALL);
    let (loaded, ()) = tokio::join!(store.load(known, now()), refused);
    let error = loaded.expect_err("nobody is there");
    assert!(matches!(error.kind(), Unavailable | TimedOut), "{error:?}");
    proxy.pass().await;
    guest.goes_on(1).await;
    assert_eq!(load(&store, known).await.as_deref(), Some("kept"));

    proxy.stall().await;
    let begun = Instant::now();
    let call = timeout(Duration::from_millis(500), store.load(known, now())).await;
    assert!(call.is_err(), "nobody answers, after {:?}", begun.elapsed());
    // Whoever gave up waiting has closed the connection, and has not left it to the pool.
    proxy.pass().await;
    recovery(&store).await;
    assert_eq!(load(&store, known).await.as_deref(), Some("kept"));
}
