//! Space in a full store: expired records are removed, and others are evicted.

use super::{
    MemoryStore, OnFull, SHARDS,
    budget::{Change, Lack, Limit, size},
};
use crate::{
    clock::Timestamp,
    id::PublicId,
    store::{RecordClass, StoreError, StoreErrorKind, Write},
    threads::yield_now,
};

/// The number of records that are compared to find one to evict.
const CANDIDATES: usize = 16;
/// The largest number of candidates from one table.
const CANDIDATES_PER_SHARD: usize = 4;

/// The space that a write needs and does not have.
pub(super) struct Need {
    action: &'static str,
    change: Change,
    limit: Limit,
    lack: Lack,
    /// The class and the size of the record that does not fit.
    class: RecordClass,
    size: usize,
    /// The key of the record that is written. It is not evicted.
    key: PublicId,
}

impl Need {
    pub(super) fn of_write(
        action: &'static str,
        change: Change,
        lack: Lack,
        write: &Write,
        key: PublicId,
    ) -> Self {
        Self {
            action,
            change,
            limit: Limit::Ordinary,
            lack,
            class: write.class,
            size: size(&write.data),
            key,
        }
    }

    pub(super) fn of_rename(
        action: &'static str,
        change: Change,
        lack: Lack,
        (write, leave): (&Write, &Write),
        from: PublicId,
    ) -> Self {
        let too_large = match lack {
            Lack::Sessions => write,
            Lack::Retired => leave,
        };
        Self {
            limit: Limit::Move,
            ..Self::of_write(action, change, lack, too_large, from)
        }
    }

    /// The classes of which a record may be evicted, in this order.
    fn evicts(&self, on_full: OnFull) -> &'static [RecordClass] {
        use RecordClass::{Anonymous, Established, Retired};

        match (self.lack, on_full, self.class) {
            (Lack::Retired, ..) => &[Retired],
            (Lack::Sessions, OnFull::Refuse, _) => &[],
            (Lack::Sessions, OnFull::EvictSoonest, Anonymous) => &[Anonymous],
            (Lack::Sessions, OnFull::EvictSoonest, _) => &[Anonymous, Established],
        }
    }
}

impl MemoryStore {
    /// Makes space for a write, which the caller then tries again: another call may have taken the space. The
    /// caller must not hold the lock of a table.
    ///
    /// # Errors
    /// [`StoreErrorKind::Full`] if no record may give way.
    pub(super) fn make_space(&self, need: &Need, now: Timestamp) -> Result<(), StoreError> {
        for shard in self.shards.iter() {
            if shard.may_have_expired(now) {
                self.sweep(shard, &mut shard.lock(), usize::MAX, now);
                if self.budget.fits(need.change, need.limit) {
                    return Ok(());
                }
            }
        }
        let fits_beside =
            |others| (self.budget).fits_beside(need.lack, need.size, others, need.limit);
        let classes = need.evicts(self.on_full);
        if classes.is_empty() || !fits_beside((0, 0)) {
            return Err(StoreError::new(StoreErrorKind::Full, need.action));
        }
        if classes.iter().any(|class| self.evict(*class, &need.key)) {
            return Ok(());
        }
        if !classes.contains(&RecordClass::Established)
            && need.lack == Lack::Sessions
            && !fits_beside(self.established())
        {
            return Err(StoreError::new(StoreErrorKind::Full, need.action));
        }
        // Other calls have reserved the space and have not stored their records yet.
        yield_now();
        Ok(())
    }

    /// Removes the record that expires soonest among a few random ones of a class. Returns false if there is
    /// none but the one under `except`.
    fn evict(&self, class: RecordClass, except: &PublicId) -> bool {
        let start: u64 = rand::random();
        let offset = usize::try_from(start >> 32).unwrap_or_default();
        let first_shard = usize::from(start.to_le_bytes()[0]) % SHARDS;
        let mut seen = 0;
        let mut soonest = None;
        for index in (0..SHARDS).map(|step| (first_shard + step) % SHARDS) {
            let table = self.shards[index].lock();
            let records = table.of(class);
            let count = CANDIDATES_PER_SHARD.min(CANDIDATES - seen);
            seen += count.min(records.len());
            if let Some((key, expires_at)) = records.soonest_of(offset, count, except)
                && soonest.is_none_or(|(_, earliest)| expires_at < earliest)
            {
                soonest = Some((key, expires_at));
            }
            if seen == CANDIDATES {
                break;
            }
        }
        let Some((key, _)) = soonest else {
            return false;
        };
        let removed = self.shard(&key).lock().evict(class, &key);
        self.budget.release(removed);
        true
    }

    /// The number and the bytes of the established sessions.
    fn established(&self) -> (usize, usize) {
        let each = self.shards.iter().map(|shard| {
            let table = shard.lock();
            let records = table.of(RecordClass::Established);
            (records.len(), records.bytes())
        });
        each.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    }
}
