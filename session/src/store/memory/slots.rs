//! How many records a store may hold, counted without a lock.

use crate::threads::atomic::{AtomicUsize, Ordering};

/// Counts the places that are taken. A count that is a moment old does no harm, as a place is taken and
/// given back by one atomic operation each; so the order of memory is left relaxed.
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

    /// A place for one more record, if there is one.
    pub(super) fn take(&self) -> Option<Slot<'_>> {
        self.taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |taken| {
                (taken < self.capacity).then_some(taken + 1)
            })
            .ok()
            .map(|_| Slot(self))
    }

    /// The place of a record that has been removed, to be used for another.
    pub(super) fn inherit(&self) -> Slot<'_> {
        Slot(self)
    }

    /// Gives back the places of records that have been removed.
    pub(super) fn give_back(&self, count: usize) {
        if count > 0 {
            self.taken.fetch_sub(count, Ordering::Relaxed);
        }
    }
}

/// A place that is taken. Dropped, it is free again.
pub(super) struct Slot<'a>(&'a Slots);

impl Slot<'_> {
    /// A record is in it now, and it will be given back with that.
    pub(super) fn fill(self) {
        std::mem::forget(self);
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        self.0.give_back(1);
    }
}
