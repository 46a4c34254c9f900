//! Counts the records of a store and their bytes without a lock, and limits both.
//!
//! Sessions and [retired](RecordClass::Retired) records are counted apart, so that a session can always leave a
//! tombstone: in a full store, a new retired record takes the place of an older one, and never that of a session.

use bytes::Bytes;

use crate::{
    store::RecordClass,
    threads::atomic::{AtomicUsize, Ordering},
};

/// The bytes that a record counts as in addition to its data: its key, version, expiry and index, and the spare
/// capacity of the tables and of the allocator. Stores of 300,000 to 800,000 records took 150 to 175 bytes more
/// than the data for each.
pub(super) const OVERHEAD: usize = 200;

/// Retired records may take this part of the numbers for sessions, in addition to them. A move to a new id may
/// exceed the bytes for sessions by the same part.
const EXTRA: usize = 8;

/// The bytes for retired records in the smallest store: any tombstone or forward fits.
const LEAST_RETIRED: usize = OVERHEAD + 128;

/// The bytes that a record with this data counts as.
pub(super) fn size(data: &Bytes) -> usize {
    data.len() + OVERHEAD
}

/// The records of a store, counted and limited.
pub(super) struct Budget {
    sessions: Area,
    retired: Area,
}

/// One atomic operation takes or releases a number, so the numbers are always correct and relaxed memory ordering
/// is enough. A reader may see a number that is slightly out of date.
struct Area {
    records: AtomicUsize,
    bytes: AtomicUsize,
    max_records: usize,
    max_bytes: usize,
}

/// The change of the counts by one write.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Change {
    sessions: Delta,
    retired: Delta,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Delta {
    records: isize,
    bytes: isize,
}

/// The limit on the bytes of sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Limit {
    Ordinary,
    /// The limit for a session that moves to a new id. It is higher, because a visitor must be able to sign in
    /// when the store is full, and a sign-in adds to the session.
    Move,
}

/// The records that leave no space for others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lack {
    Sessions,
    Retired,
}

impl Change {
    /// A record is stored.
    pub(super) fn plus(mut self, class: RecordClass, size: usize) -> Self {
        let delta = self.delta(class);
        delta.records += 1;
        delta.bytes += size.cast_signed();
        self
    }

    /// A record is removed.
    pub(super) fn minus(mut self, class: RecordClass, size: usize) -> Self {
        self.remove(class, 1, size);
        self
    }

    /// Records of `bytes` together are removed.
    pub(super) fn remove(&mut self, class: RecordClass, records: usize, bytes: usize) {
        let delta = self.delta(class);
        delta.records -= records.cast_signed();
        delta.bytes -= bytes.cast_signed();
    }

    /// The number of records that are removed in excess of those that are stored.
    pub(super) fn removed(&self) -> usize {
        let records = self.sessions.records + self.retired.records;
        usize::try_from(-records).unwrap_or(0)
    }

    fn delta(&mut self, class: RecordClass) -> &mut Delta {
        match class {
            RecordClass::Anonymous | RecordClass::Established => &mut self.sessions,
            RecordClass::Retired => &mut self.retired,
        }
    }
}

impl Budget {
    pub(super) fn new(max_records: usize, max_bytes: usize) -> Self {
        let sessions = Area::new(max_records, max_bytes);
        let (records, bytes) = (max_records / EXTRA, max_bytes / EXTRA);
        let retired = Area::new(records.max(1), bytes.max(LEAST_RETIRED));
        Self { sessions, retired }
    }

    /// The number of records, retired ones included.
    pub(super) fn records(&self) -> usize {
        self.sessions.records() + self.retired.records()
    }

    /// The bytes of all records, retired ones included.
    pub(super) fn bytes(&self) -> usize {
        self.sessions.bytes() + self.retired.bytes()
    }

    pub(super) fn max_records(&self) -> usize {
        self.sessions.max_records
    }

    pub(super) fn max_bytes(&self) -> usize {
        self.sessions.max_bytes
    }

    /// Reserves what a write adds. The caller holds the locks of the tables that it writes to.
    pub(super) fn reserve(&self, change: Change, limit: Limit) -> Result<Reservation<'_>, Lack> {
        let sessions_limit = self.sessions.limit(limit);
        if !self.sessions.take(change.sessions, sessions_limit) {
            return Err(Lack::Sessions);
        }
        if !self.retired.take(change.retired, self.retired.max_bytes) {
            self.sessions.give_back(change.sessions);
            return Err(Lack::Retired);
        }
        Ok(Reservation {
            budget: self,
            change,
        })
    }

    /// Whether a write that adds this would be accepted now.
    pub(super) fn fits(&self, change: Change, limit: Limit) -> bool {
        self.sessions
            .fits(change.sessions, self.sessions.limit(limit))
            && self.retired.fits(change.retired, self.retired.max_bytes)
    }

    /// Whether a record of this size fits beside that many other records of its kind.
    pub(super) fn fits_beside(
        &self,
        lack: Lack,
        size: usize,
        (records, bytes): (usize, usize),
        limit: Limit,
    ) -> bool {
        let (area, max_bytes) = match lack {
            Lack::Sessions => (&self.sessions, self.sessions.limit(limit)),
            Lack::Retired => (&self.retired, self.retired.max_bytes),
        };
        records < area.max_records && bytes.saturating_add(size) <= max_bytes
    }

    /// Takes away the counts of records that were removed.
    pub(super) fn release(&self, change: Change) {
        self.sessions.release(change.sessions);
        self.retired.release(change.retired);
    }
}

impl Area {
    fn new(max_records: usize, max_bytes: usize) -> Self {
        Self {
            records: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            max_records,
            max_bytes,
        }
    }

    fn records(&self) -> usize {
        self.records.load(Ordering::Relaxed)
    }

    fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    fn limit(&self, limit: Limit) -> usize {
        match limit {
            Limit::Ordinary => self.max_bytes,
            Limit::Move => self.max_bytes.saturating_add(self.max_bytes / EXTRA),
        }
    }

    /// Takes what `delta` adds, or nothing.
    ///
    /// If the bytes do not suffice, the record is counted for a moment. Another call may then find no space for
    /// its last record, in a store that is full but for that one.
    fn take(&self, delta: Delta, max_bytes: usize) -> bool {
        let (records, bytes) = delta.added();
        if !take(&self.records, records, self.max_records) {
            return false;
        }
        let is_taken = take(&self.bytes, bytes, max_bytes);
        if !is_taken {
            subtract(&self.records, records);
        }
        is_taken
    }

    fn fits(&self, delta: Delta, max_bytes: usize) -> bool {
        let (records, bytes) = delta.added();
        let is_free = |taken, more: usize, max| more == 0 || more.saturating_add(taken) <= max;
        is_free(self.records(), records, self.max_records)
            && is_free(self.bytes(), bytes, max_bytes)
    }

    /// Undoes [`take`](Self::take).
    fn give_back(&self, delta: Delta) {
        let (records, bytes) = delta.added();
        subtract(&self.records, records);
        subtract(&self.bytes, bytes);
    }

    fn release(&self, delta: Delta) {
        let (records, bytes) = delta.removed();
        subtract(&self.records, records);
        subtract(&self.bytes, bytes);
    }
}

impl Delta {
    /// The records and bytes that are added, zero if they are removed.
    fn added(self) -> (usize, usize) {
        let positive = |number: isize| usize::try_from(number).unwrap_or(0);
        (positive(self.records), positive(self.bytes))
    }

    /// The records and bytes that are removed, zero if they are added.
    fn removed(self) -> (usize, usize) {
        let opposite = Self {
            records: -self.records,
            bytes: -self.bytes,
        };
        opposite.added()
    }
}

fn take(taken: &AtomicUsize, more: usize, max: usize) -> bool {
    if more == 0 {
        return true;
    }
    let add = |taken: usize| taken.checked_add(more).filter(|sum| *sum <= max);
    taken
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, add)
        .is_ok()
}

fn subtract(taken: &AtomicUsize, less: usize) {
    if less > 0 {
        taken.fetch_sub(less, Ordering::Relaxed);
    }
}

/// The records and bytes that a write will add. They count already. Dropping the reservation gives them back.
#[must_use = "the write is not counted until `commit` is called"]
pub(super) struct Reservation<'a> {
    budget: &'a Budget,
    change: Change,
}

impl Reservation<'_> {
    /// The write is done: counts what it has added and what it has removed.
    pub(super) fn commit(self) {
        self.budget.release(self.change);
        std::mem::forget(self);
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        self.budget.sessions.give_back(self.change.sessions);
        self.budget.retired.give_back(self.change.retired);
    }
}
