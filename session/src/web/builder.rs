//! Setting up [`Sessions`].

use std::{any::TypeId, fmt, sync::Arc, time::Duration};

use poem::{Request, Response};
use tokio::sync::broadcast;

use crate::{
    clock::{Clock, SystemClock},
    cookie::CookieConfig,
    engine::{Claims, Engine, IdGenerator},
    error::{BuildError, KeyClash, SessionError},
    expiry::Touch,
    id::SessionId,
    key::{Field, SessionData},
    lock::Queues,
    store::SessionStore,
    web::{
        config::SessionConfig,
        sessions::{Sessions, Web},
        site_data::SiteData,
        source::{IdSource, Sources},
    },
};

pub(crate) type Skip = Box<dyn Fn(&Request) -> bool + Send + Sync>;
pub(crate) type ErrorHandler = Box<dyn Fn(&SessionError) -> Response + Send + Sync>;

/// Sets up [`Sessions`]: see [`Sessions::builder`]. The settings' defaults are those of
/// [`SessionConfig`].
#[must_use = "call `build()`"]
pub struct SessionsBuilder {
    store: Arc<dyn SessionStore>,
    config: SessionConfig,
    clock: Arc<dyn Clock>,
    new_id: IdGenerator,
    skip: Option<Skip>,
    on_error: Option<ErrorHandler>,
    claims: Claims,
    declared: Vec<TypeId>,
    clash: Option<KeyClash>,
}

impl SessionsBuilder {
    pub(crate) fn new(store: impl SessionStore) -> Self {
        Self {
            store: Arc::new(store),
            config: SessionConfig::default(),
            clock: Arc::new(SystemClock),
            new_id: Arc::new(SessionId::random),
            skip: None,
            on_error: None,
            claims: Claims::default(),
            declared: Vec::new(),
            clash: None,
        }
    }

    /// Takes all settings from `config`, in place of those made so far.
    pub fn config(mut self, config: SessionConfig) -> Self {
        self.config = config;
        self
    }

    /// How long a session lives without being used. Default 30 minutes.
    ///
    /// OWASP Session Management Cheat Sheet, "Idle Timeout": 2–5 minutes for high-value applications, 15–30
    /// for low-risk ones.
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.config.idle_timeout = timeout;
        self
    }

    /// How long a session lives at most, however much it is used, from its creation or its last
    /// [`reset`](crate::Session::reset). Default: no limit. Turning it on also ends sessions that exist.
    ///
    /// OWASP Session Management Cheat Sheet, "Absolute Timeout": 4–8 hours for an office day.
    pub fn absolute_timeout(mut self, timeout: Duration) -> Self {
        self.config.absolute_timeout = Some(timeout);
        self
    }

    /// How often the use of a session that nobody changes is written down.
    pub fn touch(mut self, touch: Touch) -> Self {
        self.config.touch = touch;
        self
    }

    /// The cookie that carries the id.
    pub fn cookie(mut self, cookie: CookieConfig) -> Self {
        self.config.cookie = cookie;
        self
    }

    /// What the browser is asked to forget, beside the cookie, by a response to a request that has
    /// [destroyed](crate::Session::destroy) its session. Default nothing. Browsers heed it over HTTPS. A handler's
    /// own `Clear-Site-Data` header stays.
    ///
    /// ASVS 5.0 14.3.1: private data is cleared from the client when the session ends.
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

    /// Where a request may carry its session id. Default [`IdSource::Cookie`].
    pub fn id_from(mut self, source: IdSource) -> Self {
        self.config.id_from = vec![source];
        self
    }

    /// The largest record, in bytes, up to 8 MiB. Default 64 KiB. Setting a value beyond it is an error at that place.
    pub fn max_size(mut self, bytes: usize) -> Self {
        self.config.max_size = bytes;
        self
    }

    /// The largest value of one key, in bytes as it is stored. Default 64 KiB. Setting a larger one is an error
    /// at that place.
    pub fn max_value_size(mut self, bytes: usize) -> Self {
        self.config.max_value_size = bytes;
        self
    }

    /// The most keys that a session may have, those of all structs together. Default 256. Setting one more is an
    /// error at that place.
    pub fn max_keys(mut self, keys: usize) -> Self {
        self.config.max_keys = keys;
        self
    }

    /// The time limit of one call of the store. Default 5 seconds.
    pub fn store_timeout(mut self, limit: Duration) -> Self {
        self.config.store_timeout = limit;
        self
    }

    /// How often a write is tried while other requests change the same session. Default 256.
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.config.max_attempts = attempts;
        self
    }

    /// How long the id of an ended session is remembered as ended. Default 10 seconds.
    pub fn retired_for(mut self, time: Duration) -> Self {
        self.config.retired_for = time;
        self
    }

    /// Renews a session's id by itself when it is this old, at the next request. Default: never. Requests that
    /// are under way with the old id go on: see [`rotation_grace`](Self::rotation_grace). A session that is locked
    /// keeps its id until it is free.
    ///
    /// OWASP Session Management Cheat Sheet, "Renewal Timeout".
    pub fn rotate_every(mut self, age: Duration) -> Self {
        self.config.rotate_every = Some(age);
        self
    }

    /// How long the old id leads to the session still, after it was renewed by itself. Default 30 seconds. A
    /// client that never received the response with the new id is signed out when it has passed.
    pub fn rotation_grace(mut self, grace: Duration) -> Self {
        self.config.rotation_grace = grace;
        self
    }

    /// How long a request waits for a session that another one has locked. Default 10 seconds.
    pub fn lock_wait(mut self, limit: Duration) -> Self {
        self.config.lock_wait = limit;
        self
    }

    /// How long a session stays locked after its holder has crashed; a living holder renews its lease.
    /// Default 15 seconds.
    pub fn lock_lease(mut self, lease: Duration) -> Self {
        self.config.lock_lease = lease;
        self
    }

    /// How often [`Session::ended`](crate::Session::ended) looks whether another process has ended the
    /// session. Default 5 seconds.
    pub fn watch_every(mut self, interval: Duration) -> Self {
        self.config.watch_every = interval;
        self
    }

    /// Leaves the requests out for which `rule` is true: their session is neither loaded nor saved, and
    /// asking for it is an error.
    pub fn skip(mut self, rule: impl Fn(&Request) -> bool + Send + Sync + 'static) -> Self {
        self.skip = Some(Box::new(rule));
        self
    }

    /// Makes the response for a session that could not be loaded or saved. The default is the status alone,
    /// with its usual phrase.
    pub fn on_error(
        mut self,
        respond: impl Fn(&SessionError) -> Response + Send + Sync + 'static,
    ) -> Self {
        self.on_error = Some(Box::new(respond));
        self
    }

    /// Makes the ids of new sessions, in place of [`SessionId::random`]. An id must not be guessable: at
    /// least 128 bits from a cryptographic generator (ASVS 5.0 7.2.3).
    pub fn id_generator(
        mut self,
        generate: impl Fn() -> SessionId + Send + Sync + 'static,
    ) -> Self {
        self.new_id = Arc::new(generate);
        self
    }

    /// What time it is. For tests: a [`ManualClock`](crate::clock::ManualClock).
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Names the structs whose keys these sessions hold, so that two that store under one key are found
    /// when the application is compiled. Where middlewares are nested, the handle to a struct that is named
    /// here comes from this one.
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
        const { assert_no_clash(D::SETS) };
        if let Err(clash) = D::claim(&self.claims) {
            // With a set that an earlier call named.
            self.clash.get_or_insert(clash);
        }
        self.declared.extend(D::types());
        self
    }

    /// Checks the settings and makes the sessions.
    ///
    /// # Errors
    /// [`BuildError`] names the setting that is wrong, or the two that contradict each other.
    pub fn build(self) -> Result<Sessions, BuildError> {
        self.config.check()?;
        if let Some(clash) = self.clash {
            return Err(clash.into());
        }
        let engine = Engine {
            store: self.store,
            clock: self.clock,
            expiry: self.config.expiry(),
            limits: self.config.limits(),
            rotation: self.config.rotation(),
            new_id: self.new_id,
            claims: self.claims,
            queues: Queues::default(),
            writers: Queues::default(),
            ends: broadcast::channel(64).0,
        };
        Ok(Sessions::new(Web {
            engine: Arc::new(engine),
            sources: Sources::new(self.config.id_from)?,
            cookie_name: self.config.cookie.full_name(),
            cookie: self.config.cookie,
            skip: self.skip,
            on_error: self.on_error,
            clear_site_data: SiteData::value(&self.config.clear_site_data),
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

/// A struct of session keys, or a tuple of up to eight: see [`SessionsBuilder::data`].
pub trait DataSet {
    #[doc(hidden)]
    const SETS: &'static [(&'static str, &'static [Field])];

    #[doc(hidden)]
    #[allow(private_interfaces)]
    fn claim(claims: &Claims) -> Result<(), KeyClash>;

    #[doc(hidden)]
    fn types() -> Vec<TypeId>;
}

#[allow(private_interfaces)]
impl<S: SessionData> DataSet for S {
    const SETS: &'static [(&'static str, &'static [Field])] = &[(S::NAME, S::FIELDS)];

    fn claim(claims: &Claims) -> Result<(), KeyClash> {
        claims.claim::<S>()
    }

    fn types() -> Vec<TypeId> {
        vec![TypeId::of::<S>()]
    }
}

macro_rules! tuple {
    ($($part:ident)+) => {
        #[allow(private_interfaces)]
        impl<$($part: SessionData),+> DataSet for ($($part,)+) {
            const SETS: &'static [(&'static str, &'static [Field])] =
                &[$(($part::NAME, $part::FIELDS)),+];

            fn claim(claims: &Claims) -> Result<(), KeyClash> {
                $(claims.claim::<$part>()?;)+
                Ok(())
            }

            fn types() -> Vec<TypeId> {
                vec![$(TypeId::of::<$part>()),+]
            }
        }
    };
}

tuple!(A);
tuple!(A B);
tuple!(A B C);
tuple!(A B C D);
tuple!(A B C D E);
tuple!(A B C D E F);
tuple!(A B C D E F G);
tuple!(A B C D E F G H);

const fn same(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    if a.len() != b.len() {
        return false;
    }
    let mut i = 0;
    while i < a.len() {
        if a[i] != b[i] {
            return false;
        }
        i += 1;
    }
    true
}

/// The name number `i` of a field: its own, then its aliases.
const fn name(field: &Field, i: usize) -> &'static str {
    if i == 0 {
        field.name()
    } else {
        field.aliases()[i - 1]
    }
}

/// A text put together while compiling, for the message of a failed check.
struct Text {
    bytes: [u8; 512],
    len: usize,
}

impl Text {
    const fn push(mut self, text: &str) -> Self {
        let bytes = text.as_bytes();
        let mut i = 0;
        while i < bytes.len() && self.len < self.bytes.len() {
            self.bytes[self.len] = bytes[i];
            self.len += 1;
            i += 1;
        }
        self
    }

    const fn as_str(&self) -> &str {
        match std::str::from_utf8(self.bytes.split_at(self.len).0) {
            Ok(text) => text,
            Err(_) => "two structs claim one session key",
        }
    }
}

/// Fails to compile where two of the sets have a name in common.
const fn assert_no_clash(sets: &[(&'static str, &'static [Field])]) {
    let mut a = 0;
    while a < sets.len() {
        let mut b = a + 1;
        while b < sets.len() {
            if let Some(key) = common_name(sets[a].1, sets[b].1) {
                let text = Text {
                    bytes: [0; 512],
                    len: 0,
                }
                .push("session key `")
                .push(key)
                .push("` is claimed by `")
                .push(sets[a].0)
                .push("` and by `")
                .push(sets[b].0)
                .push("`; give one of them another `namespace`, or the field a `rename`");
                panic!("{}", text.as_str());
            }
            b += 1;
        }
        a += 1;
    }
}

const fn common_name(one: &[Field], other: &[Field]) -> Option<&'static str> {
    let mut i = 0;
    while i < one.len() {
        let mut n = 0;
        while n <= one[i].aliases().len() {
            let mut j = 0;
            while j < other.len() {
                let mut m = 0;
                while m <= other[j].aliases().len() {
                    if same(name(&one[i], n), name(&other[j], m)) {
                        return Some(name(&one[i], n));
                    }
                    m += 1;
                }
                j += 1;
            }
            n += 1;
        }
        i += 1;
    }
    None
}
