//! The records of one shard. Writes to the table also sweep it.

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

/// A table with a capacity above this number releases memory when it uses less than a quarter of it.
const SMALL: usize = 64;

/// Records and leases of one shard.
///
/// Records are indexed by position, so that eviction can choose some at random and a sweep can continue where
/// it stopped. Leases are in a map of their own, because few records have one.
#[derive(Default)]
pub(super) struct Table {
    records: IndexMap<PublicId, Stored, BuildHasherDefault<KeyHasher>>,
    leases: HashMap<PublicId, Lease, BuildHasherDefault<KeyHasher>>,
    /// The current round of the sweep has checked the records at and after this position.
    swept_down_to: usize,
}

struct Lease {
    owner: LockOwner,
    until: Timestamp,
}

/// The record under a key, if any.
pub(super) enum Lookup<'a> {
    Live(&'a mut Stored),
    Expired,
    Missing,
}

impl Table {
    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    pub(super) fn look_up(&mut self, key: &PublicId, now: Timestamp) -> Lookup<'_> {
        match self.records.get_mut(key) {
            Some(stored) if now < stored.expires_at => Lookup::Live(stored),
            Some(_) => Lookup::Expired,
            None => Lookup::Missing,
        }
    }

    pub(super) fn live(&mut self, key: &PublicId, now: Timestamp) -> Option<&mut Stored> {
        match self.look_up(key, now) {
            Lookup::Live(stored) => Some(stored),
            Lookup::Expired | Lookup::Missing => None,
        }
    }

    /// Stores a new record under `key`, in place of any other. Returns its version, and whether the number
    /// of records has grown.
    pub(super) fn insert(&mut self, key: PublicId, write: Write) -> (Version, bool) {
        match self.records.entry(key) {
            Entry::Occupied(mut entry) => {
                let stored = entry.get_mut();
                // The version continues from that of the old record, so that a late write which expects
                // the old record does not replace the new one.
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

    /// Removes the record under `key`. Returns whether one existed, expired or not.
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
        // The map is nearly always empty. The check saves computing the hash.
        if !self.leases.is_empty() {
            self.leases.remove(key);
        }
    }

    /// Checks up to `steps` records, starting where the last call stopped, and removes the expired ones.
    /// Returns how many it removed.
    ///
    /// The sweep runs from the last position to the first. A removal moves the last record into the gap, so
    /// every record is checked in each round.
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

    /// Removes up to `limit` expired records. Returns how many it removed, and, if it has checked all
    /// records, the earliest expiry of those left.
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

    /// Returns the record that expires first among up to `count` records, starting at position `start`.
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

/// Uses eight bytes of the key as its hash. A key is a SHA-256 hash already, so nobody can choose keys that
/// collide, and hashing it again would only cost time.
#[derive(Default)]
pub(super) struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn write(&mut self, bytes: &[u8]) {
        // Not the first bytes: they select the shard, so keys in one table share them.
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
            table.insert(
                SessionId::random().public(),
                Write::new("record", at(expiry)),
            );
        }
        table
    }

    #[test]
    fn the_hash_is_part_of_the_key() {
        let mut bytes = [0; 32];
        bytes[8] = 7;
        let hash = BuildHasherDefault::<KeyHasher>::default();
        assert_eq!(hash.hash_one(PublicId::from_bytes(bytes)), 7);
    }

    #[test]
    fn a_sweep_in_steps_checks_every_record() {
        let mut table = filled((0..100).map(|n| if n % 3 == 0 { 10 } else { 1000 }));
        let mut removed = 0;
        for _ in 0..table.len().div_ceil(7) {
            removed += table.sweep_some(7, at(10));
        }
        assert_eq!((removed, table.len()), (34, 66));
        assert_eq!(table.sweep(usize::MAX, at(10)).0, 0);
    }

    #[test]
    fn a_full_sweep_respects_its_limit_and_returns_the_earliest_expiry() {
        let mut table = filled([5, 6, 7, 20, 30]);
        assert_eq!(table.sweep(2, at(10)), (2, None));
        assert_eq!(table.sweep(9, at(10)), (1, Some(at(20))));
        assert_eq!(table.len(), 2);
    }

    #[test]
    fn a_table_that_shrinks_releases_memory() {
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
