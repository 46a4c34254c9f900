//! The journal of a request: what it has seen of its session, what it has done, and what the client is sent.
//!
//! The journal does not predict the calls of a request. It checks each record that the request reads, each
//! value that the handler reads, and the response. [`writes`](crate::writes) checks each write.

use poem_session::{__private::front_end::ClientUpdate, PublicId, SessionId, store::Version};
use poem_session_tests::{front_end::Response, watched::Call};

use crate::{
    board::Seen,
    history::{Field, Op, Visit},
    ledger::{Data, Effect, Ledger, Live, Record, Stored, key},
    pending::{Intent, Pending},
    rules,
};

#[derive(Debug)]
pub(crate) struct Request {
    stage: Stage,
    /// The key of the id that the client knows.
    pub(crate) id_key: Option<PublicId>,
    /// Whether the client presented the id of a live session.
    pub(crate) was_live: bool,
    is_new: bool,
    pub(crate) view: View,
    /// The key that the record which a save has met forwards to.
    forward: Option<PublicId>,
    pub(crate) pending: Pending,
    parts: Vec<Vec<Op>>,
    next_part: usize,
    /// The status that the handler returns.
    status: u16,
    exclusive: bool,
    pub(crate) lock: Option<Lock>,
    /// The update that the request owes the client.
    update: Option<Update>,
    /// The same, once the reply of the current call has arrived.
    update_on_reply: Option<Option<Update>>,
    /// Whether the request has read the record again, to find out if the client has a newer id by now. The reply
    /// may be late, as the response itself.
    has_confirmed: bool,
    /// Whether a call has failed without which the request cannot succeed.
    pub(crate) failed: bool,
    /// A job that revokes a session is like a request that destroys it.
    pub(crate) revokes: bool,
    has_revoked: bool,
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
    Ended {
        destroyed: bool,
    },
    Forward {
        to: PublicId,
        until: u64,
    },
}

/// The lock of an exclusive request.
#[derive(Debug)]
pub(crate) struct Lock {
    pub(crate) key: PublicId,
    pub(crate) until: u64,
    /// Whether the handler runs with the lock.
    pub(crate) section: bool,
    /// Whether the handler of another request has begun to run with the lock since.
    pub(crate) is_taken_over: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Update {
    SetId {
        key: PublicId,
        /// Whether this response is the first that tells the client the id.
        first: bool,
        /// Whether the store was asked after the handler had returned.
        confirmed: bool,
    },
    ClearId,
}

impl Request {
    pub(crate) fn new(id: Option<SessionId>, visit: &Visit) -> Self {
        Self {
            stage: Stage::Loading,
            id_key: id.map(|id| id.public()),
            was_live: false,
            is_new: true,
            view: id.map_or(View::Nothing, |_| View::Unasked),
            forward: None,
            pending: Pending::default(),
            parts: visit.parts(),
            next_part: 0,
            status: visit.status,
            exclusive: visit.exclusive,
            lock: None,
            update: None,
            update_on_reply: None,
            has_confirmed: false,
            failed: false,
            revokes: false,
            has_revoked: false,
        }
    }

    pub(crate) fn revoke(id: SessionId) -> Self {
        let mut job = Self::new(Some(id), &Visit::default());
        job.pending.intent = Intent::Destroy;
        job.revokes = true;
        job
    }

    /// The client has disconnected: if a save has begun, nothing follows it.
    pub(crate) fn loses_its_client(&mut self) {
        self.next_part = self.parts.len();
        self.status = 200;
    }

    /// Whether the handler has done all its work.
    pub(crate) fn is_at_end(&self) -> bool {
        self.next_part == self.parts.len()
    }

    /// Whether the request may write.
    pub(crate) fn is_saving(&self) -> bool {
        let discards = self.is_at_end() && self.status >= 500;
        self.revokes || (self.stage == Stage::Saving && !discards)
    }

    /// Whether the client knows the session by an older id than the current one.
    pub(crate) fn is_forwarded(&self) -> bool {
        matches!(&self.view, View::Live { key, .. } if self.id_key != Some(*key))
    }

    /// Whether the request has moved the session to an id that no other request knows.
    pub(crate) fn has_moved_from(&self, locked: PublicId) -> bool {
        match &self.view {
            View::Live { key, .. } => *key != locked && !self.is_forwarded(),
            View::Nothing => true,
            _ => false,
        }
    }

    /// Another handler begins to run with the lock of this session.
    pub(crate) fn is_taken_over(&mut self, locked: PublicId) {
        if let Some(lock) = self.lock.as_mut().filter(|lock| lock.key == locked) {
            lock.is_taken_over = true;
        }
    }

    /// Whether the handler may be running with the lock on `key`, and the lease lasts.
    pub(crate) fn holds(&self, locked: PublicId, now: u64) -> bool {
        let lock = self.lock.as_ref();
        let held = lock.is_some_and(|lock| lock.section && lock.key == locked && now < lock.until);
        // When all is saved, another request cannot disturb this one.
        held && !(self.is_at_end() && self.stage == Stage::Saving && self.pending.is_empty())
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
            (Call::Load(_), _) => self.reads(key, seen, then),
            (Call::Lock(_), _) => self.locks(key, seen, then),
            (Call::Replace(_) | Call::Rename(..), Effect::Nothing) if is_current => {
                Err("the store refuses a write of the current version".to_owned())
            }
            (Call::Replace(_), Effect::Nothing)
                if seen.is_none() && self.is_signing_out() && !self.revokes =>
            {
                // The session has expired or was cleared, as the handler asked.
                self.has_ended();
                Ok(())
            }
            (Call::Replace(_) | Call::Rename(..), Effect::Nothing) => {
                self.sees(key, seen);
                Ok(())
            }
            (Call::Touch(_), Effect::Nothing) => {
                if is_current {
                    self.owes_id(key);
                }
                Ok(())
            }
            (call, effect) => self.writes(call, effect, then),
        }
    }

    /// The reply to a call has arrived.
    pub(crate) fn replied(&mut self) {
        if let Some(update) = self.update_on_reply.take() {
            self.update = update;
        }
    }

    /// A call fails: it is not carried out, or its reply is lost.
    pub(crate) fn fails(&mut self, call: Call) {
        self.update_on_reply = None;
        match call {
            Call::Touch(_) => {}
            // A request that cannot lock the session leaves the rotation to another.
            Call::Lock(_) if self.stage == Stage::Saving => {}
            Call::Load(key) if self.confirms(key) => self.update = None,
            _ => self.failed = true,
        }
    }

    fn reads(&mut self, key: PublicId, seen: Option<&Stored>, then: u64) -> Result<(), String> {
        if self.confirms(key) {
            let current = match (&self.view, seen) {
                (View::Live { version, .. }, Some(seen)) => seen.version == *version,
                _ => false,
            };
            self.has_confirmed = true;
            if current {
                self.owes_id(key);
            } else {
                self.update_on_reply = Some(None);
            }
            return Ok(());
        }
        let has_locked = self.lock.is_some();
        let expected = match self.view {
            _ if self.stage == Stage::Saving => self.forward.take(),
            View::Unasked => self.id_key,
            View::Forward { to, until } if self.revokes || has_locked || then < until => Some(to),
            View::Live { key, .. } if has_locked => Some(key),
            _ => None,
        };
        if expected != Some(key) {
            return Err(format!(
                "reads a record of another session: {:?}",
                self.view
            ));
        }
        self.sees(key, seen);
        Ok(())
    }

    /// Whether the request reads this record to find out if the client has a newer id by now.
    fn confirms(&self, key: PublicId) -> bool {
        let pending = matches!(self.update, Some(Update::SetId { key: set, .. }) if set == key);
        (pending || self.forgets_rotation(key)) && self.stage == Stage::Saving
    }

    /// Known fault: a request that has an update of an early save to send, and learns in a later save that
    /// another request has rotated the id, sends the older id all the same.
    fn forgets_rotation(&self, current: PublicId) -> bool {
        let pending = matches!(self.update, Some(Update::SetId { first: false, .. }));
        pending
            && self.is_forwarded()
            && matches!(self.view, View::Live { key, .. } if key == current)
    }

    fn sees(&mut self, key: PublicId, seen: Option<&Stored>) {
        let view = match seen.map(|stored| (&stored.record, stored.version)) {
            None if self.view == View::Unasked => View::Nothing,
            None => View::Ended { destroyed: true },
            Some((Record::Tombstone { destroyed }, _)) => View::Ended {
                destroyed: *destroyed,
            },
            Some((&Record::Forward { to, until }, _)) => View::Forward { to, until },
            Some((Record::Live(live), version)) => View::Live {
                key,
                version,
                live: live.clone(),
            },
        };
        if self.stage == Stage::Saving {
            match &view {
                View::Live { live, .. } => {
                    self.pending.merge(&live.data);
                    if self.confirms(key) {
                        self.owes_id(key);
                    }
                }
                View::Forward { to, .. } => {
                    self.forward = Some(*to);
                    return;
                }
                _ => {
                    // The client may have a newer id.
                    self.update_on_reply = Some(None);
                    if self.pending.is_empty() {
                        // A request that only read was to rotate the id. It goes on with what it has read.
                        return;
                    }
                }
            }
        }
        self.view = view;
    }

    fn locks(&mut self, key: PublicId, seen: Option<&Stored>, then: u64) -> Result<(), String> {
        let View::Live { key: current, .. } = self.view else {
            return Err(format!("locks {:?}", self.view));
        };
        if current != key {
            return Err("locks another session".to_owned());
        }
        if self.exclusive && self.stage == Stage::Loading {
            self.lock = Some(Lock {
                key,
                until: then + rules::LEASE,
                section: false,
                is_taken_over: false,
            });
            if seen.is_none() {
                self.view = View::Ended { destroyed: true };
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
        self.update_on_reply = Some(Some(Update::ClearId));
    }

    /// The changes of the request are in this record.
    pub(crate) fn is_saved_in(&mut self, key: PublicId, version: Version, live: Live) {
        self.view = View::Live { key, version, live };
        self.pending = Pending::default();
    }

    /// The request has used the session under this key, and the client may keep the id for longer.
    pub(crate) fn owes_id(&mut self, key: PublicId) {
        if self.id_key != Some(key) {
            return;
        }
        let first =
            matches!(self.update, Some(Update::SetId { key: set, first: true, .. }) if set == key);
        self.update_on_reply = Some(Some(Update::SetId {
            key,
            first,
            confirmed: self.is_at_end() || self.failed,
        }));
    }

    /// The session has a new key.
    pub(crate) fn owes_new_id(&mut self, key: PublicId) {
        self.id_key = Some(key);
        self.update_on_reply = Some(Some(Update::SetId {
            key,
            first: true,
            confirmed: true,
        }));
    }
}

/// The handler.
impl Request {
    /// The handler has done a part of its work. Returns the key of the session if the handler has begun to use
    /// it exclusively.
    pub(crate) fn handles(&mut self, seen: &Seen, now: u64) -> Result<Option<PublicId>, String> {
        if self.failed {
            return Err("a handler runs after a failure".to_owned());
        }
        let mut locked = None;
        match self.stage {
            Stage::Loading => {
                self.begins(now)?;
                locked = self.lock.as_ref().map(|lock| lock.key);
            }
            Stage::Saving => self.is_acknowledged()?,
            Stage::Handling => return Err("a handler runs without saving".to_owned()),
        }
        self.stage = Stage::Handling;
        let nothing = Data::new();
        let base = match &self.view {
            View::Live { live, .. } => &live.data,
            _ => &nothing,
        };
        let is_new = self.is_new;
        let mut read = Vec::new();
        let ops = std::mem::take(&mut self.parts[self.next_part]);
        for op in ops {
            self.is_new |= matches!(op, Op::Reset | Op::Destroy);
            read.push(self.pending.act(op, base));
        }
        self.next_part += 1;
        let expected = Seen { is_new, read };
        if *seen == expected {
            Ok(locked)
        } else {
            Err(format!(
                "the handler finds {seen:?} in place of {expected:?}"
            ))
        }
    }

    fn begins(&mut self, now: u64) -> Result<(), String> {
        match &self.view {
            View::Live { key, .. } => {
                self.was_live = true;
                self.is_new = false;
                let lock = self.lock.as_mut().filter(|lock| lock.key == *key);
                match lock {
                    Some(lock) => lock.section = true,
                    None if self.exclusive => return Err("runs without its lock".to_owned()),
                    None => {}
                }
            }
            View::Forward { until, .. } if now >= *until && self.lock.is_none() => {
                self.view = View::Nothing;
            }
            View::Nothing => {}
            View::Ended { .. } if !self.exclusive => {}
            view => return Err(format!("a handler runs with {view:?}")),
        }
        Ok(())
    }

    /// The handler goes on to save.
    pub(crate) fn begins_to_save(&mut self) {
        self.stage = Stage::Saving;
    }

    /// A save has succeeded: all changes are stored, or there was nothing to store.
    fn is_acknowledged(&mut self) -> Result<(), String> {
        let data = self.pending.alone();
        match (&self.view, self.pending.intent) {
            _ if self.pending.is_empty() => {}
            (View::Nothing, Intent::Keep | Intent::Regenerate) if data.is_empty() => {}
            (View::Nothing, Intent::Destroy) if data.is_empty() => {
                if self.id_key.is_some() {
                    self.update = Some(Update::ClearId);
                }
            }
            // Another request has destroyed the session first.
            (View::Ended { destroyed: true }, Intent::Destroy)
                if data.keys().all(|field| *field == Field::Flash) =>
            {
                self.update = None;
                self.pending = Pending::default();
            }
            (view, _) => {
                let pending = &self.pending;
                return Err(format!(
                    "acknowledges {pending:?}, which is not stored: {view:?}"
                ));
            }
        }
        self.pending.clear_edits();
        Ok(())
    }
}

/// The end.
impl Request {
    /// The client gets its response.
    pub(crate) fn responds(
        &mut self,
        response: &Response,
        ledger: &Ledger,
        now: u64,
    ) -> Result<(), String> {
        let is_failure = response.status == 503;
        if is_failure != self.failed {
            return Err(format!(
                "a failure of the store ends with {}",
                response.status
            ));
        }
        match response.status {
            503 => {}
            409 => self.is_refused(now)?,
            status if status == self.status && self.is_at_end() => {
                if status < 500 {
                    self.is_acknowledged()?;
                }
            }
            _ => return Err("a status for no reason".to_owned()),
        }
        self.sends(response.update, ledger, now)
    }

    /// Changes are refused if the session has ended, or if the lock is lost.
    fn is_refused(&self, now: u64) -> Result<(), String> {
        let has_ended = matches!(self.view, View::Ended { .. });
        let locks_nothing = self.stage == Stage::Loading && self.exclusive && has_ended;
        let has_changes = self.stage == Stage::Saving && !self.pending.is_empty();
        let lock = self.lock.as_ref().filter(|lock| now >= lock.until);
        let has_lost_lock = lock.is_some_and(|lock| !self.has_moved_from(lock.key));
        if locks_nothing || has_changes && has_ended || has_lost_lock {
            return Ok(());
        }
        Err(format!(
            "refused for no reason: {:?} {:?}",
            self.pending, self.view
        ))
    }

    fn sends(&self, update: Option<ClientUpdate>, ledger: &Ledger, now: u64) -> Result<(), String> {
        match (update, self.update) {
            (None, None) | (Some(ClientUpdate::ClearId), Some(Update::ClearId)) => Ok(()),
            (None, Some(Update::SetId { key, first, .. })) => {
                let is_live = ledger.get(key).is_some_and(|stored| {
                    matches!(stored.record, Record::Live(_)) && stored.expires > now
                });
                if first && is_live {
                    return Err("the client does not learn its new id".to_owned());
                }
                Ok(())
            }
            (
                Some(ClientUpdate::SetId { id, refresh, .. }),
                Some(Update::SetId {
                    key,
                    first,
                    confirmed,
                }),
            ) if id.public() == key
                && refresh != first
                && (first || confirmed || self.is_forwarded()) =>
            {
                let record = ledger.get(key).map(|stored| &stored.record);
                let is_rotated = matches!(record, Some(Record::Forward { .. }));
                if is_rotated && !self.has_confirmed && !self.is_forwarded() {
                    return Err("the client has a newer id".to_owned());
                }
                Ok(())
            }
            (update, owed) => Err(format!("sends {update:?} in place of {owed:?}")),
        }
    }

    /// The result of a job that revokes the session. `None` is an error.
    pub(crate) fn is_revoked(&self, result: Option<bool>) -> Result<(), String> {
        let is_over = !matches!(self.view, View::Live { .. } | View::Unasked);
        let expected = match result {
            None => self.failed,
            Some(true) => self.has_revoked && !self.failed,
            Some(false) => !self.has_revoked && is_over && !self.failed,
        };
        if expected {
            return Ok(());
        }
        Err(format!("revoking returns {result:?}, but {:?}", self.view))
    }
}
