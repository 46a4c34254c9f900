//! The journal of a request: what it has seen of its session, and what it has done.
//!
//! The journal does not predict the calls of a request. It checks each record and each value that the request
//! reads, and whether it may be acknowledged or refused.

use poem_session::{PublicId, SessionId, store::Version};
use poem_session_tests::{front_end::Response, watched::Call};

use crate::{
    board::Seen,
    client::Client,
    history::{Field, Op, Visit},
    ledger::{Data, Effect, Ledger, Live, Record, Stored, Tombstone, key},
    pending::{Intent, Pending},
    rules,
};

#[derive(Debug)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is a fact that goes with any of the others"
)]
pub(crate) struct Request {
    stage: Stage,
    /// The minute at which the request began.
    began: u64,
    parts: Vec<Vec<Op>>,
    next_part: usize,
    /// The status that the handler returns.
    status: u16,
    exclusive: bool,
    /// Whether this is a job that revokes a session, which is like a request that destroys it.
    revokes: bool,
    has_revoked: bool,
    /// Whether the client presented the id of a live session.
    pub(crate) was_live: bool,
    is_new: bool,
    pub(crate) view: View,
    /// Whether there was something to write when a save met a newer record.
    had_work: bool,
    /// The key that the record which a save has met forwards to.
    forward: Option<PublicId>,
    pub(crate) pending: Pending,
    pub(crate) client: Client,
    pub(crate) lock: Option<Lock>,
    /// Whether a call has failed without which the request cannot succeed.
    pub(crate) failed: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Loading,
    Handling,
    Saving,
}

/// The session, as the request has seen it last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum View {
    /// Nothing was loaded yet.
    Unasked,
    /// There is no session.
    Nothing,
    Live {
        key: PublicId,
        version: Version,
        live: Live,
    },
    Ended(Tombstone),
    Forward {
        to: PublicId,
        until: u64,
    },
}

/// A session that ended without a trace.
const GONE: View = View::Ended(Tombstone {
    destroyed: true,
    moved_to: None,
    until: u64::MAX,
});

impl View {
    fn data(&self) -> Data {
        match self {
            Self::Live { live, .. } => live.data.clone(),
            _ => Data::new(),
        }
    }
}

/// The lock of an exclusive request.
#[derive(Debug)]
pub(crate) struct Lock {
    pub(crate) key: PublicId,
    pub(crate) until: u64,
    /// Until when it is held if the store was asked for more of it before a merge.
    pub(crate) extended_until: u64,
    /// Whether the handler has begun to run with the lock.
    is_used: bool,
    /// Whether another handler has begun to run with the lock since.
    pub(crate) is_taken_over: bool,
}

impl Request {
    pub(crate) fn new(id: Option<SessionId>, visit: &Visit, began: u64) -> Self {
        Self {
            stage: Stage::Loading,
            began,
            parts: visit.parts(),
            next_part: 0,
            status: visit.status,
            exclusive: visit.exclusive,
            revokes: false,
            has_revoked: false,
            was_live: false,
            is_new: true,
            view: id.map_or(View::Nothing, |_| View::Unasked),
            had_work: false,
            forward: None,
            pending: Pending::default(),
            client: Client::new(id.map(|id| id.public())),
            lock: None,
            failed: false,
        }
    }

    pub(crate) fn revoke(id: SessionId, began: u64) -> Self {
        let mut job = Self::new(Some(id), &Visit::default(), began);
        job.pending.intent = Intent::Destroy;
        job.revokes = true;
        job
    }

    /// The client has disconnected: nothing follows a save that has begun.
    pub(crate) fn loses_its_client(&mut self) {
        self.next_part = self.parts.len();
        self.status = 200;
    }

    fn is_at_end(&self) -> bool {
        self.next_part == self.parts.len()
    }

    pub(crate) fn may_write(&self) -> bool {
        let discards = self.is_at_end() && self.status >= 500;
        self.revokes || self.stage == Stage::Saving && !discards
    }

    /// Whether there is something to write to the session that the request has seen.
    pub(crate) fn has_work(&self) -> bool {
        self.pending.changes(&self.view.data())
    }

    /// Whether the client knows the session by an older id than the current one.
    pub(crate) fn is_forwarded(&self) -> bool {
        matches!(&self.view, View::Live { key, .. } if self.client.knows() != Some(*key))
    }

    /// Whether the lock no longer matters, as no other request knows the current id.
    pub(crate) fn has_moved_from(&self, locked: PublicId) -> bool {
        match &self.view {
            View::Live { key, .. } => *key != locked && !self.is_forwarded(),
            view => *view == View::Nothing,
        }
    }

    /// Whether the request uses the session under this key exclusively, and its lease lasts.
    pub(crate) fn holds(&self, locked: PublicId, now: u64) -> bool {
        let lock = self.lock.as_ref();
        let held = lock.is_some_and(|lock| lock.is_used && lock.key == locked && now < lock.until);
        // When all is saved, another request cannot disturb this one.
        held && !(self.is_at_end() && self.stage == Stage::Saving && !self.has_work())
    }

    /// Another handler begins to run with the lock of this session.
    pub(crate) fn is_taken_over(&mut self, locked: PublicId) {
        if let Some(lock) = self.lock.as_mut().filter(|lock| lock.key == locked) {
            lock.is_taken_over = true;
        }
    }
}

/// Calls.
impl Request {
    /// A call has been carried out, which was sent at the minute `then`.
    pub(crate) fn carried_out(
        &mut self,
        call: Call,
        effect: Effect,
        ledger: &Ledger,
        then: u64,
    ) -> Result<(), String> {
        let key = key(call);
        let seen = ledger.get(key).filter(|stored| stored.expires > then);
        let is_current = match (&self.view, seen) {
            (View::Live { version, .. }, Some(seen)) => seen.version == *version,
            _ => false,
        };
        match (call, effect) {
            (Call::Load(_), _) if self.is_confirming(key) => self.client.confirms(key, is_current),
            (Call::Load(_), _) => self.reads(key, seen)?,
            (Call::Lock(_), _) => self.locks(key, seen, then)?,
            (Call::Touch(_), Effect::Nothing) if is_current => self.has_used(key),
            (Call::Touch(_), Effect::Nothing) => {}
            (Call::Replace(_) | Call::Rename(..), Effect::Nothing) if is_current => {
                return Err("the store refuses a write of the current version".to_owned());
            }
            // The session has expired or was cleared, as the handler asked.
            (Call::Replace(_), Effect::Nothing)
                if seen.is_none() && self.is_signing_out() && !self.revokes =>
            {
                self.has_ended();
            }
            (Call::Replace(_) | Call::Rename(..), Effect::Nothing) => self.sees(key, seen),
            (call, effect) => self.writes(call, effect, then)?,
        }
        Ok(())
    }

    /// A call fails: it is not carried out, or its reply is lost.
    pub(crate) fn fails(&mut self, call: Call) {
        self.client.is_left_alone();
        match call {
            Call::Touch(_) => {}
            // A request that cannot lock the session leaves the rotation to another. One that cannot find out whether
            // it still holds its lock must not merge.
            Call::Lock(key) if self.stage == Stage::Saving => {
                let is_held = self.lock.as_ref().is_some_and(|lock| lock.key == key);
                self.failed = is_held && self.had_work;
            }
            Call::Load(key) if self.is_confirming(key) => {
                self.client.confirms(key, false);
                self.client.replied();
            }
            _ => self.failed = true,
        }
    }

    /// Whether a read of this record finds out if the client has a newer id by now.
    fn is_confirming(&self, key: PublicId) -> bool {
        self.stage == Stage::Saving && self.client.is_owed(key)
    }

    fn reads(&mut self, key: PublicId, seen: Option<&Stored>) -> Result<(), String> {
        let has_locked = self.lock.is_some();
        let expected = match self.view {
            _ if self.stage == Stage::Saving => self.forward.take(),
            View::Unasked => self.client.knows(),
            View::Forward { to, until } if self.revokes || has_locked || self.began < until => {
                Some(to)
            }
            View::Ended(tombstone) if self.revokes => tombstone.moved_to,
            View::Live { key, .. } if has_locked => Some(key),
            _ => None,
        };
        if expected != Some(key) {
            return Err(format!("reads another session than {:?}", self.view));
        }
        self.sees(key, seen);
        Ok(())
    }

    fn sees(&mut self, key: PublicId, seen: Option<&Stored>) {
        let view = match seen.map(|stored| (&stored.record, stored.version)) {
            None if self.view == View::Unasked => View::Nothing,
            None => GONE,
            Some((&Record::Tombstone(tombstone), _)) => View::Ended(tombstone),
            Some((&Record::Forward { to, until }, _)) => View::Forward { to, until },
            Some((Record::Live(live), version)) => View::Live {
                key,
                version,
                live: live.clone(),
            },
        };
        if self.stage == Stage::Loading && matches!(view, View::Live { .. }) && !self.revokes {
            self.client.is_reminded_of(key);
        }
        if self.stage == Stage::Saving {
            self.had_work = self.has_work();
            match &view {
                View::Live { .. } => {
                    if self.client.is_owed(key) {
                        self.has_used(key);
                    }
                }
                View::Forward { to, .. } => {
                    self.forward = Some(*to);
                    return;
                }
                _ => {
                    self.client.may_know_better();
                    if !self.has_work() {
                        // A request that only read was to rotate the id. It goes on with what it has read.
                        return;
                    }
                }
            }
        }
        self.view = view;
    }

    fn locks(&mut self, key: PublicId, seen: Option<&Stored>, then: u64) -> Result<(), String> {
        let held = self.lock.as_mut().filter(|lock| lock.key == key);
        if let (Stage::Saving, Some(lock)) = (self.stage, held) {
            // Another request wrote first.
            lock.extended_until = then + rules::LEASE;
            return Ok(());
        }
        if !matches!(self.view, View::Live { key: current, .. } if current == key) {
            return Err(format!("locks another session than {:?}", self.view));
        }
        if self.exclusive && self.stage == Stage::Loading {
            self.lock = Some(Lock {
                key,
                until: then + rules::LEASE,
                extended_until: 0,
                is_used: false,
                is_taken_over: false,
            });
            if seen.is_none() {
                self.view = GONE;
            }
        }
        Ok(())
    }

    /// Whether a save ends the session and begins no other.
    pub(crate) fn is_signing_out(&self) -> bool {
        self.pending.intent == Intent::Destroy && self.pending.alone().is_empty()
    }

    /// The session has ended, as the handler asked.
    pub(crate) fn has_ended(&mut self) {
        self.view = View::Nothing;
        self.pending = Pending::default();
        self.has_revoked = self.revokes;
        self.client.must_forget();
    }

    /// The changes of the request are in this record.
    pub(crate) fn is_saved_in(&mut self, key: PublicId, version: Version, live: Live) {
        self.view = View::Live { key, version, live };
        self.pending = Pending::default();
    }

    /// The store has seen that the session is live under this key.
    pub(crate) fn has_used(&mut self, key: PublicId) {
        let confirmed = self.is_at_end() || self.failed;
        self.client.may_keep(key, confirmed);
    }
}

/// The handler.
impl Request {
    /// The handler has done a part of its work. Returns the key of the session if the handler has begun to use
    /// it exclusively.
    pub(crate) fn handles(&mut self, seen: &Seen) -> Result<Option<PublicId>, String> {
        let mut locked = None;
        match self.stage {
            _ if self.failed => return Err("a handler runs after a failure".to_owned()),
            Stage::Loading => {
                self.begins()?;
                locked = self.lock.as_ref().map(|lock| lock.key);
            }
            Stage::Saving => self.is_acknowledged()?,
            Stage::Handling => return Err("a handler runs without saving".to_owned()),
        }
        self.stage = Stage::Handling;
        let base = self.view.data();
        let is_new = self.is_new;
        let mut read = Vec::new();
        for op in std::mem::take(&mut self.parts[self.next_part]) {
            self.is_new |= matches!(op, Op::Reset | Op::Destroy);
            read.push(self.pending.act(op, &base));
        }
        self.next_part += 1;
        let expected = Seen { is_new, read };
        if *seen == expected {
            return Ok(locked);
        }
        Err(format!(
            "the handler finds {seen:?} in place of {expected:?}"
        ))
    }

    fn begins(&mut self) -> Result<(), String> {
        match &self.view {
            View::Live { key, .. } => {
                (self.was_live, self.is_new) = (true, false);
                match self.lock.as_mut().filter(|lock| lock.key == *key) {
                    Some(lock) => lock.is_used = true,
                    None if self.exclusive => return Err("runs without its lock".to_owned()),
                    None => {}
                }
            }
            View::Forward { until, .. } | View::Ended(Tombstone { until, .. })
                if self.began >= *until && self.lock.is_none() =>
            {
                self.view = View::Nothing;
            }
            View::Nothing => {}
            View::Ended(_) if !self.exclusive => {}
            view => return Err(format!("a handler runs with {view:?}")),
        }
        Ok(())
    }

    /// The handler returns, or saves early.
    pub(crate) fn begins_to_save(&mut self) {
        self.stage = Stage::Saving;
    }

    /// A save has succeeded: all changes are stored, or there was nothing to store.
    fn is_acknowledged(&mut self) -> Result<(), String> {
        let data = self.pending.alone();
        match (&self.view, self.pending.intent) {
            _ if !self.has_work() => {}
            (View::Nothing, Intent::Keep | Intent::Regenerate) if data.is_empty() => {}
            (View::Nothing, Intent::Destroy) if data.is_empty() => {
                if self.client.knows().is_some() {
                    self.client.must_forget();
                    self.client.replied();
                }
            }
            // Another request has destroyed the session first.
            (
                View::Ended(Tombstone {
                    destroyed: true, ..
                }),
                Intent::Destroy,
            ) if data.keys().all(|field| *field == Field::Flash) => {
                self.client.may_know_better();
                self.client.replied();
                self.pending = Pending::default();
            }
            (view, _) => {
                let pending = &self.pending;
                return Err(format!(
                    "acknowledges {pending:?} without a write: {view:?}"
                ));
            }
        }
        self.pending.clear_edits();
        Ok(())
    }

    /// The client receives its response.
    pub(crate) fn responds(
        &mut self,
        response: &Response,
        ledger: &Ledger,
        now: u64,
    ) -> Result<(), String> {
        match response.status {
            503 if self.failed => {}
            _ if self.failed => return Err("a failure is acknowledged".to_owned()),
            409 => self.is_refused(now)?,
            status if status == self.status && self.is_at_end() => {
                if status < 500 {
                    self.is_acknowledged()?;
                }
            }
            _ => return Err("a status for no reason".to_owned()),
        }
        self.client.is_sent(response.update, ledger, now)
    }

    /// Changes are refused if the session has ended, or if the lock is lost. A request without changes is not.
    fn is_refused(&self, now: u64) -> Result<(), String> {
        let has_ended = matches!(self.view, View::Ended(_));
        let locks_nothing = self.stage == Stage::Loading && self.exclusive && has_ended;
        let has_changes = self.stage == Stage::Saving && !self.pending.is_empty();
        let lock = self.lock.as_ref().filter(|lock| now >= lock.until);
        let has_lost_lock = lock.is_some_and(|lock| !self.has_moved_from(lock.key));
        if locks_nothing || has_changes && has_ended || has_lost_lock {
            return Ok(());
        }
        let (pending, view) = (&self.pending, &self.view);
        Err(format!("refused for no reason: {pending:?}, {view:?}"))
    }

    /// A job that revokes the session has returned this. `None` is an error.
    pub(crate) fn is_revoked(&self, result: Option<bool>) -> Result<(), String> {
        let is_over = !matches!(self.view, View::Live { .. } | View::Unasked);
        let expected = match result {
            None => self.failed,
            Some(ended) => !self.failed && is_over && ended == self.has_revoked,
        };
        if expected {
            return Ok(());
        }
        Err(format!("revoking returns {result:?}: {:?}", self.view))
    }
}
