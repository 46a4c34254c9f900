//! One session while a request, or a job, is at work with it.
//!
//! All handles of a request share one [`ActiveSession`]: the record as it was loaded, the changes made
//! since, and what is to become of the session. [`commit`](crate::commit) writes it back.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::OnceCell;

use crate::{
    answer::Answer,
    changes::Changes,
    clock::Timestamp,
    engine::Engine,
    error::{LoadError, SetError},
    expiry::Term,
    follow::{Current, Followed, Seen},
    id::{PublicId, SessionId},
    key::Field,
    lock::{Lease, SessionLock},
    record::{self, Record},
    store::Version,
};

pub(crate) struct ActiveSession {
    pub(crate) engine: Arc<Engine>,
    loaded: OnceCell<()>,
    /// Held while saving: the changes of one session are written by one task at a time.
    pub(crate) saving: tokio::sync::Mutex<()>,
    state: Mutex<State>,
}

pub(crate) struct State {
    /// Whether the request's handler takes this session.
    pub(crate) taking: Taking,
    /// What the client brought, if anything.
    pub(crate) presented: Option<Presented>,
    pub(crate) origin: Origin,
    pub(crate) plan: Plan,
    /// Counts what was planned.
    pub(crate) plan_number: u64,
    /// How many sessions were left behind: ended, or replaced by another.
    pub(crate) left: u64,
    /// How many of them were signed out of.
    pub(crate) sign_outs: u64,
    pub(crate) changes: Changes,
    /// Whether changes were thrown away that somebody may want to save still.
    pub(crate) discarded: bool,
    /// The id that a record written next will have, where it needs a new one.
    pub(crate) next_id: Option<SessionId>,
    /// Whether no stored session was found, or it was left behind.
    pub(crate) fresh: bool,
    /// What the client has yet to be told.
    pub(crate) answer: Option<Answer>,
    /// How far the request has come.
    pub(crate) progress: Progress,
    /// The lease that is held, if any: who lost it must not write.
    pub(crate) lease: Weak<Lease>,
    /// The lock that lasts for the whole request.
    pub(crate) held: Option<SessionLock>,
}

/// How far a request has come.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Its handler runs.
    Handling,
    /// The handler has returned, and what it did is saved.
    Finishing,
    /// The response has left, so that the client can be told nothing more.
    Answered,
}

/// Whether a request's handler takes a session.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taking {
    /// Not yet.
    Untaken,
    /// Not yet. When it does, it is to be alone with it.
    ToBeLocked,
    Taken,
}

/// An id that a request brought.
#[derive(Clone, Copy)]
pub(crate) struct Found {
    pub(crate) id: SessionId,
    pub(crate) source: FoundIn,
}

/// Where a request brought its id.
#[derive(Clone, Copy)]
pub(crate) struct FoundIn {
    /// The number of the id source.
    pub(crate) number: usize,
    /// Whether the client can be given another id the same way.
    pub(crate) answered: bool,
}

/// How the client brought an id, known or not.
#[derive(Clone, Copy)]
pub(crate) struct Presented {
    pub(crate) source: FoundIn,
    /// Whether it led to a live session.
    pub(crate) live: bool,
}

/// Where the session comes from.
pub(crate) enum Origin {
    /// Nothing is stored: no id came, or one of no live session.
    New,
    /// It was loaded, or has been written.
    Stored(Base),
    /// The id is of a session that has ended a moment ago: nothing may be written. It is `over`, or there
    /// is another in its place.
    Ended { over: bool },
}

/// The record that changes are made to.
pub(crate) struct Base {
    pub(crate) id: SessionId,
    pub(crate) key: PublicId,
    pub(crate) record: Record,
    pub(crate) version: Version,
    pub(crate) expires_at: Timestamp,
    /// Whether `id` is an older one, which leads here for its grace: the client has been told the new one
    /// by another response.
    pub(crate) by_old_id: bool,
}

/// What is to become of the session when it is saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plan {
    Keep,
    /// The same data under a new id, to which the old one leads for a grace.
    Rotate,
    /// The same data under a new id. The old one leads nowhere.
    Regenerate,
    /// Another session in its place, even an empty one.
    Reset,
    /// None in its place, unless something is set afterwards.
    Destroy,
}

impl Plan {
    /// Whether it is not one of the handler's, so that the schedule decides.
    pub(crate) fn is_the_schedules(self) -> bool {
        matches!(self, Self::Keep | Self::Rotate)
    }
}

impl Base {
    pub(crate) fn term(&self) -> Term {
        Term {
            created_at: self.record.created_at(),
            idle: self.record.idle_timeout(),
        }
    }

    /// Takes over a newer version of the record, which may have moved.
    pub(crate) fn advance(&mut self, newer: Current) {
        self.by_old_id |= newer.key != self.key;
        self.key = newer.key;
        self.record = newer.record;
        self.version = newer.version;
        self.expires_at = newer.expires_at;
    }
}

impl State {
    /// The record that reads and changes see: nothing, once the session is to be left behind.
    pub(crate) fn base(&self) -> Record {
        self.stored_base()
            .map_or_else(Record::empty, |base| base.record.clone())
    }

    /// The stored session, unless it is to be left behind.
    fn stored_base(&self) -> Option<&Base> {
        match (&self.origin, self.plan) {
            (Origin::Stored(base), Plan::Keep | Plan::Rotate | Plan::Regenerate) => Some(base),
            _ => None,
        }
    }

    pub(crate) fn value(&self, field: Field) -> Option<Bytes> {
        self.changes.value(field, &self.base())
    }

    /// Throws away what is not saved. Who tries to save it is told.
    pub(crate) fn discard(&mut self) {
        self.discarded |= !self.changes.is_empty();
        self.changes.clear();
    }

    /// The id that the client will hold when this session has been saved.
    pub(crate) fn id(&mut self, engine: &Engine) -> SessionId {
        match (&self.origin, self.plan) {
            (Origin::Stored(base), Plan::Keep) => base.id,
            // Regenerating, replacing or beginning: a new one.
            _ => *self.next_id.get_or_insert_with(|| (engine.new_id)()),
        }
    }

    /// What the record would take in bytes, were `field` to become `len` bytes long.
    fn size_with(&self, engine: &Engine, field: Field, len: usize) -> usize {
        let (base, value) = (self.base(), Bytes::new());
        let mut own = 0;
        if base.entries().next().is_none() {
            own += record::NUMBER_SIZE + record::CREATED.name.len();
        }
        if engine.rotation.is_some() {
            own += record::NUMBER_SIZE + record::ROTATED.name.len();
        }
        let others = self
            .changes
            .values()
            .filter(|(other, _)| other.name != field.name)
            .chain(std::iter::once((field, Some(&value))));
        own + record::rewrite(&base, others).bytes().len() + len
    }

    pub(crate) fn check_size(
        &self,
        engine: &Engine,
        field: Field,
        value: Option<&Bytes>,
    ) -> Result<(), SetError> {
        let Some(value) = value else { return Ok(()) };
        let (key, size, limit) = (field.name, value.len(), engine.limits.max_value_size);
        if size > limit {
            return Err(SetError::ValueTooLarge { key, size, limit });
        }
        self.check_keys(engine, field)?;
        let limit = engine.limits.max_size;
        // Cheap first: nearly every session is far below the limit.
        let pending: usize = self
            .changes
            .values()
            .map(|(field, value)| field.name.len() + value.map_or(0, Bytes::len) + 8)
            .sum();
        let room = self.base().bytes().len() + pending + field.name.len() + value.len() + 64;
        if room <= limit {
            return Ok(());
        }
        let size = self.size_with(engine, field, size);
        if size > limit {
            return Err(SetError::TooLarge { key, size, limit });
        }
        Ok(())
    }

    fn check_keys(&self, engine: &Engine, field: Field) -> Result<(), SetError> {
        let (key, limit) = (field.name, engine.limits.max_keys);
        let base = self.base();
        if base.len() + self.changes.len() < limit || self.value(field).is_some() {
            return Ok(());
        }
        let others = record::rewrite(&base, self.changes.values());
        let keys = others.data().count() + 1;
        if keys > limit && !record::is_own(key.as_bytes()) {
            return Err(SetError::TooManyKeys { key, keys, limit });
        }
        Ok(())
    }
}

impl ActiveSession {
    pub(crate) fn new(engine: Arc<Engine>) -> Self {
        Self {
            engine,
            loaded: OnceCell::new(),
            saving: tokio::sync::Mutex::new(()),
            state: Mutex::new(State {
                taking: Taking::Untaken,
                presented: None,
                origin: Origin::New,
                plan: Plan::Keep,
                plan_number: 0,
                left: 0,
                sign_outs: 0,
                changes: Changes::default(),
                discarded: false,
                next_id: None,
                fresh: true,
                answer: None,
                progress: Progress::Handling,
                lease: Weak::new(),
                held: None,
            }),
        }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Whether the session was asked for: if not, there is nothing to save.
    pub(crate) fn is_loaded(&self) -> bool {
        self.loaded.initialized()
    }

    /// Loads the session of the id that `presented` finds, the first time that the session is asked
    /// for.
    pub(crate) async fn load(
        &self,
        presented: impl FnOnce() -> Option<Found>,
    ) -> Result<(), LoadError> {
        self.loaded
            .get_or_try_init(|| async {
                if let Some(Found { id, source }) = presented() {
                    // Boxed: each handler's future would carry the room for it, and is moved many times.
                    let origin = Box::pin(self.fetch(id, id.public(), Seen::New)).await?;
                    let mut state = self.state();
                    let live = matches!(origin, Origin::Stored(_));
                    state.fresh = !live;
                    state.origin = origin;
                    state.presented = Some(Presented { source, live });
                }
                Ok(())
            })
            .await
            .copied()
    }

    pub(crate) async fn fetch(
        &self,
        id: SessionId,
        key: PublicId,
        seen: Seen,
    ) -> Result<Origin, LoadError> {
        let now = self.engine.now();
        let stored = self
            .engine
            .limited("loading a session", self.engine.store.load(key, now))
            .await?;
        let Some(stored) = stored else {
            return Ok(Origin::New);
        };
        let current = match self.engine.follow(key, stored, seen).await? {
            Followed::Live(current) => current,
            Followed::Ended { over } => return Ok(Origin::Ended { over }),
            Followed::Nowhere => return Ok(Origin::New),
        };
        let base = Base {
            id,
            by_old_id: current.key != id.public(),
            key: current.key,
            record: current.record,
            version: current.version,
            expires_at: current.expires_at,
        };
        if self.engine.expiry.is_past_deadline(base.term(), now) {
            return Ok(Origin::New);
        }
        Ok(Origin::Stored(base))
    }

    /// Reads the stored record again. Changes not saved yet stay on top of it.
    pub(crate) async fn reload(&self) -> Result<(), LoadError> {
        let _not_while_saving = self.saving.lock().await;
        let (id, key) = match &self.state().origin {
            Origin::Stored(base) => (base.id, base.key),
            Origin::New | Origin::Ended { .. } => return Ok(()),
        };
        let origin = match self.fetch(id, key, Seen::Loaded).await? {
            // There was one: it has ended since.
            Origin::New => Origin::Ended { over: true },
            origin => origin,
        };
        {
            let mut state = self.state();
            state.origin = origin;
            state.changes.rebase();
        }
        // A closure that fails on the newer value fails again, and is reported, when the session is saved.
        let _ = self.rerun_updates();
        Ok(())
    }

    /// The encoded value of a field.
    pub(crate) fn value(&self, field: Field) -> Option<Bytes> {
        self.state().value(field)
    }

    /// The encoded value of a field, which is removed.
    pub(crate) fn take(&self, field: Field) -> Option<Bytes> {
        let mut state = self.state();
        let value = state.value(field);
        if let Some(seen) = value.clone() {
            let base = state.base();
            state.changes.take(field, seen, &base);
        }
        value
    }

    /// Gives back the flash values that were read.
    pub(crate) fn restore_flash(&self) {
        self.state().changes.restore_flash();
    }

    /// Sets or removes a field.
    pub(crate) fn put(&self, field: Field, value: Option<Bytes>) -> Result<(), SetError> {
        let mut state = self.state();
        state.check_size(&self.engine, field, value.as_ref())?;
        let base = state.base();
        state.changes.put(field, value, &base);
        Ok(())
    }

    /// Gives the session an idle timeout of its own.
    pub(crate) fn set_idle_timeout(&self, timeout: Duration) {
        let timeout = timeout.max(Duration::from_secs(1));
        let value = record::number(u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX));
        if self.put(record::IDLE, Some(value)).is_err() {
            // Twenty bytes over the size limit: the session still ends, at the usual time.
            tracing::warn!("a session at its size limit keeps its idle timeout");
        }
    }

    pub(crate) fn regenerate(&self) {
        let mut state = self.state();
        if state.plan.is_the_schedules() {
            state.plan = Plan::Regenerate;
            state.plan_number += 1;
            state.next_id = None;
        }
    }

    /// Leaves the session behind, with all changes made so far.
    pub(crate) fn leave(&self, plan: Plan) {
        let mut state = self.state();
        state.changes.clear();
        state.plan = plan;
        state.plan_number += 1;
        state.next_id = None;
        state.fresh = true;
    }

    /// Leaves the session behind; what this request changed begins the next one.
    pub(crate) fn destroy_keeping_changes(&self) {
        {
            let mut state = self.state();
            state.plan = Plan::Destroy;
            state.plan_number += 1;
            state.fresh = true;
            state.changes.rebase();
        }
        // As on reload: what fails now fails visibly when the session is saved.
        let _ = self.rerun_updates();
    }

    pub(crate) fn id(&self) -> SessionId {
        self.state().id(&self.engine)
    }

    pub(crate) fn created_at(&self) -> Option<Timestamp> {
        let state = self.state();
        state.stored_base().map(|base| base.record.created_at())
    }

    /// When the session ends if this request is its last, with what it has changed so far.
    pub(crate) fn expires_at(&self) -> Option<Timestamp> {
        let now = self.engine.now();
        let expiry = &self.engine.expiry;
        let state = self.state();
        let base = state.stored_base()?;
        if state.plan == Plan::Keep && state.changes.is_empty() {
            let touched = expiry.touch_due(base.term(), base.expires_at, now);
            return Some(touched.unwrap_or(base.expires_at));
        }
        let idle = state.value(record::IDLE);
        let term = Term {
            created_at: base.record.created_at(),
            idle: idle.as_deref().and_then(record::duration),
        };
        Some(expiry.expires_at(term, now))
    }

    pub(crate) fn public_id(&self) -> PublicId {
        let mut state = self.state();
        match (&state.origin, state.plan) {
            (Origin::Stored(base), Plan::Keep) => base.key,
            _ => state.id(&self.engine).public(),
        }
    }
}
