//! Planning the writes of a save, and applying the replies of the store.
//!
//! A session has at most one record, and each write names the version that it was made from. If the stored
//! record has another version, the fields that this request changed are merged onto it. If the record is
//! gone, or a tombstone is stored in its place, the changes are refused: nothing revives a session.

use crate::{
    clock::Timestamp,
    error::SaveError,
    id::{PublicId, SessionId},
    lifecycle::{
        Conflict, Covers, Due, Intent, Lifecycle, Loaded, Phase, Refusal, Reply, Resolution, Rules,
        Transition, WriteOp,
        op::{Draft, On, OpKind},
        origin::{Base, Origin},
    },
    record::{EndReason, Forward},
    store::Version,
};

impl Lifecycle {
    /// The work of a save that begins now. Builds no record.
    ///
    /// If another save `is_saving`, the stored values may be others after it, so changes without effect are work too.
    pub(crate) fn due(&mut self, rules: &Rules, now: Timestamp, is_saving: bool) -> Due {
        let has_work = self.has_work() || is_saving && self.has_changes();
        if has_work || self.is_rotation_due(rules, now) {
            return Due::Save;
        }
        self.changes.saved(self.changes.latest());
        match (&self.origin, self.next().touch_due(rules, now)) {
            (Origin::Stored(base), Some(_)) => Due::Touch(base.key()),
            _ => Due::Nothing,
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
        self.check_doubt()?;
        let covers = Covers {
            latest: self.changes.latest(),
            intent: self.intent,
            rotates: may_rotate && self.wants_rotation(rules, now),
        };
        let conflict = |base: &Base| self.changes.conflict_with(base.record());
        if let Some(field) = self.base().and_then(conflict) {
            return Err(SaveError::Conflict { key: field.name() });
        }
        if !covers.rotates && !self.has_work() {
            // No other request has written meanwhile, or its changes come later than these.
            self.changes.saved(covers.latest);
        }
        let kind = match &self.origin {
            Origin::New => self.plan_new(rules, now)?,
            Origin::Stored(base) => {
                let (id, key, version) = (base.id(), base.key(), base.version());
                self.plan_stored(id, On { key, version }, covers, rules, now)?
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
        Ok(Some(op))
    }

    /// Nothing is stored: stores a session if it has data, or if the handler asked for a new one.
    fn plan_new(&mut self, rules: &Rules, now: Timestamp) -> Result<Option<OpKind>, SaveError> {
        let draft = self.draft(false, rules, now)?;
        if self.intent == Intent::Reset || draft.record.has_data() {
            if let Some(refusal) = self.refusal() {
                return Err(refusal.into());
            }
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
        id: SessionId,
        on: On,
        covers: Covers,
        rules: &Rules,
        now: Timestamp,
    ) -> Result<Option<OpKind>, SaveError> {
        if self.intent == Intent::Keep && !covers.rotates {
            // An id that an earlier attempt to rotate has drawn.
            self.next_id = None;
            let is_touch = self.changes.is_empty();
            if is_touch {
                let Some(expires_at) = self.next().touch_due(rules, now) else {
                    return Ok(None);
                };
                let record = self.record();
                if record.timeout() == rules.expiry.idle(record.term()) {
                    return Ok(Some(OpKind::Touch { on, expires_at }));
                }
            }
            let draft = self.draft(false, rules, now)?;
            return Ok(Some(if is_touch {
                OpKind::Renew { on, draft }
            } else {
                OpKind::Replace { on, draft }
            }));
        }
        let draft = self.draft(covers.rotates, rules, now)?;
        let leave = match (self.intent, rules.rotation) {
            (Intent::Destroy, _) => rules.tombstone(EndReason::Destroyed, None, now),
            (Intent::Keep, Some(rotation)) => {
                let until = now.saturating_add(rotation.grace);
                let forward = Forward::new(&id, &draft.id, draft.key, until);
                // Requests that have loaded the session by then may still save.
                rules.retired(forward.record(), until)
            }
            (Intent::Regenerate, _) => rules.tombstone(EndReason::Replaced, Some(draft.key), now),
            _ => rules.tombstone(EndReason::Replaced, None, now),
        };
        if self.intent == Intent::Destroy && !draft.record.has_data() {
            let tombstone = leave;
            return Ok(Some(OpKind::End { on, tombstone }));
        }
        Ok(Some(OpKind::Move { on, draft, leave }))
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
        let gets_new_id = rotates || rules.rotates() && self.intent == Intent::Regenerate;
        let kept = match &self.origin {
            Origin::Stored(base) if self.intent == Intent::Keep && !rotates => {
                Some((base.id(), base.key()))
            }
            _ => None,
        };
        let next = self.next();
        let record = next.record(gets_new_id, rules, now);
        rules.limits.check_record(&record, next.base_record())?;
        let expires_at = next.expires_at(record.term(), kept.is_some(), rules, now);
        let (id, key) = kept.unwrap_or_else(|| {
            let id = self.new_id(rules);
            (id, id.public())
        });
        Ok(Draft {
            id,
            key,
            record,
            expires_at,
        })
    }

    /// Takes the reply of the store to the call of `op`.
    ///
    /// # Errors
    /// [`SaveError::Ended`] if the session has ended and there were changes to save.
    pub(crate) fn apply(&mut self, op: WriteOp, reply: Reply) -> Result<Transition, SaveError> {
        let WriteOp { kind, covers } = op;
        match (kind, reply) {
            (
                OpKind::Replace { on, .. } | OpKind::Move { on, .. } | OpKind::End { on, .. },
                Reply::Conflict(current),
            ) => {
                let key = on.key;
                Ok(Transition::Conflict(Box::new(Conflict {
                    key,
                    current,
                    covers,
                })))
            }
            (
                OpKind::Create(draft) | OpKind::Replace { draft, .. } | OpKind::Renew { draft, .. },
                Reply::Written(version),
            ) => {
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
                Ok(Transition::Saved { left: Some(on.key) })
            }
            (OpKind::Touch { expires_at, .. }, Reply::Written(_)) => {
                self.touched(expires_at);
                Ok(Transition::Saved { left: None })
            }
            // Another request has written, and so noted its use.
            (OpKind::Touch { .. } | OpKind::Renew { .. }, _) => {
                Ok(Transition::Saved { left: None })
            }
            (OpKind::Create(_), _) => {
                // 256 random bits never repeat; the application's own id generator may.
                self.next_id = None;
                Ok(Transition::Retry)
            }
            (OpKind::Replace { .. } | OpKind::Move { .. }, _) => self.refuse(covers),
        }
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

    /// The call of `op` returned an error. The write may have been executed all the same.
    pub(crate) fn write_failed(&mut self, op: WriteOp) {
        let repeats_updates = matches!(op.kind, OpKind::Replace { .. })
            && self.changes.have_updates(op.covers.latest);
        if repeats_updates || op.needs_new_id() {
            self.in_doubt = Some(Box::new(op));
        }
    }

    /// The key of a new record that an earlier save may have stored. No other request knows its id.
    pub(crate) fn key_in_doubt(&self) -> Option<PublicId> {
        match &self.in_doubt.as_ref()?.kind {
            OpKind::Create(draft) | OpKind::Move { draft, .. } => Some(draft.key),
            _ => None,
        }
    }

    /// Takes the session that [`key_in_doubt`](Self::key_in_doubt) was resolved to. Unless it is missing, the earlier
    /// save has succeeded.
    ///
    /// # Errors
    /// [`SaveError::Ended`] if it has ended since.
    pub(crate) fn settle(&mut self, found: Resolution) -> Result<Transition, SaveError> {
        match (found, self.in_doubt.take()) {
            (Resolution::Live(newer), Some(op)) => {
                let saved = self.apply(*op, Reply::Written(newer.version()))?;
                // Another request may have changed the session since.
                self.advance(newer);
                Ok(saved)
            }
            (Resolution::Ended(reason), Some(op)) => {
                self.done(op.covers);
                self.found_ended(reason);
                Err(SaveError::Ended)
            }
            (_, _) => {
                // The write may still arrive, so the key must not be used again.
                self.next_id = None;
                Ok(Transition::Retry)
            }
        }
    }

    /// Checks that the record cannot contain the updates already.
    ///
    /// # Errors
    /// [`SaveError::InDoubt`] if an earlier save of them failed, and the record has another version since. Drops
    /// them.
    fn check_doubt(&mut self) -> Result<(), SaveError> {
        let (Some(op), Some(base)) = (&self.in_doubt, self.base()) else {
            return Ok(());
        };
        let OpKind::Replace { on, .. } = op.kind else {
            return Ok(());
        };
        let latest = op.covers.latest;
        let is_same = (on.key, on.version) == (base.key(), base.version());
        if is_same || !self.changes.have_updates(latest) {
            return Ok(());
        }
        self.in_doubt = None;
        self.changes.saved(latest);
        self.changes.rebase();
        Err(SaveError::InDoubt)
    }

    /// The draft is stored.
    fn now_stored(&mut self, draft: Draft, version: Version, covers: Covers) {
        self.in_doubt = None;
        let id_key = match &self.origin {
            Origin::Stored(base) if base.id() == draft.id => Some(base.id_key()),
            _ => None,
        };
        let loaded = Loaded {
            newer_id: None,
            key: draft.key,
            record: draft.record,
            version,
            expires_at: draft.expires_at,
        };
        let base = Base::new(draft.id, id_key.unwrap_or(draft.key), loaded);
        let refresh = id_key.is_some();
        let is_same = refresh && self.base().map(Base::expires_at) == Some(draft.expires_at);
        if !is_same && !base.is_forwarded() {
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
        self.next_id = None;
        self.origin = Origin::New;
        self.client.clear_id();
        self.intent_done(op.covers);
    }

    /// Another request destroyed the session first. Its response has sent the client's update, also for
    /// whatever starts in place of the session.
    fn already_destroyed(&mut self, covers: Covers) {
        self.found_ended(EndReason::Destroyed);
        self.done(covers);
    }

    /// The session has ended elsewhere: refuses the changes.
    fn refuse(&mut self, covers: Covers) -> Result<Transition, SaveError> {
        if covers.rotates && !self.has_work() {
            // The session was only read, so there is nothing to refuse.
            self.client.drop_update();
            self.done(covers);
            return Ok(Transition::Saved { left: None });
        }
        self.found_ended(EndReason::Replaced);
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

    /// Discards what is not saved. A later save returns [`SaveError::Discarded`](crate::SaveError).
    pub(crate) fn discard(&mut self) {
        self.discarded |= self.changes.differ_from(self.record());
        self.changes.clear();
    }

    /// Discards what is not saved, as after a 5xx response.
    pub(crate) fn abandon(&mut self) {
        self.discard();
        self.intent = Intent::Keep;
    }

    /// Whether changes were discarded since this was last asked.
    pub(crate) fn take_discarded(&mut self) -> bool {
        std::mem::take(&mut self.discarded)
    }
}

/// Requests that do not count as use of the session, or must not begin one.
impl Lifecycle {
    /// From now on, the request does not count as use of the session. Flash values that were read are restored.
    pub(crate) fn set_passive(&mut self) {
        if !self.passive {
            self.passive = true;
            self.changes.restore_flash();
        }
    }

    /// Whether the request does not count as use of the session.
    pub(crate) fn is_passive(&self) -> bool {
        self.passive
    }

    /// From now on, the request must not begin a session.
    pub(crate) fn refuse_new(&mut self, refusal: Refusal) {
        self.refusal = Some(refusal);
    }

    /// Why the request must not begin a session.
    pub(crate) fn refusal(&self) -> Option<Refusal> {
        self.refusal
    }
}
