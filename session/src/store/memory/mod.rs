//! Sessions in the memory of this process.

mod operations;
mod slots;
mod table;
#[cfg(test)]
mod tests;

use std::fmt;

use parking_lot::{Mutex, MutexGuard};

use self::{slots::Slots, table::Table};
use crate::{
    clock::Timestamp,
    id::PublicId,
    threads::atomic::{AtomicU64, Ordering},
};

/// Keeps sessions in the memory of this process: they end with it, and no other process sees them.
///
/// Records are spread over many locks, each held for well under a microsecond, and what is loaded is
/// shared and not copied. Expired records are removed along with writes; no task is needed for that.
/// The number of records is bounded (a million or so unless told otherwise), so that traffic cannot
/// fill the memory: see [`OnFull`].
///
/// ```
/// use poem_session::store::{MemoryStore, OnFull};
///
/// let store = MemoryStore::new();
/// assert!(store.is_empty());
///
/// let small = MemoryStore::builder()
///     .capacity(10_000)
///     .on_full(OnFull::EvictSoonest)
///     .build();
/// assert_eq!(small.capacity(), 10_000);
/// ```
pub struct MemoryStore {
    shards: Box<[Shard; SHARDS]>,
    slots: Slots,
    on_full: OnFull,
}

/// What a [`MemoryStore`] does when it is asked to create a record and holds as many as it may.
///
/// Expired records never count: they are removed first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum OnFull {
    /// Refuses the new record with [`StoreErrorKind::Full`](super::StoreErrorKind::Full). Nobody is
    /// signed out by somebody else's traffic.
    #[default]
    Refuse,
    /// Ends another record for it: of a few picked at random, the one that would expire soonest.
    EvictSoonest,
}

/// Sets up a [`MemoryStore`].
#[derive(Debug, Clone)]
#[must_use = "it does nothing until `build` is called"]
pub struct MemoryStoreBuilder {
    capacity: usize,
    on_full: OnFull,
}

/// One byte of the key names the shard. So many that a million records make tables of a few thousand,
/// which grow and are swept in tens of microseconds. Few where every order of what happens to them is tried.
const SHARDS: usize = if cfg!(poem_session_shuttle) { 2 } else { 256 };

/// Aligned so that two shards never share a cache line, nor the pair of lines fetched together.
#[repr(align(128))]
struct Shard {
    table: Mutex<Table>,
    /// No record of the table expires before this moment, in milliseconds: whether a sweep could find
    /// anything is known without the lock. Written under the lock only.
    earliest: AtomicU64,
}

impl MemoryStore {
    /// How many records a store holds unless told otherwise: 2²⁰, a little over a million.
    pub const DEFAULT_CAPACITY: usize = 1 << 20;

    /// An empty store of the default capacity, which refuses what is beyond that.
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// An empty store with settings of your own.
    pub fn builder() -> MemoryStoreBuilder {
        MemoryStoreBuilder {
            capacity: Self::DEFAULT_CAPACITY,
            on_full: OnFull::default(),
        }
    }

    /// How many records the store holds. Those that have expired but were not swept yet are among them.
    pub fn len(&self) -> usize {
        self.slots.taken()
    }

    /// Whether the store holds no record at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many records the store can hold.
    pub fn capacity(&self) -> usize {
        self.slots.capacity()
    }

    fn shard(&self, key: &PublicId) -> &Shard {
        &self.shards[shard_index(key)]
    }
}

fn shard_index(key: &PublicId) -> usize {
    usize::from(key.as_bytes()[0]) % SHARDS
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore")
            .field("len", &self.len())
            .field("capacity", &self.capacity())
            .field("on_full", &self.on_full)
            .finish_non_exhaustive()
    }
}

impl MemoryStoreBuilder {
    /// How many records the store may hold, at least one. A record of four small keys takes some 300
    /// bytes.
    pub fn capacity(mut self, records: usize) -> Self {
        self.capacity = records.max(1);
        self
    }

    /// What happens when it holds that many.
    pub fn on_full(mut self, on_full: OnFull) -> Self {
        self.on_full = on_full;
        self
    }

    /// The store, empty. Memory is taken as records come.
    #[must_use]
    pub fn build(self) -> MemoryStore {
        MemoryStore {
            shards: Box::new(std::array::from_fn(|_| Shard::new())),
            slots: Slots::new(self.capacity),
            on_full: self.on_full,
        }
    }
}

impl Shard {
    fn new() -> Self {
        Self {
            table: Mutex::default(),
            earliest: AtomicU64::new(u64::MAX),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock()
    }

    /// Whether a record may have expired.
    fn may_have_expired(&self, now: Timestamp) -> bool {
        self.earliest.load(Ordering::Relaxed) <= now.as_millis()
    }

    /// Takes note that a record expires then. To be called with the lock held.
    fn expires(&self, at: Timestamp) {
        if at.as_millis() < self.earliest.load(Ordering::Relaxed) {
            self.earliest.store(at.as_millis(), Ordering::Relaxed);
        }
    }

    /// Removes up to `limit` expired records from the table, which is this shard's. Answers how many.
    fn sweep(&self, table: &mut Table, limit: usize, now: Timestamp) -> usize {
        let (removed, earliest) = table.sweep(limit, now);
        if let Some(earliest) = earliest {
            self.earliest.store(earliest.as_millis(), Ordering::Relaxed);
        }
        removed
    }
}
