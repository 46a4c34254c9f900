//! Sessions without a framework: the handle of a handler, the session of a request, and the operations on all
//! sessions.

mod carriers;
mod data;
mod edit;
mod found;
mod handle;
mod manager;
mod request;

use std::{
    fmt,
    ops::Deref,
    sync::Arc,
    time::{Duration, SystemTime},
};

pub(crate) use self::carriers::Carriers;
pub use self::{
    data::{DataSet, SessionData},
    edit::{Edit, Encoder},
    found::{Found, FoundIds},
    handle::{Fields, Handle},
    manager::{Manager, Sweeper},
    request::{AfterHandler, Finished, Outcome, RequestGuard, RequestSession},
};
use crate::{
    engine::{self, ActiveSession, SessionLock},
    error::{GetError, LockError, ReloadError, SaveError, SetError, UpdateError},
    field::Field,
    id::{PublicId, SessionId},
    key::{Absence, Key},
};

/// A session, with the keys of `S`.
///
/// As a parameter of a handler it is the session of the request. [`Sessions::open`] and [`Sessions::create`]
/// return one outside of a request, which [`save`](Self::save) stores. It is cheap to clone. All clones are the
/// same session, and so are the handles of other structs in the same request.
///
/// `#[derive(SessionData)]` generates five methods for each field, here for a field `cart: Vec<Item>` with a
/// default: `cart()`, `set_cart(value)`, `update_cart(closure)`, `remove_cart()` and `take_cart()`.
/// [`get`](Self::get), [`set`](Self::set) and so on do the same with the keys.
///
/// The changed *fields* are written once, after the handler has returned. If another request has changed the
/// session meanwhile, the changes of both are kept.
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

impl<S: SessionData> Session<S> {
    pub(crate) fn new(active: Arc<ActiveSession>) -> Self {
        Self {
            fields: S::Fields::new(Handle::new(active)),
        }
    }

    fn active(&self) -> &Arc<ActiveSession> {
        self.fields.handle().active()
    }

    /// Returns the value of a key: `Option<T>` for a field that is an `Option`, else `T`, or its default if
    /// nothing is stored. Reading a flash key removes it.
    ///
    /// # Errors
    /// [`GetError::Decode`] if the stored value is of another type.
    pub fn get<T, A: Absence<T>>(&self, key: Key<S, T, A>) -> Result<A::Read, GetError> {
        self.fields.handle().get(key)
    }

    /// Sets a key. Setting the stored value writes nothing by itself. If another request has changed the key
    /// meanwhile and this one writes, the value set here replaces the newer one.
    ///
    /// # Errors
    /// [`SetError`] if the value does not serialize or the session would become too large. The session is then
    /// unchanged.
    pub fn set<T, A: Absence<T>>(&self, key: Key<S, T, A>, value: T) -> Result<(), SetError> {
        self.fields.handle().set(key, value)
    }

    /// Changes the value of a key. If another request has changed it meanwhile, the closure runs again on the
    /// newer value, so that neither change is lost. The closure should have no other effect than to change the
    /// value.
    ///
    /// # Errors
    /// [`UpdateError`] if the previous value does not decode or the new one cannot be set. The session is then
    /// unchanged.
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

    /// Removes a key and returns its value. A value that another request sets meanwhile is kept.
    ///
    /// # Errors
    /// [`GetError::Decode`] if the stored value is of another type. The value is then kept.
    pub fn take<T, A: Absence<T>>(&self, key: Key<S, T, A>) -> Result<A::Read, GetError> {
        self.fields.handle().take(key)
    }

    /// Returns whether a value is stored under a key. This does not count as reading a flash key.
    pub fn contains<T, A>(&self, key: Key<S, T, A>) -> bool {
        self.active().value(key.field()).is_some()
    }

    /// Returns the names of the keys of `S` under which a value is stored.
    pub fn keys(&self) -> Vec<&'static str> {
        S::FIELDS
            .iter()
            .filter(|field| self.active().value(**field).is_some())
            .map(Field::name)
            .collect()
    }

    /// Returns the id that the client will hold once the session is saved. It is a secret.
    ///
    /// A client whose id is in a read-only [`IdSource`](crate::IdSource), such as a bearer token, is sent a new id by the
    /// handler alone: return this one.
    pub fn id(&self) -> SessionId {
        self.active().id()
    }

    /// Returns the public id, which logs, admin pages and [`Sessions::revoke`](crate::Sessions::revoke) use.
    pub fn public_id(&self) -> PublicId {
        self.active().public_id()
    }

    /// Returns whether the session is new: the request presented no live session, or has left it by
    /// [`reset`](Self::reset) or [`destroy`](Self::destroy).
    pub fn is_new(&self) -> bool {
        self.active().lifecycle().is_new()
    }

    /// Returns when the session was created, or `None` before it is saved for the first time.
    pub fn created_at(&self) -> Option<SystemTime> {
        let created_at = self.active().lifecycle().created_at();
        created_at.map(SystemTime::from)
    }

    /// Returns when the session expires if it is not used again after this request, or `None` before it is
    /// saved for the first time.
    pub fn expires_at(&self) -> Option<SystemTime> {
        self.active().expires_at().map(SystemTime::from)
    }

    /// Gives this session an idle timeout of its own, at least a second, as for "remember me". The absolute
    /// timeout stays the same. This alone does not create a session for a visitor without one.
    pub fn set_idle_timeout(&self, timeout: Duration) {
        self.active().set_idle_timeout(timeout);
    }

    /// Moves the session to a new id, with all its data and its absolute deadline. Do this whenever the rights
    /// of a visitor change, above all at sign-in. When the session is saved, the old id becomes invalid.
    ///
    /// OWASP Session Management Cheat Sheet, "Renew the Session ID After Any Privilege Level Change".
    pub fn regenerate(&self) {
        self.active().lifecycle().regenerate();
    }

    /// Ends the session and creates an empty one with a new id and a new absolute deadline.
    pub fn reset(&self) {
        self.active().lifecycle().reset();
    }

    /// Destroys the session: removes its data and clears the id in the client. A value that is set afterwards,
    /// such as a notice for the next page, starts a new session.
    ///
    /// If another request has destroyed the session first, as after a double click, a new session cannot
    /// start: the response of the other request has already set the client's id. A flash value is then dropped,
    /// and saving another value returns [`SaveError::Ended`].
    ///
    /// If the store has no space for the new session, this one ends even so, and the save returns
    /// [`SaveError::Store`]: see [`store`](crate::store#when-a-store-is-full).
    pub fn destroy(&self) {
        self.active().lifecycle().destroy();
    }

    /// Saves the session now, and not only after the handler: for streams, WebSockets and jobs.
    ///
    /// After an early save, the store is asked once more when the handler returns without further changes:
    /// another response may have set a newer id in the client by then.
    ///
    /// # Errors
    /// [`SaveError`]. Nothing is half saved, and a later save tries the same changes again.
    pub async fn save(&self) -> Result<(), SaveError> {
        engine::save(self.active()).await
    }

    /// Locks the session: waits until no other request or job holds the lock, and loads the session again.
    /// Requests that do not lock it do not wait, and their changes are merged as usual. To lock a whole handler,
    /// write `#[session(exclusive)]`.
    ///
    /// The lock is a lease in the store, which is renewed until the returned guard is dropped. If there are unsaved
    /// changes then, the lock lasts until they are saved, at the latest until the end of the request. After a crash of the holder, the lease expires
    /// ([`SessionConfig::lock_lease`](crate::SessionConfig::lock_lease)).
    ///
    /// # Errors
    /// [`LockError::TimedOut`] if others held the lock for
    /// [`SessionConfig::lock_timeout`](crate::SessionConfig::lock_timeout), [`LockError::Ended`] if the session
    /// has ended, [`LockError::Load`] if the store returns an error.
    pub async fn lock(&self) -> Result<SessionLock, LockError> {
        engine::lock(self.active()).await
    }

    /// Waits until the session has ended elsewhere: destroyed, regenerated, revoked or expired. A stream or
    /// WebSocket can end with its session this way. An end in this process is seen at once, one in another
    /// process within [`SessionConfig::end_poll_interval`](crate::SessionConfig::end_poll_interval).
    pub async fn ended(&self) {
        engine::ended(self.active()).await;
    }

    /// Loads the stored session again, to see the changes of other requests. Unsaved changes of this request
    /// stay on top.
    ///
    /// A WebSocket or another long-lived user of a session should do this from time to time if ids are rotated:
    /// the forward from an old id to the newest one is stored for a limited time.
    ///
    /// This is not a use of the session, so it moves no timeout: a page that is only open does not keep its user
    /// signed in. [`save`](Self::save) is a use, also without changes. Call it when the user does something.
    ///
    /// # Errors
    /// [`ReloadError::Ended`] if the session has ended, [`ReloadError::Load`] if the store returns an error. The
    /// session is then unchanged.
    pub async fn reload(&self) -> Result<(), ReloadError> {
        self.active().reload().await?;
        if self.active().lifecycle().has_ended() {
            return Err(ReloadError::Ended);
        }
        Ok(())
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
