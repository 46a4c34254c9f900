//! The store contract in memory. A method does its work when it is called, and the future that it returns is
//! ready.

use std::{
    future::{Ready, poll_fn, ready},
    mem,
    task::Poll,
};

use parking_lot::MutexGuard;

use super::{
    MemoryStore, OnFull, SHARDS, Shard, shard_index,
    slots::Slot,
    table::{Lookup, Table},
};
use crate::{
    clock::Timestamp,
    id::PublicId,
    store::{
        Created, LockOwner, Locked, Rename, Replaced, SessionStore, StoreError, StoreErrorKind,
        StoreFuture, Stored, Version, Write,
    },
    threads::yield_now,
};

/// The number of records that a sweep checks for each create. With four, the sweep passes through the whole
/// table before the table grows by a third, so expired records take no more space than that.
const STEPS_PER_CREATE: usize = 4;
/// The number of records that a sweep checks for each other write.
const STEPS_PER_WRITE: usize = 1;
/// The number of records that are compared to find one to evict.
const CANDIDATES: usize = 16;
/// The largest number of candidates from one table.
const CANDIDATES_PER_SHARD: usize = 4;
/// The number of tables after which a sweep of the whole store lets other tasks run.
const SHARDS_PER_TURN: usize = 16;

impl SessionStore for MemoryStore {
    fn load(&self, key: PublicId, now: Timestamp) -> StoreFuture<'_, Option<Stored>> {
        boxed(Ok(self.load_now(&key, now)))
    }

    fn create(&self, key: PublicId, write: Write, now: Timestamp) -> StoreFuture<'_, Created> {
        boxed(self.create_now(key, write, now))
    }

    fn replace(
        &self,
        key: PublicId,
        expected: Version,
        write: Write,
        now: Timestamp,
    ) -> StoreFuture<'_, Replaced> {
        boxed(Ok(self.replace_now(&key, expected, write, now)))
    }

    fn touch(
        &self,
        key: PublicId,
        expected: Version,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> StoreFuture<'_, bool> {
        let mut table = self.shard(&key).lock();
        let same = table
            .live(&key, now)
            .filter(|stored| stored.version == expected);
        // The expiry only moves to a later time, so the shard's `earliest` stays correct.
        let touched = same.map(|stored| stored.expires_at = stored.expires_at.max(expires_at));
        boxed(Ok(touched.is_some()))
    }

    fn rename(&self, rename: Rename, now: Timestamp) -> StoreFuture<'_, Replaced> {
        boxed(self.rename_now(rename, now))
    }

    fn delete_expired(&self, limit: usize, now: Timestamp) -> StoreFuture<'_, usize> {
        Box::pin(async move {
            let mut removed = 0;
            for shards in self.shards.chunks(SHARDS_PER_TURN) {
                for shard in shards.iter().filter(|shard| shard.may_have_expired(now)) {
                    if removed == limit {
                        return Ok(removed);
                    }
                    removed += self.sweep(shard, &mut shard.lock(), limit - removed, now);
                }
                yield_to_other_tasks().await;
            }
            Ok(removed)
        })
    }

    fn clear(&self) -> StoreFuture<'_, ()> {
        // All tables are locked at the same time, so that a record which is renamed meanwhile is removed too.
        let mut tables: Vec<_> = self.shards.iter().map(Shard::lock).collect();
        let cleared: Vec<_> = tables
            .iter_mut()
            .map(|table| mem::take(&mut **table))
            .collect();
        drop(tables);
        self.slots.release(cleared.iter().map(Table::len).sum());
        boxed(Ok(()))
    }

    fn lock(
        &self,
        key: PublicId,
        owner: LockOwner,
        until: Timestamp,
        now: Timestamp,
    ) -> StoreFuture<'_, Locked> {
        boxed(Ok(self.shard(&key).lock().lock(key, owner, until, now)))
    }

    fn unlock(&self, key: PublicId, owner: LockOwner) -> StoreFuture<'_, bool> {
        boxed(Ok(self.shard(&key).lock().unlock(&key, owner)))
    }
}

impl MemoryStore {
    fn load_now(&self, key: &PublicId, now: Timestamp) -> Option<Stored> {
        let mut table = self.shard(key).lock();
        match table.look_up(key, now) {
            Lookup::Live(stored) => Some(stored.clone()),
            Lookup::Expired => {
                table.remove(key);
                self.slots.release(1);
                None
            }
            Lookup::Missing => None,
        }
    }

    fn create_now(
        &self,
        key: PublicId,
        write: Write,
        now: Timestamp,
    ) -> Result<Created, StoreError> {
        let shard = self.shard(&key);
        let mut slot = None;
        loop {
            let mut table = shard.lock();
            match table.look_up(&key, now) {
                Lookup::Live(_) => return Ok(Created::Exists),
                // The new record takes the slot of the expired one.
                Lookup::Expired => {}
                Lookup::Missing => {
                    slot = slot.or_else(|| self.slots.take());
                    if slot.is_none() {
                        drop(table);
                        slot = Some(self.free_slot("creating a session in memory", now)?);
                        continue;
                    }
                }
            }
            shard.note_expiry(write.expires_at);
            let (version, grown) = table.insert(key, write);
            if let Some(slot) = slot.filter(|_| grown) {
                slot.fill();
            }
            self.sweep_some(shard, &mut table, STEPS_PER_CREATE, now);
            return Ok(Created::Created(version));
        }
    }

    fn replace_now(
        &self,
        key: &PublicId,
        expected: Version,
        write: Write,
        now: Timestamp,
    ) -> Replaced {
        let shard = self.shard(key);
        let mut table = shard.lock();
        let Some(stored) = table.live(key, now) else {
            return Replaced::Gone;
        };
        if stored.version != expected {
            return Replaced::Conflict(stored.clone());
        }
        let version = expected.next();
        shard.note_expiry(write.expires_at);
        *stored = Stored {
            data: write.data,
            version,
            expires_at: write.expires_at,
        };
        self.sweep_some(shard, &mut table, STEPS_PER_WRITE, now);
        Replaced::Replaced(version)
    }

    fn rename_now(&self, rename: Rename, now: Timestamp) -> Result<Replaced, StoreError> {
        let action = "renaming a session in memory";
        let Rename {
            from,
            expected,
            to,
            write,
            leave,
        } = rename;
        let mut slot = None;
        loop {
            let mut tables = self.lock_both(&from, &to);
            let Some(stored) = tables.from().live(&from, now) else {
                return Ok(Replaced::Gone);
            };
            if stored.version != expected {
                return Ok(Replaced::Conflict(stored.clone()));
            }
            if tables.to().live(&to, now).is_some() {
                return Err(StoreError::new(StoreErrorKind::Corrupt, action));
            }
            if tables.to().remove(&to) {
                // An expired record was stored under `to`.
                self.slots.release(1);
            }
            slot = slot.or_else(|| self.slots.take());
            if slot.is_none() {
                drop(tables);
                slot = Some(self.free_slot(action, now)?);
                continue;
            }
            self.shard(&to).note_expiry(write.expires_at);
            let (version, _) = tables.to().insert(to, write);
            self.shard(&from).note_expiry(leave.expires_at);
            tables.from().insert(from, leave);
            if let Some(slot) = slot {
                slot.fill();
            }
            return Ok(Replaced::Replaced(version));
        }
    }

    /// Locks the tables of two keys, which may be the same table. The tables are locked in the order of the
    /// shards, so that two calls never wait for each other.
    fn lock_both(&self, from: &PublicId, to: &PublicId) -> Tables<'_> {
        let (from, to) = (shard_index(from), shard_index(to));
        let first = self.shards[from.min(to)].lock();
        if from == to {
            return Tables {
                from: first,
                to: None,
            };
        }
        let second = self.shards[from.max(to)].lock();
        let (from, to) = if from < to {
            (first, second)
        } else {
            (second, first)
        };
        Tables { from, to: Some(to) }
    }

    fn sweep(&self, shard: &Shard, table: &mut Table, limit: usize, now: Timestamp) -> usize {
        let removed = shard.sweep(table, limit, now);
        self.slots.release(removed);
        removed
    }

    fn sweep_some(&self, shard: &Shard, table: &mut Table, steps: usize, now: Timestamp) {
        if shard.may_have_expired(now) {
            self.slots.release(table.sweep_some(steps, now));
        }
    }

    /// Makes a slot for one more record in a full store. The caller must not hold the lock of a table.
    fn free_slot(&self, action: &'static str, now: Timestamp) -> Result<Slot<'_>, StoreError> {
        loop {
            for shard in self
                .shards
                .iter()
                .filter(|shard| shard.may_have_expired(now))
            {
                self.sweep(shard, &mut shard.lock(), usize::MAX, now);
                if let Some(slot) = self.slots.take() {
                    return Ok(slot);
                }
            }
            match self.on_full {
                OnFull::Refuse => return Err(StoreError::new(StoreErrorKind::Full, action)),
                OnFull::EvictSoonest => {
                    if let Some(slot) = self.evict().or_else(|| self.slots.take()) {
                        return Ok(slot);
                    }
                    // The record to evict was removed meanwhile and another call took its slot, or all
                    // slots are taken by calls that have not stored their record yet.
                    yield_now();
                }
            }
        }
    }

    /// Removes the record that expires soonest among a few random ones, and takes its slot.
    fn evict(&self) -> Option<Slot<'_>> {
        let start: u64 = rand::random();
        let offset = usize::try_from(start >> 32).unwrap_or_default();
        let first_shard = shard_number(start);
        let mut seen = 0;
        let mut soonest = None;
        for index in (0..SHARDS).map(|step| (first_shard + step) % SHARDS) {
            let table = self.shards[index].lock();
            let count = CANDIDATES_PER_SHARD.min(CANDIDATES - seen);
            seen += count.min(table.len());
            if let Some((key, expires_at)) = table.soonest_of(offset, count)
                && soonest.is_none_or(|(_, earliest)| expires_at < earliest)
            {
                soonest = Some((key, expires_at));
            }
            if seen == CANDIDATES {
                break;
            }
        }
        let (key, _) = soonest?;
        let removed = self.shard(&key).lock().remove(&key);
        removed.then(|| self.slots.inherit())
    }
}

/// Maps a random number to the index of a shard.
fn shard_number(random: u64) -> usize {
    usize::from(random.to_le_bytes()[0]) % SHARDS
}

/// The locked tables of the two keys of a rename.
struct Tables<'a> {
    from: MutexGuard<'a, Table>,
    /// `None` if `from` and `to` are in the same table.
    to: Option<MutexGuard<'a, Table>>,
}

impl Tables<'_> {
    fn from(&mut self) -> &mut Table {
        &mut self.from
    }

    fn to(&mut self) -> &mut Table {
        self.to.as_mut().unwrap_or(&mut self.from)
    }
}

fn boxed<'a, T: Send + 'a>(result: Result<T, StoreError>) -> StoreFuture<'a, T> {
    let future: Ready<_> = ready(result);
    Box::pin(future)
}

/// Returns `Pending` once, so that the runtime can run other tasks.
async fn yield_to_other_tasks() {
    let mut yielded = false;
    poll_fn(|context| {
        if yielded {
            return Poll::Ready(());
        }
        yielded = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
