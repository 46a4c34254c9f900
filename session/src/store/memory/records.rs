//! The records of one class in one shard.

use std::hash::{BuildHasherDefault, Hasher};

use indexmap::IndexMap;

use super::budget::size;
use crate::{clock::Timestamp, id::PublicId, store::Stored};

/// A table with a capacity above this number releases memory when it uses less than a quarter of it.
const SMALL: usize = 64;

pub(super) type KeyHash = BuildHasherDefault<KeyHasher>;

/// Records of one class.
///
/// They are indexed by position, so that eviction can choose some at random and a sweep can continue where it
/// stopped.
#[derive(Default)]
pub(super) struct Records {
    map: IndexMap<PublicId, Stored, KeyHash>,
    /// The bytes that the records count as.
    bytes: usize,
    /// The current round of the sweep has checked the records at and after this position.
    swept_down_to: usize,
}

impl Records {
    pub(super) fn len(&self) -> usize {
        self.map.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn position(&self, key: &PublicId) -> Option<usize> {
        self.map.get_index_of(key)
    }

    pub(super) fn get(&self, position: usize) -> &Stored {
        &self.map[position]
    }

    /// The record, of which the caller changes all but the data.
    pub(super) fn get_mut(&mut self, position: usize) -> &mut Stored {
        &mut self.map[position]
    }

    pub(super) fn replace(&mut self, position: usize, stored: Stored) {
        let old = &mut self.map[position];
        self.bytes = self.bytes + size(&stored.data) - size(&old.data);
        *old = stored;
    }

    /// Adds a record. No record is stored under `key`. The positions of others stay the same.
    pub(super) fn add(&mut self, key: PublicId, stored: Stored) {
        self.bytes += size(&stored.data);
        self.map.insert(key, stored);
    }

    /// Removes the record at this position. The last record moves there.
    pub(super) fn remove(&mut self, position: usize) -> Option<(PublicId, Stored)> {
        let removed = self.map.swap_remove_index(position)?;
        self.bytes -= size(&removed.1.data);
        Some(removed)
    }

    /// Checks up to `steps` records, starting where the last call stopped, and removes the expired ones.
    /// Calls `removed` with the key of each.
    ///
    /// The sweep runs from the last position to the first. A removal moves the last record into the gap, so
    /// every record is checked in each round.
    pub(super) fn sweep_some(
        &mut self,
        steps: usize,
        now: Timestamp,
        mut removed: impl FnMut(&PublicId),
    ) {
        for _ in 0..steps.min(self.len()) {
            if self.swept_down_to == 0 || self.swept_down_to > self.len() {
                self.swept_down_to = self.len();
            }
            self.swept_down_to -= 1;
            self.remove_if_expired(self.swept_down_to, now, &mut removed);
            if self.map.is_empty() {
                break;
            }
        }
        self.shrink();
    }

    /// Removes up to `limit` expired records. Calls `removed` with the key of each. Returns the earliest
    /// expiry of those left, if it has checked all records.
    pub(super) fn sweep(
        &mut self,
        mut limit: usize,
        now: Timestamp,
        mut removed: impl FnMut(&PublicId),
    ) -> Option<Timestamp> {
        let mut earliest = Timestamp::from_millis(u64::MAX);
        for position in (0..self.len()).rev() {
            if limit == 0 {
                return None;
            }
            if self.remove_if_expired(position, now, &mut removed) {
                limit -= 1;
            } else {
                earliest = earliest.min(self.map[position].expires_at);
            }
        }
        self.shrink();
        Some(earliest)
    }

    /// Returns the record that expires first among up to `count` records, starting at position `start`, of
    /// those that are not stored under `except`.
    pub(super) fn soonest_of(
        &self,
        start: usize,
        count: usize,
        except: &PublicId,
    ) -> Option<(PublicId, Timestamp)> {
        let len = self.len();
        (0..len)
            .filter_map(|step| self.map.get_index((start % len + step) % len))
            .filter(|(key, _)| *key != except)
            .take(count)
            .map(|(key, stored)| (*key, stored.expires_at))
            .min_by_key(|(_, expires_at)| *expires_at)
    }

    fn remove_if_expired(
        &mut self,
        position: usize,
        now: Timestamp,
        removed: &mut impl FnMut(&PublicId),
    ) -> bool {
        let expired = self.map[position].expires_at <= now;
        if expired && let Some((key, _)) = self.remove(position) {
            removed(&key);
        }
        expired
    }

    fn shrink(&mut self) {
        if self.map.capacity() > SMALL && self.len() < self.map.capacity() / 4 {
            self.map.shrink_to(self.len() * 2);
        }
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
    use crate::{id::SessionId, store::Version};

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn filled(expiries: impl IntoIterator<Item = u64>) -> Records {
        let mut records = Records::default();
        for expiry in expiries {
            let stored = Stored {
                data: "record".into(),
                version: Version::FIRST,
                expires_at: at(expiry),
            };
            records.add(SessionId::random().public(), stored);
        }
        records
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
        let mut records = filled((0..100).map(|n| if n % 3 == 0 { 10 } else { 1000 }));
        let mut removed = 0;
        for _ in 0..records.len().div_ceil(7) {
            records.sweep_some(7, at(10), |_| removed += 1);
        }
        assert_eq!((removed, records.len()), (34, 66));
        records.sweep(usize::MAX, at(10), |_| panic!("none has expired"));
    }

    #[test]
    fn a_full_sweep_respects_its_limit_and_returns_the_earliest_expiry() {
        let mut records = filled([5, 6, 7, 20, 30]);
        let mut removed = 0;
        assert_eq!(records.sweep(2, at(10), |_| removed += 1), None);
        assert_eq!(removed, 2);
        assert_eq!(records.sweep(9, at(10), |_| removed += 1), Some(at(20)));
        assert_eq!((removed, records.len()), (3, 2));
    }

    #[test]
    fn a_table_that_shrinks_releases_memory() {
        let mut records = filled((0..10_000).map(|n| if n < 10 { 1000 } else { 10 }));
        let before = records.map.capacity();
        records.sweep(usize::MAX, at(10), |_| {});
        assert_eq!(records.len(), 10);
        assert!(records.map.capacity() < before / 100);
    }

    #[test]
    fn the_bytes_are_those_of_the_records() {
        let mut records = filled([5, 6, 20]);
        let each = size(&"record".into());
        assert_eq!(records.bytes(), 3 * each);
        let longer = Stored {
            data: "a longer record".into(),
            ..records.get(2).clone()
        };
        records.replace(2, longer);
        assert_eq!(records.bytes(), 3 * each + 9);
        records.sweep(usize::MAX, at(10), |_| {});
        assert_eq!(records.bytes(), each + 9);
        records.remove(0);
        assert_eq!(records.bytes(), 0);
    }
}
