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

/// A counter and the results of its writes.
#[derive(Debug)]
pub struct Writer {
    counter: Counter,
    /// The number of acknowledged writes.
    pub acknowledged: u64,
    /// The errors of the other writes.
    pub failures: Vec<StoreErrorKind>,
}

impl Writer {
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
    /// For each counter, the numbers of acknowledged and of failed writes so far.
    progress: Vec<Arc<[AtomicU64; 2]>>,
    tasks: Vec<JoinHandle<Writer>>,
}

impl Load {
    /// Creates this number of counters through `patient`, and starts to write them through `store`, whose
    /// calls may time out.
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
            let writer = Writer {
                counter: Counter::create(patient).await,
                acknowledged: 0,
                failures: Vec::new(),
            };
            let progress = Arc::default();
            load.progress.push(Arc::clone(&progress));
            let (stop, store) = (Arc::clone(&load.stop), Arc::clone(&store));
            let task = tokio::spawn(writer.run(store, stop, progress));
            load.tasks.push(task);
        }
        load
    }

    /// Returns the number of acknowledged writes of each counter.
    pub fn added(&self) -> Vec<u64> {
        let added = |progress: &Arc<[AtomicU64; 2]>| progress[0].load(Ordering::SeqCst);
        self.progress.iter().map(added).collect()
    }

    /// Waits until this number of further writes is acknowledged.
    pub async fn adds(&self, writes: u64) {
        self.reaches("writes are acknowledged", 0, writes).await;
    }

    /// Waits until a write fails.
    pub async fn fails(&self) {
        self.reaches("a write fails", 1, 1).await;
    }

    async fn reaches(&self, expected: &str, number: usize, more: u64) {
        let count = |progress: &Arc<[AtomicU64; 2]>| progress[number].load(Ordering::SeqCst);
        let total = || self.progress.iter().map(count).sum::<u64>();
        let enough = total() + more;
        eventually(expected, async || {
            let ended = self.tasks.iter().any(JoinHandle::is_finished);
            assert!(!ended, "a task has panicked");
            (total() >= enough).then_some(())
        })
        .await;
    }

    /// Ends the writes.
    pub async fn end(self) -> Vec<Writer> {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Vec::new();
        for task in self.tasks {
            all.push(task.await.expect("each write ends"));
        }
        all
    }
}

impl Writer {
    /// Writes until `stop` is set.
    async fn run(
        mut self,
        store: Arc<dyn SessionStore>,
        stop: Arc<AtomicBool>,
        progress: Arc<[AtomicU64; 2]>,
    ) -> Self {
        while !stop.load(Ordering::Relaxed) {
            let add = timeout(PATIENCE, self.counter.add(&store));
            if let Err(error) = add.await.expect("a write that ends") {
                self.failures.push(error.kind());
                progress[1].fetch_add(1, Ordering::SeqCst);
                sleep(Duration::from_millis(5)).await;
            } else {
                self.acknowledged += 1;
                progress[0].fetch_add(1, Ordering::SeqCst);
            }
        }
        self
    }
}
