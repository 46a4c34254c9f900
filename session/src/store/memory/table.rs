//! One part of the records, behind one lock: a table that sweeps itself while it is written to.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
};

use indexmap::{IndexMap, map::Entry};

use crate::{
    clock::Timestamp,
    id::PublicId,
    store::{LockOwner, Locked, Stored, Version, Write},
};

/// A table that has shrunk below a quarter of its room gives the rest back, unless it is this small.
const SMALL: usize = 64;

/// Records in an order that does not matter, so that one can be picked at random and a sweep can stop
/// and go on; leases beside them, as few records ever have one.
#[derive(Default)]
pub(super) struct Table {
    records: IndexMap<PublicId, Stored, BuildHasherDefault<KeyHasher>>,
    leases: HashMap<PublicId, Lease, BuildHasherDefault<KeyHasher>>,
    /// Records at and after this place have been looked at in this round of the sweep.
    swept_down_to: usize,
}

struct Lease {
    owner: LockOwner,
    until: Timestamp,
}

/// What a key has in the table.
pub(super) enum Place<'a> {
    Live(&'a mut Stored),
    Expired,
    Vacant,
}

impl Table {
    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    pub(super) fn place(&mut self, key: &PublicId, now: Timestamp) -> Place<'_> {
        match self.records.get_mut(key) {
            Some(stored) if now < stored.expires_at => Place::Live(stored),
            Some(_) => Place::Expired,
            None => Place::Vacant,
        }
    }

    pub(super) fn live(&mut self, key: &PublicId, now: Timestamp) -> Option<&mut Stored> {
        match self.place(key, now) {
            Place::Live(stored) => Some(stored),
            Place::Expired | Place::Vacant => None,
        }
    }

    /// Puts a record that begins here in the place of whatever the key had. Answers its version, and
    /// whether the table has grown by it.
    pub(super) fn begin(&mut self, key: PublicId, write: Write) -> (Version, bool) {
        match self.records.entry(key) {
            Entry::Occupied(mut entry) => {
                let stored = entry.get_mut();
                // Not the first version again: a write that still speaks of what was here must not
                // take this one for it.
                *stored = stored_as(write, stored.version.next());
                let version = stored.version;
                self.end_lease(&key);
                (version, false)
            }
            Entry::Vacant(entry) => {
                entry.insert(stored_as(write, Version::FIRST));
                (Version::FIRST, true)
            }
        }
    }

    /// Removes what the key has. Answers whether there was anything.
    pub(super) fn remove(&mut self, key: &PublicId) -> bool {
        let removed = self.records.swap_remove(key).is_some();
        self.end_lease(key);
        removed
    }

    pub(super) fn lock(
        &mut self,
        key: PublicId,
        owner: LockOwner,
        until: Timestamp,
        now: Timestamp,
    ) -> Locked {
        let record = self.records.get_mut(&key);
        let Some(stored) = record.filter(|stored| now < stored.expires_at) else {
            return Locked::Gone;
        };
        let of_another = self.leases.get(&key).filter(|lease| lease.owner != owner);
        if let Some(lease) = of_another {
            if now < lease.until {
                return Locked::Held;
            }
            stored.version = stored.version.next();
        }
        self.leases.insert(key, Lease { owner, until });
        Locked::Acquired
    }

    pub(super) fn unlock(&mut self, key: &PublicId, owner: LockOwner) -> bool {
        let held = self
            .leases
            .get(key)
            .is_some_and(|lease| lease.owner == owner);
        if held {
            self.end_lease(key);
        }
        held
    }

    pub(super) fn end_lease(&mut self, key: &PublicId) {
        // Nearly always empty, and then not worth hashing for.
        if !self.leases.is_empty() {
            self.leases.remove(key);
        }
    }

    /// Looks at up to `steps` records and removes those that have expired, going on where the last
    /// call stopped. Answers how many it removed.
    ///
    /// Goes from the end to the front: a removal moves the last record into the gap, and that one has
    /// been looked at, or is still ahead.
    pub(super) fn sweep_some(&mut self, steps: usize, now: Timestamp) -> usize {
        let mut removed = 0;
        for _ in 0..steps.min(self.len()) {
            if self.swept_down_to == 0 || self.swept_down_to > self.len() {
                self.swept_down_to = self.len();
            }
            self.swept_down_to -= 1;
            removed += usize::from(self.remove_if_expired(self.swept_down_to, now));
            if self.records.is_empty() {
                break;
            }
        }
        self.shrink();
        removed
    }

    /// Removes up to `limit` records that have expired. Answers how many, and the earliest expiry among
    /// the rest if it has seen them all.
    pub(super) fn sweep(&mut self, limit: usize, now: Timestamp) -> (usize, Option<Timestamp>) {
        let mut removed = 0;
        let mut earliest = Timestamp::from_millis(u64::MAX);
        for index in (0..self.len()).rev() {
            if removed == limit {
                return (removed, None);
            }
            if self.remove_if_expired(index, now) {
                removed += 1;
            } else {
                earliest = earliest.min(self.records[index].expires_at);
            }
        }
        self.shrink();
        (removed, Some(earliest))
    }

    /// Of up to `count` records from the one at `start` on, the soonest to expire.
    pub(super) fn soonest_of(&self, start: usize, count: usize) -> Option<(PublicId, Timestamp)> {
        let len = self.len();
        (0..count.min(len))
            .filter_map(|step| self.records.get_index((start + step) % len))
            .map(|(key, stored)| (*key, stored.expires_at))
            .min_by_key(|(_, expires_at)| *expires_at)
    }

    fn remove_if_expired(&mut self, index: usize, now: Timestamp) -> bool {
        let expired = self.records[index].expires_at <= now;
        if expired && let Some((key, _)) = self.records.swap_remove_index(index) {
            self.end_lease(&key);
        }
        expired
    }

    fn shrink(&mut self) {
        if self.records.capacity() > SMALL && self.len() < self.records.capacity() / 4 {
            self.records.shrink_to(self.len() * 2);
        }
    }
}

fn stored_as(write: Write, version: Version) -> Stored {
    Stored {
        data: write.data,
        version,
        expires_at: write.expires_at,
    }
}

/// Takes eight bytes of the key for its hash. A key is a SHA-256 already, so nobody can choose keys
/// that collide, and hashing it again would only cost time.
#[derive(Default)]
pub(super) struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn write(&mut self, bytes: &[u8]) {
        // The first bytes have chosen the shard: within one they are all alike.
        if let Some(bytes) = bytes.get(8..16) {
            self.0 = u64::from_le_bytes(bytes.try_into().expect("eight bytes"));
        }
    }

    fn write_usize(&mut self, _length_of_the_key: usize) {}

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use std::hash::BuildHasher as _;

    use super::*;
    use crate::id::SessionId;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn filled(expiries: impl IntoIterator<Item = u64>) -> Table {
        let mut table = Table::default();
        for expiry in expiries {
            table.begin(
                SessionId::random().public(),
                Write::new("record", at(expiry)),
            );
        }
        table
    }

    #[test]
    fn the_hash_is_a_part_of_the_key() {
        let mut bytes = [0; 32];
        bytes[8] = 7;
        let hash = BuildHasherDefault::<KeyHasher>::default();
        assert_eq!(hash.hash_one(PublicId::from_bytes(bytes)), 7);
    }

    #[test]
    fn a_sweep_in_steps_meets_every_record() {
        let mut table = filled((0..100).map(|n| if n % 3 == 0 { 10 } else { 1000 }));
        let mut removed = 0;
        for _ in 0..table.len().div_ceil(7) {
            removed += table.sweep_some(7, at(10));
        }
        assert_eq!((removed, table.len()), (34, 66));
        assert_eq!(table.sweep(usize::MAX, at(10)).0, 0);
    }

    #[test]
    fn a_whole_sweep_keeps_to_its_limit_and_learns_the_earliest_expiry() {
        let mut table = filled([5, 6, 7, 20, 30]);
        assert_eq!(table.sweep(2, at(10)), (2, None));
        assert_eq!(table.sweep(9, at(10)), (1, Some(at(20))));
        assert_eq!(table.len(), 2);
    }

    #[test]
    fn room_is_given_back() {
        let mut table = filled((0..10_000).map(|n| if n < 10 { 1000 } else { 10 }));
        let before = table.records.capacity();
        table.sweep(usize::MAX, at(10));
        assert_eq!(table.len(), 10);
        assert!(table.records.capacity() < before / 100);
    }

    #[test]
    fn leases_end_with_their_records() {
        let mut table = filled([10]);
        let key = *table.records.get_index(0).expect("one record").0;
        let locked = table.lock(key, LockOwner::new(1), at(1000), at(0));
        assert_eq!(locked, Locked::Acquired);
        table.sweep(usize::MAX, at(10));
        assert!(table.leases.is_empty());
    }
}
