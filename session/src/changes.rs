//! The changes that a request has made to its session and not saved yet.

use bytes::Bytes;

use crate::{error::UpdateError, field::Field, record::Record};

/// One `update_*` closure: maps the encoded previous value to the encoded new value.
pub(crate) type Updater =
    Box<dyn FnMut(Option<&Bytes>) -> Result<Option<Bytes>, UpdateError> + Send>;

/// The updaters of one field, oldest first, each with its number in [`Changes`].
pub(crate) type Updaters = Vec<(u64, Updater)>;

/// The outcome of running the updaters of a field again.
pub(crate) enum Rerun {
    /// They returned this value; `None` removes the field.
    Value(Option<Bytes>),
    /// One of them failed, so they must run again.
    Failed,
}

/// How a field was changed, which decides how the change is merged onto a newer record.
enum Kind {
    /// Set or removed: the value of this request replaces the newer one.
    Put,
    /// Changed in a struct that was read when the stored value was `seen`: refused if the newer value differs.
    Edit { seen: Option<Bytes> },
    /// Updated: the updaters run again on the newer value. `stale` until they have.
    Update { updaters: Updaters, stale: bool },
}

struct Change {
    field: Field,
    kind: Kind,
    /// The value after the change; `None` removes the field.
    value: Option<Bytes>,
    /// The number of the change.
    number: u64,
}

/// The changed fields, each once.
///
/// A change to the stored value is kept as well: it is not written for its own sake, but replaces the value of
/// another request like any other change.
#[derive(Default)]
pub(crate) struct Changes {
    list: Vec<Change>,
    /// The number of the latest change.
    latest: u64,
}

impl Changes {
    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Whether a field has another value than in `base`, so that there is something to write.
    pub(crate) fn differ_from(&self, base: &Record) -> bool {
        self.list
            .iter()
            .any(|change| change.value.as_deref() != base.value(change.field))
    }

    /// Whether a field was changed by closures up to number `latest`, so that repeating the changes makes them
    /// twice.
    pub(crate) fn have_updates(&self, latest: u64) -> bool {
        self.list.iter().any(|change| match &change.kind {
            Kind::Update { updaters, .. } => updaters.iter().any(|(number, _)| *number <= latest),
            Kind::Put | Kind::Edit { .. } => false,
        })
    }

    /// The first field that was edited in a struct and has been changed in `base` since the struct was read.
    pub(crate) fn conflict_with(&self, base: &Record) -> Option<Field> {
        // Also if the other request has set the same value: two pushes of one item are not one push.
        let is_conflict = |change: &&Change| match &change.kind {
            Kind::Edit { seen } => base.value(change.field) != seen.as_deref(),
            Kind::Put | Kind::Update { .. } => false,
        };
        self.list
            .iter()
            .find(is_conflict)
            .map(|change| change.field)
    }

    /// Whether the changes only remove fields and set flash values, so that dropping them loses no data.
    pub(crate) fn are_transient(&self) -> bool {
        self.list
            .iter()
            .all(|change| change.field.is_flash() || change.value.is_none())
    }

    pub(crate) fn clear(&mut self) {
        self.list.clear();
    }

    /// Each changed field with its new value.
    pub(crate) fn values(&self) -> impl Iterator<Item = (Field, Option<&Bytes>)> + Clone {
        self.list
            .iter()
            .map(|change| (change.field, change.value.as_ref()))
    }

    /// The value of a field, with the changes on top of `base`.
    pub(crate) fn value(&self, field: Field, base: &Record) -> Option<Bytes> {
        self.find(field)
            .map_or_else(|| base.get(field), |change| change.value.clone())
    }

    /// Sets a field, or removes it.
    pub(crate) fn put(&mut self, field: Field, value: Option<Bytes>) {
        self.record(field, Kind::Put, value);
    }

    /// Sets a field, or removes it, in a struct that was read when the stored value was `seen`.
    pub(crate) fn edit(&mut self, field: Field, value: Option<Bytes>, seen: Option<Bytes>) {
        let kind = match self.find(field).map(|change| &change.kind) {
            // The previous value was set by this request, and replaces a newer one.
            Some(Kind::Put) => Kind::Put,
            _ => Kind::Edit { seen },
        };
        self.record(field, kind, value);
    }

    /// Removes the value `seen`. A newer value, which the request has not read, stays.
    pub(crate) fn take(&mut self, field: Field, seen: Bytes) {
        let updater: Updater =
            Box::new(move |value| Ok(value.filter(|value| **value != seen).cloned()));
        self.update(field, updater, None);
    }

    /// Records that `updater` has returned `value` for the previous value.
    pub(crate) fn update(&mut self, field: Field, updater: Updater, value: Option<Bytes>) {
        let number = self.latest + 1;
        let kind = match self.find_mut(field).map(|change| &mut change.kind) {
            Some(Kind::Update { updaters, stale }) => {
                let mut updaters = std::mem::take(updaters);
                updaters.push((number, updater));
                Kind::Update {
                    updaters,
                    stale: *stale,
                }
            }
            // The previous value was set by this request, so the updater never runs on a newer one.
            Some(Kind::Put) => Kind::Put,
            Some(Kind::Edit { seen }) => Kind::Edit { seen: seen.take() },
            None => Kind::Update {
                updaters: vec![(number, updater)],
                stale: false,
            },
        };
        self.record(field, kind, value);
    }

    fn record(&mut self, field: Field, kind: Kind, value: Option<Bytes>) {
        let change = Change {
            field,
            kind,
            value,
            number: self.next_number(),
        };
        match self.find_mut(field) {
            Some(previous) => *previous = change,
            None => self.list.push(change),
        }
    }

    /// Restores the flash values that were read, as for a handler that did not run.
    pub(crate) fn restore_flash(&mut self) {
        self.list
            .retain(|change| !change.field.is_flash() || change.value.is_some());
    }

    /// The number of the latest change: see [`saved`](Self::saved).
    pub(crate) fn latest(&self) -> u64 {
        self.latest
    }

    /// Reserves a number for something that is ordered with the changes.
    pub(crate) fn next_number(&mut self) -> u64 {
        self.latest += 1;
        self.latest
    }

    /// Drops the changes up to number `latest`: they are stored, or there is nothing to write.
    pub(crate) fn saved(&mut self, latest: u64) {
        self.list.retain_mut(|change| {
            if let Kind::Update { updaters, .. } = &mut change.kind {
                updaters.retain(|(number, _)| *number > latest);
            }
            change.number > latest
        });
    }

    /// Moves the changes onto a newer record: changes of different fields both survive. The updaters become
    /// due to run again: see [`take_stale`](Self::take_stale).
    pub(crate) fn rebase(&mut self) {
        for change in &mut self.list {
            if let Kind::Update { stale, .. } = &mut change.kind {
                *stale = true;
            }
        }
    }

    /// Takes out the updaters of one field that must run again. They are the application's code and run
    /// without a lock held; [`put_back`](Self::put_back) returns them.
    pub(crate) fn take_stale(&mut self) -> Option<(Field, Updaters)> {
        self.list
            .iter_mut()
            .find_map(|change| match &mut change.kind {
                Kind::Update {
                    updaters,
                    stale: stale @ true,
                } => {
                    *stale = false;
                    Some((change.field, std::mem::take(updaters)))
                }
                _ => None,
            })
    }

    /// Returns updaters that [`take_stale`](Self::take_stale) took out.
    pub(crate) fn put_back(&mut self, field: Field, mut ran: Updaters, outcome: Rerun) {
        // If the field was set or removed meanwhile, that value stays.
        if let Some(change) = self.find_mut(field)
            && let Kind::Update { updaters, stale } = &mut change.kind
        {
            // An update made meanwhile has run on the older value, so all of them must run once more.
            *stale = !updaters.is_empty() || matches!(outcome, Rerun::Failed);
            ran.append(updaters);
            *updaters = ran;
            if let Rerun::Value(value) = outcome {
                change.value = value;
            }
        }
    }

    fn find(&self, field: Field) -> Option<&Change> {
        self.list.iter().find(|c| c.field.name() == field.name())
    }

    fn find_mut(&mut self, field: Field) -> Option<&mut Change> {
        self.list
            .iter_mut()
            .find(|c| c.field.name() == field.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Field = Field::new("ns.a");

    fn bytes(n: u8) -> Bytes {
        Bytes::from(vec![n])
    }

    fn base(value: Option<u8>) -> Record {
        let value = value.map(bytes);
        Record::empty().with([(A, value.as_ref())])
    }

    fn add(n: u8) -> Updater {
        Box::new(move |value| Ok(Some(bytes(value.map_or(0, |v| v[0]) + n))))
    }

    /// Merges the changes onto `newer` and returns the value of `A`.
    fn merge(changes: &mut Changes, newer: &Record) -> Option<Bytes> {
        changes.rebase();
        while let Some((field, mut updaters)) = changes.take_stale() {
            let value = updaters
                .iter_mut()
                .try_fold(newer.get(field), |value, (_, updater)| {
                    updater(value.as_ref())
                })
                .unwrap();
            changes.put_back(field, updaters, Rerun::Value(value));
        }
        newer.with(changes.values()).get(A)
    }

    #[test]
    fn a_value_equal_to_the_stored_one_is_not_written() {
        let stored = base(Some(1));
        let mut changes = Changes::default();
        for (value, differs) in [(Some(1), false), (Some(2), true), (Some(1), false)] {
            changes.put(A, value.map(bytes));
            assert_eq!(changes.differ_from(&stored), differs, "{value:?}");
        }
        changes.put(A, None);
        assert!(changes.differ_from(&stored));
        assert!(!changes.differ_from(&base(None)));
    }

    #[test]
    fn a_change_to_the_stored_value_replaces_a_newer_one() {
        for value in [Some(1), None] {
            let mut changes = Changes::default();
            changes.put(A, value.map(bytes));
            assert!(!changes.differ_from(&base(value)));
            assert_eq!(merge(&mut changes, &base(Some(2))), value.map(bytes));
        }
    }

    #[test]
    fn an_update_that_changed_nothing_runs_again_on_a_newer_value() {
        let even = |value: Option<&Bytes>| Ok(value.filter(|v| v[0] % 2 == 0).cloned());
        let mut changes = Changes::default();
        changes.update(A, Box::new(even), Some(bytes(2)));
        assert!(!changes.differ_from(&base(Some(2))));
        assert_eq!(merge(&mut changes, &base(Some(4))), Some(bytes(4)));
        assert_eq!(merge(&mut changes, &base(Some(5))), None);
    }

    #[test]
    fn an_edit_conflicts_with_another_change_of_its_field() {
        let mut changes = Changes::default();
        changes.edit(A, Some(bytes(2)), Some(bytes(1)));
        for (newer, is_conflict) in [
            (Some(1), false),
            (Some(2), true),
            (Some(3), true),
            (None, true),
        ] {
            let conflict = changes.conflict_with(&base(newer));
            assert_eq!(conflict.is_some(), is_conflict, "{newer:?}");
        }
        changes.update(A, add(1), Some(bytes(3)));
        assert!(
            changes.conflict_with(&base(Some(4))).is_some(),
            "an update on top of it"
        );
        changes.put(A, Some(bytes(5)));
        assert!(
            changes.conflict_with(&base(Some(4))).is_none(),
            "a set on top of it"
        );
        changes.edit(A, Some(bytes(6)), Some(bytes(1)));
        assert!(
            changes.conflict_with(&base(Some(4))).is_none(),
            "on top of a set"
        );
    }

    #[test]
    fn updates_run_again_on_a_newer_value() {
        let mut changes = Changes::default();
        changes.update(A, add(1), Some(bytes(2)));
        changes.update(A, add(10), Some(bytes(12)));
        assert_eq!(merge(&mut changes, &base(Some(5))), Some(bytes(16)));
        assert_eq!(merge(&mut changes, &base(Some(6))), Some(bytes(17)));
    }

    #[test]
    fn an_update_over_a_set_or_a_removal_does_not_run_on_a_newer_value() {
        for (set, sum) in [(Some(bytes(3)), 4), (None, 1)] {
            let mut changes = Changes::default();
            changes.put(A, set);
            changes.update(A, add(1), Some(bytes(sum)));
            assert_eq!(merge(&mut changes, &base(Some(9))), Some(bytes(sum)));
        }
    }

    #[test]
    fn a_set_or_a_removal_drops_the_updates_before_it() {
        for set in [Some(bytes(3)), None] {
            let mut changes = Changes::default();
            changes.update(A, add(1), Some(bytes(2)));
            changes.put(A, set.clone());
            assert_eq!(merge(&mut changes, &base(Some(9))), set);
        }
    }

    #[test]
    fn take_keeps_a_newer_value_that_was_not_read() {
        let mut changes = Changes::default();
        changes.take(A, bytes(1));
        assert_eq!(merge(&mut changes, &base(Some(1))), None);
        assert_eq!(merge(&mut changes, &base(Some(2))), Some(bytes(2)));
    }

    #[test]
    fn take_of_a_value_that_this_request_set_removes_it() {
        let mut changes = Changes::default();
        changes.put(A, Some(bytes(1)));
        changes.take(A, bytes(1));
        assert!(!changes.differ_from(&base(None)));
        assert_eq!(merge(&mut changes, &base(Some(2))), None);
    }

    #[test]
    fn an_update_after_a_take_starts_from_no_value() {
        let mut changes = Changes::default();
        changes.take(A, bytes(3));
        changes.update(A, add(1), Some(bytes(1)));
        assert_eq!(merge(&mut changes, &base(Some(3))), Some(bytes(1)));
        assert_eq!(merge(&mut changes, &base(Some(7))), Some(bytes(8)));
    }

    #[test]
    fn take_of_an_updated_value_keeps_a_newer_value() {
        let mut changes = Changes::default();
        changes.update(A, add(1), Some(bytes(3)));
        changes.take(A, bytes(3));
        assert_eq!(merge(&mut changes, &base(Some(2))), None);
        assert_eq!(merge(&mut changes, &base(Some(10))), Some(bytes(11)));
    }

    #[test]
    fn a_change_made_during_a_save_is_not_dropped_by_it() {
        let mut changes = Changes::default();
        changes.update(A, add(1), Some(bytes(1)));
        let latest = changes.latest();
        changes.update(A, add(2), Some(bytes(3)));
        changes.saved(latest);
        // Only the second updater is left: the stored value includes the first.
        assert_eq!(merge(&mut changes, &base(Some(1))), Some(bytes(3)));
    }

    #[test]
    fn an_update_made_while_updaters_run_again_is_not_lost() {
        let mut changes = Changes::default();
        changes.update(A, add(1), Some(bytes(1)));
        let newer = base(Some(10));
        changes.rebase();
        let (field, updaters) = changes.take_stale().unwrap();
        changes.update(A, add(100), Some(bytes(101)));
        changes.put_back(field, updaters, Rerun::Value(Some(bytes(11))));
        assert_eq!(merge(&mut changes, &newer), Some(bytes(111)));
    }

    #[test]
    fn an_updater_is_stale_only_after_a_rebase() {
        let mut changes = Changes::default();
        changes.update(A, add(1), Some(bytes(1)));
        assert!(changes.take_stale().is_none());
        changes.rebase();
        assert!(changes.take_stale().is_some());
        assert!(
            changes.take_stale().is_none(),
            "another task would find no updaters and lose the change"
        );
    }

    #[test]
    fn an_update_made_while_updaters_run_again_makes_them_stale_once_more() {
        let mut changes = Changes::default();
        changes.update(A, add(1), Some(bytes(1)));
        changes.rebase();
        let (field, updaters) = changes.take_stale().unwrap();
        changes.update(A, add(10), Some(bytes(11)));
        // The value equals the stored one only until the second updater has run.
        changes.put_back(field, updaters, Rerun::Value(Some(bytes(1))));
        let (_, updaters) = changes.take_stale().expect("stale once more");
        assert_eq!(updaters.len(), 2);
    }

    #[test]
    fn updaters_that_failed_stay_stale_with_those_added_meanwhile() {
        for meanwhile in [false, true] {
            let mut changes = Changes::default();
            changes.update(A, add(1), Some(bytes(1)));
            changes.rebase();
            let (_, updaters) = changes.take_stale().unwrap();
            if meanwhile {
                changes.update(A, add(100), Some(bytes(101)));
            }
            changes.put_back(A, updaters, Rerun::Failed);
            let (_, updaters) = changes.take_stale().expect("stale still");
            let order: Vec<u64> = updaters.iter().map(|(number, _)| *number).collect();
            assert_eq!(order, if meanwhile { vec![1, 2] } else { vec![1] });
        }
    }

    #[test]
    fn removals_are_transient_and_values_are_not() {
        let mut changes = Changes::default();
        changes.put(A, None);
        assert!(changes.are_transient());
        changes.put(A, Some(bytes(2)));
        assert!(!changes.are_transient());
    }

    #[test]
    fn restoring_flash_values_keeps_every_other_change() {
        let flash = |name| Field::new(name).with_flash();
        let (read, set, removed) = (flash("ns.read"), flash("ns.set"), Field::new("ns.b"));
        let mut changes = Changes::default();
        changes.take(read, bytes(1));
        changes.put(set, Some(bytes(2)));
        changes.put(removed, None);
        changes.put(A, Some(bytes(3)));
        changes.restore_flash();
        let mut kept: Vec<_> = changes.values().map(|(field, _)| field.name()).collect();
        kept.sort_unstable();
        assert_eq!(kept, ["ns.a", "ns.b", "ns.set"]);
    }
}
