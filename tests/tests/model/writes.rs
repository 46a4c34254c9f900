//! The checks of each write that a request makes.
//!
//! Together they say of a whole history:
//! - No change is lost. A write starts from the version that the request has seen, adds its changes, and leaves
//!   all else as it is. So the record holds a value until a later write changes the field.
//! - Each update counts once. A write carries out all unsaved changes, so that the next one cannot repeat them.
//! - Nothing is revived. A write replaces a live session only, and creates one only if the request knew none.
//! - At most one id of a session is live. A move leaves a tombstone or a forward.
//! - A holder that has lost its lock writes nothing.
//! - No update is repeated whose earlier save may have stored it.

use std::ops::RangeInclusive;

use poem_session::PublicId;
use poem_session_tests::watched::Call;

use crate::{
    ledger::{Effect, Live, Record, Stored, Tombstone, key},
    pending::Intent,
    request::{Request, View},
    rules,
};

fn check(is_right: bool, what: &str) -> Result<(), String> {
    if is_right {
        Ok(())
    } else {
        Err(what.to_owned())
    }
}

fn live(stored: &Stored) -> Result<&Live, String> {
    match &stored.record {
        Record::Live(live) => Ok(live),
        record => Err(format!("{record:?} in place of a session")),
    }
}

impl Request {
    pub(crate) fn writes(&mut self, call: Call, effect: Effect, then: u64) -> Result<(), String> {
        check(self.may_write(), "writes before or after its time")?;
        check(!self.failed, "writes after a failure")?;
        check(self.may_write_locked(then), "writes without its lock")?;
        check(!self.may_be_stored(), "repeats updates that may be stored")?;
        let key = key(call);
        if let Effect::Replaced { before, .. }
        | Effect::Touched { before, .. }
        | Effect::Moved { before, .. } = &effect
        {
            let View::Live {
                key: current,
                version,
                ..
            } = &self.view
            else {
                return Err(format!("writes to {:?}", self.view));
            };
            check(*current == key, "writes to another session")?;
            check(
                *version == before.version,
                "writes over what it has not seen",
            )?;
        }
        match effect {
            Effect::Nothing | Effect::TakenOver => {
                Err("a write that this model does not know".to_owned())
            }
            Effect::Created(after) => {
                check(self.view == View::Nothing, "creates a second session")?;
                self.begins_session(&after, then)?;
                let live = live(&after)?.clone();
                self.is_saved_in(key, after.version, live);
                self.client.must_learn(key, then);
                Ok(())
            }
            Effect::Touched { before, after } => {
                check(!self.has_work(), "touches in place of a write")?;
                let expires = rules::expiry(live(&before)?, then);
                check(after.expires == expires, "touches until another time")?;
                self.has_used(key);
                Ok(())
            }
            Effect::Replaced { before, after } => self.replaces(key, &before, &after, then),
            Effect::Moved {
                before,
                left,
                after,
            } => {
                let Call::Rename(_, to) = call else {
                    return Err("moves by another call".to_owned());
                };
                match self.pending.intent {
                    Intent::Keep => self.rotates(to, &before, &left, then)?,
                    Intent::Regenerate => is_tombstone(&left, false, Some(to), then)?,
                    intent => is_tombstone(&left, intent == Intent::Destroy, None, then)?,
                }
                match self.pending.intent {
                    Intent::Keep | Intent::Regenerate => {
                        self.continues(&before, &after, then, then)?;
                    }
                    Intent::Reset | Intent::Destroy => self.begins_session(&after, then)?,
                }
                let live = live(&after)?.clone();
                self.is_saved_in(to, after.version, live);
                self.client.must_learn(to, then);
                Ok(())
            }
        }
    }

    fn replaces(
        &mut self,
        key: PublicId,
        before: &Stored,
        after: &Stored,
        then: u64,
    ) -> Result<(), String> {
        if let Record::Tombstone(_) = after.record {
            is_tombstone(after, true, None, then)?;
            if self.ends_alone {
                self.has_ended_alone();
                return Ok(());
            }
            check(self.is_signing_out(), "ends a session for no reason")?;
            self.has_ended();
            return Ok(());
        }
        check(!self.ends_alone, "keeps a session that was destroyed")?;
        let keeps = self.pending.intent == Intent::Keep && self.has_work();
        check(keeps, "writes a session that it did not change")?;
        let rotated = live(before)?.rotated;
        self.continues(before, after, rotated, then)?;
        self.is_saved_in(key, after.version, live(after)?.clone());
        self.has_used(key);
        Ok(())
    }

    /// The session has the data from before with the changes of this request.
    fn continues(
        &self,
        before: &Stored,
        after: &Stored,
        rotated: u64,
        then: u64,
    ) -> Result<(), String> {
        let (stored, before) = (before, live(before)?);
        let data = self.pending.onto(&before.data);
        let expected = Live {
            flash_only: before.flash_only && Live::holds_flash_only(&data),
            data,
            created: before.created,
            rotated,
        };
        let used = rules::expiry(&expected, then);
        let mut latest = used;
        if self.pending.intent == Intent::Keep && before.flash_only == expected.flash_only {
            // A process whose clock is ahead may have used the session later.
            latest = latest.max(stored.expires);
        }
        is_stored(after, &expected, used..=latest)
    }

    /// The session has no data but the changes of this request.
    fn begins_session(&self, after: &Stored, then: u64) -> Result<(), String> {
        let data = self.pending.alone();
        let is_wanted = self.pending.intent == Intent::Reset || !data.is_empty();
        check(is_wanted, "creates a session for a visitor without data")?;
        let expected = Live {
            flash_only: !data.is_empty() && Live::holds_flash_only(&data),
            data,
            created: then,
            rotated: then,
        };
        let expires = rules::expiry(&expected, then);
        is_stored(after, &expected, expires..=expires)
    }

    fn rotates(
        &self,
        to: PublicId,
        before: &Stored,
        left: &Stored,
        then: u64,
    ) -> Result<(), String> {
        let age = then.saturating_sub(live(before)?.rotated);
        check(age >= rules::ROTATE_EVERY, "rotates an id too early")?;
        let can_tell = self.was_live && !self.is_forwarded();
        check(can_tell, "rotates an id that the client does not hold")?;
        let until = then + rules::GRACE;
        let forward = Record::Forward { to, until };
        let is_kept = left.expires == until + rules::MAX_REQUEST;
        check(
            left.record == forward && is_kept,
            "rotates without a forward",
        )
    }
}

fn is_stored(after: &Stored, expected: &Live, expires: RangeInclusive<u64>) -> Result<(), String> {
    if live(after)? == expected && expires.contains(&after.expires) {
        return Ok(());
    }
    Err(format!(
        "stores {after:?} in place of {expected:?} until {expires:?}"
    ))
}

fn is_tombstone(
    left: &Stored,
    destroyed: bool,
    moved_to: Option<PublicId>,
    then: u64,
) -> Result<(), String> {
    let until = then + rules::RETIRED;
    let tombstone = Tombstone {
        destroyed,
        moved_to,
        until,
    };
    let is_kept = left.expires == until + rules::MAX_REQUEST;
    let is_right = left.record == Record::Tombstone(tombstone) && is_kept;
    check(is_right, "leaves no tombstone of a session that ends")
}
