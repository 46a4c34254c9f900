//! One session's state machine.
//!
//! A [`Lifecycle`] is the session of one request, or of one job: the record as it was loaded, the changes
//! since, and what becomes of the session when it is saved. It is a plain value: it holds no lock, awaits
//! nothing, and knows the time only as an argument. [`engine`](crate::engine) calls the store for it:
//!
//! 1. [`loaded`](Lifecycle::loaded) takes the session that the presented id was resolved to.
//! 2. The handler reads and changes it, and may regenerate, reset or destroy it.
//! 3. [`plan`](Lifecycle::plan) returns the next write, if one is needed.
//! 4. [`apply`](Lifecycle::apply) takes the reply of the store. If another request wrote first,
//!    [`merge`](Lifecycle::merge) moves the changes onto the newer record, and the session is planned again.
//! 5. [`take_update`](Lifecycle::take_update) returns the update to send to the client.

mod client;
mod next;
mod op;
mod origin;
mod refusal;
mod rules;
mod save;
#[cfg(test)]
mod tests;

use std::time::Duration;

use bytes::Bytes;

pub use self::client::ClientUpdate;
use self::{
    client::Client,
    next::Next,
    origin::{Base, Origin},
};
pub(crate) use self::{
    client::{Presented, Unconfirmed},
    op::{Call, Conflict, Covers, Due, Reply, Transition, WriteOp},
    origin::{Loaded, Resolution},
    refusal::Refusal,
    rules::{IdGenerator, Rules},
};
use crate::{
    changes::{Changes, Rerun, Updater, Updaters},
    clock::Timestamp,
    error::SetError,
    field::Field,
    id::{PublicId, SessionId},
    record::{self, EndReason, Record},
    store::Version,
};

/// The session of one request.
#[derive(Default)]
pub(crate) struct Lifecycle {
    origin: Origin,
    intent: Intent,
    /// The number of the intent, in the order of the changes.
    intent_number: u64,
    changes: Changes,
    /// The number of sessions that this request has left by a reset or a destroy.
    generation: u64,
    /// Whether the request has destroyed a session.
    signed_out: bool,
    /// Whether changes were discarded that a task of the request may still try to save.
    discarded: bool,
    /// Whether the request does not count as use of the session.
    passive: bool,
    /// Why the request must not begin a session.
    refusal: Option<Refusal>,
    /// The id of the next record that needs a new one.
    next_id: Option<SessionId>,
    /// The write of an earlier save that failed, and that may have been executed all the same.
    in_doubt: Option<Box<WriteOp>>,
    client: Client,
    /// The id that the application has read last, which it may send to the client by itself.
    read_id: Option<SessionId>,
    phase: Phase,
}

/// The handler's plan for the session when it is saved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Intent {
    /// Keep it. The schedule may rotate its id.
    #[default]
    Keep,
    /// Keep the data under a new id. The old id becomes invalid.
    Regenerate,
    /// Replace it by a new session, even if that is empty.
    Reset,
    /// End it. Values that are set afterwards start a new session.
    Destroy,
}

/// How far the request is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The handler runs.
    #[default]
    Handling,
    /// The handler has returned, and its changes are being saved.
    Finishing,
    /// The response has been sent: the client cannot be sent another id.
    Answered,
}

/// Reading.
impl Lifecycle {
    /// The stored session, unless the request leaves it.
    fn base(&self) -> Option<&Base> {
        kept(&self.origin, self.intent)
    }

    /// The record that reads and changes are made on: empty if the request leaves the session.
    fn record(&self) -> &Record {
        record_of(&self.origin, self.intent)
    }

    /// Whether the handler has changed a value, or asks for another session.
    pub(crate) fn has_work(&self) -> bool {
        self.intent != Intent::Keep || self.changes.differ_from(self.record())
    }

    /// Whether the handler has set, removed or updated a value, also to the stored one, or asks for another session.
    pub(crate) fn has_changes(&self) -> bool {
        self.intent != Intent::Keep || !self.changes.is_empty()
    }

    /// The encoded value of a field in the store, without the changes of this request.
    pub(crate) fn stored_value(&self, field: Field) -> Option<Bytes> {
        self.record().get(field)
    }

    /// The encoded value of a field.
    pub(crate) fn value(&self, field: Field) -> Option<Bytes> {
        self.changes.value(field, self.record())
    }

    /// The id that the client will hold once the session is saved.
    fn id(&mut self, rules: &Rules) -> SessionId {
        match (&self.origin, self.intent) {
            (Origin::Stored(base), Intent::Keep) => base.id(),
            _ => self.new_id(rules),
        }
    }

    /// Reads the [`id`](Self::id) for the application.
    pub(crate) fn read_id(&mut self, rules: &Rules) -> SessionId {
        let id = self.id(rules);
        *self.read_id.insert(id)
    }

    /// Whether the application has read this id.
    pub(crate) fn has_read(&self, id: &SessionId) -> bool {
        self.read_id.as_ref() == Some(id)
    }

    /// The id for the next record that needs a new one. The same id until that record is stored.
    fn new_id(&mut self, rules: &Rules) -> SessionId {
        *self.next_id.get_or_insert_with(|| (rules.new_id)())
    }

    /// The key under which the session will be stored.
    pub(crate) fn public_id(&mut self, rules: &Rules) -> PublicId {
        match (&self.origin, self.intent) {
            (Origin::Stored(base), Intent::Keep) => base.key(),
            _ => self.id(rules).public(),
        }
    }

    /// The key of the stored session, if there is one.
    pub(crate) fn stored_key(&self) -> Option<PublicId> {
        match &self.origin {
            Origin::Stored(base) => Some(base.key()),
            Origin::New | Origin::Ended(_) => None,
        }
    }

    /// Whether this request has moved the session away from `key`, to an id that no other request knows.
    pub(crate) fn has_moved_from(&self, key: PublicId) -> bool {
        match &self.origin {
            Origin::Stored(base) => base.key() != key && !base.is_forwarded(),
            Origin::New => true,
            Origin::Ended(_) => false,
        }
    }

    /// Whether the session has ended elsewhere.
    pub(crate) fn has_ended(&self) -> bool {
        matches!(self.origin, Origin::Ended(_))
    }

    /// Whether the request presented no live session, or has left it.
    pub(crate) fn is_new(&self) -> bool {
        let leaves = matches!(self.intent, Intent::Reset | Intent::Destroy);
        leaves || self.generation > 0 || !self.client.has_presented_live()
    }

    /// Counts the sessions that the request has left.
    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// Whether the request has destroyed a session.
    pub(crate) fn has_signed_out(&self) -> bool {
        self.signed_out
    }

    pub(crate) fn phase(&self) -> Phase {
        self.phase
    }

    pub(crate) fn created_at(&self) -> Option<Timestamp> {
        self.base().map(|base| base.record().term().created_at)
    }

    /// When the session expires if this is its last use, with the changes so far.
    pub(crate) fn expires_at(&self, rules: &Rules, now: Timestamp) -> Option<Timestamp> {
        let base = self.base()?;
        let next = self.next();
        Some(if self.has_work() {
            let keeps_id = self.intent == Intent::Keep;
            next.expires_at(next.term(), keeps_id, rules, now)
        } else {
            next.touch_due(rules, now).unwrap_or(base.expires_at())
        })
    }

    /// The session as a save would store it.
    fn next(&self) -> Next<'_> {
        Next {
            base: self.base(),
            changes: &self.changes,
            intent: self.intent,
            passive: self.passive,
        }
    }
}

/// Loading.
impl Lifecycle {
    /// Takes the session that the presented id, whose public id is `id_key`, was resolved to.
    pub(crate) fn loaded(
        &mut self,
        presented: Presented,
        id_key: PublicId,
        resolution: Resolution,
    ) {
        let live = matches!(resolution, Resolution::Live(_));
        self.client.present(presented, live);
        self.origin = match resolution {
            Resolution::Live(mut loaded) => Origin::Stored(match loaded.newer_id.take() {
                Some(id) => {
                    // The id was rotated, and the response that sent the newer one may be lost.
                    self.client.repeat_id(*id, loaded.expires_at);
                    Base::new(*id, loaded.key, loaded)
                }
                None => Base::new(presented.id(), id_key, loaded),
            }),
            Resolution::Ended(reason) => Origin::Ended(reason),
            Resolution::Missing => Origin::New,
        };
    }

    /// Takes the stored session again. Unsaved changes stay on top of it.
    pub(crate) fn reloaded(&mut self, resolution: Resolution) {
        match (resolution, &self.origin) {
            (Resolution::Live(loaded), Origin::Stored(_)) => self.advance(loaded),
            (Resolution::Ended(reason), _) => self.found_ended(reason),
            _ => self.found_ended(EndReason::Destroyed),
        }
        self.changes.rebase();
    }

    /// Continues from a newer record of the session.
    fn advance(&mut self, newer: Loaded) {
        if let Origin::Stored(base) = &mut self.origin {
            base.advance(newer);
            if base.is_forwarded() {
                // Another request has rotated the id, and its response sends the newer one.
                self.client.drop_update();
            }
        }
    }

    /// Notes that the session has ended elsewhere. The client may have a newer id than the one of a pending update.
    pub(crate) fn found_ended(&mut self, reason: EndReason) {
        self.origin = Origin::Ended(reason);
        self.client.drop_update();
    }
}

/// Changing.
impl Lifecycle {
    /// Sets or removes a field.
    pub(crate) fn put(
        &mut self,
        field: Field,
        value: Option<Bytes>,
        rules: &Rules,
    ) -> Result<(), SetError> {
        self.check_set(field, value.as_ref(), rules)?;
        self.changes.put(field, value);
        Ok(())
    }

    /// Sets or removes a field of a struct that was read when the stored value was `seen`.
    pub(crate) fn edit(
        &mut self,
        field: Field,
        value: Option<Bytes>,
        seen: Option<Bytes>,
        rules: &Rules,
    ) -> Result<(), SetError> {
        self.check_set(field, value.as_ref(), rules)?;
        self.changes.edit(field, value, seen);
        Ok(())
    }

    fn check_set(
        &self,
        field: Field,
        value: Option<&Bytes>,
        rules: &Rules,
    ) -> Result<(), SetError> {
        value.map_or(Ok(()), |value| {
            let pending = self.changes.values();
            rules.limits.check_set(self.record(), pending, field, value)
        })
    }

    /// Removes a field. A value that another request sets meanwhile stays.
    pub(crate) fn take(&mut self, field: Field) {
        if let Some(seen) = self.value(field) {
            self.changes.take(field, seen);
        }
    }

    /// Records that `updater` has returned `after` for the value `before`. Returns the updater if the value is
    /// another by now.
    pub(crate) fn update(
        &mut self,
        field: Field,
        before: Option<&Bytes>,
        after: Option<Bytes>,
        updater: Updater,
        rules: &Rules,
    ) -> Result<Option<Updater>, SetError> {
        if self.value(field).as_ref() != before {
            return Ok(Some(updater));
        }
        self.check_set(field, after.as_ref(), rules)?;
        self.changes.update(field, updater, after);
        Ok(None)
    }

    /// Takes out the updaters of one field that must run again, with the value to run them on.
    pub(crate) fn take_stale(&mut self) -> Option<(Field, Updaters, Option<Bytes>)> {
        let (field, updaters) = self.changes.take_stale()?;
        Some((field, updaters, self.record().get(field)))
    }

    /// Returns updaters that [`take_stale`](Self::take_stale) took out.
    pub(crate) fn put_back(&mut self, field: Field, updaters: Updaters, outcome: Rerun) {
        self.changes.put_back(field, updaters, outcome);
    }

    /// Restores the flash values that were read.
    pub(crate) fn restore_flash(&mut self) {
        self.changes.restore_flash();
    }

    /// Gives the session an idle timeout of its own, at least a second.
    pub(crate) fn set_idle_timeout(
        &mut self,
        timeout: Duration,
        rules: &Rules,
    ) -> Result<(), SetError> {
        let timeout = record::number_of_millis(timeout.max(Duration::from_secs(1)));
        self.put(record::IDLE, Some(timeout), rules)
    }

    pub(crate) fn regenerate(&mut self) {
        if self.intent == Intent::Keep {
            self.set_intent(Intent::Regenerate);
            self.next_id = None;
        }
    }

    /// Leaves the session, with all changes so far, for a new one.
    pub(crate) fn reset(&mut self) {
        self.leave(Intent::Reset);
    }

    /// Ends the session, with all changes so far.
    pub(crate) fn destroy(&mut self) {
        self.leave(Intent::Destroy);
    }

    fn leave(&mut self, intent: Intent) {
        self.changes.clear();
        self.set_intent(intent);
        self.next_id = None;
    }

    /// Ends the session. The changes so far start the next one.
    pub(crate) fn destroy_keeping_changes(&mut self) {
        self.set_intent(Intent::Destroy);
        self.changes.rebase();
    }

    fn set_intent(&mut self, intent: Intent) {
        self.intent = intent;
        self.intent_number = self.changes.next_number();
    }

    pub(crate) fn set_phase(&mut self, phase: Phase) {
        self.phase = phase;
    }
}

/// The stored session, unless the request leaves it. A function of two fields, so that the changes can be
/// borrowed beside it.
fn kept(origin: &Origin, intent: Intent) -> Option<&Base> {
    match (origin, intent) {
        (Origin::Stored(base), Intent::Keep | Intent::Regenerate) => Some(base),
        _ => None,
    }
}

/// The record that reads and changes are made on.
fn record_of(origin: &Origin, intent: Intent) -> &Record {
    match kept(origin, intent) {
        Some(base) => base.record(),
        None => Record::empty(),
    }
}

/// The client.
impl Lifecycle {
    /// The pending update if it sends an id that another response has sent before.
    pub(crate) fn unconfirmed(&self) -> Option<Unconfirmed> {
        match &self.origin {
            Origin::Stored(base) if self.client.is_repeat_pending() => {
                Some(Unconfirmed::new(base.key(), base.version()))
            }
            _ => None,
        }
    }

    /// Drops a pending update if the stored record has another version than it had then: another response may
    /// have sent a newer id.
    pub(crate) fn confirm(&mut self, unconfirmed: Unconfirmed, stored: Option<Version>) {
        if stored != Some(unconfirmed.version()) {
            self.client.drop_update();
        }
    }

    /// Drops a pending update of an id that is soon due for rotation: another request rotates it, and the old id
    /// might reach the client after the new one. The clock of another process may be ahead by the grace.
    pub(crate) fn drop_update_of_due_id(&mut self, rules: &Rules, now: Timestamp) {
        let grace = rules
            .rotation
            .map_or(Duration::ZERO, |rotation| rotation.grace);
        let soon = now.saturating_add(grace);
        if self.client.is_repeat_pending() && self.is_rotation_due(rules, soon) {
            self.client.drop_update();
        }
    }

    /// The update to send with the response.
    pub(crate) fn take_update(&mut self) -> Option<ClientUpdate> {
        self.client.take_update()
    }

    /// Whether the request presented the id of a live session.
    pub(crate) fn has_presented_live(&self) -> bool {
        self.client.has_presented_live()
    }
}
