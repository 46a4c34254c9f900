//! A store that is full, and the requests that it refuses.

use std::sync::Arc;

use parking_lot::Mutex;
use poem_session::{
    PublicId,
    clock::Timestamp,
    store::{
        Created, LockOwner, Locked, RecordClass, Rename, Replaced, SessionStore, StoreError,
        StoreErrorKind, StoreFuture, Stored, Version, Write,
    },
};
use poem_session_tests::watched::Call;

use crate::{
    pending::Intent,
    request::{Request, View},
};

/// The space in a store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Space {
    #[default]
    Free,
    /// None for new sessions and for changes that enlarge a session, as in a `MemoryStore` at its limits.
    Full,
    /// None for moves to a new id either, as in a database whose disk is full.
    FullForMoves,
}

/// A store whose space the history decides.
///
/// A real one with a small capacity would also forget tombstones early, and then the requests of a history could
/// not tell an ended session from an unknown one.
#[derive(Debug)]
pub(crate) struct Bounded {
    inner: Arc<dyn SessionStore>,
    space: Arc<Mutex<Space>>,
}

impl Bounded {
    pub(crate) fn new(inner: Arc<dyn SessionStore>, space: Arc<Mutex<Space>>) -> Self {
        Self { inner, space }
    }

    fn space(&self) -> Space {
        *self.space.lock()
    }

    /// The record under `key`, if a write of it would be refused: it has this version, and the write enlarges it.
    async fn refuses_to_enlarge(
        &self,
        key: PublicId,
        expected: Version,
        write: &Write,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        if self.space() == Space::Free || write.class == RecordClass::Retired {
            return Ok(false);
        }
        let stored = self.inner.load(key, now).await?;
        let same = stored.filter(|stored| stored.version == expected);
        Ok(same.is_some_and(|stored| write.data.len() > stored.data.len()))
    }
}

fn full<T>() -> Result<T, StoreError> {
    let action = "writing to a full store under test";
    Err(StoreError::new(StoreErrorKind::Full, action))
}

impl SessionStore for Bounded {
    fn load(&self, key: PublicId, now: Timestamp) -> StoreFuture<'_, Option<Stored>> {
        self.inner.load(key, now)
    }

    fn create(&self, key: PublicId, write: Write, now: Timestamp) -> StoreFuture<'_, Created> {
        Box::pin(async move {
            if self.space() != Space::Free {
                return full();
            }
            self.inner.create(key, write, now).await
        })
    }

    fn replace(
        &self,
        key: PublicId,
        expected: Version,
        write: Write,
        now: Timestamp,
    ) -> StoreFuture<'_, Replaced> {
        Box::pin(async move {
            if self.refuses_to_enlarge(key, expected, &write, now).await? {
                return full();
            }
            self.inner.replace(key, expected, write, now).await
        })
    }

    fn touch(
        &self,
        key: PublicId,
        expected: Version,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> StoreFuture<'_, bool> {
        self.inner.touch(key, expected, expires_at, now)
    }

    fn rename(&self, rename: Rename, now: Timestamp) -> StoreFuture<'_, Replaced> {
        Box::pin(async move {
            if self.space() == Space::FullForMoves {
                return full();
            }
            self.inner.rename(rename, now).await
        })
    }

    fn delete_expired(&self, limit: usize, now: Timestamp) -> StoreFuture<'_, usize> {
        self.inner.delete_expired(limit, now)
    }

    fn clear(&self) -> StoreFuture<'_, ()> {
        self.inner.clear()
    }

    fn lock(
        &self,
        key: PublicId,
        owner: LockOwner,
        until: Timestamp,
        now: Timestamp,
    ) -> StoreFuture<'_, Locked> {
        self.inner.lock(key, owner, until, now)
    }

    fn unlock(&self, key: PublicId, owner: LockOwner) -> StoreFuture<'_, bool> {
        self.inner.unlock(key, owner)
    }
}

impl Request {
    /// The store is too full for this call. Nobody needs space to sign out, or to go on with an existing session.
    pub(crate) fn finds_no_space(&mut self, call: Call) -> Result<(), String> {
        let may_need_space = match call {
            Call::Create(_) => self.view == View::Nothing,
            Call::Replace(_) => !self.is_signing_out() && !self.ends_alone,
            Call::Rename(..) => true,
            _ => false,
        };
        if may_need_space {
            return Ok(());
        }
        Err("needs space in the store".to_owned())
    }

    /// The store was too full for this call. A session that was destroyed must end even so.
    pub(crate) fn had_no_space(&mut self, call: Call) {
        if matches!(call, Call::Rename(..)) && self.pending.intent == Intent::Destroy {
            self.ends_alone = true;
        } else {
            self.fails(call, true);
        }
    }

    /// The session has ended, and there was no space for the one that was to begin in its place.
    pub(crate) fn has_ended_alone(&mut self) {
        self.view = View::Nothing;
        self.pending.intent = Intent::Keep;
        self.client.must_forget();
    }
}
