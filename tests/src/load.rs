//! Continuous writes to a store while its server fails.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use poem_session::{
    PublicId,
    store::{Replaced, SessionStore, StoreError, StoreErrorKind, Version},
};
use tokio::{
    task::JoinHandle,
    time::{sleep, timeout},
};

use crate::{
    PATIENCE, eventually,
    records::{create, data, now, write},
};

/// A record that counts its writes. As a session does, it merges with other writes.
#[derive(Debug)]
pub struct Counter {
    key: PublicId,
    version: Version,
    value: u64,
    /// Whether the last write failed: it may have been executed.
    in_doubt: bool,
    /// The number of conflicts that a failed write of this counter does not explain.
    surprises: u64,
}

impl Counter {
    /// Creates the record.
    pub async fn create(store: &(impl SessionStore + ?Sized)) -> Self {
        let (key, version) = create(store, 0_u64.to_be_bytes()).await;
        Self {
            key,
            version,
            value: 0,
            in_doubt: false,
            surprises: 0,
        }
    }

    /// Writes once.
    ///
    /// # Errors
    ///
    /// Returns the error of the store.
    pub async fn add(&mut self, store: &(impl SessionStore + ?Sized)) -> Result<(), StoreError> {
        loop {
            let next = write((self.value + 1).to_be_bytes());
            match store.replace(self.key, self.version, next, now()).await {
                Ok(Replaced::Replaced(version)) => {
                    (self.version, self.value, self.in_doubt) = (version, self.value + 1, false);
                    return Ok(());
                }
                Ok(Replaced::Conflict(stored)) => {
                    let value = number(&stored.data);
                    let is_explained = self.in_doubt && value == self.value + 1;
                    self.surprises += u64::from(!is_explained);
                    (self.version, self.value, self.in_doubt) = (stored.version, value, false);
                }
                Ok(Replaced::Gone) => panic!("the counter is gone"),
                Err(error) => {
                    self.in_doubt = true;
                    return Err(error);
                }
            }
        }
    }

    /// Loads the number of writes.
    pub async fn stored(&self, store: &(impl SessionStore + ?Sized)) -> Option<u64> {
        data(store, self.key).await.map(|data| number(&data))
    }
}

fn number(data: &[u8]) -> u64 {
    u64::from_be_bytes(data.try_into().expect("eight bytes"))
}

/// The numbers of acknowledged and of failed writes of a counter so far.
#[derive(Debug, Default)]
struct Progress {
    added: AtomicU64,
    failed: AtomicU64,
}

/// A counter at the end of the load.
#[derive(Debug)]
pub struct Added {
    counter: Counter,
    /// The number of acknowledged writes.
    pub acknowledged: u64,
    /// The errors of the other writes.
    pub failures: Vec<StoreErrorKind>,
}

impl Added {
    /// Loads the number of writes.
    pub async fn stored(&self, store: &(impl SessionStore + ?Sized)) -> Option<u64> {
        self.counter.stored(store).await
    }

    /// Asserts that no acknowledged write is lost and that none was executed twice.
    pub async fn assert_exact(&self, store: &(impl SessionStore + ?Sized)) {
        let stored = self.stored(store).await.expect("the counter");
        // A write that failed may have been executed.
        let most = self.acknowledged + self.failures.len() as u64;
        let is_possible = (self.acknowledged..=most).contains(&stored);
        assert!(
            is_possible && self.counter.surprises == 0,
            "{stored}: {self:?}"
        );
    }
}

/// Counters that are written until [`end`](Self::end) is called.
#[derive(Debug)]
pub struct Load {
    stop: Arc<AtomicBool>,
    progress: Vec<Arc<Progress>>,
    tasks: Vec<JoinHandle<(Counter, Vec<StoreErrorKind>)>>,
}

impl Load {
    /// Creates this number of counters through `patient`, and starts to write them through `store`, whose calls may
    /// time out.
    pub async fn begin(
        count: usize,
        store: impl SessionStore,
        patient: &(impl SessionStore + ?Sized),
    ) -> Self {
        let store: Arc<dyn SessionStore> = Arc::new(store);
        let mut load = Self {
            stop: Arc::default(),
            progress: Vec::new(),
            tasks: Vec::new(),
        };
        for _ in 0..count {
            let counter = Counter::create(patient).await;
            let progress = Arc::new(Progress::default());
            let (stop, store) = (Arc::clone(&load.stop), Arc::clone(&store));
            let task = keep_adding(counter, store, stop, Arc::clone(&progress));
            load.tasks.push(tokio::spawn(task));
            load.progress.push(progress);
        }
        load
    }

    /// Returns the number of acknowledged writes of each counter.
    pub fn added(&self) -> Vec<u64> {
        let added = |progress: &Arc<Progress>| progress.added.load(Ordering::SeqCst);
        self.progress.iter().map(added).collect()
    }

    fn failed(&self) -> u64 {
        let failed = |progress: &Arc<Progress>| progress.failed.load(Ordering::SeqCst);
        self.progress.iter().map(failed).sum()
    }

    /// Waits until this number of further writes is acknowledged.
    pub async fn adds(&self, writes: u64) {
        let added = || self.added().into_iter().sum::<u64>();
        let enough = added() + writes;
        self.reaches("writes are acknowledged", || added() >= enough)
            .await;
    }

    /// Waits until a write fails.
    pub async fn fails(&self) {
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

    /// Ends the writes.
    pub async fn end(self) -> Vec<Added> {
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
}

/// Writes until `stop` is set. Returns the counter and the errors of the failed writes.
async fn keep_adding(
    mut counter: Counter,
    store: Arc<dyn SessionStore>,
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
