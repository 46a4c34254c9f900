//! [`ActiveSession`]: one session while a request, or a job, uses it.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};

use crate::{
    clock::Timestamp,
    engine::{
        Candidates, Engine, Via,
        lease::{Leases, Locks},
        resolve,
        updates::rerun_updates,
    },
    error::{LoadError, SetError},
    field::Field,
    id::{PublicId, SessionId},
    lifecycle::{Lifecycle, Phase, Unconfirmed},
};

/// A session that is shared by all handles of a request.
pub(crate) struct ActiveSession {
    engine: Arc<Engine>,
    /// Set once the session is loaded: the index of the source of the id that counts, if the request presents
    /// one.
    loaded: OnceLock<Option<usize>>,
    /// Held while the session is loaded or saved, so that one task at a time does it.
    saving: tokio::sync::Mutex<()>,
    lifecycle: Mutex<Lifecycle>,
    /// Set when the session is first locked, as few are.
    locks: OnceLock<Box<Locks>>,
}

impl ActiveSession {
    pub(crate) fn new(engine: Arc<Engine>) -> Self {
        Self {
            engine,
            loaded: OnceLock::new(),
            saving: tokio::sync::Mutex::new(()),
            lifecycle: Mutex::default(),
            locks: OnceLock::new(),
        }
    }

    pub(crate) fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    pub(crate) fn lifecycle(&self) -> MutexGuard<'_, Lifecycle> {
        self.lifecycle.lock()
    }

    /// The locks of the session, to lock it.
    pub(super) fn locks(&self) -> &Locks {
        self.locks.get_or_init(Box::default)
    }

    /// The leases of the session. `None` if it was never locked.
    pub(super) fn leases(&self) -> Option<MutexGuard<'_, Leases>> {
        self.locks.get().map(|locks| locks.leases())
    }

    /// The changes are saved.
    pub(super) fn saved(&self) {
        if let Some(mut leases) = self.leases() {
            leases.saved();
        }
    }

    /// Waits until no other task loads or saves the session.
    pub(super) async fn saving(&self) -> tokio::sync::MutexGuard<'_, ()> {
        match self.saving.try_lock() {
            Ok(guard) => guard,
            // Boxed, because it is rare and the future of each request would contain it.
            Err(_) => Box::pin(self.saving.lock()).await,
        }
    }

    /// Whether a task loads or saves the session.
    pub(super) fn is_saving(&self) -> bool {
        self.saving.try_lock().is_err()
    }

    /// Whether the session was asked for. If not, there is nothing to save.
    pub(crate) fn is_loaded(&self) -> bool {
        self.loaded.get().is_some()
    }

    /// The index of the source of the id that counts, if the request presents one.
    pub(crate) fn source(&self) -> Option<usize> {
        self.loaded.get().copied().flatten()
    }

    /// Loads the session of the ids that `find` returns, the first time that the session is asked for.
    pub(crate) async fn load(&self, find: impl FnOnce() -> Candidates) -> Result<(), LoadError> {
        if self.is_loaded() {
            return Ok(());
        }
        let _one_at_a_time = self.saving().await;
        if self.is_loaded() {
            return Ok(());
        }
        let Candidates { first, others } = find();
        let source = match &first {
            Some(first) => Some(resolve::load_first_live(self, first, &others).await?),
            None => None,
        };
        self.loaded.get_or_init(|| source);
        Ok(())
    }

    /// Loads the stored session again. Unsaved changes stay on top of it.
    pub(crate) async fn reload(&self) -> Result<(), LoadError> {
        let _not_while_saving = self.saving().await;
        let Some(key) = self.lifecycle().stored_key() else {
            return Ok(());
        };
        let resolution = resolve::load(&self.engine, key, Via::EarlierLoad).await?;
        self.lifecycle().reloaded(resolution);
        // An updater that fails on the newer value fails again, and is reported, when the session is saved.
        let _ = rerun_updates(self);
        Ok(())
    }

    /// Sets or removes a field.
    pub(crate) fn put(&self, field: Field, value: Option<Bytes>) -> Result<(), SetError> {
        self.lifecycle().put(field, value, self.engine.rules())
    }

    /// Sets or removes a field of a struct that was read when the stored value was `seen`.
    pub(crate) fn edit(
        &self,
        field: Field,
        value: Option<Bytes>,
        seen: Option<Bytes>,
    ) -> Result<(), SetError> {
        let rules = self.engine.rules();
        self.lifecycle().edit(field, value, seen, rules)
    }

    pub(crate) fn value(&self, field: Field) -> Option<Bytes> {
        self.lifecycle().value(field)
    }

    pub(crate) fn set_idle_timeout(&self, timeout: Duration) {
        let rules = self.engine.rules();
        if self.lifecycle().set_idle_timeout(timeout, rules).is_err() {
            // The session has no space for twenty more bytes. It expires after the usual time.
            tracing::warn!("a session at its size limit keeps its idle timeout");
        }
    }

    /// Ends the session. The changes of this request start the next one.
    pub(crate) fn destroy_keeping_changes(&self) {
        self.lifecycle().destroy_keeping_changes();
        // As in `reload`.
        let _ = rerun_updates(self);
    }

    pub(crate) fn id(&self) -> SessionId {
        self.lifecycle().read_id(self.engine.rules())
    }

    pub(crate) fn public_id(&self) -> PublicId {
        self.lifecycle().public_id(self.engine.rules())
    }

    pub(crate) fn expires_at(&self) -> Option<Timestamp> {
        let now = self.engine.now();
        self.lifecycle().expires_at(self.engine.rules(), now)
    }

    /// Drops a pending update of the client that may be older than one that another response has sent.
    ///
    /// `unconfirmed` is the update that was pending before the last save.
    pub(crate) async fn confirm_update(&self, unconfirmed: Option<Unconfirmed>) {
        let now = self.engine.now();
        let unconfirmed = {
            let mut lifecycle = self.lifecycle();
            lifecycle.drop_update_of_due_id(self.engine.rules(), now);
            unconfirmed.filter(|_| lifecycle.unconfirmed() == unconfirmed)
        };
        let Some(unconfirmed) = unconfirmed else {
            return;
        };
        let load = self.engine.store.load(unconfirmed.key(), now);
        let load = self.engine.limited("confirming the id of a session", load);
        let stored = load.await.ok().flatten();
        let version = stored.map(|stored| stored.version);
        self.lifecycle().confirm(unconfirmed, version);
    }

    /// Discards what is not saved, unless a save is in progress, which needs its changes.
    pub(crate) fn discard(&self) {
        if let Ok(_not_saving) = self.saving.try_lock() {
            self.lifecycle().discard();
        }
    }
}

impl Drop for ActiveSession {
    fn drop(&mut self) {
        let lifecycle = self.lifecycle.get_mut();
        if lifecycle.phase() == Phase::Answered && lifecycle.has_work() {
            let session = lifecycle.stored_key();
            tracing::warn!(?session, "changes made after the response were never saved");
        }
    }
}
