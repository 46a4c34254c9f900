//! The store contract in memory. A method does its work when it is called, and the future that it returns is
//! ready.

use std::{
    future::{Ready, poll_fn, ready},
    mem,
    task::Poll,
};

use parking_lot::MutexGuard;

use super::{
    MemoryStore, Shard,
    budget::{Limit, size},
    shard_index,
    space::Need,
    table::{Lookup, Table},
};
use crate::{
    clock::Timestamp,
    id::PublicId,
    store::{
        Created, LockOwner, Locked, Rename, Replaced, SessionStore, StoreError, StoreErrorKind,
        StoreFuture, Stored, Version, Write,
    },
};

/// The number of records that a sweep checks for each create. With four, the sweep passes through the whole
/// table before the table grows by a third, so expired records take no more space than that.
const STEPS_PER_CREATE: usize = 4;
/// The number of records that a sweep checks for each other write.
const STEPS_PER_WRITE: usize = 1;
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
        boxed(self.replace_now(key, expected, write, now))
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
            .filter(|place| table.get(*place).version == expected);
        if let Some(place) = same {
            // The expiry only moves to a later time, so the shard's `earliest` stays correct.
            table.prolong(place, expires_at);
        }
        boxed(Ok(same.is_some()))
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
        for table in cleared {
            self.budget.release(table.all_removed());
        }
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
            Lookup::Live(place) => Some(table.get(place).clone()),
            Lookup::Expired(place) => {
                self.budget.release(table.remove(place));
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
        loop {
            let mut table = shard.lock();
            let expired = match table.look_up(&key, now) {
                Lookup::Live(_) => return Ok(Created::Exists),
                Lookup::Expired(place) => Some(place),
                Lookup::Missing => None,
            };
            let change = table.change(expired, &write);
            let lack = match self.budget.reserve(change, Limit::Ordinary) {
                Ok(reserved) => {
                    shard.note_expiry(write.expires_at);
                    let version = table.put(key, expired, write);
                    if expired.is_some() {
                        table.end_lease(&key);
                    }
                    reserved.commit();
                    self.sweep_some(shard, &mut table, STEPS_PER_CREATE, now);
                    return Ok(Created::Created(version));
                }
                Err(lack) => lack,
            };
            drop(table);
            let action = "creating a session in memory";
            self.make_space(&Need::of_write(action, change, lack, &write, key), now)?;
        }
    }

    fn replace_now(
        &self,
        key: PublicId,
        expected: Version,
        write: Write,
        now: Timestamp,
    ) -> Result<Replaced, StoreError> {
        let shard = self.shard(&key);
        loop {
            let mut table = shard.lock();
            let Some(place) = table.live(&key, now) else {
                return Ok(Replaced::Gone);
            };
            let stored = table.get(place);
            if stored.version != expected {
                return Ok(Replaced::Conflict(stored.clone()));
            }
            let change = table.change(Some(place), &write);
            let lack = match self.budget.reserve(change, Limit::Ordinary) {
                Ok(reserved) => {
                    shard.note_expiry(write.expires_at);
                    let version = table.put(key, Some(place), write);
                    reserved.commit();
                    self.sweep_some(shard, &mut table, STEPS_PER_WRITE, now);
                    return Ok(Replaced::Replaced(version));
                }
                Err(lack) => lack,
            };
            drop(table);
            let action = "replacing a session in memory";
            self.make_space(&Need::of_write(action, change, lack, &write, key), now)?;
        }
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
        loop {
            let mut tables = self.lock_both(&from, &to);
            let Some(place) = tables.from().live(&from, now) else {
                return Ok(Replaced::Gone);
            };
            let stored = tables.from().get(place);
            if stored.version != expected {
                return Ok(Replaced::Conflict(stored.clone()));
            }
            match tables.to().look_up(&to, now) {
                Lookup::Live(_) => return Err(StoreError::new(StoreErrorKind::Corrupt, action)),
                Lookup::Expired(expired) => {
                    self.budget.release(tables.to().remove(expired));
                    // The places in the table have changed.
                    continue;
                }
                Lookup::Missing => {}
            }
            let left = tables.from().change(Some(place), &leave);
            let change = left.plus(write.class, size(&write.data));
            let lack = match self.budget.reserve(change, Limit::Move) {
                Ok(reserved) => {
                    self.shard(&to).note_expiry(write.expires_at);
                    let version = tables.to().put(to, None, write);
                    self.shard(&from).note_expiry(leave.expires_at);
                    tables.from().put(from, Some(place), leave);
                    tables.from().end_lease(&from);
                    reserved.commit();
                    return Ok(Replaced::Replaced(version));
                }
                Err(lack) => lack,
            };
            drop(tables);
            let need = Need::of_rename(action, change, lack, (&write, &leave), from);
            self.make_space(&need, now)?;
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

    /// Removes up to `limit` expired records of one table. Returns how many it removed.
    pub(super) fn sweep(
        &self,
        shard: &Shard,
        table: &mut Table,
        limit: usize,
        now: Timestamp,
    ) -> usize {
        let change = shard.sweep(table, limit, now);
        self.budget.release(change);
        change.removed()
    }

    fn sweep_some(&self, shard: &Shard, table: &mut Table, steps: usize, now: Timestamp) {
        if shard.may_have_expired(now) {
            self.budget.release(table.sweep_some(steps, now));
        }
    }
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
