//! A store that is some way off.

use std::{
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
};

use poem_session::{
    clock::Timestamp,
    id::PublicId,
    store::{
        Created, LockOwner, Locked, MemoryStore, Replaced, SessionStore, StoreError,
        StoreErrorKind, StoreFuture, Stored, Version, Write,
    },
};

/// One process's way to a memory store that several share. Whatever else there is to do may be done before a
/// call arrives, and before its answer is back.
#[derive(Debug)]
pub(crate) struct Distant {
    store: Arc<MemoryStore>,
    cut_off: AtomicBool,
}

impl Distant {
    pub(crate) fn new(store: Arc<MemoryStore>) -> Self {
        Self {
            store,
            cut_off: AtomicBool::new(false),
        }
    }

    /// From now on calls fail, or arrive again.
    pub(crate) fn cut_off(&self, cut_off: bool) {
        self.cut_off.store(cut_off, Ordering::Relaxed);
    }

    fn call<'a, T: Send + 'a>(
        &'a self,
        call: impl FnOnce(&'a MemoryStore) -> StoreFuture<'a, T> + Send + 'a,
    ) -> StoreFuture<'a, T> {
        Box::pin(async move {
            others_go_on().await;
            if self.cut_off.load(Ordering::Relaxed) {
                let action = "reaching a store that is cut off";
                return Err(StoreError::new(StoreErrorKind::Unavailable, action));
            }
            let answer = call(&self.store).await;
            others_go_on().await;
            answer
        })
    }
}

/// Lets the scheduler choose who goes on. This is no yield, which would say to it that there is nothing to do
/// here.
async fn others_go_on() {
    let mut asked = false;
    poll_fn(|context| {
        if asked {
            return Poll::Ready(());
        }
        asked = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

impl SessionStore for Distant {
    fn load(&self, key: PublicId, now: Timestamp) -> StoreFuture<'_, Option<Stored>> {
        self.call(move |store| store.load(key, now))
    }

    fn create(&self, key: PublicId, write: Write, now: Timestamp) -> StoreFuture<'_, Created> {
        self.call(move |store| store.create(key, write, now))
    }

    fn replace(
        &self,
        key: PublicId,
        expected: Version,
        write: Write,
        now: Timestamp,
    ) -> StoreFuture<'_, Replaced> {
        self.call(move |store| store.replace(key, expected, write, now))
    }

    fn touch(
        &self,
        key: PublicId,
        expected: Version,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> StoreFuture<'_, bool> {
        self.call(move |store| store.touch(key, expected, expires_at, now))
    }

    fn rename(
        &self,
        from: PublicId,
        expected: Version,
        to: PublicId,
        write: Write,
        leave: Option<Write>,
        now: Timestamp,
    ) -> StoreFuture<'_, Replaced> {
        self.call(move |store| store.rename(from, expected, to, write, leave, now))
    }

    fn delete(&self, key: PublicId, now: Timestamp) -> StoreFuture<'_, bool> {
        self.call(move |store| store.delete(key, now))
    }

    fn delete_expired(&self, limit: usize, now: Timestamp) -> StoreFuture<'_, usize> {
        self.call(move |store| store.delete_expired(limit, now))
    }

    fn clear(&self) -> StoreFuture<'_, ()> {
        self.call(SessionStore::clear)
    }

    fn lock(
        &self,
        key: PublicId,
        owner: LockOwner,
        until: Timestamp,
        now: Timestamp,
    ) -> StoreFuture<'_, Locked> {
        self.call(move |store| store.lock(key, owner, until, now))
    }

    fn unlock(&self, key: PublicId, owner: LockOwner) -> StoreFuture<'_, bool> {
        self.call(move |store| store.unlock(key, owner))
    }
}
