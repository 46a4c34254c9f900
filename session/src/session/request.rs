//! [`RequestSession`]: the session of one request, from its beginning to its end.
//!
//! A framework layer begins it before the handler, passes it to the extractors, and finishes it after the
//! handler:
//!
//! 1. [`Manager::begin_request`](super::Manager::begin_request) returns the session and a guard.
//! 2. [`RequestSession::load`] loads it when an extractor first asks for it.
//! 3. [`RequestGuard::finish`] saves it and returns the update to send to the client.

use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;

use crate::{
    clock::Timestamp,
    engine::{self, ActiveSession},
    error::{KeyClashError, LoadError, LockError, SaveError},
    id::SessionId,
    lifecycle::{ClientUpdate, Phase, Presented},
    session::{Manager, Session, SessionData, carriers::Used},
};

/// The session of one request. Clones share it.
#[derive(Clone)]
pub struct RequestSession(Arc<Shared>);

struct Shared {
    manager: Arc<Manager>,
    began_at: Timestamp,
    /// `None` until the session is first asked for, so that a request without one costs little.
    active: OnceLock<Arc<ActiveSession>>,
    /// The index of the id source that the request has used.
    source: OnceLock<usize>,
    usage: Mutex<Usage>,
}

/// Whether the handler of a request uses the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Usage {
    Unused,
    /// The session is locked when the handler first uses it.
    UnusedExclusive,
    Used,
}

/// An id that was found in a request.
#[derive(Debug, Clone, Copy)]
pub struct Found {
    /// The id.
    pub id: SessionId,
    /// The index of the id source that it was found in.
    pub source: usize,
}

/// How the handler of a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The changes are saved.
    Completed,
    /// With a server error (5xx): the changes are discarded.
    Failed,
}

/// The end of a request's session.
#[derive(Debug)]
pub struct Finished {
    /// Whether the session was saved.
    pub saved: Result<(), SaveError>,
    /// The update to send to the client, and the index of the id source to send it on.
    pub update: Option<(ClientUpdate, usize)>,
    /// Whether the request has destroyed a session.
    pub signed_out: bool,
}

/// The options that act on the session when the handler has succeeded.
#[derive(Debug, Clone, Copy)]
pub struct AfterHandler {
    /// The session gets a new id.
    pub regenerate: bool,
    /// The session ends.
    pub destroy: bool,
    /// The session gets an idle timeout of its own, in milliseconds.
    pub idle_timeout: Option<u64>,
}

impl RequestSession {
    pub(super) fn begin(manager: Arc<Manager>) -> (Self, RequestGuard) {
        let session = Self(Arc::new(Shared {
            began_at: manager.engine().now(),
            manager,
            active: OnceLock::new(),
            source: OnceLock::new(),
            usage: Mutex::new(Usage::Unused),
        }));
        let guard = RequestGuard {
            session: session.clone(),
            saved: false,
        };
        (session, guard)
    }

    /// The handle of a loaded session for the keys of `S`.
    ///
    /// # Errors
    /// [`KeyClashError`] if another struct stores under a key of `S`.
    pub fn session<S: SessionData>(&self) -> Result<Session<S>, KeyClashError> {
        self.0.manager.claim::<S>()?;
        Ok(Session::new(Arc::clone(self.active())))
    }

    pub(crate) fn active(&self) -> &Arc<ActiveSession> {
        let engine = self.0.manager.engine();
        let new = || Arc::new(ActiveSession::new(Arc::clone(engine)));
        self.0.active.get_or_init(new)
    }

    /// The session, if it was loaded.
    fn loaded(&self) -> Option<&Arc<ActiveSession>> {
        self.0.active.get().filter(|active| active.is_loaded())
    }

    /// Loads the session of the id that `find` returns, the first time that it is called.
    ///
    /// # Errors
    /// [`LoadError`] if the session cannot be loaded.
    pub async fn load(&self, find: impl FnOnce() -> Option<Found>) -> Result<(), LoadError> {
        let Shared {
            manager,
            began_at,
            source,
            ..
        } = &*self.0;
        let find = || {
            let found = find()?;
            // Runs once, unless an earlier load has failed: then the source is the same.
            source.get_or_init(|| found.source);
            let replaceable = manager.carriers().is_writable(found.source);
            Some(Presented::new(found.id, replaceable, *began_at))
        };
        self.active().load(find).await
    }

    /// Marks the session as used by the handler, and locks it if the handler is to use it exclusively.
    ///
    /// # Errors
    /// [`LockError`] if it cannot be locked.
    pub async fn mark_used(&self) -> Result<(), LockError> {
        let before = std::mem::replace(&mut *self.0.usage.lock(), Usage::Used);
        if before == Usage::UnusedExclusive {
            // Boxed, because it is rare and the future of each request would contain it.
            Box::pin(engine::lock_for_request(self.active())).await?;
        }
        Ok(())
    }

    /// Has the session locked when the handler first uses it.
    pub fn set_exclusive(&self) {
        self.set_usage(Usage::UnusedExclusive);
    }

    /// Starts over with the usage of the handler: what a middleware has used is not the handler's.
    pub(crate) fn set_usage(&self, usage: Usage) {
        *self.0.usage.lock() = usage;
    }

    /// Whether the handler uses the session.
    pub(crate) fn is_used(&self) -> bool {
        *self.0.usage.lock() == Usage::Used
    }

    /// Restores the flash values that were read, as the handler does not run.
    pub(crate) fn restore_flash(&self) {
        if let Some(active) = self.loaded() {
            active.lifecycle().restore_flash();
        }
    }

    /// Does what the options of the handler say, after it has succeeded.
    pub(crate) fn after_handler(&self, options: AfterHandler) {
        let active = self.active();
        if options.destroy {
            active.destroy_keeping_changes();
        }
        if options.regenerate {
            active.lifecycle().regenerate();
        }
        if let Some(millis) = options.idle_timeout {
            active.set_idle_timeout(std::time::Duration::from_millis(millis));
        }
    }
}

/// The duty to finish the session of a request.
///
/// A request may never come to its end: its client disconnects, or its handler panics. Dropping the guard then
/// discards the unsaved changes, because an `update_*` closure that holds its own session would keep both
/// forever.
#[must_use = "dropping the guard discards the changes of the request"]
pub struct RequestGuard {
    session: RequestSession,
    /// Whether the session is saved: then its tasks may go on to change it.
    saved: bool,
}

impl RequestGuard {
    /// Saves the session. Returns `None` if no handler has asked for it.
    pub async fn finish(mut self, outcome: Outcome) -> Option<Finished> {
        let Shared {
            manager, source, ..
        } = &*self.session.0;
        let active = self.session.loaded()?;
        let saved = save(active, outcome).await;
        self.saved = saved.is_ok();
        engine::unlock_request(active);
        let (update, live, signed_out) = {
            let mut lifecycle = active.lifecycle();
            lifecycle.set_phase(Phase::Answered);
            let update = lifecycle.take_update();
            (
                update,
                lifecycle.has_presented_live(),
                lifecycle.has_signed_out(),
            )
        };
        let used = source.get().map(|source| Used {
            source: *source,
            live,
        });
        let carrier = |update: &ClientUpdate| manager.carriers().for_update(used, update);
        let update = update.and_then(|update| Some((update, carrier(&update)?)));
        Some(Finished {
            saved,
            update,
            signed_out,
        })
    }
}

impl Drop for RequestGuard {
    fn drop(&mut self) {
        if let Some(active) = self.session.loaded().filter(|_| !self.saved) {
            active.discard();
            // A save that is in progress keeps its lease.
            engine::unlock_request(active);
        }
    }
}

async fn save(active: &Arc<ActiveSession>, outcome: Outcome) -> Result<(), SaveError> {
    let unconfirmed = active.lifecycle().unconfirmed();
    let saved = match outcome {
        Outcome::Failed => {
            active.lifecycle().abandon();
            Ok(())
        }
        Outcome::Completed => {
            active.lifecycle().set_phase(Phase::Finishing);
            engine::save(active).await
        }
    };
    active.confirm_update(unconfirmed).await;
    saved
}
