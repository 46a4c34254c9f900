//! The model of a request: what it knows of its session, and what its handler has done to it.

use std::collections::BTreeMap;

use poem_session::SessionId;

use crate::{
    history::{Field, Op, Visit},
    rules,
};

pub(crate) type Data = BTreeMap<Field, u64>;

/// A record, by its number.
pub(crate) type Label = usize;

/// A request that is under way.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is a fact that goes with any of the others"
)]
pub(crate) struct Request {
    /// The id that it came with.
    pub(crate) id: Option<SessionId>,
    pub(crate) stage: Stage,
    pub(crate) base: Base,
    /// Whether the id led to a live session.
    pub(crate) live: bool,
    pub(crate) plan: Plan,
    pub(crate) fresh: bool,
    /// What was done to each field, in order.
    done: BTreeMap<Field, Vec<Edit>>,
    /// What its handler does, in parts; between two of them it saves.
    pub(crate) parts: Vec<Vec<Op>>,
    pub(crate) next_part: usize,
    pub(crate) status: u16,
    pub(crate) exclusive: bool,
    /// What the client is to be told.
    pub(crate) answer: Option<Answer>,
    /// The lock of an exclusive one.
    pub(crate) lock: Option<Lock>,
    /// Whether a renewal of the id that is due is left for another time.
    pub(crate) puts_off: bool,
    /// Whether others were under way with it, one of whom may have been about to do it.
    pub(crate) met_others: bool,
    /// What the client was to be told before the last save: to be looked after if that adds nothing.
    pub(crate) early: Option<(Label, u64)>,
    /// Whether it was.
    pub(crate) looked_after: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stage {
    Loading(Look),
    /// Its handler stands at the gate.
    Handling,
    Saving {
        /// What has come of it, where that is settled.
        outcome: Option<Outcome>,
        /// The record that the one it was to be written to has led on to, and that is read next.
        on: Option<Label>,
        /// Whether the last call was one that only notes the use.
        noted: bool,
        /// What the request knew, and what the client was to be told, before that.
        before: (Base, Option<Answer>),
    },
}

/// How far the search for the session has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Look {
    Unasked,
    /// The record led on to this one: for those who see it for the first time only until then.
    On {
        to: Label,
        until: Option<u64>,
    },
    Found,
    /// A record that was known is to be read again.
    Again(Label),
    Failed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Saved,
    /// The session has ended, or its lock is lost.
    Refused,
    Failed,
}

/// What a request makes its changes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Base {
    None,
    Session(Known),
    Ended { over: bool },
}

/// A session as a request knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) label: Label,
    pub(crate) data: Data,
    pub(crate) version: u64,
    pub(crate) created: u64,
    pub(crate) rotated: u64,
    pub(crate) expires: u64,
    /// Whether the client knows it by a newer id than this request does.
    pub(crate) by_old_id: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lock {
    pub(crate) label: Label,
    pub(crate) until: u64,
    /// Whether its handler runs.
    pub(crate) held: bool,
    /// Whether the handler of another has run with it since: whatever is on its way comes too late.
    pub(crate) fenced_off: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plan {
    Keep,
    Regenerate,
    Reset,
    Destroy,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Edit {
    Set(Option<u64>),
    Add(u64),
    /// Removes exactly this value.
    Take(u64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The id of this record.
    Id(Label),
    Withdrawn,
}

fn apply(edits: &[Edit], value: Option<u64>) -> Option<u64> {
    edits.iter().fold(value, |value, edit| match *edit {
        Edit::Set(value) => value,
        Edit::Add(n) => Some(value.unwrap_or(0) + n),
        Edit::Take(seen) => value.filter(|value| *value != seen),
    })
}

impl Request {
    pub(crate) fn new(id: Option<SessionId>, visit: &Visit) -> Self {
        let look = id.map_or(Look::Found, |_| Look::Unasked);
        Self {
            id,
            stage: Stage::Loading(look),
            base: Base::None,
            live: false,
            plan: Plan::Keep,
            fresh: true,
            done: BTreeMap::new(),
            parts: visit.parts(),
            next_part: 0,
            status: visit.status,
            exclusive: visit.exclusive,
            answer: None,
            lock: None,
            puts_off: false,
            met_others: false,
            early: None,
            looked_after: false,
        }
    }

    fn loaded(&self, field: Field) -> Option<u64> {
        match (&self.base, self.plan) {
            (Base::Session(known), Plan::Keep | Plan::Regenerate) => {
                known.data.get(&field).copied()
            }
            _ => None,
        }
    }

    fn value(&self, field: Field) -> Option<u64> {
        apply(
            self.done.get(&field).map_or(&[], Vec::as_slice),
            self.loaded(field),
        )
    }

    fn edit(&mut self, field: Field, edit: Edit) {
        self.done.entry(field).or_default().push(edit);
        if self.value(field) == self.loaded(field) {
            // As it was: nothing was changed.
            self.done.remove(&field);
        }
    }

    /// Does what the handler does in its next part, and answers what it reads.
    pub(crate) fn act_part(&mut self) -> Vec<Option<u64>> {
        let ops = self.parts[self.next_part].clone();
        self.next_part += 1;
        ops.into_iter().map(|op| self.act(op)).collect()
    }

    fn act(&mut self, op: Op) -> Option<u64> {
        match op {
            Op::Read(Field::Flash) => return self.act(Op::Take(Field::Flash)),
            Op::Read(field) => return self.value(field),
            Op::Set(field, value) => self.edit(field, Edit::Set(Some(value))),
            Op::Add(n) => self.edit(Field::Count, Edit::Add(n)),
            Op::Remove(field) => self.edit(field, Edit::Set(None)),
            Op::Take(field) => {
                let seen = self.value(field)?;
                self.edit(field, Edit::Take(seen));
                return Some(seen);
            }
            Op::Regenerate => {
                if self.plan == Plan::Keep {
                    self.plan = Plan::Regenerate;
                }
            }
            Op::Reset => self.leave(Plan::Reset),
            Op::Destroy => self.leave(Plan::Destroy),
            Op::Save => unreachable!("between two parts"),
        }
        None
    }

    fn leave(&mut self, plan: Plan) {
        self.done.clear();
        self.plan = plan;
        self.fresh = true;
    }

    /// Its changes on top of this.
    pub(crate) fn onto(&self, data: &Data) -> Data {
        let mut data = data.clone();
        for (field, edits) in &self.done {
            match apply(edits, data.get(field).copied()) {
                Some(value) => data.insert(*field, value),
                None => data.remove(field),
            };
        }
        data
    }

    /// What a session would begin with.
    pub(crate) fn begun(&self) -> Data {
        self.onto(&Data::new())
    }

    /// Whether its changes of a field come to something on top of this: what was taken may be gone, or be
    /// another by now.
    fn changes(&self, field: Field, data: &Data) -> bool {
        let edits = &self.done[&field];
        let value = data.get(&field).copied();
        let sets = edits.iter().any(|edit| matches!(edit, Edit::Set(_)));
        sets || apply(edits, value) != value
    }

    pub(crate) fn changes_anything(&self, data: &Data) -> bool {
        self.done.keys().any(|field| self.changes(*field, data))
    }

    /// Sees the session as it is by now.
    pub(crate) fn advance(&mut self, known: Known) {
        let changed: Vec<Field> = self.done.keys().copied().collect();
        for field in changed {
            let leaves = matches!(self.plan, Plan::Reset | Plan::Destroy);
            if !leaves && !self.changes(field, &known.data) {
                self.done.remove(&field);
            }
        }
        self.base = Base::Session(known);
    }

    /// Its changes are in this record.
    pub(crate) fn saved_in(&mut self, known: Known) {
        self.base = Base::Session(known);
        self.plan = Plan::Keep;
        self.done.clear();
    }

    /// Its session is no more, and it is done with that.
    pub(crate) fn left_with(&mut self, base: Base) {
        self.base = base;
        self.plan = Plan::Keep;
        self.done.clear();
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.plan == Plan::Keep && self.done.is_empty()
    }

    /// Whether it signs out, and begins no more than what would be shown once.
    pub(crate) fn only_signs_out(&self) -> bool {
        self.plan == Plan::Destroy && self.begun().keys().all(|field| *field == Field::Flash)
    }

    /// Whether it signs out, and begins nothing.
    pub(crate) fn ends(&self) -> bool {
        self.plan == Plan::Destroy && self.begun().is_empty()
    }

    /// Whether the session gets a new id because the one it has is old.
    pub(crate) fn rotates(&self, known: &Known, now: u64) -> bool {
        let keeps_lock = self.lock.is_some() && !self.is_at_the_end();
        self.plan == Plan::Keep && !keeps_lock && !self.puts_off && self.is_due(known, now)
    }

    /// Whether the id is old.
    pub(crate) fn is_due(&self, known: &Known, now: u64) -> bool {
        self.live && !known.by_old_id && now.saturating_sub(known.rotated) >= rules::ROTATE_EVERY
    }

    /// Whether its use alone is to be noted.
    pub(crate) fn only_notes_use(&self, now: u64) -> bool {
        match &self.base {
            Base::Session(known) => self.is_idle() && !self.rotates(known, now),
            Base::None | Base::Ended { .. } => false,
        }
    }

    pub(crate) fn has_lost_its_lock(&self, now: u64) -> bool {
        let moved_from = |label| match &self.base {
            // Nobody else knows the new id yet.
            Base::Session(known) => known.label != label && !known.by_old_id,
            Base::None => true,
            Base::Ended { .. } => false,
        };
        self.lock
            .is_some_and(|lock| now >= lock.until && !moved_from(lock.label))
    }

    /// Whether another has its lock by now, so that what it writes comes too late.
    pub(crate) fn is_fenced_off(&self, now: u64) -> bool {
        let fenced_off = self.lock.is_some_and(|lock| lock.fenced_off);
        fenced_off && !self.only_notes_use(now)
    }

    /// Whether its handler has done all its work.
    pub(crate) fn is_at_the_end(&self) -> bool {
        self.next_part == self.parts.len()
    }
}

impl Known {
    pub(crate) fn use_is_due(&self, now: u64) -> bool {
        rules::expiry(self.created, now) > self.expires
    }
}
