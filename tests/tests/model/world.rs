//! The model: what is stored, as one thing that nothing happens to at the same time as anything else.

use std::collections::{BTreeMap, BTreeSet};

use poem_session::SessionId;

use crate::{
    board::Actor,
    request::{Base, Data, Known, Label, Plan, Request},
    revoke::Revoke,
    rules,
};

/// All that is true.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct World {
    records: Vec<Record>,
    /// The records whose ids clients were given.
    names: Vec<(SessionId, Label)>,
    pub(crate) requests: BTreeMap<Actor, Request>,
    pub(crate) revokes: BTreeMap<Actor, Revoke>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Record {
    state: State,
    /// Counts how often it was written.
    version: u64,
    expires: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Live {
        data: Data,
        created: u64,
        rotated: u64,
    },
    /// Only a mark is left: the session is `over`, or another took its place.
    Ended {
        over: bool,
    },
    /// It goes on under a newer id.
    Moved {
        to: Label,
        until: u64,
    },
    Removed,
}

/// Where a record leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    Nothing,
    Ended { over: bool },
    Live(Label),
}

/// What one record says.
pub(crate) enum Step {
    Nothing,
    Ended { over: bool },
    Live,
    On { to: Label, until: u64 },
}

/// What is stored of a live session: the id, where a client was given it; the data; the expiry.
pub(crate) type Snapshot = (Option<SessionId>, Data, u64);

impl World {
    /// One read of one record.
    pub(crate) fn read(&self, label: Label, now: u64) -> Step {
        let record = &self.records[label];
        if record.expires <= now {
            return Step::Nothing;
        }
        match record.state {
            State::Live { .. } => Step::Live,
            State::Ended { over } => Step::Ended { over },
            State::Moved { to, until } => Step::On { to, until },
            State::Removed => Step::Nothing,
        }
    }

    /// Where a record leads somebody who has known its session.
    pub(crate) fn find(&self, mut label: Label, now: u64) -> Found {
        let mut moved = false;
        loop {
            match self.read(label, now) {
                Step::Nothing if moved => return Found::Ended { over: true },
                Step::Nothing => return Found::Nothing,
                Step::Ended { over } => return Found::Ended { over },
                Step::Live => return Found::Live(label),
                Step::On { to, .. } => (label, moved) = (to, true),
            }
        }
    }

    pub(crate) fn known(&self, label: Label, by_old_id: bool) -> Known {
        let record = &self.records[label];
        let State::Live {
            data,
            created,
            rotated,
        } = &record.state
        else {
            panic!("only live records are known");
        };
        Known {
            label,
            data: data.clone(),
            version: record.version,
            created: *created,
            rotated: *rotated,
            expires: record.expires,
            by_old_id,
        }
    }

    pub(crate) fn version(&self, label: Label) -> u64 {
        self.records[label].version
    }

    /// A lock was taken over from somebody who had not given it back.
    pub(crate) fn take_over(&mut self, label: Label) {
        self.records[label].version += 1;
    }

    /// Begins a record.
    pub(crate) fn store(&mut self, data: Data, created: u64, rotated: u64, now: u64) -> Label {
        self.records.push(Record {
            state: State::Live {
                data,
                created,
                rotated,
            },
            version: 0,
            expires: rules::expiry(created, now),
        });
        self.records.len() - 1
    }

    /// Writes other data to a record.
    pub(crate) fn replace(&mut self, label: Label, new: Data, now: u64) {
        let record = &mut self.records[label];
        let State::Live { data, created, .. } = &mut record.state else {
            panic!("only live records are replaced");
        };
        *data = new;
        record.expires = rules::expiry(*created, now);
        record.version += 1;
    }

    /// Notes the use of a session until then.
    pub(crate) fn note_use(&mut self, label: Label, until: u64) {
        let record = &mut self.records[label];
        record.expires = record.expires.max(until);
    }

    /// Leaves a mark in place of a record.
    pub(crate) fn end(&mut self, label: Label, over: bool, now: u64) {
        self.leave(label, State::Ended { over }, now + rules::RETIRED);
    }

    /// Ends a record as that plan has it.
    pub(crate) fn end_for(&mut self, label: Label, plan: Plan, now: u64) {
        self.end(label, plan == Plan::Destroy, now);
    }

    /// Lets a record lead on to another.
    pub(crate) fn lead_on(&mut self, label: Label, to: Label, now: u64) {
        let until = now + rules::GRACE;
        let expires = self.records[to].expires.max(until);
        self.leave(label, State::Moved { to, until }, expires);
    }

    fn leave(&mut self, label: Label, state: State, expires: u64) {
        let record = &mut self.records[label];
        record.state = state;
        record.version += 1;
        record.expires = expires;
    }

    /// The worlds in which those records that have expired for others, and not yet for a call made a while
    /// ago, are still there, or have been removed.
    pub(crate) fn swept(&self, then: u64, now: u64) -> Vec<Self> {
        let mut worlds = vec![self.clone()];
        for (label, record) in self.records.iter().enumerate() {
            if (then + 1..=now).contains(&record.expires) {
                let removed: Vec<_> = worlds
                    .iter()
                    .map(|world| {
                        let mut world = world.clone();
                        world.records[label].state = State::Removed;
                        world
                    })
                    .collect();
                worlds.extend(removed);
            }
        }
        worlds
    }

    /// Removes everything.
    pub(crate) fn clear(&mut self) {
        for record in &mut self.records {
            record.state = State::Removed;
        }
    }

    pub(crate) fn label(&self, id: &SessionId) -> Option<Label> {
        let named = self.names.iter().find(|(known, _)| known == id);
        named.map(|(_, label)| *label)
    }

    /// Whether a client was given its id.
    pub(crate) fn is_named(&self, label: Label) -> bool {
        self.names.iter().any(|(_, named)| *named == label)
    }

    /// Whether a client that is told this id is told of this record: the first time, it is its name.
    pub(crate) fn name(&mut self, id: SessionId, label: Label) -> bool {
        if let Some(known) = self.label(&id) {
            return known == label;
        }
        if self.is_named(label) {
            return false;
        }
        self.names.push((id, label));
        true
    }

    /// All live sessions.
    pub(crate) fn sessions(&self, now: u64) -> Vec<Snapshot> {
        let mut sessions = Vec::new();
        for (label, record) in self.records.iter().enumerate() {
            if let (Step::Live, State::Live { data, .. }) = (self.read(label, now), &record.state) {
                let named = self.names.iter().find(|(_, named)| *named == label);
                sessions.push((named.map(|(id, _)| *id), data.clone(), record.expires));
            }
        }
        sessions
    }

    /// Whether another request, of those at work, has this one's session to itself.
    pub(crate) fn is_locked_by_another(
        &self,
        actor: Actor,
        at_work: &BTreeSet<Actor>,
        now: u64,
    ) -> bool {
        let Base::Session(own) = &self.requests[&actor].base else {
            return false;
        };
        self.requests.iter().any(|(other, request)| {
            let held = request.lock.filter(|lock| lock.held && now < lock.until);
            *other != actor
                && at_work.contains(other)
                // When all is saved, nothing is left that must not be disturbed.
                && !(request.is_at_the_end() && self.is_saved(*other))
                && held.is_some_and(|lock| self.find(lock.label, now) == Found::Live(own.label))
        })
    }
}
