//! A store in the memory of this process.

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

/// A store in the memory of this process. Sessions end with the process, and other processes do not see them.
///
/// Records are spread over many locks, each held for well under a microsecond. A load shares the record's
/// bytes and does not copy them. Writes also remove expired records, so no background task is needed. The
/// number of records is limited (by default to [`DEFAULT_CAPACITY`](Self::DEFAULT_CAPACITY)), so that traffic
/// cannot fill the memory: see [`OnFull`].
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

/// The behavior of a full [`MemoryStore`] when a record is created.
///
/// Expired records do not count: the store removes them first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum OnFull {
    /// The store refuses the new record with [`StoreErrorKind::Full`](super::StoreErrorKind::Full), so that
    /// one visitor's traffic does not end another visitor's session. The default.
    #[default]
    Refuse,
    /// The store removes another record: of a few random ones, the one that expires soonest.
    EvictSoonest,
}

/// Settings of a [`MemoryStore`]: see [`MemoryStore::builder`].
#[derive(Debug, Clone)]
#[must_use = "it does nothing until `build` is called"]
pub struct MemoryStoreBuilder {
    capacity: usize,
    on_full: OnFull,
}

/// The number of shards. One byte of the key selects the shard.
///
/// With 256 shards, a million records make tables of a few thousand, which grow and are swept in tens of
/// microseconds. The tests that try every schedule need a small number.
const SHARDS: usize = if cfg!(poem_session_shuttle) { 2 } else { 256 };

/// Aligned so that two shards never share a cache line or a pair of lines that are fetched together.
#[repr(align(128))]
struct Shard {
    table: Mutex<Table>,
    /// No record of the table expires before this time, in milliseconds since the Unix epoch. It shows
    /// without the lock whether a sweep could remove a record. It is written only under the lock.
    earliest: AtomicU64,
}

impl MemoryStore {
    /// The default capacity: 2²⁰ records, a little over a million.
    pub const DEFAULT_CAPACITY: usize = 1 << 20;

    /// Creates an empty store with the default settings.
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// Returns a builder with the default settings.
    pub fn builder() -> MemoryStoreBuilder {
        MemoryStoreBuilder {
            capacity: Self::DEFAULT_CAPACITY,
            on_full: OnFull::default(),
        }
    }

    /// Returns the number of records in the store, including expired ones that were not swept yet.
    pub fn len(&self) -> usize {
        self.slots.taken()
    }

    /// Returns whether the store holds no records.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the number of records that the store can hold.
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
    /// Sets the largest number of records, at least 1. The default is
    /// [`DEFAULT_CAPACITY`](MemoryStore::DEFAULT_CAPACITY). A record of four small keys takes about 300 bytes.
    pub fn capacity(mut self, records: usize) -> Self {
        self.capacity = records.max(1);
        self
    }

    /// Sets what a full store does when a record is created. The default is [`OnFull::Refuse`].
    pub fn on_full(mut self, on_full: OnFull) -> Self {
        self.on_full = on_full;
        self
    }

    /// Creates the store. It allocates memory when records are created.
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

    /// Returns whether a record of the table may have expired.
    fn may_have_expired(&self, now: Timestamp) -> bool {
        self.earliest.load(Ordering::Relaxed) <= now.as_millis()
    }

    /// Notes that a record expires at `at`. The caller must hold the lock.
    fn note_expiry(&self, at: Timestamp) {
        if at.as_millis() < self.earliest.load(Ordering::Relaxed) {
            self.earliest.store(at.as_millis(), Ordering::Relaxed);
        }
    }

    /// Removes up to `limit` expired records from this shard's table. Returns how many it removed.
    fn sweep(&self, table: &mut Table, limit: usize, now: Timestamp) -> usize {
        let (removed, earliest) = table.sweep(limit, now);
        if let Some(earliest) = earliest {
            self.earliest.store(earliest.as_millis(), Ordering::Relaxed);
        }
        removed
    }
}
