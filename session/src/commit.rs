//! Writing a session back: one conditional write, merged and tried again where another request was
//! first.
//!
//! A session has at most one record, and each write names the version it was made from. Where that is
//! not the version in the store any more, the *fields* that this request changed are put onto the newer
//! record. Where the record is gone, or an ended session's remains are in its place, the changes are
//! refused: nothing brings a session back.

use std::{mem, sync::Arc, time::Duration};

use bytes::Bytes;

use crate::{
    active::{ActiveSession, Base, Origin, Plan, Progress, State},
    answer::Answer,
    clock::Timestamp,
    engine::Engine,
    error::{Chain, LoadError, SaveError},
    expiry::Term,
    finish::Finish,
    follow::{Followed, Seen},
    id::{PublicId, SessionId},
    lock::Lease,
    record::{self, Record},
    rotation::Turn,
    store::{Created, Rename, Replaced, StoreError, StoreErrorKind, Stored, Version, Write},
};

/// One call of the store, and what it is to bring about.
enum Step {
    /// A record where none is.
    Create(Next),
    /// Other content in the same record.
    Replace {
        key: PublicId,
        version: Version,
        next: Next,
    },
    /// The same content, for longer.
    Touch {
        key: PublicId,
        version: Version,
        expires_at: Timestamp,
    },
    /// A record under a new id in place of this one.
    Rename {
        key: PublicId,
        version: Version,
        next: Next,
        leave: Write,
    },
    /// Nothing in place of this record.
    End {
        key: PublicId,
        version: Version,
        due: Due,
    },
}

/// What is to be stored.
struct Next {
    id: SessionId,
    record: Record,
    expires_at: Timestamp,
    due: Due,
}

/// What a step carries out: what is changed and planned meanwhile stays due.
#[derive(Clone, Copy)]
struct Due {
    /// The last of the changes.
    mark: u64,
    plan: Plan,
    plan_number: u64,
}

/// What came of a step.
enum Outcome {
    Done,
    /// Another request was first; the changes are on top of what it wrote.
    TryAgain,
}

impl ActiveSession {
    /// Saves, and goes on saving when the caller is dropped half way, as when a client goes away.
    pub(crate) async fn save(self: &Arc<Self>) -> Result<(), SaveError> {
        {
            let mut state = self.state();
            if mem::take(&mut state.discarded) {
                return Err(SaveError::Discarded);
            }
            if !state.has_work(&self.engine) {
                return Ok(());
            }
        }
        let session = Arc::clone(self);
        Finish::new(async move { session.commit().await }).await
    }

    async fn commit(&self) -> Result<(), SaveError> {
        let _one_at_a_time = self.saving.lock().await;
        let mut turn = None;
        let mut turn_to_rotate = None;
        for attempt in 0..self.engine.limits.max_attempts {
            if attempt > 0 {
                // Those of this process write in turn from now on, so that only other processes are met.
                if turn.is_none()
                    && let Some(line) = self.line_of_writers()
                {
                    turn = Some(line.lock_owned().await);
                } else {
                    back_off(attempt).await;
                }
            }
            self.rerun_updates()?;
            if self.engine.rotation.is_some() && turn_to_rotate.is_none() {
                turn_to_rotate = Box::pin(self.turn_to_rotate()).await;
            }
            let lease = self.check_lease()?;
            let Some(step) = self.begin_step(turn_to_rotate.as_ref().is_some_and(Turn::lasts))?
            else {
                return Ok(());
            };
            let moves = matches!(step, Step::Rename { .. });
            let saving = Saving(self);
            // A write that fails may arrive all the same.
            let writes = !matches!(step, Step::Touch { .. });
            let claims = [
                lease.as_deref().map(Lease::claim),
                turn_to_rotate.as_ref().and_then(Turn::claim),
            ];
            let set_in_doubt = |in_doubt| {
                for claim in claims.into_iter().flatten().filter(|_| writes) {
                    claim.set_in_doubt(in_doubt);
                }
            };
            set_in_doubt(true);
            let outcome = self.take_step(step).await?;
            set_in_doubt(false);
            drop(saving);
            match outcome {
                Outcome::Done => {
                    if let Some(turn) = turn_to_rotate.filter(|_| moves) {
                        turn.end();
                    }
                    return Ok(());
                }
                Outcome::TryAgain => {}
            }
        }
        Err(SaveError::Contended {
            attempts: self.engine.limits.max_attempts,
        })
    }

    /// The next step, if any. From the moment that it is made of them on, the changes are being saved.
    fn begin_step(&self, may_rotate: bool) -> Result<Option<Step>, SaveError> {
        let mut state = self.state();
        let step = state.next_step(&self.engine, may_rotate)?;
        if step.is_some() {
            state.changes.begin_save();
        }
        Ok(step)
    }

    fn line_of_writers(&self) -> Option<Arc<tokio::sync::Mutex<()>>> {
        match &self.state().origin {
            Origin::Stored(base) => Some(self.engine.writers.line(base.key)),
            Origin::New | Origin::Ended { .. } => None,
        }
    }

    async fn take_step(&self, step: Step) -> Result<Outcome, SaveError> {
        let engine = &*self.engine;
        let (store, now) = (&engine.store, engine.now());
        match step {
            Step::Create(next) => {
                let key = next.id.public();
                let call = store.create(key, next.write(), now);
                match engine.limited("creating a session", call).await? {
                    Created::Created(version) => self.state().stored(key, next, version),
                    Created::Exists => {
                        // 256 random bits do not meet; a generator of the application's may.
                        self.state().next_id = None;
                        return Ok(Outcome::TryAgain);
                    }
                }
            }
            Step::Replace { key, version, next } => {
                let call = store.replace(key, version, next.write(), now);
                match engine.limited("saving a session", call).await? {
                    Replaced::Replaced(version) => self.state().stored(key, next, version),
                    Replaced::Conflict(current) => {
                        return Box::pin(self.meet(key, current, next.due)).await;
                    }
                    Replaced::Gone => return self.refused(next.due),
                }
            }
            Step::Rename {
                key,
                version,
                next,
                leave,
            } => {
                let to = next.id.public();
                let rename = Rename::new(key, version, to, next.write(), leave);
                let call = store.rename(rename, now);
                match engine.limited("moving a session to a new id", call).await? {
                    Replaced::Replaced(version) => {
                        self.state().stored(to, next, version);
                        engine.announce_end(key);
                    }
                    Replaced::Conflict(current) => {
                        return Box::pin(self.meet(key, current, next.due)).await;
                    }
                    Replaced::Gone => return self.refused(next.due),
                }
            }
            Step::End { key, version, due } => {
                let call = store.replace(key, version, engine.remains(now), now);
                match engine.limited("ending a session", call).await? {
                    Replaced::Conflict(current) => {
                        return Box::pin(self.meet(key, current, due)).await;
                    }
                    // Gone: it has ended already, as was asked for.
                    Replaced::Replaced(_) | Replaced::Gone => {
                        self.state().ended(due);
                        engine.announce_end(key);
                    }
                }
            }
            Step::Touch {
                key,
                version,
                expires_at,
            } => {
                let call = store.touch(key, version, expires_at, now);
                match engine.limited("noting the use of a session", call).await {
                    Ok(true) => self.state().touched(expires_at),
                    Ok(false) => {}
                    // The session was read and nothing of it is lost: no reason to fail the request.
                    Err(error) => {
                        tracing::warn!(session = ?key, error = %Chain(&error), "could not note the use of a session");
                    }
                }
            }
        }
        Ok(Outcome::Done)
    }

    /// Puts the changes onto what another request wrote. Rare, and so boxed by its callers.
    async fn meet(&self, key: PublicId, current: Stored, due: Due) -> Result<Outcome, SaveError> {
        let newer = match self.engine.follow(key, current, Seen::Loaded).await {
            Ok(Followed::Live(newer)) => newer,
            Ok(Followed::Ended { over: true }) if self.only_signs_out(due) => {
                self.state().signed_out(due);
                return Ok(Outcome::Done);
            }
            Ok(Followed::Ended { .. } | Followed::Nowhere) => return self.refused(due),
            Err(LoadError::Store(error)) => return Err(error.into()),
            Err(_) => {
                let action = "saving a session over a newer record";
                return Err(StoreError::new(StoreErrorKind::Corrupt, action).into());
            }
        };
        let mut state = self.state();
        if let Origin::Stored(base) = &mut state.origin {
            base.advance(newer);
        }
        state.changes.rebase();
        Ok(Outcome::TryAgain)
    }

    /// Whether this request was to do no more than another one has done first.
    fn only_signs_out(&self, due: Due) -> bool {
        due.plan == Plan::Destroy && self.state().changes.are_passing()
    }

    /// The session has ended elsewhere.
    fn refused(&self, due: Due) -> Result<Outcome, SaveError> {
        let mut state = self.state();
        // Of a save before this one: the client's newer cookie stays.
        state.answer = None;
        if due.plan == Plan::Rotate && state.changes.is_empty() {
            // It was only read, and its id was old: there is nothing to refuse.
            state.done(due);
            return Ok(Outcome::Done);
        }
        if let Origin::Stored(base) = &state.origin {
            tracing::warn!(session = ?base.key, "refused changes of a session that has ended meanwhile");
        }
        state.origin = Origin::Ended { over: false };
        Err(SaveError::Ended)
    }
}

impl Engine {
    /// What is left of a session that ends, for as long as requests with its id may still come.
    pub(crate) fn remains(&self, now: Timestamp) -> Write {
        self.mark(Record::over(), now)
    }

    fn mark(&self, record: Bytes, now: Timestamp) -> Write {
        Write::new(record, now.saturating_add(self.limits.retired_for))
    }

    /// What is left under the old id of a session in whose place there is another.
    fn remains_of(&self, plan: Plan, next: &Next, now: Timestamp) -> Write {
        match (plan, self.rotation) {
            (Plan::Rotate, Some(rotation)) => {
                let until = now.saturating_add(rotation.grace);
                // Longer than the grace, for requests that have loaded it by then: they may write.
                Write::new(
                    Record::moved(next.id.public(), until),
                    next.expires_at.max(until),
                )
            }
            (Plan::Destroy, _) => self.remains(now),
            _ => self.mark(Record::left(), now),
        }
    }
}

impl Next {
    fn write(&self) -> Write {
        Write::new(self.record.bytes().clone(), self.expires_at)
    }
}

impl State {
    /// Whether saving would do anything, told without building a record.
    fn has_work(&self, engine: &Engine) -> bool {
        if !self.changes.is_empty() || self.plan != Plan::Keep {
            return true;
        }
        let now = engine.now();
        match &self.origin {
            Origin::Stored(base) => {
                self.rotation_due(base, engine, now)
                    || engine
                        .expiry
                        .touch_due(base.term(), base.expires_at, now)
                        .is_some()
            }
            Origin::New | Origin::Ended { .. } => false,
        }
    }

    /// What is to be asked of the store next, if anything.
    fn next_step(&mut self, engine: &Engine, may_rotate: bool) -> Result<Option<Step>, SaveError> {
        let now = engine.now();
        self.plan_renewal(engine, may_rotate, now);
        let step = match (&self.origin, self.plan) {
            (Origin::Ended { .. }, Plan::Keep) if self.changes.is_empty() => None,
            (Origin::Ended { over: true }, Plan::Destroy) if self.changes.are_passing() => {
                self.signed_out(self.due());
                None
            }
            (Origin::Ended { .. }, _) => return Err(SaveError::Ended),

            (Origin::New, plan) => {
                let next = self.next(engine, now)?;
                if plan == Plan::Reset || next.record.has_data() {
                    Some(Step::Create(next))
                } else {
                    if plan == Plan::Destroy && self.presented.is_some() {
                        self.answer = Some(Answer::Withdraw);
                        self.sign_outs += 1;
                    }
                    None
                }
            }

            (Origin::Stored(base), plan) => {
                let (key, version) = (base.key, base.version);
                if plan == Plan::Keep && self.changes.is_empty() {
                    let due = engine.expiry.touch_due(base.term(), base.expires_at, now);
                    due.map(|expires_at| Step::Touch {
                        key,
                        version,
                        expires_at,
                    })
                } else {
                    let next = self.next(engine, now)?;
                    Some(match plan {
                        Plan::Keep => Step::Replace { key, version, next },
                        Plan::Destroy if !next.record.has_data() => Step::End {
                            key,
                            version,
                            due: next.due,
                        },
                        _ => Step::Rename {
                            key,
                            version,
                            leave: engine.remains_of(plan, &next, now),
                            next,
                        },
                    })
                }
            }
        };
        let needs_new_id = matches!(step, Some(Step::Create(_) | Step::Rename { .. }));
        if needs_new_id && self.progress == Progress::Answered {
            return Err(SaveError::ResponseSent);
        }
        Ok(step)
    }

    /// The record as it is to be: the changes on top of the stored one, or of a session that begins now.
    fn next(&mut self, engine: &Engine, now: Timestamp) -> Result<Next, SaveError> {
        let base = self.base();
        let begins = base.entries().next().is_none();
        let moment = record::number(now.as_millis());
        let own = [
            begins.then_some((record::CREATED, Some(&moment))),
            (self.plan == Plan::Rotate).then_some((record::ROTATED, Some(&moment))),
        ];
        let record = record::rewrite(
            &base,
            own.into_iter().flatten().chain(self.changes.values()),
        );
        let (size, limit) = (record.bytes().len(), engine.limits.max_size);
        if size > limit {
            return Err(SaveError::TooLarge { size, limit });
        }
        let limit = engine.limits.max_keys;
        if record.len() > limit {
            let keys = record.data().count();
            // What is there already, as since before the limit was lowered, may stay.
            if keys > limit && keys > base.data().count() {
                return Err(SaveError::TooManyKeys { keys, limit });
            }
        }
        let term = Term {
            created_at: record.created_at(),
            idle: record.idle_timeout(),
        };
        Ok(Next {
            id: self.id(engine),
            expires_at: engine.expiry.expires_at(term, now),
            due: self.due(),
            record,
        })
    }

    fn due(&self) -> Due {
        Due {
            mark: self.changes.mark(),
            plan: self.plan,
            plan_number: self.plan_number,
        }
    }

    /// `next` is in the store.
    fn stored(&mut self, key: PublicId, next: Next, version: Version) {
        // Known by an older id still, where the same record was written again.
        let by_old_id =
            matches!(&self.origin, Origin::Stored(base) if base.by_old_id && base.key == key);
        if !by_old_id {
            let known = matches!(&self.origin, Origin::Stored(base) if base.id == next.id);
            self.issue(next.id, next.expires_at, known);
        }
        self.done(next.due);
        self.origin = Origin::Stored(Base {
            id: next.id,
            key,
            record: next.record,
            version,
            expires_at: next.expires_at,
            by_old_id,
        });
    }

    fn touched(&mut self, expires_at: Timestamp) {
        if let Origin::Stored(base) = &mut self.origin {
            base.expires_at = expires_at;
            if !base.by_old_id {
                let id = base.id;
                self.issue(id, expires_at, true);
            }
        }
    }

    /// What was due has been done; what was changed and planned while it was being done has not.
    fn done(&mut self, due: Due) {
        self.changes.saved(due.mark);
        if matches!(due.plan, Plan::Reset | Plan::Destroy) {
            self.left += 1;
        }
        self.sign_outs += u64::from(due.plan == Plan::Destroy);
        if self.plan_number == due.plan_number {
            self.plan = Plan::Keep;
            self.next_id = None;
        }
    }

    /// The session was over already, and its client knows: whatever begins in its place, as for a notice of
    /// the sign-out, the other response has told.
    fn signed_out(&mut self, due: Due) {
        self.origin = Origin::Ended { over: true };
        self.done(due);
        self.answer = None;
    }

    /// The session is over, and nothing took its place.
    fn ended(&mut self, due: Due) {
        self.origin = Origin::New;
        self.done(due);
        self.answer = Some(Answer::Withdraw);
    }
}

/// Waits a random time, longer with each attempt, so that many writers do not meet again and again.
async fn back_off(attempt: u32) {
    let most = Duration::from_millis(1) * 2u32.pow(attempt.min(5));
    tokio::time::sleep(most.mul_f64(rand::random::<f64>())).await;
}

/// While it lives, changes are being written.
struct Saving<'a>(&'a ActiveSession);

impl Drop for Saving<'_> {
    fn drop(&mut self) {
        self.0.state().changes.end_save();
    }
}
