//! The unsaved changes of a request.

use std::collections::BTreeMap;

use crate::{
    history::{Field, Op},
    ledger::Data,
};

/// The handler's plan for the session when it is saved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Intent {
    #[default]
    Keep,
    Regenerate,
    Reset,
    Destroy,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Edit {
    Set(Option<u64>),
    Add(u64),
    /// Removes this value only.
    Take(u64),
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Pending {
    pub(crate) intent: Intent,
    /// The edits of each changed field, in order.
    edits: BTreeMap<Field, Vec<Edit>>,
}

fn apply(edits: &[Edit], value: Option<u64>) -> Option<u64> {
    edits.iter().fold(value, |value, edit| match *edit {
        Edit::Set(value) => value,
        Edit::Add(n) => Some(value.unwrap_or(0) + n),
        Edit::Take(seen) => value.filter(|value| *value != seen),
    })
}

impl Pending {
    pub(crate) fn is_empty(&self) -> bool {
        self.intent == Intent::Keep && self.edits.is_empty()
    }

    /// Whether making the edits once more changes something else than making them once.
    pub(crate) fn have_updates(&self) -> bool {
        let mut edits = self.edits.values();
        // A set does not depend on the value before it. Nothing of the edits before it is left, and those after it are
        // made on its value.
        let is_set = |edit: &Edit| matches!(edit, Edit::Set(_));
        edits.any(|edits| !edits.iter().any(is_set))
    }

    /// Whether there is something to write to a session with this data.
    pub(crate) fn changes(&self, data: &Data) -> bool {
        self.intent != Intent::Keep || self.onto(data) != *data
    }

    /// Carries out an operation of the handler, which has seen `base`. Returns the value that it reads.
    pub(crate) fn act(&mut self, op: Op, base: &Data) -> Option<u64> {
        let stored = |pending: &Self, field: &Field| match pending.intent {
            Intent::Keep | Intent::Regenerate => base.get(field).copied(),
            Intent::Reset | Intent::Destroy => None,
        };
        let value = |pending: &Self, field| {
            let edits = pending.edits.get(&field).map_or(&[][..], Vec::as_slice);
            apply(edits, stored(pending, &field))
        };
        let (field, edit) = match op {
            Op::Read(Field::Flash) => return self.act(Op::Take(Field::Flash), base),
            Op::Read(field) => return value(self, field),
            Op::Set(field, value) => (field, Edit::Set(Some(value))),
            Op::Add(n) => (Field::Count, Edit::Add(n)),
            Op::Remove(field) => (field, Edit::Set(None)),
            Op::Take(field) => (field, Edit::Take(value(self, field)?)),
            Op::Regenerate => {
                if self.intent == Intent::Keep {
                    self.intent = Intent::Regenerate;
                }
                return None;
            }
            Op::Reset | Op::Destroy => {
                self.edits.clear();
                self.intent = if op == Op::Reset {
                    Intent::Reset
                } else {
                    Intent::Destroy
                };
                return None;
            }
            Op::Unlock => return None,
            Op::Save | Op::Lock => unreachable!("a part contains none"),
        };
        self.edits.entry(field).or_default().push(edit);
        match edit {
            Edit::Take(seen) => Some(seen),
            Edit::Set(_) | Edit::Add(_) => None,
        }
    }

    /// The edits on top of this data.
    pub(crate) fn onto(&self, data: &Data) -> Data {
        let mut data = data.clone();
        for (field, edits) in &self.edits {
            match apply(edits, data.get(field).copied()) {
                Some(value) => data.insert(*field, value),
                None => data.remove(field),
            };
        }
        data
    }

    /// The data of a session that begins with these edits.
    pub(crate) fn alone(&self) -> Data {
        self.onto(&Data::new())
    }

    /// The edits are done.
    pub(crate) fn clear_edits(&mut self) {
        self.edits.clear();
    }
}
