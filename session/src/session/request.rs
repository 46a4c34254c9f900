//! [`RequestSession`]: the session of one request, from its beginning to its end.
//!
//! A framework layer begins it before the handler, passes it to the extractors, and finishes it after the
//! handler:
//!
//! 1. [`Manager::begin_request`](super::Manager::begin_request) returns the session and a guard.
//! 2. [`RequestSession::load`] loads it when an extractor first asks for it.
//! 3. [`RequestGuard::finish`] saves it and returns the update to send to the client.

use std::sync::{Arc, OnceLock};

use crate::{
    clock::Timestamp,
    engine::{self, ActiveSession},
    error::{KeyClashError, LoadError, LockError, SaveError},
    lifecycle::{ClientUpdate, Lifecycle, Phase, Refusal},
    session::{FoundIds, Manager, Session, SessionData, carriers::Used},
    threads::atomic::{AtomicBool, Ordering},
};

/// The session of one request. Clones share it.
#[derive(Clone)]
pub struct RequestSession(Arc<Shared>);

struct Shared {
    manager: Arc<Manager>,
    /// `None` if the request presented no id when it began. If one is found later, it counts as presented then.
    began_at: Option<Timestamp>,
    /// `None` until the session is first asked for, so that a request without one costs little.
    active: OnceLock<Arc<ActiveSession>>,
    /// Whether the handler uses the session.
    used: AtomicBool,
    /// Whether to lock the session when the handler first uses it.
    lock_at_use: AtomicBool,
    /// Whether the request does not count as use of the session.
    passive: AtomicBool,
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
    pub(super) fn begin(manager: Arc<Manager>, presents_id: bool) -> (Self, RequestGuard) {
        let session = Self(Arc::new(Shared {
            began_at: presents_id.then(|| manager.engine().now()),
            manager,
            active: OnceLock::new(),
            used: AtomicBool::new(false),
            lock_at_use: AtomicBool::new(false),
            passive: AtomicBool::new(false),
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

    /// Loads the session of the first id of `find` that is live, the first time that this is called.
    ///
    /// # Errors
    /// [`LoadError`] if the session cannot be loaded.
    pub async fn load(&self, find: impl FnOnce() -> FoundIds) -> Result<(), LoadError> {
        let manager = &self.0.manager;
        let active = self.active();
        let began_at = || self.0.began_at.unwrap_or_else(|| manager.engine().now());
        active
            .load(|| find().candidates(manager.carriers(), began_at()))
            .await?;
        if self.0.passive.load(Ordering::Relaxed) {
            active.lifecycle().set_passive();
        }
        Ok(())
    }

    /// From now on, the request does not count as use of the session: its expiry does not move, and reading a flash
    /// value does not remove it.
    pub fn set_passive(&self) {
        self.0.passive.store(true, Ordering::Relaxed);
        if let Some(active) = self.loaded() {
            active.lifecycle().set_passive();
        }
    }

    /// Refuses to begin a session, now that it is known whether the request presents a live one.
    pub(crate) fn refuse_new(&self, refusal: Refusal) {
        self.active().lifecycle().refuse_new(refusal);
    }

    /// The index of the id source on which the id of a new session is sent. `None` if the request presents a live
    /// session, or no source can send an id.
    pub(crate) fn carrier_of_new(&self) -> Option<usize> {
        let active = self.loaded()?;
        let is_live = active.lifecycle().has_presented_live();
        let carriers = self.0.manager.carriers();
        carriers.for_new(active.source()).filter(|_| !is_live)
    }

    /// Marks the session as used by the handler, and locks it if the handler is to use it exclusively.
    ///
    /// # Errors
    /// [`LockError`] if it cannot be locked.
    pub async fn mark_used(&self) -> Result<(), LockError> {
        self.0.used.store(true, Ordering::Relaxed);
        let locks = &self.0.lock_at_use;
        if locks.load(Ordering::Relaxed) && locks.swap(false, Ordering::Relaxed) {
            // Boxed, because it is rare and the future of each request would contain it.
            Box::pin(engine::lock_for_request(self.active())).await?;
        }
        Ok(())
    }

    /// Has the session locked when the handler first uses it.
    pub fn set_exclusive(&self) {
        self.begin_handler(true);
    }

    /// Starts over with the use of the session by the handler: what a middleware has used is not the handler's. If
    /// `exclusive`, the session is locked when the handler first uses it.
    pub(crate) fn begin_handler(&self, exclusive: bool) {
        self.0.used.store(false, Ordering::Relaxed);
        self.0.lock_at_use.store(exclusive, Ordering::Relaxed);
    }

    /// Whether the handler uses the session.
    pub(crate) fn is_used(&self) -> bool {
        self.0.used.load(Ordering::Relaxed)
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
        let manager = &self.session.0.manager;
        let active = self.session.0.active.get()?;
        if !active.is_loaded() {
            // It could not be loaded.
            return Some(Finished {
                saved: Ok(()),
                update: None,
                signed_out: false,
            });
        }
        let (unconfirmed, is_saved) = {
            let mut lifecycle = active.lifecycle();
            (lifecycle.unconfirmed(), prepare(&mut lifecycle, outcome))
        };
        let saved = if is_saved {
            engine::save(active).await
        } else {
            Ok(())
        };
        if active.lifecycle().unconfirmed().is_some() {
            // Boxed, because it is rare and the future of each request would contain it.
            Box::pin(active.confirm_update(unconfirmed)).await;
        }
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
        let source = active.source();
        let used = source.map(|source| Used { source, live });
        let update = update.and_then(|update| {
            let carrier = manager.carriers().for_update(used, &update);
            if carrier.is_none() {
                warn_if_unsent(active, &update);
            }
            Some((update, carrier?))
        });
        Some(Finished {
            saved,
            update,
            signed_out,
        })
    }
}

/// Warns if no carrier sends the client the id of a session that has begun or moved, and the handler does not send
/// it either: nobody can use the session.
fn warn_if_unsent(active: &ActiveSession, update: &ClientUpdate) {
    if let ClientUpdate::SetId {
        id, refresh: false, ..
    } = update
        && !active.lifecycle().has_read(id)
    {
        tracing::warn!(
            session = ?id.public(),
            "no response sends the new id of a session: the request has its id from a read-only source, and the handler has \
             not read the new one by `Session::id` to return it"
        );
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

/// Prepares the session for the end of its request. Returns whether to save it.
fn prepare(lifecycle: &mut Lifecycle, outcome: Outcome) -> bool {
    let is_preflight = lifecycle.refusal() == Some(Refusal::Preflight);
    if outcome == Outcome::Completed && !is_preflight {
        lifecycle.set_phase(Phase::Finishing);
        return true;
    }
    if is_preflight {
        // No visitor has sent the request. What every request does, such as to count it, is not an error.
        tracing::debug!("dropped the changes that a CORS preflight made to a session");
    }
    lifecycle.abandon();
    false
}
