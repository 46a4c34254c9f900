//! [`Sessions`]: the middleware, and the handle to all sessions.

use std::{
    any::TypeId,
    fmt,
    sync::{Arc, Once},
    time::Duration,
};

use poem::{Request, http::HeaderName};

use crate::{
    cookie::{CookieConfig, SetCookie},
    error::{KeyClashError, OpenError, SaveError},
    id::{PublicId, SessionId},
    session::{Manager, Session, SessionData, Sweeper},
    store::{SessionStore, StoreError},
    web::{
        builder::{ErrorHandler, Rule, SessionsBuilder},
        caches::Vary,
        fetch,
        source::{Source, Sources},
    },
};

/// All sessions of an application: the Poem middleware that gives each request its session, and the handle
/// with which jobs, admin pages and tests use them. Cheap to clone.
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

/// The sessions, and the settings that concern HTTP.
pub(crate) struct Web {
    pub(crate) manager: Arc<Manager>,
    pub(crate) sources: Sources,
    pub(crate) vary: Vary,
    pub(crate) cookie: CookieConfig,
    pub(crate) set_cookie: SetCookie,
    /// The value of `Clear-Site-Data` at a sign-out.
    pub(crate) clear_site_data: Option<String>,
    pub(crate) skip: Option<Rule>,
    pub(crate) passive: Option<Rule>,
    pub(crate) allow_cross_site: Option<Rule>,
    pub(crate) on_error: Option<ErrorHandler>,
    /// Done once a request over plain HTTP was found whose cookie a browser does not keep.
    pub(crate) plain_http: Once,
    /// The structs that [`SessionsBuilder::data`] named.
    pub(crate) declared: Vec<TypeId>,
}

/// A header of the response that carries an id.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Carrier<'a> {
    /// `Set-Cookie`, with a cookie of this name.
    Cookie(&'a str),
    Header(&'a HeaderName),
}

impl fmt::Display for Carrier<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cookie(name) => write!(f, "cookie `{name}`"),
            Self::Header(name) => write!(f, "header `{name}`"),
        }
    }
}

impl Web {
    /// Warns once, at the first request over plain HTTP that uses a session, if the cookie is for HTTPS only.
    pub(crate) fn warn_of_plain_http(&self, req: &Request) {
        if self.plain_http.is_completed() || !self.cookie.is_secure() {
            return;
        }
        let has_cookie = self.carriers().any(|it| matches!(it, Carrier::Cookie(_)));
        if has_cookie && fetch::is_plain_http(req) {
            self.plain_http.call_once(|| {
                tracing::warn!(
                    "a request came over plain HTTP, where browsers do not keep the `Secure` session cookie, except some \
                     of them on loopback: serve HTTPS, or let the proxy in front send `X-Forwarded-Proto: https`, or \
                     set `CookieConfig::insecure_http` for development"
                );
            });
        }
    }

    /// The carriers on which a response can send an id.
    pub(crate) fn carriers(&self) -> impl Iterator<Item = Carrier<'_>> {
        self.sources.iter().filter_map(|source| match source {
            Source::Cookie => Some(Carrier::Cookie(self.set_cookie.name())),
            Source::Header(name) => Some(Carrier::Header(name)),
            _ => None,
        })
    }
}

impl Sessions {
    /// Returns the settings for sessions in `store`.
    pub fn builder(store: impl SessionStore) -> SessionsBuilder {
        SessionsBuilder::new(store)
    }

    pub(crate) fn new(web: Web) -> Self {
        Self { web: Arc::new(web) }
    }

    pub(crate) fn manager(&self) -> &Arc<Manager> {
        &self.web.manager
    }

    pub(crate) fn web(&self) -> &Web {
        &self.web
    }

    /// Whether both are clones of one `Sessions`.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.web, &other.web)
    }

    /// Opens the session with this id, outside of a request. [`Session::save`] writes its changes.
    ///
    /// # Errors
    /// [`OpenError::NotFound`] if no session has this id or it has ended, [`OpenError::Load`] if the store
    /// returns an error or the record is corrupt.
    pub async fn open<S: SessionData>(&self, id: &SessionId) -> Result<Session<S>, OpenError> {
        self.web.manager.open(id).await
    }

    /// Creates a session outside of a request, as for a test or to give an id to an API client.
    /// [`Session::save`] stores it, even if it is empty, under its [`id`](Session::id).
    ///
    /// # Errors
    /// [`KeyClashError`] if another struct stores under a key of `S`.
    pub fn create<S: SessionData>(&self) -> Result<Session<S>, KeyClashError> {
        self.web.manager.create()
    }

    /// Ends a session, given its id or its public id. Returns whether it was live. Requests that still use the
    /// session cannot revive it.
    ///
    /// # Errors
    /// [`SaveError`] if the store returns an error, or other requests kept changing the session.
    pub async fn revoke(&self, session: impl Into<PublicId>) -> Result<bool, SaveError> {
        self.web.manager.revoke(session.into()).await
    }

    /// Ends all sessions of this application. Other data on the store's server is not touched.
    ///
    /// # Errors
    /// [`StoreError`] if the store returns an error. Some sessions may have ended then.
    pub async fn clear(&self) -> Result<(), StoreError> {
        self.web.manager.clear().await
    }

    /// Removes up to `limit` expired records from the store and returns how many. No request can load an
    /// expired session; this frees its space.
    ///
    /// A database removes only what has expired by its own clock as well, so that one machine whose clock is ahead
    /// does not end the sessions of all. So a [`ManualClock`](crate::clock::ManualClock) makes sessions expire, and
    /// a database keeps their records.
    ///
    /// # Errors
    /// [`StoreError`] if the store returns an error.
    pub async fn delete_expired(&self, limit: usize) -> Result<usize, StoreError> {
        self.web.manager.delete_expired(limit).await
    }

    /// Removes expired records in the background, every `interval`, until the returned guard is dropped.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub fn sweep_every(&self, interval: Duration) -> Sweeper {
        self.web.manager.sweep_every(interval)
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions")
            .field("store", self.web.manager.engine().store())
            .field("cookie", &self.web.cookie)
            .finish_non_exhaustive()
    }
}
