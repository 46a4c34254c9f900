//! [`ActiveSession`]: one session while a request, or a job, uses it.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::OnceCell;

use crate::{
    clock::Timestamp,
    engine::{Engine, Via, lease::Leases, resolve, updates::rerun_updates},
    error::{LoadError, SetError},
    field::Field,
    id::{PublicId, SessionId},
    lifecycle::{Lifecycle, Phase, Presented, Unconfirmed},
};

/// A session that is shared by all handles of a request.
pub(crate) struct ActiveSession {
    engine: Arc<Engine>,
    loaded: OnceCell<()>,
    /// Held during a save, so that one task at a time writes the changes.
    saving: tokio::sync::Mutex<()>,
    /// Held while the session is being locked, so that tasks of one request share one lease.
    locking: tokio::sync::Mutex<()>,
    lifecycle: Mutex<Lifecycle>,
    leases: Mutex<Leases>,
}

impl ActiveSession {
    pub(crate) fn new(engine: Arc<Engine>) -> Self {
        Self {
            engine,
            loaded: OnceCell::new(),
            saving: tokio::sync::Mutex::new(()),
            locking: tokio::sync::Mutex::new(()),
            lifecycle: Mutex::default(),
            leases: Mutex::default(),
        }
    }

    pub(crate) fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    pub(crate) fn lifecycle(&self) -> MutexGuard<'_, Lifecycle> {
        self.lifecycle.lock()
    }

    pub(super) fn leases(&self) -> MutexGuard<'_, Leases> {
        self.leases.lock()
    }

    pub(super) fn saving(&self) -> &tokio::sync::Mutex<()> {
        &self.saving
    }

    pub(super) fn locking(&self) -> &tokio::sync::Mutex<()> {
        &self.locking
    }

    /// Whether the session was asked for. If not, there is nothing to save.
    pub(crate) fn is_loaded(&self) -> bool {
        self.loaded.initialized()
    }

    /// Loads the session of the id that `find` returns, the first time that the session is asked for.
    pub(crate) async fn load(
        &self,
        find: impl FnOnce() -> Option<Presented>,
    ) -> Result<(), LoadError> {
        let load = async || {
            if let Some(presented) = find() {
                let key = presented.id().public();
                // Boxed, or the future of each handler would contain it.
                let load = Box::pin(resolve::load(
                    &self.engine,
                    key,
                    Via::PresentedId(presented),
                ));
                let resolution = load.await?;
                self.lifecycle().loaded(presented, key, resolution);
            }
            Ok(())
        };
        self.loaded.get_or_try_init(load).await.copied()
    }

    /// Loads the stored session again. Unsaved changes stay on top of it.
    pub(crate) async fn reload(&self) -> Result<(), LoadError> {
        let _not_while_saving = self.saving.lock().await;
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
        self.lifecycle().id(self.engine.rules())
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
        // Boxed, because it is rare and the future of each request would contain it.
        let stored = Box::pin(load).await.ok().flatten();
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
