//! Direct calls of a store.

use std::time::Duration;

use poem_session::{
    PublicId, SessionId,
    clock::{Clock as _, SystemClock, Timestamp},
    store::{Created, LockOwner, Rename, Replaced, SessionStore, StoreError, Version, Write},
};

use crate::eventually;

/// Returns a new key.
pub fn key() -> PublicId {
    SessionId::random().public()
}

/// Returns the current time.
pub fn now() -> Timestamp {
    SystemClock.now()
}

/// Returns a write that expires after half an hour.
pub fn write(data: impl Into<Vec<u8>>) -> Write {
    Write::new(data.into(), now().saturating_add(Duration::from_mins(30)))
}

/// Creates a record.
pub async fn create(
    store: &(impl SessionStore + ?Sized),
    data: impl Into<Vec<u8>>,
) -> (PublicId, Version) {
    let key = key();
    match store.create(key, write(data), now()).await {
        Ok(Created::Created(version)) => (key, version),
        other => panic!("create returned {other:?}"),
    }
}

/// Creates a record that has expired an hour ago, and returns its key.
pub async fn create_expired(store: &(impl SessionStore + ?Sized)) -> PublicId {
    let key = key();
    let hour = Duration::from_hours(1);
    let write = Write::new("expired", now().saturating_sub(hour));
    match store
        .create(key, write, now().saturating_sub(2 * hour))
        .await
    {
        Ok(Created::Created(_)) => key,
        other => panic!("create returned {other:?}"),
    }
}

/// Loads the data of a record.
pub async fn data(store: &(impl SessionStore + ?Sized), key: PublicId) -> Option<Vec<u8>> {
    let stored = store.load(key, now()).await.expect("a load that works");
    stored.map(|stored| stored.data.to_vec())
}

/// Returns the version of a successful write.
pub fn replaced(result: Result<Replaced, StoreError>) -> Version {
    match result {
        Ok(Replaced::Replaced(version)) => version,
        other => panic!("the write returned {other:?}"),
    }
}

/// Makes each call on one record. The order is load, create, lock, unlock, touch, replace, rename.
pub async fn call_all(
    store: &(impl SessionStore + ?Sized),
    key: PublicId,
    version: Version,
    data: &str,
) -> [Result<(), StoreError>; 7] {
    let (owner, until) = (LockOwner::random(), write("").expires_at);
    let load = store.load(key, now()).await.map(drop);
    let create = store.create(key, write(data), now()).await.map(drop);
    let lock = store.lock(key, owner, until, now()).await.map(drop);
    let unlock = store.unlock(key, owner).await.map(drop);
    let touch = store.touch(key, version, until, now()).await.map(drop);
    let replace = store.replace(key, version, write(data), now()).await;
    let version = match replace {
        Ok(Replaced::Replaced(version)) => version,
        _ => version,
    };
    let rename = Rename::new(key, version, self::key(), write(data), write(data));
    let rename = store.rename(rename, now()).await.map(drop);
    [load, create, lock, unlock, touch, replace.map(drop), rename]
}

/// Waits until the store works again.
pub async fn recovery(store: &(impl SessionStore + ?Sized)) {
    eventually("the store works again", async || {
        store.load(key(), now()).await.ok()
    })
    .await;
}
