//! Counts the records of a store without a lock, and limits their number.

use crate::threads::atomic::{AtomicUsize, Ordering};

/// The slots of a store: each record takes one.
///
/// One atomic operation takes or releases a slot, so the count is always correct and relaxed memory ordering
/// is enough. A reader may see a count that is slightly out of date.
pub(super) struct Slots {
    taken: AtomicUsize,
    capacity: usize,
}

impl Slots {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            taken: AtomicUsize::new(0),
            capacity,
        }
    }

    pub(super) fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    /// Takes a slot for one more record, or returns `None` if all are taken.
    pub(super) fn take(&self) -> Option<Slot<'_>> {
        self.taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |taken| {
                (taken < self.capacity).then_some(taken + 1)
            })
            .ok()
            .map(|_| Slot(self))
    }

    /// Returns the slot of a record that was removed, for use by another record.
    pub(super) fn inherit(&self) -> Slot<'_> {
        Slot(self)
    }

    /// Releases the slots of `count` records that were removed.
    pub(super) fn release(&self, count: usize) {
        if count > 0 {
            self.taken.fetch_sub(count, Ordering::Relaxed);
        }
    }
}

/// A taken slot without a record. Dropping it releases the slot.
pub(super) struct Slot<'a>(&'a Slots);

impl Slot<'_> {
    /// Keeps the slot taken for a record that was stored. Removing the record releases it.
    pub(super) fn fill(self) {
        std::mem::forget(self);
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        self.0.release(1);
    }
}
