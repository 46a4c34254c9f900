//! [`Sessions`]: the middleware, and the handle to all sessions.

use std::{any::TypeId, fmt, sync::Arc, time::Duration};

use poem::http::HeaderValue;
use tokio::task::JoinHandle;

use crate::{
    active::{ActiveSession, Found, FoundIn, Plan},
    cookie::CookieConfig,
    engine::Engine,
    error::{Chain, LoadError, OpenError, SaveError},
    follow::{Followed, Seen},
    id::{PublicId, SessionId},
    key::SessionData,
    session::Session,
    store::{Replaced, SessionStore, StoreError},
    web::{
        builder::{ErrorHandler, SessionsBuilder, Skip},
        source::Sources,
    },
};

/// All sessions of an application: the Poem middleware that gives each request its session, and the handle
/// with which jobs, admin pages and tests reach any of them. Cheap to clone.
///
/// ```
/// use std::time::Duration;
/// use poem::{EndpointExt, Route, get, handler};
/// use poem_session::{Session, SessionData, Sessions, store::MemoryStore};
/// # #[derive(SessionData)] struct Visits { #[session(default)] count: u64 }
/// # #[handler] async fn index(session: Session<Visits>) -> poem::Result<()> { Ok(session.update_count(|n| *n += 1)?) }
///
/// let sessions = Sessions::builder(MemoryStore::new())
///     .idle_timeout(Duration::from_secs(30 * 60))
///     .absolute_timeout(Duration::from_secs(24 * 3600))
///     .build()?;
/// let app = Route::new().at("/", get(index)).with(sessions.clone());
/// # Ok::<(), poem_session::BuildError>(())
/// ```
#[derive(Clone)]
pub struct Sessions {
    web: Arc<Web>,
}

/// The parts that are about HTTP, around the engine.
pub(crate) struct Web {
    pub(crate) engine: Arc<Engine>,
    pub(crate) sources: Sources,
    pub(crate) cookie: CookieConfig,
    pub(crate) cookie_name: String,
    /// What browsers are asked to forget at a sign-out.
    pub(crate) clear_site_data: Option<HeaderValue>,
    pub(crate) skip: Option<Skip>,
    pub(crate) on_error: Option<ErrorHandler>,
    /// The structs that `data` named.
    pub(crate) declared: Vec<TypeId>,
}

impl Sessions {
    /// Sets up sessions that are kept in `store`.
    pub fn builder(store: impl SessionStore) -> SessionsBuilder {
        SessionsBuilder::new(store)
    }

    pub(crate) fn new(web: Web) -> Self {
        Self { web: Arc::new(web) }
    }

    pub(crate) fn web(&self) -> &Web {
        &self.web
    }

    fn engine(&self) -> &Arc<Engine> {
        &self.web.engine
    }

    /// Opens the session with this id, outside of a request. Changes are written by
    /// [`save`](Session::save).
    ///
    /// # Errors
    /// [`OpenError::NotFound`] where there is none, or it has ended; [`OpenError::Load`] where the store does
    /// not answer or what it holds is corrupt.
    pub async fn open<S: SessionData>(&self, id: &SessionId) -> Result<Session<S>, OpenError> {
        self.engine().claims.claim::<S>().map_err(LoadError::from)?;
        let active = Arc::new(ActiveSession::new(Arc::clone(self.engine())));
        // No client to give another id to.
        let source = FoundIn {
            number: 0,
            answered: false,
        };
        let found = Found { id: *id, source };
        active.load(|| Some(found)).await?;
        if active.state().fresh {
            return Err(OpenError::NotFound);
        }
        Ok(Session::new(active))
    }

    /// Begins a session outside of a request, as for a test or to hand an id to an API client. It is stored,
    /// even if it is empty, by [`save`](Session::save), and known by [`id`](Session::id).
    ///
    /// # Errors
    /// [`LoadError::KeyClash`] where another struct stores under a key of `S`.
    pub fn create<S: SessionData>(&self) -> Result<Session<S>, LoadError> {
        self.engine().claims.claim::<S>()?;
        let active = ActiveSession::new(Arc::clone(self.engine()));
        active.leave(Plan::Reset);
        Ok(Session::new(Arc::new(active)))
    }

    /// Ends a session, given its id or its public id. Requests that are under way with it cannot bring it
    /// back. Answers whether there was one.
    ///
    /// # Errors
    /// [`SaveError`] where the store does not answer, or others kept changing the session.
    pub async fn revoke(&self, session: impl Into<PublicId>) -> Result<bool, SaveError> {
        let engine = self.engine();
        let mut key = session.into();
        let load = engine.store.load(key, engine.now());
        let Some(mut current) = engine.limited("revoking a session", load).await? else {
            return Ok(false);
        };
        for _ in 0..engine.limits.max_attempts {
            match engine.follow(key, current.clone(), Seen::Loaded).await {
                Ok(Followed::Live(live)) => (key, current.version) = (live.key, live.version),
                Ok(Followed::Ended { .. } | Followed::Nowhere) => return Ok(false),
                Err(LoadError::Store(error)) => return Err(error.into()),
                // A record that is corrupt is ended all the same: that is what was asked for.
                Err(_) => {}
            }
            let now = engine.now();
            let end = engine
                .store
                .replace(key, current.version, engine.remains(now), now);
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
            attempts: engine.limits.max_attempts,
        })
    }

    /// Ends all sessions of this application, and nothing else that the store's server holds.
    ///
    /// # Errors
    /// [`StoreError`] where the store does not answer; some may have ended then.
    pub async fn clear(&self) -> Result<(), StoreError> {
        // No time limit: it may take long, and nobody waits for it in a request.
        self.engine().store.clear().await
    }

    /// Removes up to `limit` expired records from the store, and answers how many. Expired sessions are gone
    /// for every request anyway; this gives their room back.
    ///
    /// # Errors
    /// [`StoreError`] where the store does not answer.
    pub async fn delete_expired(&self, limit: usize) -> Result<usize, StoreError> {
        let engine = self.engine();
        engine.store.delete_expired(limit, engine.now()).await
    }

    /// Removes expired records in the background, every `interval`, until the returned guard is dropped.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub fn sweep_every(&self, interval: Duration) -> Sweeper {
        const BATCH: usize = 1000;
        let sessions = self.clone();
        Sweeper(tokio::spawn(async move {
            let mut timer = tokio::time::interval(interval.max(Duration::from_millis(1)));
            timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                timer.tick().await;
                loop {
                    match sessions.delete_expired(BATCH).await {
                        Ok(removed) if removed >= BATCH => {}
                        Ok(_) => break,
                        Err(error) => {
                            tracing::warn!(error = %Chain(&error), "could not remove expired sessions");
                            break;
                        }
                    }
                }
            }
        }))
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions")
            .field("store", &self.web.engine.store)
            .field("cookie", &self.web.cookie)
            .finish_non_exhaustive()
    }
}

/// Stops removing expired records when it is dropped: see [`Sessions::sweep_every`].
#[derive(Debug)]
#[must_use = "the sweeper stops when this is dropped"]
pub struct Sweeper(JoinHandle<()>);

impl Drop for Sweeper {
    fn drop(&mut self) {
        self.0.abort();
    }
}
