//! Renewing a session's id on schedule.
//!
//! A lock is one of the record that the old id leads to, and ends when that is left behind: whoever renews
//! an id takes the lock first, or leaves it for another time. Otherwise a request that has the session to
//! itself would find that another one has, too.

use std::sync::Weak;

use crate::{
    active::{ActiveSession, Base, Origin, Plan, Progress, State},
    answer::Answer,
    clock::Timestamp,
    engine::Engine,
    lock::{BriefLease, Claim},
};

/// The right to renew the id.
pub(crate) enum Turn {
    /// The request holds the session, and is about to let go of it.
    Held,
    /// It was locked for this.
    Locked(BriefLease),
}

impl Turn {
    /// Whether it is still one.
    pub(crate) fn lasts(&self) -> bool {
        match self {
            Self::Held => true,
            Self::Locked(lease) => !lease.is_lost(),
        }
    }

    /// The claim on the lock that was taken for this.
    pub(crate) fn claim(&self) -> Option<&Claim> {
        match self {
            Self::Held => None,
            Self::Locked(lease) => Some(lease.claim()),
        }
    }

    /// The lock has ended together with the record.
    pub(crate) fn end(self) {
        if let Self::Locked(lease) = self {
            lease.forget();
        }
    }
}

impl State {
    /// Whether the next attempt to save renews the id. Asked anew before each: another request may have
    /// renewed it meanwhile, or have taken the lock.
    pub(crate) fn plan_renewal(&mut self, engine: &Engine, may_rotate: bool, now: Timestamp) {
        let Origin::Stored(base) = &self.origin else {
            return;
        };
        if !self.plan.is_the_schedules() {
            return;
        }
        if may_rotate && self.rotation_due(base, engine, now) {
            self.plan = Plan::Rotate;
        } else {
            self.plan = Plan::Keep;
            self.next_id = None;
        }
    }

    /// Where the id is due and was not renewed, another request is about to: the old one is not told again,
    /// as that might reach the client behind the new one.
    pub(crate) fn keep_due_id_untold(&mut self, engine: &Engine) {
        let Origin::Stored(base) = &self.origin else {
            return;
        };
        let is_known = matches!(self.answer, Some(Answer::Issue { known: true, .. }));
        if is_known && self.rotation_due(base, engine, engine.now()) {
            self.answer = None;
        }
    }

    /// Whether the id is to be renewed on schedule: only where the client can be told the new one.
    pub(crate) fn rotation_due(&self, base: &Base, engine: &Engine, now: Timestamp) -> bool {
        let client_listens = self.presented.is_some_and(|p| p.live && p.source.answered);
        engine.rotation.is_some_and(|rotation| {
            client_listens
                && self.progress != Progress::Answered
                && !base.by_old_id
                && now.saturating_since(base.record.rotated_at()) >= rotation.every
        })
    }
}

impl ActiveSession {
    /// Where the id is to be renewed: the right to do so now, if it can be had at once.
    pub(crate) async fn turn_to_rotate(&self) -> Option<Turn> {
        let engine = &self.engine;
        let key = {
            let state = self.state();
            let Origin::Stored(base) = &state.origin else {
                return None;
            };
            if !state.plan.is_the_schedules() || !state.rotation_due(base, engine, engine.now()) {
                return None;
            }
            match Weak::strong_count(&state.lease) {
                0 => base.key,
                // Held for the handler, which has returned, and by nobody else.
                1 if state.progress == Progress::Finishing && state.held.is_some() => {
                    return Some(Turn::Held);
                }
                _ => return None,
            }
        };
        BriefLease::try_acquire(engine, key).await.map(Turn::Locked)
    }
}
