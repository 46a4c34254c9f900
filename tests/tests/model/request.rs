//! The journal of a request: what it has seen of its session, and what it has done.
//!
//! The journal does not predict the calls of a request. It checks each record and each value that the request
//! reads, and whether it may be acknowledged or refused.

use poem_session::{PublicId, SessionId, store::Version};
use poem_session_tests::watched::Call;

use crate::{
    board::Reply,
    client::Client,
    history::{Part, Visit},
    ledger::{Data, Effect, Ledger, Live, Record, Stored, Tombstone, key},
    lock::Lock,
    pending::{Intent, Pending},
    presented::Presented,
    save::Save,
};

#[derive(Debug)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is a fact that goes with any of the others"
)]
pub(crate) struct Request {
    pub(crate) stage: Stage,
    /// The minute at which the request began.
    pub(crate) began: u64,
    pub(crate) parts: Vec<Part>,
    pub(crate) next_part: usize,
    /// The status that the handler returns.
    pub(crate) status: u16,
    pub(crate) exclusive: bool,
    /// Whether this is a job that revokes a session, which is like a request that destroys it.
    revokes: bool,
    pub(crate) has_revoked: bool,
    pub(crate) presented: Presented,
    /// Whether the client presented the id of a live session.
    pub(crate) was_live: bool,
    pub(crate) is_new: bool,
    pub(crate) view: View,
    /// Whether there was something to write when a save met a newer record.
    had_work: bool,
    /// The key that the record which a save has met forwards to.
    pub(crate) forward: Option<PublicId>,
    pub(crate) pending: Pending,
    pub(crate) client: Client,
    pub(crate) lock: Option<Lock>,
    pub(crate) save: Save,
    /// Whether the session, which was destroyed, must end without the one that was to begin in its place.
    pub(crate) ends_alone: bool,
    /// Whether a call has failed without which the request cannot succeed.
    pub(crate) failed: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    Loading,
    Handling,
    /// The handler locks the session.
    Locking,
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
pub(crate) const GONE: View = View::Ended(Tombstone {
    destroyed: true,
    moved_to: None,
    until: u64::MAX,
});

impl View {
    pub(crate) fn data(&self) -> Data {
        match self {
            Self::Live { live, .. } => live.data.clone(),
            _ => Data::new(),
        }
    }
}

impl Request {
    pub(crate) fn new(ids: &[SessionId], visit: &Visit, began: u64) -> Self {
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
            presented: Presented::new(ids.iter().map(SessionId::public)),
            view: if ids.is_empty() {
                View::Nothing
            } else {
                View::Unasked
            },
            had_work: false,
            forward: None,
            pending: Pending::default(),
            client: Client::default(),
            lock: None,
            save: Save::default(),
            ends_alone: false,
            failed: false,
        }
    }

    pub(crate) fn revoke(id: SessionId, began: u64) -> Self {
        let mut job = Self::new(&[id], &Visit::default(), began);
        job.pending.intent = Intent::Destroy;
        job.revokes = true;
        job
    }

    /// The client has disconnected: nothing follows a save that has begun.
    pub(crate) fn loses_its_client(&mut self) {
        self.next_part = self.parts.len();
        self.status = 200;
    }

    pub(crate) fn is_at_end(&self) -> bool {
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
}

/// Calls.
impl Request {
    /// A call has been carried out, which was sent at the minute `then`.
    pub(crate) fn carried_out(
        &mut self,
        call: Call,
        reply: Reply,
        effect: Effect,
        ledger: &Ledger,
        then: u64,
    ) -> Result<(), String> {
        let key = key(call);
        self.is_about_to(call);
        let seen = ledger.get(key).filter(|stored| stored.expires > then);
        let is_current = match (&self.view, seen) {
            (View::Live { version, .. }, Some(seen)) => seen.version == *version,
            _ => false,
        };
        match (call, effect) {
            (call, Effect::Nothing) if reply == Reply::Full => self.finds_no_space(call)?,
            (Call::Load(_), _) if self.is_confirming(key) => self.client.confirms(key, is_current),
            (Call::Load(_), _) if self.is_settling(key) => self.settles(key, seen, then),
            (Call::Load(_), _) => self.reads(key, seen)?,
            (Call::Lock(_), _) => {
                self.locks(key, reply, then)?;
                if seen.is_none() {
                    self.finds_nothing_to_lock();
                }
            }
            (Call::Touch(_), Effect::Nothing) if is_current => self.has_used(key),
            (Call::Touch(_), Effect::Nothing) => {}
            (Call::Replace(_) | Call::Rename(..), Effect::Nothing) if is_current => {
                return Err("the store refuses a write of the current version".to_owned());
            }
            (Call::Replace(_), Effect::Nothing) if seen.is_none() && self.ends_alone => {
                self.has_ended_alone();
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

    /// The reply to a call arrives.
    pub(crate) fn receives(&mut self, call: Call, reply: Reply) {
        self.client.replied();
        match (call, reply) {
            (_, Reply::Full) => self.had_no_space(call),
            (Call::Replace(_), _) if self.ends_alone => {
                self.ends_alone = false;
                self.failed = self.view == View::Nothing;
            }
            _ => {}
        }
    }

    /// A call fails: it is not carried out, or its reply is lost.
    pub(crate) fn fails(&mut self, call: Call, was_sent: bool) {
        self.client.is_left_alone();
        self.ends_alone = false;
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
        if self.failed {
            self.is_in_doubt(call, was_sent);
        }
    }

    /// Whether a read of this record finds out if the client has a newer id by now.
    fn is_confirming(&self, key: PublicId) -> bool {
        let is_finishing = self.stage == Stage::Saving || self.failed;
        is_finishing && self.client.is_owed(key)
    }

    fn reads(&mut self, key: PublicId, seen: Option<&Stored>) -> Result<(), String> {
        self.begins_with_next(key);
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
        let is_live = matches!(view, View::Live { .. });
        let reloads = self.lock.is_some() && self.stage != Stage::Saving;
        if reloads && !(is_live && self.client.knows() == Some(key)) {
            // The response that has ended the session or moved it sends the newer id.
            self.client.may_know_better();
        } else if is_live && self.stage == Stage::Loading && !self.revokes {
            self.presented.is_live();
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

    /// Whether a save ends the session and begins no other.
    pub(crate) fn is_signing_out(&self) -> bool {
        self.pending.intent == Intent::Destroy && self.pending.alone().is_empty()
    }

    /// The session has ended, as the handler asked.
    pub(crate) fn has_ended(&mut self) {
        self.view = View::Nothing;
        self.pending = Pending::default();
        self.save.is_done();
        self.has_revoked = self.revokes;
        self.client.must_forget();
    }

    /// The changes of the request are in this record.
    pub(crate) fn is_saved_in(&mut self, key: PublicId, version: Version, live: Live) {
        self.view = View::Live { key, version, live };
        self.pending = Pending::default();
        self.save.is_done();
    }

    /// The store has seen that the session is live under this key.
    pub(crate) fn has_used(&mut self, key: PublicId) {
        let confirmed = self.is_at_end() || self.failed;
        self.client.may_keep(key, confirmed);
    }
}
