//! [`SessionsBuilder`]: sets up [`Sessions`].

use std::{
    any::TypeId,
    fmt,
    sync::{Arc, Once},
    time::Duration,
};

use poem::{Request, Response};

use crate::{
    claims::{Claims, assert_no_clash},
    clock::{Clock, SystemClock},
    config::{IdSource, SessionConfig, SiteData},
    cookie::{CookieConfig, SetCookie},
    engine::Engine,
    error::{BuildError, KeyClashError, RequestError},
    expiry::TouchPolicy,
    id::SessionId,
    lifecycle::IdGenerator,
    session::{Carriers, DataSet, Manager},
    store::SessionStore,
    web::{
        caches::Vary,
        sessions::{Sessions, Web},
        source::Sources,
    },
};

/// Chooses requests.
pub(crate) type Rule = Box<dyn Fn(&Request) -> bool + Send + Sync>;
pub(crate) type ErrorHandler = Box<dyn Fn(&RequestError) -> Response + Send + Sync>;

/// Sets up [`Sessions`]: see [`Sessions::builder`]. [`SessionConfig`] documents the settings and their
/// defaults.
#[must_use = "call `build()`"]
pub struct SessionsBuilder {
    store: Arc<dyn SessionStore>,
    config: SessionConfig,
    clock: Arc<dyn Clock>,
    new_id: IdGenerator,
    skip: Option<Rule>,
    passive: Option<Rule>,
    allow_cross_site: Option<Rule>,
    on_error: Option<ErrorHandler>,
    claims: Claims,
    declared: Vec<TypeId>,
    clash: Option<KeyClashError>,
}

impl SessionsBuilder {
    pub(crate) fn new(store: impl SessionStore) -> Self {
        Self {
            store: Arc::new(store),
            config: SessionConfig::default(),
            clock: Arc::new(SystemClock),
            new_id: Arc::new(SessionId::random),
            skip: None,
            passive: None,
            allow_cross_site: None,
            on_error: None,
            claims: Claims::default(),
            declared: Vec::new(),
            clash: None,
        }
    }

    /// Sets all settings, in place of those made so far.
    pub fn config(mut self, config: SessionConfig) -> Self {
        self.config = config;
        self
    }

    /// Sets the [idle timeout](SessionConfig::idle_timeout).
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.config.idle_timeout = timeout;
        self
    }

    /// Sets the [absolute timeout](SessionConfig::absolute_timeout).
    pub fn absolute_timeout(mut self, timeout: Duration) -> Self {
        self.config.absolute_timeout = Some(timeout);
        self
    }

    /// Lets sessions live for as long as they are used: turns the
    /// [absolute timeout](SessionConfig::absolute_timeout) off.
    pub fn no_absolute_timeout(mut self) -> Self {
        self.config.absolute_timeout = None;
        self
    }

    /// Sets the [idle timeout of a session that has held nothing but flash values](SessionConfig::flash_timeout).
    pub fn flash_timeout(mut self, timeout: Duration) -> Self {
        self.config.flash_timeout = timeout;
        self
    }

    /// Sets [how often use is written to the store](SessionConfig::touch).
    pub fn touch(mut self, touch: TouchPolicy) -> Self {
        self.config.touch = touch;
        self
    }

    /// Sets the [cookie](SessionConfig::cookie).
    pub fn cookie(mut self, cookie: CookieConfig) -> Self {
        self.config.cookie = cookie;
        self
    }

    /// Sets [the data that a sign-out clears in the browser](SessionConfig::clear_site_data).
    ///
    /// ```
    /// # use poem_session::{Sessions, SiteData, store::MemoryStore};
    /// let sessions = Sessions::builder(MemoryStore::new())
    ///     .clear_site_data([SiteData::Cache, SiteData::Storage])
    ///     .build()?;
    /// # Ok::<(), poem_session::BuildError>(())
    /// ```
    pub fn clear_site_data(mut self, kinds: impl Into<Vec<SiteData>>) -> Self {
        self.config.clear_site_data = kinds.into();
        self
    }

    /// Sets [where a request may carry its id](SessionConfig::id_source).
    pub fn id_source(mut self, source: IdSource) -> Self {
        self.config.id_source = vec![source];
        self
    }

    /// Sets the [largest record of a session](SessionConfig::max_session_size), in bytes.
    pub fn max_session_size(mut self, bytes: usize) -> Self {
        self.config.max_session_size = bytes;
        self
    }

    /// Sets the [largest value of a key](SessionConfig::max_value_size), in bytes.
    pub fn max_value_size(mut self, bytes: usize) -> Self {
        self.config.max_value_size = bytes;
        self
    }

    /// Sets the [most keys of a session](SessionConfig::max_keys).
    pub fn max_keys(mut self, keys: usize) -> Self {
        self.config.max_keys = keys;
        self
    }

    /// Sets the [time limit of a call of the store](SessionConfig::store_timeout).
    pub fn store_timeout(mut self, limit: Duration) -> Self {
        self.config.store_timeout = limit;
        self
    }

    /// Sets [how often a save is attempted](SessionConfig::max_save_attempts).
    pub fn max_save_attempts(mut self, attempts: u32) -> Self {
        self.config.max_save_attempts = attempts;
        self
    }

    /// Sets [how long new requests with the id of an ended session are refused](SessionConfig::retired_for).
    pub fn retired_for(mut self, time: Duration) -> Self {
        self.config.retired_for = time;
        self
    }

    /// Sets [the longest time that a request takes](SessionConfig::max_request_time).
    pub fn max_request_time(mut self, time: Duration) -> Self {
        self.config.max_request_time = time;
        self
    }

    /// Sets [the age at which an id is rotated](SessionConfig::rotate_every).
    pub fn rotate_every(mut self, age: Duration) -> Self {
        self.config.rotate_every = Some(age);
        self
    }

    /// Sets [how long the old id is valid after a rotation](SessionConfig::rotation_grace).
    pub fn rotation_grace(mut self, grace: Duration) -> Self {
        self.config.rotation_grace = grace;
        self
    }

    /// Sets [how long a request waits for a lock](SessionConfig::lock_timeout).
    pub fn lock_timeout(mut self, limit: Duration) -> Self {
        self.config.lock_timeout = limit;
        self
    }

    /// Sets [how long a lock outlives a crash of its holder](SessionConfig::lock_lease).
    pub fn lock_lease(mut self, lease: Duration) -> Self {
        self.config.lock_lease = lease;
        self
    }

    /// Sets [how often ends in other processes are looked for](SessionConfig::end_poll_interval).
    pub fn end_poll_interval(mut self, interval: Duration) -> Self {
        self.config.end_poll_interval = interval;
        self
    }

    /// Leaves out the requests for which `rule` returns true: their session is neither loaded nor saved, and
    /// extracting it is an error.
    pub fn skip(mut self, rule: impl Fn(&Request) -> bool + Send + Sync + 'static) -> Self {
        self.skip = Some(Box::new(rule));
        self
    }

    /// Marks the requests for which `rule` returns true as passive, such as polls that a page sends while nobody
    /// looks at it. A passive request does not count as use of the session: its expiry does not move, and reading a
    /// flash value does not remove it. Other changes are saved. Default: only the requests by which a browser loads
    /// a page ahead of time (`Sec-Purpose: prefetch`), which are passive in any case. To mark one handler, write
    /// `#[session(passive)]`.
    ///
    /// ```
    /// # use poem_session::{Sessions, store::MemoryStore};
    /// let sessions = Sessions::builder(MemoryStore::new())
    ///     .passive(|req| req.uri().path() == "/unread-messages")
    ///     .build()?;
    /// # Ok::<(), poem_session::BuildError>(())
    /// ```
    pub fn passive(mut self, rule: impl Fn(&Request) -> bool + Send + Sync + 'static) -> Self {
        self.passive = Some(Box::new(rule));
        self
    }

    /// Lets other sites begin sessions by the requests for which `rule` returns true, such as the response of an
    /// identity provider that arrives as a form (`form_post`, SAML).
    ///
    /// A form of another site can post to a login page. The browser sends no `SameSite=Lax` cookie with it, and the
    /// session that the handler begins would replace the one that the browser has: its user would go on in the
    /// account of an attacker (login CSRF). So a request is given no new session if the browser marks it with
    /// `Sec-Fetch-Site: cross-site`, its method is not safe (RFC 9110, section 9.2.1), it brings no live id, and
    /// the cookie would carry the new one. If the handler changes the session, the response is a 403 with
    /// [`SaveError::CrossSite`](crate::SaveError::CrossSite). Default: no request is allowed. With `SameSite=None`,
    /// all are.
    ///
    /// ```
    /// # use poem_session::{Sessions, store::MemoryStore};
    /// let sessions = Sessions::builder(MemoryStore::new())
    ///     .allow_cross_site(|req| req.uri().path() == "/saml/acs")
    ///     .build()?;
    /// # Ok::<(), poem_session::BuildError>(())
    /// ```
    pub fn allow_cross_site(
        mut self,
        rule: impl Fn(&Request) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.allow_cross_site = Some(Box::new(rule));
        self
    }

    /// Sets the response for a session that could not be loaded or saved. The default is the status with its
    /// usual phrase.
    pub fn on_error(
        mut self,
        respond: impl Fn(&RequestError) -> Response + Send + Sync + 'static,
    ) -> Self {
        self.on_error = Some(Box::new(respond));
        self
    }

    /// Sets the generator of new ids. The default is [`SessionId::random`]. An id must not be guessable: at
    /// least 128 bits from a cryptographic generator (ASVS 5.0 7.2.3).
    pub fn id_generator(
        mut self,
        generate: impl Fn() -> SessionId + Send + Sync + 'static,
    ) -> Self {
        self.new_id = Arc::new(generate);
        self
    }

    /// Sets the clock, for tests: a [`ManualClock`](crate::clock::ManualClock).
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Names the structs whose keys these sessions store. Two of them that store under one key are then a
    /// compile error. If middlewares are nested, a handler that takes one of these structs gets it from this
    /// middleware.
    ///
    /// ```
    /// # use poem_session::{SessionData, Sessions, store::MemoryStore};
    /// # #[derive(SessionData)] struct Auth { user: Option<u64> }
    /// # #[derive(SessionData)] struct Shop { #[session(default)] cart: Vec<u64> }
    /// let sessions = Sessions::builder(MemoryStore::new()).data::<(Auth, Shop)>().build()?;
    /// # Ok::<(), poem_session::BuildError>(())
    /// ```
    ///
    /// ```compile_fail
    /// # use poem_session::{SessionData, Sessions, store::MemoryStore};
    /// #[derive(SessionData)]
    /// #[session(namespace = "app")]
    /// struct Auth { user: Option<u64> }
    ///
    /// #[derive(SessionData)]
    /// #[session(namespace = "app")]
    /// struct Profile { user: Option<String> } // stores under `app.user` as well
    ///
    /// let sessions = Sessions::builder(MemoryStore::new()).data::<(Auth, Profile)>().build()?;
    /// # Ok::<(), poem_session::BuildError>(())
    /// ```
    pub fn data<D: DataSet>(mut self) -> Self {
        const { assert_no_clash(D::SCHEMAS) };
        for schema in D::SCHEMAS {
            self.declared.push(schema.owner());
            // With a struct of an earlier call. `build` returns the error.
            if let Err(clash) = self.claims.claim(*schema) {
                self.clash.get_or_insert(clash);
            }
        }
        self
    }

    /// Checks the settings and returns the sessions.
    ///
    /// # Errors
    /// [`BuildError`] names the setting that is wrong, or the two that contradict each other.
    pub fn build(self) -> Result<Sessions, BuildError> {
        self.config.check()?;
        if let Some(clash) = self.clash {
            return Err(clash.into());
        }
        let sources = Sources::new(&self.config.id_source)?;
        let carriers = Carriers::new(sources.writable());
        carriers.check(&self.config)?;
        let engine = Engine::new(self.store, self.clock, &self.config, self.new_id);
        let manager = Manager::new(engine, carriers, self.claims);
        Ok(Sessions::new(Web {
            manager: Arc::new(manager),
            vary: Vary::new(&sources),
            sources,
            set_cookie: SetCookie::new(&self.config.cookie),
            cookie: self.config.cookie,
            skip: self.skip,
            passive: self.passive,
            allow_cross_site: self.allow_cross_site,
            on_error: self.on_error,
            clear_site_data: SiteData::header_value(&self.config.clear_site_data),
            plain_http: Once::new(),
            declared: self.declared,
        }))
    }
}

impl fmt::Debug for SessionsBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionsBuilder")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
