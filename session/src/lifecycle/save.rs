//! Planning the writes of a save, and applying the replies of the store.
//!
//! A session has at most one record, and each write names the version that it was made from. If the stored
//! record has another version, the fields that this request changed are merged onto it. If the record is
//! gone, or a tombstone is stored in its place, the changes are refused: nothing revives a session.

use bytes::Bytes;

use crate::{
    clock::Timestamp,
    error::SaveError,
    field::Field,
    lifecycle::{
        Covers, Intent, Lifecycle, Loaded, Phase, Reply, Resolution, Rules, Transition, WriteOp,
        op::{Draft, On, OpKind},
        origin::{Base, Origin},
    },
    record::{self, EndReason, Standing},
    store::{RecordClass, Version, Write},
};

impl Lifecycle {
    /// Whether a save has anything to do. Builds no record.
    pub(crate) fn needs_save(&self, rules: &Rules, now: Timestamp) -> bool {
        if !self.changes.is_empty() || self.intent != Intent::Keep {
            return true;
        }
        match &self.origin {
            Origin::Stored(base) => {
                let touch = (rules.expiry).touch_due(base.record().term(), base.expires_at(), now);
                touch.is_some() || self.is_rotation_due(rules, now)
            }
            Origin::New | Origin::Ended(_) => false,
        }
    }

    /// Whether the schedule is to rotate the id.
    pub(crate) fn wants_rotation(&self, rules: &Rules, now: Timestamp) -> bool {
        self.intent == Intent::Keep && self.is_rotation_due(rules, now)
    }

    /// Whether the id is old enough to be rotated, and the client can be sent a new one.
    pub(super) fn is_rotation_due(&self, rules: &Rules, now: Timestamp) -> bool {
        let (Some(rotation), Origin::Stored(base)) = (rules.rotation, &self.origin) else {
            return false;
        };
        self.client.can_rotate()
            && self.phase != Phase::Answered
            && !base.is_forwarded()
            && now.saturating_since(base.record().rotated_at()) >= rotation.every
    }

    /// The next write, if one is needed. It rotates an id that is due only if `may_rotate`.
    ///
    /// The write includes all changes so far; [`apply`](Self::apply) or [`write_failed`](Self::write_failed) ends it.
    pub(crate) fn plan(
        &mut self,
        rules: &Rules,
        now: Timestamp,
        may_rotate: bool,
    ) -> Result<Option<WriteOp>, SaveError> {
        let covers = Covers {
            latest: self.changes.latest(),
            intent: self.intent,
            rotates: may_rotate && self.wants_rotation(rules, now),
        };
        let kind = match &self.origin {
            Origin::New => self.plan_new(rules, now)?,
            Origin::Stored(base) => {
                let (key, version) = (base.key(), base.version());
                self.plan_stored(On { key, version }, covers, rules, now)?
            }
            Origin::Ended(reason) => {
                let reason = *reason;
                return self.plan_ended(reason, covers).map(|()| None);
            }
        };
        let Some(kind) = kind else {
            return Ok(None);
        };
        let op = WriteOp { kind, covers };
        if op.needs_new_id() && self.phase == Phase::Answered {
            return Err(SaveError::ResponseSent);
        }
        self.changes.begin_save();
        Ok(Some(op))
    }

    /// Nothing is stored: stores a session if it has data, or if the handler asked for a new one.
    fn plan_new(&mut self, rules: &Rules, now: Timestamp) -> Result<Option<OpKind>, SaveError> {
        let draft = self.draft(false, rules, now)?;
        if self.intent == Intent::Reset || draft.record.has_data() {
            return Ok(Some(OpKind::Create(draft)));
        }
        if self.intent == Intent::Destroy && self.client.has_presented() {
            self.client.clear_id();
            self.signed_out = true;
        }
        Ok(None)
    }

    fn plan_stored(
        &mut self,
        on: On,
        covers: Covers,
        rules: &Rules,
        now: Timestamp,
    ) -> Result<Option<OpKind>, SaveError> {
        if self.intent == Intent::Keep && !covers.rotates {
            // An id that an earlier attempt to rotate has drawn.
            self.next_id = None;
            if self.changes.is_empty() {
                return Ok(self.touch(on, rules, now));
            }
            let draft = self.draft(false, rules, now)?;
            return Ok(Some(OpKind::Replace { on, draft }));
        }
        let draft = self.draft(covers.rotates, rules, now)?;
        let leave = match (self.intent, rules.rotation) {
            (Intent::Destroy, _) => rules.tombstone(EndReason::Destroyed, now),
            (Intent::Keep, Some(rotation)) => {
                let until = now.saturating_add(rotation.grace);
                // Requests that have loaded the session by then may still save, so the forward is kept as
                // long as the session.
                let expires_at = draft.expires_at.max(until);
                let forward = record::forward(draft.key, until);
                Write::new(forward, expires_at).with_class(RecordClass::Retired)
            }
            _ => rules.tombstone(EndReason::Replaced, now),
        };
        if self.intent == Intent::Destroy && !draft.record.has_data() {
            let tombstone = leave;
            return Ok(Some(OpKind::End { on, tombstone }));
        }
        Ok(Some(OpKind::Move { on, draft, leave }))
    }

    fn touch(&self, on: On, rules: &Rules, now: Timestamp) -> Option<OpKind> {
        let base = self.base()?;
        let expires_at = (rules.expiry).touch_due(base.record().term(), base.expires_at(), now)?;
        Some(OpKind::Touch { on, expires_at })
    }

    /// The session has ended elsewhere: succeeds if there is nothing to save.
    fn plan_ended(&mut self, reason: EndReason, covers: Covers) -> Result<(), SaveError> {
        match (self.intent, reason) {
            (Intent::Keep, _) if self.changes.is_empty() => Ok(()),
            (Intent::Destroy, EndReason::Destroyed) if self.changes.are_transient() => {
                self.already_destroyed(covers);
                Ok(())
            }
            _ => Err(SaveError::Ended),
        }
    }

    /// The record to store: the changes on top of the stored record, or of a new session.
    fn draft(&mut self, rotates: bool, rules: &Rules, now: Timestamp) -> Result<Draft, SaveError> {
        let base = self.record();
        let moment = record::number(now.as_millis());
        let standing = self.standing();
        let own = [
            base.is_empty().then_some((record::CREATED, Some(&moment))),
            rotates.then_some((record::ROTATED, Some(&moment))),
            (standing != base.standing()).then_some((record::CLASS, standing.encoded())),
        ];
        let record = base.with(own.into_iter().flatten().chain(self.changes.values()));
        rules.limits.check_record(&record, base)?;
        let (id, key) = match &self.origin {
            Origin::Stored(base) if self.intent == Intent::Keep && !rotates => {
                (base.id(), base.key())
            }
            _ => {
                let id = self.new_id(rules);
                (id, id.public())
            }
        };
        Ok(Draft {
            id,
            key,
            expires_at: rules.expiry.expires_at(record.term(), now),
            record,
        })
    }

    /// The standing of the session with the changes so far.
    pub(super) fn standing(&self) -> Standing {
        let base = self.record();
        let is_set = |(field, value): &(Field, Option<&Bytes>)| {
            value.is_some() && !record::is_own(field.name().as_bytes())
        };
        let mut set = self.changes.values().filter(is_set);
        let sets_data = set.clone().any(|(field, _)| !field.is_flash());
        let before = base.standing();
        let has_data = sets_data || before == Standing::Anonymous && base.has_data();
        let asks_for_id = matches!(self.intent, Intent::Regenerate | Intent::Reset);
        if before == Standing::Established || asks_for_id && has_data {
            Standing::Established
        } else if sets_data {
            Standing::Anonymous
        } else if base.is_empty() && set.next().is_some() {
            Standing::FlashOnly
        } else {
            before
        }
    }

    /// Takes the reply of the store to the call of `op`.
    ///
    /// # Errors
    /// [`SaveError::Ended`] if the session has ended and there were changes to save.
    pub(crate) fn apply(&mut self, op: WriteOp, reply: Reply) -> Result<Transition, SaveError> {
        let WriteOp { kind, covers } = op;
        let transition = match (kind, reply) {
            (
                OpKind::Replace { on, .. } | OpKind::Move { on, .. } | OpKind::End { on, .. },
                Reply::Conflict(current),
            ) => {
                let key = on.key;
                // The save goes on until the changes are merged.
                return Ok(Transition::Conflict {
                    key,
                    current,
                    covers,
                });
            }
            (OpKind::Create(draft) | OpKind::Replace { draft, .. }, Reply::Written(version)) => {
                self.now_stored(draft, version, covers);
                Ok(Transition::Saved { left: None })
            }
            (OpKind::Move { on, draft, .. }, Reply::Written(version)) => {
                self.now_stored(draft, version, covers);
                let left = Some(on.key);
                Ok(Transition::Saved { left })
            }
            // If the record is gone, it has ended already, as the handler asked.
            (OpKind::End { on, .. }, _) => {
                self.ended(covers);
                let left = Some(on.key);
                Ok(Transition::Saved { left })
            }
            (OpKind::Touch { expires_at, .. }, reply) => {
                if let Reply::Written(_) = reply {
                    self.touched(expires_at);
                }
                Ok(Transition::Saved { left: None })
            }
            (OpKind::Create(_), _) => {
                // 256 random bits never repeat; the application's own id generator may.
                self.next_id = None;
                Ok(Transition::Retry)
            }
            (OpKind::Replace { .. } | OpKind::Move { .. }, _) => self.refuse(covers),
        };
        self.changes.end_save();
        transition
    }

    /// Takes the newer session that a write has met. The changes move onto it, and must be planned again.
    ///
    /// # Errors
    /// [`SaveError::Ended`] if the session has ended and there were changes to save.
    pub(crate) fn merge(
        &mut self,
        newer: Resolution,
        covers: Covers,
    ) -> Result<Transition, SaveError> {
        self.changes.end_save();
        match newer {
            Resolution::Live(newer) => {
                self.advance(newer);
                self.changes.rebase();
                Ok(Transition::Retry)
            }
            Resolution::Ended(EndReason::Destroyed)
                if covers.intent == Intent::Destroy && self.changes.are_transient() =>
            {
                self.already_destroyed(covers);
                Ok(Transition::Saved { left: None })
            }
            Resolution::Ended(_) | Resolution::Missing => self.refuse(covers),
        }
    }

    /// The call of `op` returned an error. The write may have been done all the same.
    pub(crate) fn write_failed(&mut self, op: &WriteOp) {
        self.changes.end_save();
        if op.is_move() {
            // The new key may be in use by now, so a later attempt needs another one.
            self.next_id = None;
        }
    }

    /// The newer record that a write has met could not be loaded.
    pub(crate) fn merge_failed(&mut self) {
        self.changes.end_save();
    }

    /// The draft is stored.
    fn now_stored(&mut self, draft: Draft, version: Version, covers: Covers) {
        let id_key = match &self.origin {
            Origin::Stored(base) if base.id() == draft.id => Some(base.id_key()),
            _ => None,
        };
        let loaded = Loaded {
            key: draft.key,
            record: draft.record,
            version,
            expires_at: draft.expires_at,
        };
        let base = Base::new(draft.id, id_key.unwrap_or(draft.key), loaded);
        if !base.is_forwarded() {
            let refresh = id_key.is_some();
            self.client.set_id(draft.id, draft.expires_at, refresh);
        }
        self.origin = Origin::Stored(base);
        self.done(covers);
    }

    fn touched(&mut self, expires_at: Timestamp) {
        if let Origin::Stored(base) = &mut self.origin {
            base.prolong(expires_at);
            if !base.is_forwarded() {
                self.client.set_id(base.id(), expires_at, true);
            }
        }
    }

    /// The session has ended, and nothing replaces it.
    fn ended(&mut self, covers: Covers) {
        self.origin = Origin::New;
        self.client.clear_id();
        self.done(covers);
    }

    /// The session has ended by the write `op`, and the store had no space for the one that the changes begin.
    /// They stay unsaved.
    pub(crate) fn ended_alone(&mut self, op: &WriteOp) {
        self.changes.end_save();
        self.origin = Origin::New;
        self.client.clear_id();
        self.intent_done(op.covers);
    }

    /// Another request destroyed the session first. Its response has sent the client's update, also for
    /// whatever starts in place of the session.
    fn already_destroyed(&mut self, covers: Covers) {
        self.origin = Origin::Ended(EndReason::Destroyed);
        self.client.drop_update();
        self.done(covers);
    }

    /// The session has ended elsewhere: refuses the changes.
    fn refuse(&mut self, covers: Covers) -> Result<Transition, SaveError> {
        // The client may have a newer id than the one that an earlier save has left pending.
        self.client.drop_update();
        if covers.rotates && self.changes.is_empty() {
            // The session was only read, so there is nothing to refuse.
            self.done(covers);
            return Ok(Transition::Saved { left: None });
        }
        self.origin = Origin::Ended(EndReason::Replaced);
        Err(SaveError::Ended)
    }

    /// Clears the work that a write has carried out. Work that was added during the write stays.
    fn done(&mut self, covers: Covers) {
        self.changes.saved(covers.latest);
        self.intent_done(covers);
    }

    fn intent_done(&mut self, covers: Covers) {
        if matches!(covers.intent, Intent::Reset | Intent::Destroy) {
            self.generation += 1;
        }
        self.signed_out |= covers.intent == Intent::Destroy;
        if self.intent_number <= covers.latest {
            self.intent = Intent::Keep;
            self.next_id = None;
        }
    }
}
