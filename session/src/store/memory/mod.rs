//! A store in the memory of this process.

mod budget;
mod operations;
mod records;
mod space;
mod table;
#[cfg(test)]
mod tests;

use std::fmt;

use parking_lot::{Mutex, MutexGuard};

use self::{
    budget::{Budget, Change},
    table::Table,
};
use crate::{
    clock::Timestamp,
    id::PublicId,
    threads::atomic::{AtomicU64, Ordering},
};

/// A store in the memory of this process. Sessions end with the process, and other processes do not see them.
///
/// Records are spread over many locks, each held for well under a microsecond. A load shares the record's
/// bytes and does not copy them. Writes also remove expired records, so no background task is needed.
///
/// ```
/// use poem_session::store::{MemoryStore, OnFull};
///
/// let store = MemoryStore::new();
/// assert!(store.is_empty());
///
/// let small = MemoryStore::builder()
///     .capacity(10_000)
///     .max_bytes(8 * 1024 * 1024)
///     .on_full(OnFull::EvictSoonest)
///     .build();
/// assert_eq!((small.capacity(), small.max_bytes()), (10_000, 8_388_608));
/// ```
///
/// # Limits
/// Two numbers are limited, so that traffic cannot fill the memory: the
/// [sessions](MemoryStoreBuilder::capacity), by default to [`DEFAULT_CAPACITY`](Self::DEFAULT_CAPACITY), and their
/// [bytes](MemoryStoreBuilder::max_bytes), by default to [`DEFAULT_MAX_BYTES`](Self::DEFAULT_MAX_BYTES). Expired
/// records do not count: a full store removes them first.
///
/// A full store refuses new sessions and changes that enlarge a session, with
/// [`Full`](super::StoreErrorKind::Full), or evicts other sessions: see [`OnFull`]. All other calls work on a full
/// store: reads, changes that do not enlarge a session, and calls that end a session or move it to a new id, as at
/// sign-out and sign-in. Two rules make this possible:
///
/// - A session that ends frees its space at once. Tombstones, and the forwards of rotated ids, do not count as
///   sessions. The store keeps these [retired](super::RecordClass::Retired) records in addition to the sessions, up
///   to one eighth of both limits. Beyond that, a new retired record replaces one that expires soon.
/// - A move to a new id may exceed the limit on bytes by one eighth, because a sign-in adds to the session.
pub struct MemoryStore {
    shards: Box<[Shard; SHARDS]>,
    budget: Budget,
    on_full: OnFull,
}

/// The behavior of a full [`MemoryStore`] when a session is created or becomes larger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum OnFull {
    /// The store refuses the write with [`StoreErrorKind::Full`](super::StoreErrorKind::Full), so that one
    /// visitor's traffic does not end another visitor's session. The default.
    #[default]
    Refuse,
    /// The store removes another session: of a few random ones, the one that expires soonest.
    ///
    /// The store removes [anonymous](super::RecordClass::Anonymous) sessions first, and
    /// [established](super::RecordClass::Established) ones only if no anonymous session is left. A write of an
    /// anonymous session never removes an established one: if no other is left, the store refuses the write. So
    /// visitors who do not sign in cannot end the sessions of those who do.
    EvictSoonest,
}

/// Settings of a [`MemoryStore`]: see [`MemoryStore::builder`].
#[derive(Debug, Clone)]
#[must_use = "it does nothing until `build` is called"]
pub struct MemoryStoreBuilder {
    capacity: usize,
    max_bytes: usize,
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
    /// The default capacity: 2²⁰ sessions, a little over a million.
    pub const DEFAULT_CAPACITY: usize = 1 << 20;

    /// The default limit on the bytes of all sessions: 512 MiB.
    ///
    /// That is enough for [`DEFAULT_CAPACITY`](Self::DEFAULT_CAPACITY) sessions of 312 bytes of data, or for 8,000
    /// sessions of the largest size, 64 KiB by default.
    pub const DEFAULT_MAX_BYTES: usize = 512 * 1024 * 1024;

    /// Creates an empty store with the default settings.
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// Returns a builder with the default settings.
    pub fn builder() -> MemoryStoreBuilder {
        MemoryStoreBuilder {
            capacity: Self::DEFAULT_CAPACITY,
            max_bytes: Self::DEFAULT_MAX_BYTES,
            on_full: OnFull::default(),
        }
    }

    /// Returns the number of records in the store, including tombstones, forwards, and expired records that
    /// were not swept yet.
    pub fn len(&self) -> usize {
        self.budget.records()
    }

    /// Returns whether the store holds no records.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the number of bytes that the records count as, as for [`len`](Self::len).
    pub fn bytes(&self) -> usize {
        self.budget.bytes()
    }

    /// Returns the number of sessions that the store can hold.
    pub fn capacity(&self) -> usize {
        self.budget.max_records()
    }

    /// Returns the number of bytes that the sessions in the store can have together.
    pub fn max_bytes(&self) -> usize {
        self.budget.max_bytes()
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
            .field("bytes", &self.bytes())
            .field("max_bytes", &self.max_bytes())
            .field("on_full", &self.on_full)
            .finish_non_exhaustive()
    }
}

impl MemoryStoreBuilder {
    /// Sets the largest number of sessions, at least 1. The default is
    /// [`DEFAULT_CAPACITY`](MemoryStore::DEFAULT_CAPACITY).
    pub fn capacity(mut self, sessions: usize) -> Self {
        self.capacity = sessions.max(1);
        self
    }

    /// Sets the largest number of bytes of all sessions together. The default is
    /// [`DEFAULT_MAX_BYTES`](MemoryStore::DEFAULT_MAX_BYTES).
    ///
    /// A session counts as the bytes of its record and 200 more: for its key, version, expiry and index, and for
    /// the spare capacity of tables and allocator, which varies. The record of a session of four small keys has
    /// about 100 bytes. The store can take a quarter more than this limit: an eighth for retired records, and an
    /// eighth for sessions that grow when they move to a new id.
    pub fn max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// Sets what a full store does when a session is created or becomes larger. The default is
    /// [`OnFull::Refuse`].
    pub fn on_full(mut self, on_full: OnFull) -> Self {
        self.on_full = on_full;
        self
    }

    /// Creates the store. It allocates memory when records are created.
    #[must_use]
    pub fn build(self) -> MemoryStore {
        MemoryStore {
            shards: Box::new(std::array::from_fn(|_| Shard::new())),
            budget: Budget::new(self.capacity, self.max_bytes),
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

    /// Removes up to `limit` expired records from this shard's table. Returns the change of the counts.
    fn sweep(&self, table: &mut Table, limit: usize, now: Timestamp) -> Change {
        let (change, earliest) = table.sweep(limit, now);
        if let Some(earliest) = earliest {
            self.earliest.store(earliest.as_millis(), Ordering::Relaxed);
        }
        change
    }
}
