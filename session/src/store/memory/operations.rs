//! The store contract, in memory. Everything is done at once when a method is called; the future is
//! ready from the start.

use std::{
    future::{Ready, poll_fn, ready},
    mem,
    task::Poll,
};

use parking_lot::MutexGuard;

use super::{
    MemoryStore, OnFull, SHARDS, Shard, shard_index,
    slots::Slot,
    table::{Place, Table},
};
use crate::{
    clock::Timestamp,
    id::PublicId,
    store::{
        Created, LockOwner, Locked, Replaced, SessionStore, StoreError, StoreErrorKind,
        StoreFuture, Stored, Version, Write,
    },
    threads::yield_now,
};

/// Records that a new one makes a sweep look at. With four, a sweep has gone through a table before
/// the table has grown by a third; so expired records never pile up beyond that.
const STEPS_A_CREATE: usize = 4;
/// Records that any other write makes a sweep look at.
const STEPS_A_WRITE: usize = 1;
/// Records looked at to find one to evict.
const CANDIDATES: usize = 16;
/// Records of one table among them.
const CANDIDATES_A_SHARD: usize = 4;
/// A sweep of the whole store lets other tasks run after so many tables.
const SHARDS_A_TURN: usize = 16;

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
        // Only ever later, so the shard's earliest expiry stays true.
        let touched = same.map(|stored| stored.expires_at = stored.expires_at.max(expires_at));
        boxed(Ok(touched.is_some()))
    }

    fn rename(
        &self,
        from: PublicId,
        expected: Version,
        to: PublicId,
        write: Write,
        leave: Option<Write>,
        now: Timestamp,
    ) -> StoreFuture<'_, Replaced> {
        boxed(self.rename_now(from, expected, to, write, leave, now))
    }

    fn delete(&self, key: PublicId, now: Timestamp) -> StoreFuture<'_, bool> {
        let mut table = self.shard(&key).lock();
        let live = table.live(&key, now).is_some();
        if table.remove(&key) {
            self.slots.give_back(1);
        }
        boxed(Ok(live))
    }

    fn delete_expired(&self, limit: usize, now: Timestamp) -> StoreFuture<'_, usize> {
        Box::pin(async move {
            let mut removed = 0;
            for shards in self.shards.chunks(SHARDS_A_TURN) {
                for shard in shards.iter().filter(|shard| shard.may_have_expired(now)) {
                    if removed == limit {
                        return Ok(removed);
                    }
                    removed += self.sweep(shard, &mut shard.lock(), limit - removed, now);
                }
                let_others_run().await;
            }
            Ok(removed)
        })
    }

    fn clear(&self) -> StoreFuture<'_, ()> {
        // All tables at once: a record that moves to another one meanwhile does not slip through.
        let mut tables: Vec<_> = self.shards.iter().map(Shard::lock).collect();
        let cleared: Vec<_> = tables
            .iter_mut()
            .map(|table| mem::take(&mut **table))
            .collect();
        drop(tables);
        self.slots.give_back(cleared.iter().map(Table::len).sum());
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
        match table.place(key, now) {
            Place::Live(stored) => Some(stored.clone()),
            Place::Expired => {
                table.remove(key);
                self.slots.give_back(1);
                None
            }
            Place::Vacant => None,
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
            match table.place(&key, now) {
                Place::Live(_) => return Ok(Created::Exists),
                // Hands its place on.
                Place::Expired => {}
                Place::Vacant => {
                    slot = slot.or_else(|| self.slots.take());
                    if slot.is_none() {
                        drop(table);
                        slot = Some(self.make_room("creating a session in memory", now)?);
                        continue;
                    }
                }
            }
            shard.expires(write.expires_at);
            let (version, grown) = table.begin(key, write);
            if let Some(slot) = slot.filter(|_| grown) {
                slot.fill();
            }
            self.sweep_some(shard, &mut table, STEPS_A_CREATE, now);
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
        shard.expires(write.expires_at);
        *stored = Stored {
            data: write.data,
            version,
            expires_at: write.expires_at,
        };
        self.sweep_some(shard, &mut table, STEPS_A_WRITE, now);
        Replaced::Replaced(version)
    }

    fn rename_now(
        &self,
        from: PublicId,
        expected: Version,
        to: PublicId,
        write: Write,
        leave: Option<Write>,
        now: Timestamp,
    ) -> Result<Replaced, StoreError> {
        let action = "renaming a session in memory";
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
            // Expired, or nothing at all.
            if tables.to().remove(&to) {
                self.slots.give_back(1);
            }
            if leave.is_some() {
                slot = slot.or_else(|| self.slots.take());
                if slot.is_none() {
                    drop(tables);
                    slot = Some(self.make_room(action, now)?);
                    continue;
                }
            }
            self.shard(&to).expires(write.expires_at);
            let (version, _) = tables.to().begin(to, write);
            // The place of `from` goes to `to`, or the one taken above does.
            if let Some(leave) = leave {
                self.shard(&from).expires(leave.expires_at);
                tables.from().begin(from, leave);
                if let Some(slot) = slot {
                    slot.fill();
                }
            } else {
                tables.from().remove(&from);
            }
            return Ok(Replaced::Replaced(version));
        }
    }

    /// The tables of two keys, which may be one. Locked in the order of the shards, so that two calls
    /// never wait for each other.
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
        self.slots.give_back(removed);
        removed
    }

    fn sweep_some(&self, shard: &Shard, table: &mut Table, steps: usize, now: Timestamp) {
        if shard.may_have_expired(now) {
            self.slots.give_back(table.sweep_some(steps, now));
        }
    }

    /// A place for one more record in a store that is full. No table is locked by the caller.
    fn make_room(&self, action: &'static str, now: Timestamp) -> Result<Slot<'_>, StoreError> {
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
                    // What was to be evicted has ended meanwhile, and its place went to somebody else,
                    // or every place is being filled right now.
                    yield_now();
                }
            }
        }
    }

    /// Ends the record that expires soonest among a few, and takes its place.
    fn evict(&self) -> Option<Slot<'_>> {
        let start: u64 = rand::random();
        let offset = usize::try_from(start >> 32).unwrap_or_default();
        let first_shard = shard_number(start);
        let mut seen = 0;
        let mut soonest = None;
        for index in (0..SHARDS).map(|step| (first_shard + step) % SHARDS) {
            let table = self.shards[index].lock();
            let count = CANDIDATES_A_SHARD.min(CANDIDATES - seen);
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

/// Any number as that of a shard.
fn shard_number(random: u64) -> usize {
    usize::from(random.to_le_bytes()[0]) % SHARDS
}

/// The locked tables of two keys.
struct Tables<'a> {
    from: MutexGuard<'a, Table>,
    /// None where it is the same table.
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

/// Comes back on the next turn of whatever runs this task.
async fn let_others_run() {
    let mut came_back = false;
    poll_fn(|context| {
        if came_back {
            return Poll::Ready(());
        }
        came_back = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
