//! A save that fails, and is repeated.
//!
//! If the store returns an error, the request does not know whether its write was stored. It keeps its view of the
//! session and its changes, and the next save begins with them. The journal knows more: it tells a save that
//! repeats a change from one that makes it for the first time.

use poem_session::{PublicId, store::Version};
use poem_session_tests::watched::Call;

use crate::{
    ledger::{Live, Record, Stored},
    pending::{Intent, Pending},
    request::{Request, Stage, View},
};

#[derive(Debug, Default)]
pub(crate) struct Save {
    /// The beliefs of the request before the current write, or before what the save does first.
    before: Option<Before>,
    doubt: Option<Doubt>,
    /// Whether the current write is stored.
    is_stored: bool,
}

#[derive(Debug, Clone)]
struct Before {
    view: View,
    pending: Pending,
    doubt: Option<Doubt>,
}

/// A write that may be stored.
#[derive(Debug, Clone, Copy)]
enum Doubt {
    /// Of this version of the session under its key.
    Replace(PublicId, Version),
    /// Of a session under a new key, or under those that it forwards to.
    NewKey {
        first: PublicId,
        now: PublicId,
        is_stored: bool,
    },
}

impl Save {
    /// All changes are stored. If the reply is lost, the request does not know that.
    pub(crate) fn is_done(&mut self) {
        self.is_stored = true;
        self.doubt = None;
    }

    /// A save begins.
    pub(crate) fn begins(&mut self) {
        self.before = None;
        self.is_stored = false;
    }
}

impl Request {
    /// The store carries out this call now.
    pub(crate) fn is_about_to(&mut self, call: Call) {
        let is_write = is_write(call);
        if self.stage == Stage::Saving && (is_write || self.save.before.is_none()) {
            self.save.before = Some(Before {
                view: self.view.clone(),
                pending: self.pending.clone(),
                doubt: self.save.doubt,
            });
        }
        self.save.is_stored &= !is_write;
    }

    /// A call has failed, and the save with it. `was_sent` if the store has carried out the call.
    pub(crate) fn is_in_doubt(&mut self, call: Call, was_sent: bool) {
        if self.stage != Stage::Saving {
            return;
        }
        // A call that was not sent has changed nothing, but a merge ends with a call that confirms the lock.
        if (was_sent || !is_write(call))
            && let Some(before) = self.save.before.take()
        {
            (self.view, self.pending) = (before.view, before.pending);
            self.save.doubt = before.doubt;
        }
        let is_stored = was_sent && self.save.is_stored;
        let new_key = |key| Doubt::NewKey {
            first: key,
            now: key,
            is_stored,
        };
        match (call, &self.view) {
            (Call::Create(key) | Call::Rename(_, key), _) => self.save.doubt = Some(new_key(key)),
            (Call::Replace(_), View::Live { key, version, .. })
                if self.pending.intent == Intent::Keep =>
            {
                // The doubt about the first write remains if this one is another attempt.
                let doubt = Doubt::Replace(*key, *version);
                self.save.doubt = self.save.doubt.or(Some(doubt));
            }
            _ => {}
        }
    }

    /// Whether the changes are updates that an earlier save may have stored: the session has another version now.
    pub(crate) fn may_be_stored(&self) -> bool {
        match (self.save.doubt, &self.view) {
            (
                Some(Doubt::Replace(key, version)),
                View::Live {
                    key: current,
                    version: newer,
                    ..
                },
            ) => (key, version) != (*current, *newer) && self.pending.have_updates(),
            _ => false,
        }
    }

    /// Whether a read of this record finds out if an earlier save has stored a session under a new key.
    pub(crate) fn is_settling(&self, key: PublicId) -> bool {
        let doubt = self.save.doubt;
        self.stage == Stage::Saving
            && matches!(doubt, Some(Doubt::NewKey { now, .. }) if now == key)
    }

    pub(crate) fn settles(&mut self, key: PublicId, seen: Option<&Stored>, then: u64) {
        let Some(Doubt::NewKey {
            first, is_stored, ..
        }) = self.save.doubt
        else {
            return;
        };
        match seen.map(|stored| (&stored.record, stored.version)) {
            // Not stored, or removed since.
            None => self.save.doubt = None,
            Some((Record::Forward { to, .. }, _)) => {
                self.save.doubt = Some(Doubt::NewKey {
                    first,
                    now: *to,
                    is_stored,
                });
            }
            Some((Record::Tombstone(tombstone), _)) => self.view = View::Ended(*tombstone),
            Some((Record::Live(live), version)) => {
                let live: Live = live.clone();
                self.is_saved_in(key, version, live);
                self.client.must_learn(first, then);
                if key != first {
                    self.client.may_know_better();
                }
            }
        }
    }

    /// The updates of an earlier save are not repeated.
    pub(crate) fn gives_up_updates(&mut self) -> Result<(), String> {
        if !self.may_be_stored() {
            let (save, view) = (&self.save, &self.view);
            return Err(format!("in doubt for no reason: {save:?}, {view:?}"));
        }
        self.pending = Pending::default();
        self.save = Save::default();
        Ok(())
    }
}

pub(crate) fn is_write(call: Call) -> bool {
    matches!(call, Call::Create(_) | Call::Replace(_) | Call::Rename(..))
}
