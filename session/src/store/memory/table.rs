//! The records of one shard. Writes to the table also sweep it.

use std::collections::HashMap;

use super::{
    budget::{Change, size},
    records::{KeyHash, Records},
};
use crate::{
    clock::Timestamp,
    id::PublicId,
    store::{LockOwner, Locked, RecordClass, Stored, Version, Write},
};

/// The classes, in the order in which a key is looked up.
pub(super) const CLASSES: [RecordClass; 3] = [
    RecordClass::Established,
    RecordClass::Anonymous,
    RecordClass::Retired,
];

fn number(class: RecordClass) -> usize {
    match class {
        RecordClass::Established => 0,
        RecordClass::Anonymous => 1,
        RecordClass::Retired => 2,
    }
}

/// Records and leases of one shard.
///
/// The records of each class are apart, so that eviction finds those of one class at once, and no record needs a
/// byte for its class. Leases are in a map of their own, because few records have one.
#[derive(Default)]
pub(super) struct Table {
    records: [Records; 3],
    leases: HashMap<PublicId, Lease, KeyHash>,
}

struct Lease {
    owner: LockOwner,
    until: Timestamp,
}

/// The place of a record, until another record is removed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    class: RecordClass,
    position: usize,
}

/// The record under a key, if any.
pub(super) enum Lookup {
    Live(Place),
    Expired(Place),
    Missing,
}

impl Table {
    /// The records of a class.
    pub(super) fn of(&self, class: RecordClass) -> &Records {
        &self.records[number(class)]
    }

    fn of_mut(&mut self, class: RecordClass) -> &mut Records {
        &mut self.records[number(class)]
    }

    pub(super) fn look_up(&self, key: &PublicId, now: Timestamp) -> Lookup {
        for class in CLASSES {
            if let Some(position) = self.of(class).position(key) {
                let place = Place { class, position };
                return if now < self.get(place).expires_at {
                    Lookup::Live(place)
                } else {
                    Lookup::Expired(place)
                };
            }
        }
        Lookup::Missing
    }

    /// The place of the live record under a key.
    pub(super) fn live(&self, key: &PublicId, now: Timestamp) -> Option<Place> {
        match self.look_up(key, now) {
            Lookup::Live(place) => Some(place),
            Lookup::Expired(_) | Lookup::Missing => None,
        }
    }

    pub(super) fn get(&self, place: Place) -> &Stored {
        self.of(place.class).get(place.position)
    }

    /// Moves the expiry of a record to a later time.
    pub(super) fn prolong(&mut self, place: Place, expires_at: Timestamp) {
        let stored = self.of_mut(place.class).get_mut(place.position);
        stored.expires_at = stored.expires_at.max(expires_at);
    }

    /// The change of the counts if `write` is stored, in place of the record at `old`.
    pub(super) fn change(&self, old: Option<Place>, write: &Write) -> Change {
        let change = Change::default().plus(write.class, size(&write.data));
        match old {
            Some(old) => change.minus(old.class, size(&self.get(old).data)),
            None => change,
        }
    }

    /// Stores a record under `key`, in place of the one at `old`. A lease stays. Returns its version.
    ///
    /// The version continues from that of the old record, so that a late write which expects the old record does
    /// not replace the new one.
    pub(super) fn put(&mut self, key: PublicId, old: Option<Place>, write: Write) -> Version {
        let version = old.map_or(Version::FIRST, |old| self.get(old).version.next());
        let class = write.class;
        let stored = Stored {
            data: write.data,
            version,
            expires_at: write.expires_at,
        };
        match old {
            Some(old) if old.class == class => self.of_mut(class).replace(old.position, stored),
            _ => {
                if let Some(old) = old {
                    self.of_mut(old.class).remove(old.position);
                }
                self.of_mut(class).add(key, stored);
            }
        }
        version
    }

    /// Removes the record at `place` and its lease. Returns the change of the counts.
    pub(super) fn remove(&mut self, place: Place) -> Change {
        let class = place.class;
        match self.of_mut(class).remove(place.position) {
            Some((key, stored)) => {
                self.end_lease(&key);
                Change::default().minus(class, size(&stored.data))
            }
            None => Change::default(),
        }
    }

    /// Removes the record under `key` if it is still of this class. Returns the change of the counts.
    pub(super) fn evict(&mut self, class: RecordClass, key: &PublicId) -> Change {
        match self.of(class).position(key) {
            Some(position) => self.remove(Place { class, position }),
            None => Change::default(),
        }
    }

    pub(super) fn lock(
        &mut self,
        key: PublicId,
        owner: LockOwner,
        until: Timestamp,
        now: Timestamp,
    ) -> Locked {
        let Some(place) = self.live(&key, now) else {
            return Locked::Gone;
        };
        let of_another = self.leases.get(&key).filter(|lease| lease.owner != owner);
        if let Some(lease) = of_another {
            if now < lease.until {
                return Locked::Held;
            }
            let stored = self.of_mut(place.class).get_mut(place.position);
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
        end_lease(&mut self.leases, key);
    }

    /// Checks up to `steps` records of each class, starting where the last call stopped, and removes the
    /// expired ones. Returns the change of the counts.
    pub(super) fn sweep_some(&mut self, steps: usize, now: Timestamp) -> Change {
        let Self { records, leases } = self;
        let mut change = Change::default();
        for class in CLASSES {
            let records = &mut records[number(class)];
            let before = (records.len(), records.bytes());
            records.sweep_some(steps, now, |key| end_lease(leases, key));
            note_removal(&mut change, class, before, records);
        }
        change
    }

    /// Removes up to `limit` expired records. Returns the change of the counts, and, if it has checked all
    /// records, the earliest expiry of those left.
    pub(super) fn sweep(&mut self, limit: usize, now: Timestamp) -> (Change, Option<Timestamp>) {
        let Self { records, leases } = self;
        let mut change = Change::default();
        let mut earliest = Some(Timestamp::from_millis(u64::MAX));
        for class in CLASSES {
            let records = &mut records[number(class)];
            let before = (records.len(), records.bytes());
            let left = limit - change.removed();
            let found = records.sweep(left, now, |key| end_lease(leases, key));
            earliest = earliest.zip(found).map(|(one, other)| one.min(other));
            note_removal(&mut change, class, before, records);
        }
        (change, earliest)
    }

    /// The change of the counts if all records are removed.
    pub(super) fn all_removed(&self) -> Change {
        let mut change = Change::default();
        for class in CLASSES {
            let records = self.of(class);
            change.remove(class, records.len(), records.bytes());
        }
        change
    }
}

fn end_lease(leases: &mut HashMap<PublicId, Lease, KeyHash>, key: &PublicId) {
    // The map is nearly always empty. The check saves computing the hash.
    if !leases.is_empty() {
        leases.remove(key);
    }
}

/// Adds the records of a class that a sweep has removed.
fn note_removal(
    change: &mut Change,
    class: RecordClass,
    (records, bytes): (usize, usize),
    left: &Records,
) {
    change.remove(class, records - left.len(), bytes - left.bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::SessionId;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn put(table: &mut Table, class: RecordClass, expiry: u64) -> PublicId {
        let key = SessionId::random().public();
        let write = Write::new("record", at(expiry)).with_class(class);
        table.put(key, None, write);
        key
    }

    #[test]
    fn leases_end_with_their_records() {
        let mut table = Table::default();
        let key = put(&mut table, RecordClass::Established, 10);
        let locked = table.lock(key, LockOwner::new(1), at(1000), at(0));
        assert_eq!(locked, Locked::Acquired);
        table.sweep(usize::MAX, at(10));
        assert!(table.leases.is_empty());
    }

    #[test]
    fn a_sweep_covers_every_class_and_respects_its_limit() {
        let mut table = Table::default();
        for class in CLASSES {
            for expiry in [5, 6, 20] {
                put(&mut table, class, expiry);
            }
        }
        let (change, earliest) = table.sweep(3, at(10));
        assert_eq!((change.removed(), earliest), (3, None));
        let (change, earliest) = table.sweep(9, at(10));
        assert_eq!((change.removed(), earliest), (3, Some(at(20))));
        assert_eq!(table.all_removed().removed(), 3);
    }

    #[test]
    fn a_record_that_changes_its_class_is_stored_once_and_its_version_goes_on() {
        let mut table = Table::default();
        let key = put(&mut table, RecordClass::Anonymous, 10);
        let place = table.live(&key, at(0));
        let write = Write::new("left", at(10)).with_class(RecordClass::Retired);
        let version = table.put(key, place, write);
        assert_eq!(version, Version::FIRST.next());
        assert_eq!(table.all_removed().removed(), 1);
        let place = table.live(&key, at(0)).expect("it is stored");
        assert_eq!(table.get(place).data, "left");
    }
}
