//! Writes that go on while servers fail.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use poem_session::store::{RedisStore, StoreErrorKind};
use poem_session_tests::{PATIENCE, eventually};
use tokio::{
    task::JoinHandle,
    time::{sleep, timeout},
};

use crate::{Counter, open};

/// The number of acknowledged and of failed writes of a counter so far.
#[derive(Default)]
struct Progress {
    added: AtomicU64,
    failed: AtomicU64,
}

/// A counter at the end, the number of its acknowledged writes, and the errors of the others.
pub(crate) struct Added {
    pub(crate) counter: Counter,
    pub(crate) acknowledged: u64,
    pub(crate) failures: Vec<StoreErrorKind>,
}

/// Counters that are written until [`end`](Self::end) is called.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    progress: Vec<Arc<Progress>>,
    tasks: Vec<JoinHandle<(Counter, Vec<StoreErrorKind>)>>,
}

impl Load {
    /// Starts to write this number of counters through the store, which uses the URL.
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

    /// Returns the number of acknowledged writes of each counter.
    pub(crate) fn added(&self) -> Vec<u64> {
        let added = |progress: &Arc<Progress>| progress.added.load(Ordering::SeqCst);
        self.progress.iter().map(added).collect()
    }

    fn failed(&self) -> u64 {
        let failed = |progress: &Arc<Progress>| progress.failed.load(Ordering::SeqCst);
        self.progress.iter().map(failed).sum()
    }

    /// Waits until this number of further writes is acknowledged.
    pub(crate) async fn adds(&self, writes: u64) {
        let added = || self.added().into_iter().sum::<u64>();
        let enough = added() + writes;
        self.reaches("writes are acknowledged", || added() >= enough)
            .await;
    }

    /// Waits until a write fails.
    pub(crate) async fn fails(&self) {
        let before = self.failed();
        self.reaches("a write fails", || self.failed() > before)
            .await;
    }

    async fn reaches(&self, expected: &str, is_reached: impl Fn() -> bool) {
        eventually(expected, async || {
            let ended = self.tasks.iter().any(JoinHandle::is_finished);
            assert!(!ended, "a task has panicked");
            is_reached().then_some(())
        })
        .await;
    }

    pub(crate) async fn end(self) -> Vec<Added> {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Vec::new();
        for (task, progress) in self.tasks.into_iter().zip(self.progress) {
            let (counter, failures) = task.await.expect("each write ends");
            all.push(Added {
                counter,
                acknowledged: progress.added.load(Ordering::SeqCst),
                failures,
            });
        }
        all
    }

    /// Ends the load after a failover. The writes that had reached the replicas before it (`before`), and those
    /// that were acknowledged after it (later than `after`), are stored.
    pub(crate) async fn end_after_failover(self, before: &[u64], after: &[u64], url: &str) {
        let patient = open(url).await;
        let (mut lost, mut acknowledged, mut failed) = (0, 0, 0);
        for (number, each) in self.end().await.into_iter().enumerate() {
            let added = each.acknowledged;
            let stored = each.counter.stored(&patient).await.unwrap_or(0);
            // One write may have been in progress when `after` was counted.
            let least = before[number] + (added - after[number]).saturating_sub(1);
            assert!(
                stored >= least,
                "{stored} stored of {added}, at least {least} expected"
            );
            lost += added.saturating_sub(stored);
            acknowledged += added;
            failed += each.failures.len();
        }
        println!("{failed} writes failed; {lost} of {acknowledged} acknowledged writes lost");
    }
}

/// Writes until `stop` is set. Returns the counter and the errors of the failed writes.
async fn keep_adding(
    mut counter: Counter,
    store: RedisStore,
    stop: Arc<AtomicBool>,
    progress: Arc<Progress>,
) -> (Counter, Vec<StoreErrorKind>) {
    let mut failures = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let adding = timeout(PATIENCE, counter.add(&store));
        match adding.await.expect("a write that ends") {
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
