//! A store whose calls a test can delay or fail, before or after they are carried out.

use std::{fmt, future::Future, sync::Arc};

use poem_session::{
    PublicId,
    clock::Timestamp,
    store::{
        Created, LockOwner, Locked, Rename, Replaced, SessionStore, StoreError, StoreFuture,
        Stored, Version, Write,
    },
};

/// One call of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// [`SessionStore::load`] of this key.
    Load(PublicId),
    /// [`SessionStore::create`] under this key.
    Create(PublicId),
    /// [`SessionStore::replace`] under this key.
    Replace(PublicId),
    /// [`SessionStore::touch`] under this key.
    Touch(PublicId),
    /// [`SessionStore::rename`] of the first key to the second.
    Rename(PublicId, PublicId),
    /// [`SessionStore::delete_expired`].
    DeleteExpired,
    /// [`SessionStore::clear`].
    Clear,
    /// [`SessionStore::lock`] of this key.
    Lock(PublicId),
    /// [`SessionStore::unlock`] of this key.
    Unlock(PublicId),
}

/// Watches the calls of a store.
pub trait Watch: fmt::Debug + Send + Sync + 'static {
    /// Carries out `call` by awaiting `work`, and returns its reply. May fail before or after that.
    fn around<T: Send + 'static>(
        &self,
        call: Call,
        work: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> impl Future<Output = Result<T, StoreError>> + Send;
}

impl<W: Watch> Watch for Arc<W> {
    fn around<T: Send + 'static>(
        &self,
        call: Call,
        work: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> impl Future<Output = Result<T, StoreError>> + Send {
        W::around(self, call, work)
    }
}

/// A store whose calls `W` watches.
#[derive(Debug)]
pub struct Watched<W> {
    inner: Arc<dyn SessionStore>,
    watch: W,
}

impl<W: Watch> Watched<W> {
    /// Has `watch` watch the calls of `inner`.
    pub fn new(inner: Arc<dyn SessionStore>, watch: W) -> Self {
        Self { inner, watch }
    }
}

// The inner calls are made inside the futures, because a store may do its work as soon as it is called.
impl<W: Watch> SessionStore for Watched<W> {
    fn load(&self, key: PublicId, now: Timestamp) -> StoreFuture<'_, Option<Stored>> {
        let work = async move { self.inner.load(key, now).await };
        Box::pin(self.watch.around(Call::Load(key), work))
    }

    fn create(&self, key: PublicId, write: Write, now: Timestamp) -> StoreFuture<'_, Created> {
        let work = async move { self.inner.create(key, write, now).await };
        Box::pin(self.watch.around(Call::Create(key), work))
    }

    fn replace(
        &self,
        key: PublicId,
        expected: Version,
        write: Write,
        now: Timestamp,
    ) -> StoreFuture<'_, Replaced> {
        let work = async move { self.inner.replace(key, expected, write, now).await };
        Box::pin(self.watch.around(Call::Replace(key), work))
    }

    fn touch(
        &self,
        key: PublicId,
        expected: Version,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> StoreFuture<'_, bool> {
        let work = async move { self.inner.touch(key, expected, expires_at, now).await };
        Box::pin(self.watch.around(Call::Touch(key), work))
    }

    fn rename(&self, rename: Rename, now: Timestamp) -> StoreFuture<'_, Replaced> {
        let call = Call::Rename(rename.from, rename.to);
        let work = async move { self.inner.rename(rename, now).await };
        Box::pin(self.watch.around(call, work))
    }

    fn delete_expired(&self, limit: usize, now: Timestamp) -> StoreFuture<'_, usize> {
        let work = async move { self.inner.delete_expired(limit, now).await };
        Box::pin(self.watch.around(Call::DeleteExpired, work))
    }

    fn clear(&self) -> StoreFuture<'_, ()> {
        let work = async move { self.inner.clear().await };
        Box::pin(self.watch.around(Call::Clear, work))
    }

    fn lock(
        &self,
        key: PublicId,
        owner: LockOwner,
        until: Timestamp,
        now: Timestamp,
    ) -> StoreFuture<'_, Locked> {
        let work = async move { self.inner.lock(key, owner, until, now).await };
        Box::pin(self.watch.around(Call::Lock(key), work))
    }

    fn unlock(&self, key: PublicId, owner: LockOwner) -> StoreFuture<'_, bool> {
        let work = async move { self.inner.unlock(key, owner).await };
        Box::pin(self.watch.around(Call::Unlock(key), work))
    }
}
