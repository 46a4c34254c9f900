//! [`Manager`]: all sessions of an application, for any framework.

use std::{sync::Arc, time::Duration};

use tokio::task::JoinHandle;

use crate::{
    claims::Claims,
    clock::{Clock, LONGEST_WAIT},
    config::SessionConfig,
    engine::{ActiveSession, Candidate, Engine, Via, resolve},
    error::{Chain, KeyClashError, LoadError, OpenError, SaveError},
    id::{PublicId, SessionId},
    lifecycle::{Presented, Resolution},
    record::EndReason,
    session::{Carriers, RequestGuard, RequestSession, Session, SessionData},
    store::{Replaced, SessionStore, StoreError},
};

/// All sessions of an application. The operations are documented on [`Sessions`](crate::Sessions).
pub struct Manager {
    engine: Arc<Engine>,
    carriers: Carriers,
    claims: Claims,
}

impl Manager {
    pub(crate) fn new(engine: Engine, carriers: Carriers, claims: Claims) -> Self {
        Self {
            engine: Arc::new(engine),
            carriers,
            claims,
        }
    }

    /// The sessions in a store, for a layer of another framework. `writable` says of each id source whether a
    /// response can set the id there. The settings are not checked.
    pub fn unchecked(
        store: Arc<dyn SessionStore>,
        clock: Arc<dyn Clock>,
        config: &SessionConfig,
        writable: impl IntoIterator<Item = bool>,
    ) -> Arc<Self> {
        let engine = Engine::new(store, clock, config, Arc::new(SessionId::random));
        let carriers = Carriers::new(writable);
        Arc::new(Self::new(engine, carriers, Claims::default()))
    }

    pub(crate) fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    pub(super) fn carriers(&self) -> &Carriers {
        &self.carriers
    }

    /// Begins the session of a request. Nothing is loaded yet.
    ///
    /// `presents_id` is false if the request surely presents no id. Then it is not noted when the request begins.
    pub fn begin_request(self: &Arc<Self>, presents_id: bool) -> (RequestSession, RequestGuard) {
        RequestSession::begin(Arc::clone(self), presents_id)
    }

    /// Claims the keys of `S`.
    pub(crate) fn claim<S: SessionData>(&self) -> Result<(), KeyClashError> {
        self.claims.claim(S::SCHEMA)
    }

    #[doc(hidden)]
    #[allow(clippy::missing_errors_doc)]
    pub async fn open<S: SessionData>(&self, id: &SessionId) -> Result<Session<S>, OpenError> {
        self.claim::<S>()?;
        let active = Arc::new(ActiveSession::new(Arc::clone(&self.engine)));
        // No client can be sent another id.
        let presented = Presented::new(*id, false, self.engine.now());
        let source = 0;
        let candidate = Candidate { presented, source };
        active.load(|| candidate.into()).await?;
        if active.lifecycle().is_new() {
            return Err(OpenError::NotFound);
        }
        Ok(Session::new(active))
    }

    #[doc(hidden)]
    #[allow(clippy::missing_errors_doc)]
    pub fn create<S: SessionData>(&self) -> Result<Session<S>, KeyClashError> {
        self.claim::<S>()?;
        let active = ActiveSession::new(Arc::clone(&self.engine));
        active.lifecycle().reset();
        Ok(Session::new(Arc::new(active)))
    }

    #[doc(hidden)]
    #[allow(clippy::missing_errors_doc)]
    pub async fn revoke(&self, mut key: PublicId) -> Result<bool, SaveError> {
        let engine = &self.engine;
        let load = engine.store().load(key, engine.now());
        let Some(mut current) = engine.limited("revoking a session", load).await? else {
            return Ok(false);
        };
        for _ in 0..engine.max_save_attempts() {
            match resolve(engine, key, current.clone(), Via::Revocation).await {
                Ok(Resolution::Live(live)) => (key, current.version) = (live.key(), live.version()),
                Ok(Resolution::Ended(_) | Resolution::Missing) => return Ok(false),
                Err(LoadError::Store(error)) => return Err(error.into()),
                // A corrupt record is ended like any other.
                Err(LoadError::Corrupt { .. }) => {}
            }
            let now = engine.now();
            let tombstone = engine.rules().tombstone(EndReason::Destroyed, None, now);
            let end = engine.store().replace(key, current.version, tombstone, now);
            match engine.limited("revoking a session", end).await? {
                Replaced::Replaced(_) => {
                    engine.announce_end(key);
                    return Ok(true);
                }
                Replaced::Gone => return Ok(false),
                Replaced::Conflict(newer) => current = newer,
            }
        }
        Err(SaveError::Contended {
            attempts: engine.max_save_attempts(),
        })
    }

    pub(crate) async fn clear(&self) -> Result<(), StoreError> {
        // Without a time limit: it may take long, and no request waits for it.
        let cleared = self.engine.store().clear().await;
        self.engine.announce_ends();
        cleared
    }

    pub(crate) async fn delete_expired(&self, limit: usize) -> Result<usize, StoreError> {
        let now = self.engine.now();
        self.engine.store().delete_expired(limit, now).await
    }

    pub(crate) fn sweep_every(self: &Arc<Self>, interval: Duration) -> Sweeper {
        let manager = Arc::clone(self);
        Sweeper(tokio::spawn(async move {
            let interval = interval.clamp(Duration::from_millis(1), LONGEST_WAIT);
            let mut timer = tokio::time::interval(interval);
            timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                timer.tick().await;
                manager.sweep().await;
            }
        }))
    }

    /// Removes all expired records, in batches.
    async fn sweep(&self) {
        const BATCH: usize = 1000;
        loop {
            match self.delete_expired(BATCH).await {
                Ok(removed) if removed >= BATCH => {}
                Ok(_) => return,
                Err(error) => {
                    tracing::warn!(error = %Chain(&error), "could not remove expired sessions");
                    return;
                }
            }
        }
    }
}

/// Removes expired records in the background until it is dropped: see
/// [`Sessions::sweep_every`](crate::Sessions::sweep_every).
#[derive(Debug)]
#[must_use = "the sweeper stops when this is dropped"]
pub struct Sweeper(JoinHandle<()>);

impl Drop for Sweeper {
    fn drop(&mut self) {
        self.0.abort();
    }
}
