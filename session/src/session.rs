//! [`Session`]: what a handler holds.

use std::{
    fmt,
    marker::PhantomData,
    ops::Deref,
    sync::Arc,
    time::{Duration, SystemTime},
};

use crate::{
    active::{ActiveSession, Plan},
    changes::Step,
    error::{GetError, LoadError, LockError, SaveError, SetError, UpdateError},
    id::{PublicId, SessionId},
    key::{Absence, EncodedField, Encoder, Field, Key, SessionData},
    lock::SessionLock,
};

/// The session of a request, with the keys of `S`.
///
/// As a handler's parameter it is the session of that request; from [`Sessions::open`] and
/// [`Sessions::create`] it is one outside of a request, to be saved with [`save`](Self::save). It is
/// cheap to clone, and all clones, also those with the keys of another struct, are the same session.
///
/// `#[derive(SessionData)]` gives each field five methods, here for a field `cart: Vec<Item>` with a
/// default: `cart()`, `set_cart(value)`, `update_cart(closure)`, `remove_cart()` and `take_cart()`.
/// [`get`](Self::get), [`set`](Self::set) and so on do the same through the keys.
///
/// Nothing is written until the handler has returned. Then the changed *fields* are, in one write; where
/// another request changed the session meanwhile, the changes of both survive.
///
/// ```
/// use poem::{handler, web::Redirect};
/// use poem_session::{Session, SessionData};
///
/// #[derive(SessionData)]
/// struct Visits {
///     #[session(default)]
///     count: u64,
/// }
///
/// #[handler]
/// async fn index(session: Session<Visits>) -> poem::Result<String> {
///     session.update_count(|count| *count += 1)?;
///     Ok(format!("visit {}", session.count()?))
/// }
/// ```
///
/// [`Sessions::open`]: crate::Sessions::open
/// [`Sessions::create`]: crate::Sessions::create
pub struct Session<S: SessionData> {
    fields: S::Fields,
}

/// What the derive's methods work on.
#[doc(hidden)]
pub struct Handle<S> {
    active: Arc<ActiveSession>,
    marker: PhantomData<fn() -> S>,
}

/// The derive's struct of typed methods: a [`Handle`] in a coat.
#[doc(hidden)]
pub trait Fields<S>: Send + Sync + 'static {
    fn new(handle: Handle<S>) -> Self;
    fn handle(&self) -> &Handle<S>;
}

impl<S: SessionData> Session<S> {
    pub(crate) fn new(active: Arc<ActiveSession>) -> Self {
        Self {
            fields: S::Fields::new(Handle::new(active)),
        }
    }

    fn active(&self) -> &Arc<ActiveSession> {
        &self.fields.handle().active
    }

    /// The value of a key: `Option<T>` for a field that is one, else `T`, its default where nothing is
    /// stored. Reading a flash key removes it.
    ///
    /// # Errors
    /// [`GetError::Decode`] where what is stored is of another type.
    pub fn get<T, A: Absence<T>>(&self, key: Key<S, T, A>) -> Result<A::Read, GetError> {
        self.fields.handle().get(key)
    }

    /// Sets a key. Setting what is stored already changes nothing.
    ///
    /// # Errors
    /// [`SetError`] where the value does not serialize or the session would grow too large; it is then
    /// as it was.
    pub fn set<T, A: Absence<T>>(&self, key: Key<S, T, A>, value: T) -> Result<(), SetError> {
        self.fields.handle().set(key, value)
    }

    /// Changes the value of a key. Where another request changed it meanwhile, the closure runs again, on
    /// that newer value, so that neither change is lost: it should do nothing else than change the value.
    ///
    /// # Errors
    /// [`UpdateError`] where the value so far does not decode or the new one cannot be set; the session is
    /// then as it was.
    pub fn update<T: 'static, A: Absence<T>>(
        &self,
        key: Key<S, T, A>,
        change: impl FnMut(&mut A::Read) + Send + 'static,
    ) -> Result<(), UpdateError> {
        self.fields.handle().update(key, change)
    }

    /// Removes a key.
    pub fn remove<T, A: Absence<T>>(&self, key: Key<S, T, A>) {
        self.fields.handle().remove(key);
    }

    /// Reads a key and removes what was read. A value that another request sets meanwhile stays.
    ///
    /// # Errors
    /// [`GetError::Decode`] where what is stored is of another type; it is then left as it is.
    pub fn take<T, A: Absence<T>>(&self, key: Key<S, T, A>) -> Result<A::Read, GetError> {
        self.fields.handle().take(key)
    }

    /// Whether anything is stored under a key. Does not count as reading a flash key.
    pub fn contains<T, A>(&self, key: Key<S, T, A>) -> bool {
        self.active().value(key.field()).is_some()
    }

    /// The names of those keys of `S` under which something is stored.
    pub fn keys(&self) -> Vec<&'static str> {
        S::FIELDS
            .iter()
            .filter(|field| self.active().value(**field).is_some())
            .map(Field::name)
            .collect()
    }

    /// The id that the client will hold once this session has been saved. It is a secret.
    ///
    /// Where the request came by an id that was renewed on schedule a moment ago, it is that older one.
    pub fn id(&self) -> SessionId {
        self.active().id()
    }

    /// The name by which logs, admin pages and [`Sessions::revoke`](crate::Sessions::revoke) know it.
    pub fn public_id(&self) -> PublicId {
        self.active().public_id()
    }

    /// Whether the request brought no live session, or it was left behind by
    /// [`reset`](Self::reset) or [`destroy`](Self::destroy).
    pub fn is_fresh(&self) -> bool {
        self.active().state().fresh
    }

    /// When it began; `None` before it is saved for the first time.
    pub fn created_at(&self) -> Option<SystemTime> {
        self.active().created_at().map(SystemTime::from)
    }

    /// When it ends if it is not used again after this request; `None` before it is saved for the first
    /// time.
    pub fn expires_at(&self) -> Option<SystemTime> {
        self.active().expires_at().map(SystemTime::from)
    }

    /// Gives this session an idle timeout of its own from now on, at least a second: "remember me". The
    /// absolute timeout stays. A visitor who has no session is not given one by this alone.
    pub fn set_idle_timeout(&self, timeout: Duration) {
        self.active().set_idle_timeout(timeout);
    }

    /// Moves the session to a new id, with all its data and its absolute deadline: do this whenever a
    /// visitor's rights change, above all at sign-in. From the moment it is saved the old id leads nowhere.
    ///
    /// OWASP Session Management Cheat Sheet, "Renew the Session ID After Any Privilege Level Change".
    pub fn regenerate(&self) {
        self.active().regenerate();
    }

    /// Ends the session and begins another, empty one with a new id and a new absolute deadline.
    pub fn reset(&self) {
        self.active().leave(Plan::Reset);
    }

    /// Ends the session: its record goes and the client is told to forget the id. What is set afterwards,
    /// such as a notice for the next page, begins a new session; but where another request has signed out
    /// first, as when somebody clicks twice, a flash value goes with the old one and other values are refused
    /// ([`SaveError::Ended`]), since that request's response has told the client how it goes on.
    pub fn destroy(&self) {
        self.active().leave(Plan::Destroy);
    }

    /// Saves now, and not only after the handler: for streams and WebSockets, and outside of requests.
    ///
    /// Where a handler has saved early and nothing is left to be saved when it returns, the store is asked once
    /// more whether the id is still the session's newest: another response may have told the client another
    /// one by then.
    ///
    /// # Errors
    /// [`SaveError`]. Nothing is half saved, and what was not saved can be saved again.
    pub async fn save(&self) -> Result<(), SaveError> {
        self.active().save().await
    }

    /// Locks the session: waits until no other request or job holds it, and reads it again. Requests that do
    /// not lock it are not held up, and their changes are merged as ever. For a whole handler write
    /// `#[session(exclusive)]`.
    ///
    /// The lock is a lease in the store, renewed until the returned guard is dropped. Save before that. After a
    /// crash it ends by time ([`SessionsBuilder::lock_lease`](crate::SessionsBuilder::lock_lease)).
    ///
    /// # Errors
    /// [`LockError::TimedOut`] where others held it for as long as
    /// [`SessionsBuilder::lock_wait`](crate::SessionsBuilder::lock_wait), [`LockError::Ended`] where it has
    /// ended, [`LockError::Load`] where the store does not answer.
    pub async fn lock(&self) -> Result<SessionLock, LockError> {
        self.active().lock().await
    }

    /// Waits until the session has ended elsewhere: signed out, regenerated, revoked or expired. For streams
    /// and WebSockets, to end with it. An end in this process is seen at once, one in another within
    /// [`SessionsBuilder::watch_every`](crate::SessionsBuilder::watch_every).
    pub async fn ended(&self) {
        self.active().ended().await;
    }

    /// Reads the stored session again, as another request may have changed it. Changes that were made here
    /// and not saved yet stay on top. What outlives many requests, such as a WebSocket, does this now and then:
    /// where ids are renewed on schedule, the way from an old id to the newest one is not kept for ever.
    ///
    /// # Errors
    /// [`LoadError`] where the store does not answer; the session is then as it was.
    pub async fn reload(&self) -> Result<(), LoadError> {
        self.active().reload().await
    }
}

impl<S: SessionData> Clone for Session<S> {
    fn clone(&self) -> Self {
        Self::new(Arc::clone(self.active()))
    }
}

impl<S: SessionData> Deref for Session<S> {
    type Target = S::Fields;

    fn deref(&self) -> &S::Fields {
        &self.fields
    }
}

impl<S: SessionData> fmt::Debug for Session<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("data", &S::NAME)
            .field("id", &self.public_id())
            .finish_non_exhaustive()
    }
}

#[doc(hidden)]
impl<S: SessionData> Handle<S> {
    pub(crate) fn new(active: Arc<ActiveSession>) -> Self {
        Self {
            active,
            marker: PhantomData,
        }
    }

    #[allow(clippy::missing_errors_doc)] // documented on `Session`, as are the next four
    pub fn get<T, A: Absence<T>>(&self, key: Key<S, T, A>) -> Result<A::Read, GetError> {
        if key.field().is_flash() {
            return self.take(key);
        }
        read(key, self.active.value(key.field()).as_deref())
    }

    #[allow(clippy::missing_errors_doc, clippy::needless_pass_by_value)]
    pub fn set<T, A: Absence<T>>(&self, key: Key<S, T, A>, value: T) -> Result<(), SetError> {
        let value = key.encode(&value)?;
        self.active.put(key.field(), Some(value))
    }

    #[allow(clippy::missing_errors_doc)]
    pub fn update<T: 'static, A: Absence<T>>(
        &self,
        key: Key<S, T, A>,
        mut change: impl FnMut(&mut A::Read) + Send + 'static,
    ) -> Result<(), UpdateError> {
        let step: Step = Box::new(move |before| {
            let encode =
                |value: A::Read| A::stored(value).map(|value| key.encode(&value)).transpose();
            let mut value = read(key, before.map(|bytes| &**bytes))?;
            change(&mut value);
            let after = encode(value)?;
            // A default that is left as it is, is left absent.
            if before.is_none() && after == encode(read(key, None)?)? {
                return Ok(None);
            }
            Ok(after)
        });
        self.active.update(key.field(), step)
    }

    pub fn remove<T, A>(&self, key: Key<S, T, A>) {
        self.active
            .put(key.field(), None)
            .expect("removing is within every size limit");
    }

    #[allow(clippy::missing_errors_doc)]
    pub fn take<T, A: Absence<T>>(&self, key: Key<S, T, A>) -> Result<A::Read, GetError> {
        // Decoded first: what cannot be read is not thrown away.
        let value = read(key, self.active.value(key.field()).as_deref())?;
        self.active.take(key.field());
        Ok(value)
    }
}

fn read<S, T, A: Absence<T>>(
    key: Key<S, T, A>,
    stored: Option<&[u8]>,
) -> Result<A::Read, GetError> {
    let stored = match stored {
        Some(bytes) => Some(key.decode(bytes)?),
        None => None,
    };
    Ok(A::read(stored, key.default_value()))
}

/// A plain struct made from a session, whose changed fields are written back: `&mut S` in a handler.
#[doc(hidden)]
pub struct Edit<S> {
    handle: Handle<S>,
    value: S,
    before: Vec<EncodedField>,
}

#[doc(hidden)]
impl<S: SessionData> Edit<S> {
    #[allow(clippy::missing_errors_doc)]
    pub(crate) fn begin(active: Arc<ActiveSession>) -> Result<Self, UpdateError> {
        let handle = Handle::new(active);
        let value = S::read(&handle)?;
        let before = encoded(&value)?;
        Ok(Self {
            handle,
            value,
            before,
        })
    }

    /// Sets the fields that are not as they were.
    pub(crate) fn write_back(self) -> Result<(), SetError> {
        for (before, (field, after)) in self.before.into_iter().zip(encoded(&self.value)?) {
            if before.1 != after {
                self.handle.active.put(field, after)?;
            }
        }
        Ok(())
    }
}

#[doc(hidden)]
impl<S> Edit<S> {
    pub fn value(&mut self) -> &mut S {
        &mut self.value
    }
}

fn encoded<S: SessionData>(value: &S) -> Result<Vec<EncodedField>, SetError> {
    let mut fields = Vec::with_capacity(S::FIELDS.len());
    value.encode(&mut Encoder(&mut fields))?;
    Ok(fields)
}
