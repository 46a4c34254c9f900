//! What a request has changed of its session and not saved yet.

use bytes::Bytes;

use crate::{error::UpdateError, key::Field, record::Record};

/// One `update_*` closure, from the encoded value so far to the encoded value after it.
pub(crate) type Step = Box<dyn FnMut(Option<&Bytes>) -> Result<Option<Bytes>, UpdateError> + Send>;

/// How a field was changed: what is to happen where another request wrote the field meanwhile.
enum Op {
    /// Set or removed: this request's value stands.
    Put,
    /// Updated: the closures run again on the newer value. `stale` until they have.
    Update {
        steps: Vec<(u64, Step)>,
        stale: bool,
    },
}

struct Change {
    field: Field,
    op: Op,
    /// The value after the change; `None` is removed.
    value: Option<Bytes>,
    /// When it was made, in counts of the list.
    at: u64,
}

/// The changed fields, each once.
#[derive(Default)]
pub(crate) struct Changes {
    list: Vec<Change>,
    count: u64,
    /// Whether some of them are being written right now.
    saving: bool,
}

impl Changes {
    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether nothing is lost with them but what would be shown once.
    pub(crate) fn are_passing(&self) -> bool {
        self.list
            .iter()
            .all(|change| change.field.flash || change.value.is_none())
    }

    pub(crate) fn clear(&mut self) {
        self.list.clear();
    }

    /// Each changed field with its value now.
    pub(crate) fn values(&self) -> impl Iterator<Item = (Field, Option<&Bytes>)> + Clone {
        self.list
            .iter()
            .map(|change| (change.field, change.value.as_ref()))
    }

    /// The value of a field now, over what is stored.
    pub(crate) fn value(&self, field: Field, base: &Record) -> Option<Bytes> {
        self.find(field)
            .map_or_else(|| base.get(field), |change| change.value.clone())
    }

    pub(crate) fn put(&mut self, field: Field, value: Option<Bytes>, base: &Record) {
        self.record(field, Op::Put, value, base);
    }

    /// Removes what was read. A newer value, which was not read, stays.
    pub(crate) fn take(&mut self, field: Field, seen: Bytes, base: &Record) {
        let step: Step = Box::new(move |value| Ok(value.filter(|value| **value != seen).cloned()));
        self.update(field, step, None, base);
    }

    /// Notes that `step` made `value` of the value so far.
    pub(crate) fn update(&mut self, field: Field, step: Step, value: Option<Bytes>, base: &Record) {
        let at = self.count + 1;
        let op = match self.find_mut(field).map(|change| &mut change.op) {
            Some(Op::Update { steps, stale }) => {
                let mut steps = std::mem::take(steps);
                steps.push((at, step));
                Op::Update {
                    steps,
                    stale: *stale,
                }
            }
            // On top of a value of this request's own there is nothing to run again on.
            Some(Op::Put) => Op::Put,
            None => Op::Update {
                steps: vec![(at, step)],
                stale: false,
            },
        };
        self.record(field, op, value, base);
    }

    fn record(&mut self, field: Field, op: Op, value: Option<Bytes>, base: &Record) {
        self.count += 1;
        let change = Change {
            field,
            op,
            value,
            at: self.count,
        };
        let found = self.list.iter().position(|c| c.field.name == field.name);
        if base.get(field) == change.value && !self.saving {
            // As stored: nothing to write.
            if let Some(index) = found {
                self.list.swap_remove(index);
            }
        } else if let Some(index) = found {
            self.list[index] = change;
        } else {
            self.list.push(change);
        }
    }

    /// From now on `base` may be about to change, and being as stored is no reason to forget a change.
    pub(crate) fn begin_save(&mut self) {
        self.saving = true;
    }

    pub(crate) fn end_save(&mut self) {
        self.saving = false;
    }

    /// Gives the flash values back that were read, as for a handler that did not run.
    pub(crate) fn restore_flash(&mut self) {
        self.list
            .retain(|change| !change.field.flash || change.value.is_some());
    }

    /// A mark for [`saved`](Self::saved): the changes made so far.
    pub(crate) fn mark(&self) -> u64 {
        self.count
    }

    /// Forgets the changes up to `mark`: they are stored now.
    pub(crate) fn saved(&mut self, mark: u64) {
        self.list.retain_mut(|change| {
            if let Op::Update { steps, .. } = &mut change.op {
                steps.retain(|(at, _)| *at > mark);
            }
            change.at > mark
        });
    }

    /// Puts the changes onto a newer record: changes of different fields both survive.
    /// `update_*` closures are then due to run again: see [`next_stale`](Self::next_stale).
    pub(crate) fn rebase(&mut self) {
        for change in &mut self.list {
            if let Op::Update { stale, .. } = &mut change.op {
                *stale = true;
            }
        }
    }

    /// Takes out the closures of a field that are due to run again. They run without a lock held, since
    /// they are the application's code; [`rerun`](Self::rerun) puts them back.
    pub(crate) fn next_stale(&mut self) -> Option<(Field, Vec<(u64, Step)>)> {
        self.list
            .iter_mut()
            .find_map(|change| match &mut change.op {
                Op::Update {
                    steps,
                    stale: stale @ true,
                } => {
                    *stale = false;
                    Some((change.field, std::mem::take(steps)))
                }
                _ => None,
            })
    }

    /// Puts closures back that are due to run again still.
    pub(crate) fn give_back(&mut self, field: Field, mut ran: Vec<(u64, Step)>) {
        if let Some(change) = self.find_mut(field)
            && let Op::Update { steps, stale } = &mut change.op
        {
            *stale = true;
            ran.append(steps);
            *steps = ran;
        }
    }

    /// Puts closures back, with what came of running them: a value, or nothing where one failed.
    pub(crate) fn rerun(
        &mut self,
        field: Field,
        mut ran: Vec<(u64, Step)>,
        outcome: Result<Option<Bytes>, &UpdateError>,
        base: &Record,
    ) {
        // Where the field was set or removed meanwhile, that stands.
        if let Some(change) = self.find_mut(field)
            && let Op::Update { steps, stale } = &mut change.op
        {
            // An update made meanwhile saw the older value, so all of them run once more.
            *stale = !steps.is_empty() || outcome.is_err();
            ran.append(steps);
            *steps = ran;
            if let Ok(value) = outcome {
                change.value = value;
            }
            if !*stale && change.value == base.get(field) {
                // As stored by now: nothing to write.
                self.list.retain(|change| change.field.name != field.name);
            }
        }
    }

    fn find(&self, field: Field) -> Option<&Change> {
        self.list.iter().find(|c| c.field.name == field.name)
    }

    fn find_mut(&mut self, field: Field) -> Option<&mut Change> {
        self.list.iter_mut().find(|c| c.field.name == field.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::rewrite;

    const A: Field = Field::new("ns.a");

    fn bytes(n: u8) -> Bytes {
        Bytes::from(vec![n])
    }

    fn base(value: Option<u8>) -> Record {
        let value = value.map(bytes);
        rewrite(&Record::empty(), [(A, value.as_ref())])
    }

    fn add(n: u8) -> Step {
        Box::new(move |value| Ok(Some(bytes(value.map_or(0, |v| v[0]) + n))))
    }

    /// What the session does when another request wrote `newer` first.
    fn meet(changes: &mut Changes, newer: &Record) -> Option<Bytes> {
        changes.rebase();
        while let Some((field, mut steps)) = changes.next_stale() {
            let value = steps
                .iter_mut()
                .try_fold(newer.get(field), |value, (_, step)| step(value.as_ref()))
                .unwrap();
            changes.rerun(field, steps, Ok(value), newer);
        }
        rewrite(newer, changes.values()).get(A)
    }

    #[test]
    fn what_equals_the_stored_value_is_no_change() {
        let stored = base(Some(1));
        let mut changes = Changes::default();
        changes.put(A, Some(bytes(1)), &stored);
        assert!(changes.is_empty());
        changes.put(A, Some(bytes(2)), &stored);
        assert!(!changes.is_empty());
        changes.put(A, Some(bytes(1)), &stored);
        assert!(changes.is_empty());
        changes.put(A, None, &base(None));
        assert!(changes.is_empty());
    }

    #[test]
    fn updates_run_again_on_a_newer_value() {
        let mut changes = Changes::default();
        changes.update(A, add(1), Some(bytes(2)), &base(Some(1)));
        changes.update(A, add(10), Some(bytes(12)), &base(Some(1)));
        assert_eq!(meet(&mut changes, &base(Some(5))), Some(bytes(16)));
        assert_eq!(meet(&mut changes, &base(Some(6))), Some(bytes(17)));
    }

    #[test]
    fn an_update_over_a_set_keeps_the_set() {
        let mut changes = Changes::default();
        changes.put(A, Some(bytes(3)), &base(Some(1)));
        changes.update(A, add(1), Some(bytes(4)), &base(Some(1)));
        assert_eq!(meet(&mut changes, &base(Some(9))), Some(bytes(4)));
    }

    #[test]
    fn taking_leaves_a_value_that_was_not_seen() {
        let mut changes = Changes::default();
        changes.take(A, bytes(1), &base(Some(1)));
        assert_eq!(meet(&mut changes, &base(Some(1))), None);
        assert_eq!(meet(&mut changes, &base(Some(2))), Some(bytes(2)));
        assert!(changes.is_empty());
    }

    #[test]
    fn taking_what_this_request_set_leaves_no_change() {
        let mut changes = Changes::default();
        changes.put(A, Some(bytes(1)), &base(None));
        changes.take(A, bytes(1), &base(None));
        assert!(changes.is_empty());
    }

    #[test]
    fn an_update_over_what_was_taken_starts_from_nothing() {
        let mut changes = Changes::default();
        changes.take(A, bytes(3), &base(Some(3)));
        changes.update(A, add(1), Some(bytes(1)), &base(Some(3)));
        assert_eq!(meet(&mut changes, &base(Some(3))), Some(bytes(1)));
        assert_eq!(meet(&mut changes, &base(Some(7))), Some(bytes(8)));
    }

    #[test]
    fn taking_what_was_updated_leaves_a_newer_value() {
        let mut changes = Changes::default();
        changes.update(A, add(1), Some(bytes(1)), &base(None));
        changes.take(A, bytes(1), &base(None));
        assert!(changes.is_empty(), "nothing was there, and nothing is");
        changes.update(A, add(1), Some(bytes(3)), &base(Some(2)));
        changes.take(A, bytes(3), &base(Some(2)));
        assert_eq!(meet(&mut changes, &base(Some(2))), None);
        assert_eq!(meet(&mut changes, &base(Some(10))), Some(bytes(11)));
    }

    #[test]
    fn a_change_made_while_saving_stays_due() {
        let stored = base(Some(0));
        let mut changes = Changes::default();
        changes.update(A, add(1), Some(bytes(1)), &stored);
        let mark = changes.mark();
        changes.update(A, add(2), Some(bytes(3)), &stored);
        changes.saved(mark);
        // Only the second closure is left: the first is in the stored value.
        assert_eq!(meet(&mut changes, &base(Some(1))), Some(bytes(3)));
    }

    #[test]
    fn an_update_made_while_closures_run_again_is_not_lost() {
        let mut changes = Changes::default();
        changes.update(A, add(1), Some(bytes(1)), &base(Some(0)));
        let newer = base(Some(10));
        changes.rebase();
        let (field, steps) = changes.next_stale().unwrap();
        changes.update(A, add(100), Some(bytes(101)), &newer);
        changes.rerun(field, steps, Ok(Some(bytes(11))), &newer);
        assert_eq!(meet(&mut changes, &newer), Some(bytes(111)));
    }

    #[test]
    fn an_update_is_not_due_to_run_again_before_another_request_was_first() {
        let mut changes = Changes::default();
        changes.update(A, add(1), Some(bytes(1)), &base(Some(0)));
        assert!(changes.next_stale().is_none());
        changes.rebase();
        assert!(changes.next_stale().is_some());
        assert!(
            changes.next_stale().is_none(),
            "another task that looks meanwhile would run no closures and lose the change"
        );
    }

    #[test]
    fn an_update_made_while_closures_run_again_makes_them_due_once_more() {
        let (newer, mut changes) = (base(Some(1)), Changes::default());
        changes.update(A, add(1), Some(bytes(1)), &base(Some(0)));
        changes.rebase();
        let (field, steps) = changes.next_stale().unwrap();
        changes.update(A, add(10), Some(bytes(11)), &newer);
        // What is as stored for now is not so when the later closure has run.
        changes.rerun(field, steps, Ok(Some(bytes(1))), &newer);
        let (_, steps) = changes.next_stale().expect("due once more");
        assert_eq!(steps.len(), 2);
    }

    #[test]
    fn closures_that_failed_or_were_given_back_stay_due_with_those_made_meanwhile() {
        type End = fn(&mut Changes, Vec<(u64, Step)>, &Record);
        let newer = base(Some(10));
        let ends: [End; 2] = [
            |changes, steps, _| changes.give_back(A, steps),
            |changes, steps, newer| {
                let error = UpdateError::Overtaken { key: A.name };
                changes.rerun(A, steps, Err(&error), newer);
            },
        ];
        for end in ends {
            for meanwhile in [false, true] {
                let mut changes = Changes::default();
                changes.update(A, add(1), Some(bytes(1)), &base(Some(0)));
                changes.rebase();
                let (_, steps) = changes.next_stale().unwrap();
                if meanwhile {
                    changes.update(A, add(100), Some(bytes(101)), &newer);
                }
                end(&mut changes, steps, &newer);
                let (_, steps) = changes.next_stale().expect("due still");
                let order: Vec<u64> = steps.iter().map(|(at, _)| *at).collect();
                assert_eq!(order, if meanwhile { vec![1, 2] } else { vec![1] });
            }
        }
    }

    #[test]
    fn what_is_put_back_as_stored_is_forgotten_unless_it_is_being_saved() {
        let stored = base(Some(1));
        let mut changes = Changes::default();
        changes.put(A, Some(bytes(2)), &stored);
        changes.begin_save();
        changes.put(A, Some(bytes(1)), &stored);
        assert!(!changes.is_empty(), "2 may be what is stored by then");
        changes.end_save();
        changes.put(A, Some(bytes(1)), &stored);
        assert!(changes.is_empty());
    }

    #[test]
    fn a_removal_loses_nothing_with_it_and_a_value_does() {
        let mut changes = Changes::default();
        changes.put(A, None, &base(Some(1)));
        assert!(changes.are_passing());
        changes.put(A, Some(bytes(2)), &base(Some(1)));
        assert!(!changes.are_passing());
    }

    #[test]
    fn giving_flash_values_back_leaves_every_other_change() {
        let flash = |name| Field {
            flash: true,
            ..Field::new(name)
        };
        let (read, set, removed) = (flash("ns.read"), flash("ns.set"), Field::new("ns.b"));
        let one = bytes(1);
        let entries = [read, removed].map(|field| (field, Some(&one)));
        let stored = rewrite(&Record::empty(), entries);
        let mut changes = Changes::default();
        changes.take(read, bytes(1), &stored);
        changes.put(set, Some(bytes(2)), &stored);
        changes.put(removed, None, &stored);
        changes.put(A, Some(bytes(3)), &stored);
        changes.restore_flash();
        let mut left: Vec<_> = changes.values().map(|(field, _)| field.name).collect();
        left.sort_unstable();
        assert_eq!(left, ["ns.a", "ns.b", "ns.set"]);
    }
}
