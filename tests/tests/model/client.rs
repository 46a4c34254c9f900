//! The id that the client of a request knows, and the update that the response owes the client.

use poem_session::{__private::front_end::ClientUpdate, PublicId};

use crate::{
    ledger::{Ledger, Live, Record},
    rules,
};

#[derive(Debug, Default)]
pub(crate) struct Client {
    /// The key of the id that the client knows.
    knows: Option<PublicId>,
    owed: Update,
    /// Whether another response has sent the owed id before.
    is_reminder: bool,
    /// The update that is owed once the reply of the current call arrives.
    on_reply: Option<Update>,
    /// Whether the request has asked the store, after its changes were saved, if the client has a newer id by
    /// now. The reply may be late, as the response itself may be.
    has_confirmed: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Update {
    #[default]
    Nothing,
    SetId {
        key: PublicId,
        /// Whether this response is the first that sends the id.
        first: bool,
        /// Whether the store was asked after the handler had returned.
        confirmed: bool,
        /// The minute at which the id was stored, if this request has stored it.
        stored_at: u64,
    },
    ClearId,
}

impl Client {
    /// The id under this key is the one of the client that counts, as far as the request has looked them up.
    pub(crate) fn presents(&mut self, key: PublicId) {
        self.knows = Some(key);
    }

    pub(crate) fn knows(&self) -> Option<PublicId> {
        self.knows
    }

    /// The session is used under this key: the client may keep the id for longer.
    pub(crate) fn may_keep(&mut self, key: PublicId, confirmed: bool) {
        if self.knows == Some(key) {
            let (first, stored_at) = match self.owed {
                Update::SetId {
                    key: owed,
                    first,
                    stored_at,
                    ..
                } if owed == key => (first, stored_at),
                _ => (false, 0),
            };
            self.on_reply = Some(Update::SetId {
                key,
                first,
                confirmed: first || confirmed,
                stored_at,
            });
        }
    }

    /// The request has found the session under a newer key than the one of its id: the response that sent the newer
    /// id may be lost.
    pub(crate) fn is_reminded_of(&mut self, key: PublicId) {
        if self.knows != Some(key) {
            self.knows = Some(key);
            self.is_reminder = true;
            self.on_reply = Some(Update::SetId {
                key,
                first: true,
                confirmed: false,
                stored_at: 0,
            });
        }
    }

    /// The session has a new key, since the minute `then`.
    pub(crate) fn must_learn(&mut self, key: PublicId, then: u64) {
        self.knows = Some(key);
        self.is_reminder = false;
        self.on_reply = Some(Update::SetId {
            key,
            first: true,
            confirmed: true,
            stored_at: then,
        });
    }

    /// The session has ended, as the handler asked.
    pub(crate) fn must_forget(&mut self) {
        self.on_reply = Some(Update::ClearId);
    }

    /// The session has ended elsewhere: the client may have a newer id.
    pub(crate) fn may_know_better(&mut self) {
        self.on_reply = Some(Update::Nothing);
    }

    /// The reply to the current call has arrived.
    pub(crate) fn replied(&mut self) {
        if let Some(update) = self.on_reply.take() {
            self.owed = update;
        }
    }

    /// The current call fails.
    pub(crate) fn is_left_alone(&mut self) {
        self.on_reply = None;
    }

    /// Whether a read of the record under this key shows if the owed id is the newest.
    pub(crate) fn is_owed(&self, key: PublicId) -> bool {
        matches!(self.owed, Update::SetId { key: owed, .. } if owed == key)
    }

    /// The request reads the record again to confirm the owed id.
    pub(crate) fn confirms(&mut self, key: PublicId, is_current: bool) {
        self.has_confirmed = true;
        if is_current {
            self.may_keep(key, true);
        } else {
            self.may_know_better();
        }
    }

    /// Checks the update of the response: the newest id wins, and an id that is sent was stored before.
    pub(crate) fn is_sent(
        &self,
        update: Option<ClientUpdate>,
        ledger: &Ledger,
        now: u64,
        skew: u64,
    ) -> Result<(), String> {
        match (update, self.owed) {
            (None, Update::Nothing) | (Some(ClientUpdate::ClearId), Update::ClearId) => Ok(()),
            (None, Update::SetId { key, first, .. }) => {
                let live = ledger.live(key, now).filter(|_| first);
                match live {
                    // Another request has written since, or is about to rotate the id.
                    Some(live)
                        if self.is_reminder && (self.has_confirmed || is_due_soon(live, now)) =>
                    {
                        Ok(())
                    }
                    Some(_) => Err("the client does not learn its new id".to_owned()),
                    None => Ok(()),
                }
            }
            (
                Some(ClientUpdate::SetId { id, refresh, .. }),
                Update::SetId {
                    key,
                    first,
                    confirmed,
                    stored_at,
                },
            ) if id.public() == key && refresh != first => {
                let record = ledger.get(key).map(|stored| &stored.record);
                let is_rotated = matches!(record, Some(Record::Forward { .. }));
                // Clocks may differ by the grace of a rotation: a process does not send an id again that it would
                // rotate after the grace. Calls have no time limit here, but a save that takes as long as an id
                // lives is like a response that is late.
                let is_late = now + rules::GRACE >= stored_at + rules::ROTATE_EVERY;
                let may_be_old = self.has_confirmed || skew > rules::GRACE || first && is_late;
                if !confirmed || is_rotated && !may_be_old {
                    return Err("the client may have a newer id".to_owned());
                }
                Ok(())
            }
            (update, owed) => Err(format!("sends {update:?} in place of {owed:?}")),
        }
    }
}

/// Whether the id of a session is rotated within the time by which clocks may differ.
fn is_due_soon(live: &Live, now: u64) -> bool {
    now + rules::GRACE >= live.rotated + rules::ROTATE_EVERY
}
