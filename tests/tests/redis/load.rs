//! Writes that go on through all that happens to the servers.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use poem_session::store::{RedisStore, StoreErrorKind};
use tokio::{
    task::JoinHandle,
    time::{sleep, timeout},
};

use crate::{Counter, PATIENCE, open};

/// How many steps of a counter were acknowledged so far, and how many were not.
#[derive(Default)]
struct Progress {
    added: AtomicU64,
    failed: AtomicU64,
}

/// A counter at the end, how many of its steps were acknowledged, and how each of the others failed.
pub(crate) struct Added {
    pub(crate) counter: Counter,
    pub(crate) acknowledged: u64,
    pub(crate) failures: Vec<StoreErrorKind>,
}

/// Counters that are added to until [`end`](Self::end).
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    progress: Vec<Arc<Progress>>,
    tasks: Vec<JoinHandle<(Counter, Vec<StoreErrorKind>)>>,
}

impl Load {
    /// Adds to so many counters through this store, at this address.
    pub(crate) async fn begin(count: usize, store: &RedisStore, url: &str) -> Self {
        let mut load = Self {
            stop: Arc::default(),
            progress: Vec::new(),
            tasks: Vec::new(),
        };
        let patient = open(url).await;
        for _ in 0..count {
            let counter = Counter::create(&patient).await;
            let progress = Arc::new(Progress::default());
            let stop = Arc::clone(&load.stop);
            let task = keep_adding(counter, store.clone(), stop, Arc::clone(&progress));
            load.tasks.push(tokio::spawn(task));
            load.progress.push(progress);
        }
        load
    }

    /// How many steps of each counter were acknowledged.
    pub(crate) fn added(&self) -> Vec<u64> {
        let added = |progress: &Arc<Progress>| progress.added.load(Ordering::SeqCst);
        self.progress.iter().map(added).collect()
    }

    fn failed(&self) -> u64 {
        let failed = |progress: &Arc<Progress>| progress.failed.load(Ordering::SeqCst);
        self.progress.iter().map(failed).sum()
    }

    /// Waits until so many more steps were acknowledged.
    pub(crate) async fn adds(&self, steps: u64) {
        let added = || self.added().into_iter().sum::<u64>();
        let enough = added() + steps;
        self.comes_to(|| added() >= enough, "no step is acknowledged")
            .await;
    }

    /// Waits until a step has failed.
    pub(crate) async fn fails(&self) {
        let before = self.failed();
        self.comes_to(|| self.failed() > before, "the outage is not noticed")
            .await;
    }

    async fn comes_to(&self, is_there: impl Fn() -> bool, otherwise: &str) {
        let begun = Instant::now();
        while !is_there() {
            let ended = self.tasks.iter().any(JoinHandle::is_finished);
            assert!(!ended && begun.elapsed() < PATIENCE, "{otherwise}");
            sleep(Duration::from_millis(5)).await;
        }
    }

    pub(crate) async fn end(self) -> Vec<Added> {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Vec::new();
        for (task, progress) in self.tasks.into_iter().zip(self.progress) {
            let (counter, failures) = task.await.expect("each step ends");
            all.push(Added {
                counter,
                acknowledged: progress.added.load(Ordering::SeqCst),
                failures,
            });
        }
        all
    }

    /// The end after a failover. What was acknowledged before it and had reached the replicas (`before`),
    /// and what was acknowledged when it was over (`after`), is there.
    pub(crate) async fn end_of_failover(self, before: &[u64], after: &[u64], url: &str) {
        let patient = open(url).await;
        let (mut lost, mut acknowledged, mut failed) = (0, 0, 0);
        for (number, each) in self.end().await.into_iter().enumerate() {
            let added = each.acknowledged;
            let stored = each.counter.stored(&patient).await.unwrap_or(0);
            // One step may have been under way while those of `after` were counted.
            let least = before[number] + (added - after[number]).saturating_sub(1);
            assert!(
                stored >= least,
                "{stored} stored of {added}, {least} of them for certain"
            );
            lost += added.saturating_sub(stored);
            acknowledged += added;
            failed += each.failures.len();
        }
        println!("{failed} writes failed; {lost} of {acknowledged} acknowledged writes lost");
    }
}

/// Adds steps until told to stop, through all that happens. Gives the counter, and how steps failed.
async fn keep_adding(
    mut counter: Counter,
    store: RedisStore,
    stop: Arc<AtomicBool>,
    progress: Arc<Progress>,
) -> (Counter, Vec<StoreErrorKind>) {
    let mut failures = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let adding = timeout(PATIENCE, counter.add(&store));
        match adding.await.expect("a step that ends") {
            Ok(()) => {
                progress.added.fetch_add(1, Ordering::SeqCst);
            }
            Err(error) => {
                failures.push(error.kind());
                progress.failed.fetch_add(1, Ordering::SeqCst);
                sleep(Duration::from_millis(5)).await;
            }
        }
    }
    (counter, failures)
}
