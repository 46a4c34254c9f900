//! A custom store, here a map behind a lock. Its test runs the conformance suite for stores.
//!
//! ```sh
//! cargo run --bin custom_store
//! cargo test -p poem-session-examples --bin custom_store   # runs the conformance suite
//!
//! curl -c jar -b jar http://127.0.0.1:3000/                 # Visit 1.
//! curl -c jar -b jar http://127.0.0.1:3000/                 # Visit 2.
//! ```

use std::{
    collections::HashMap,
    error::Error,
    future::ready,
    sync::{Mutex, PoisonError},
};

use poem::{EndpointExt, Route, get};
use poem_session::{
    PublicId, Session, SessionData, Sessions,
    clock::Timestamp,
    session,
    store::{
        Created, LockOwner, Locked, Rename, Replaced, SessionStore, StoreError, StoreErrorKind,
        StoreFuture, Stored, Version, Write,
    },
};
use poem_session_examples::serve;

/// A record with its lease: the owner and the time when the lease expires.
type Slot = (Stored, Option<(LockOwner, Timestamp)>);

#[derive(Default)]
struct MapStore(Mutex<HashMap<PublicId, Slot>>);

impl std::fmt::Debug for MapStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MapStore")
    }
}

impl MapStore {
    /// Runs `work` on the map while it holds the lock. The returned future is ready immediately.
    fn at_once<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut HashMap<PublicId, Slot>) -> Result<T, StoreError>,
    ) -> StoreFuture<'static, T> {
        let mut map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Box::pin(ready(work(&mut map)))
    }
}

fn slot(write: Write, version: Version) -> Slot {
    let stored = Stored {
        data: write.data,
        version,
        expires_at: write.expires_at,
    };
    (stored, None)
}

/// The live record under a key. An expired record counts as missing.
fn live(map: &mut HashMap<PublicId, Slot>, key: PublicId, now: Timestamp) -> Option<&mut Slot> {
    map.get_mut(&key)
        .filter(|(stored, _)| now < stored.expires_at)
}

impl SessionStore for MapStore {
    fn load(&self, key: PublicId, now: Timestamp) -> StoreFuture<'_, Option<Stored>> {
        self.at_once(|map| Ok(live(map, key, now).map(|(stored, _)| stored.clone())))
    }

    fn create(&self, key: PublicId, write: Write, now: Timestamp) -> StoreFuture<'_, Created> {
        self.at_once(|map| {
            if live(map, key, now).is_some() {
                return Ok(Created::Exists);
            }
            map.insert(key, slot(write, Version::FIRST));
            Ok(Created::Created(Version::FIRST))
        })
    }

    fn replace(
        &self,
        key: PublicId,
        expected: Version,
        write: Write,
        now: Timestamp,
    ) -> StoreFuture<'_, Replaced> {
        self.at_once(|map| {
            Ok(match live(map, key, now) {
                None => Replaced::Gone,
                Some((stored, _)) if stored.version != expected => {
                    Replaced::Conflict(stored.clone())
                }
                Some((stored, _)) => {
                    *stored = slot(write, expected.next()).0;
                    Replaced::Replaced(stored.version)
                }
            })
        })
    }

    fn touch(
        &self,
        key: PublicId,
        expected: Version,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> StoreFuture<'_, bool> {
        self.at_once(|map| {
            let found = live(map, key, now).filter(|(stored, _)| stored.version == expected);
            Ok(found.is_some_and(|(stored, _)| {
                stored.expires_at = stored.expires_at.max(expires_at);
                true
            }))
        })
    }

    fn rename(&self, rename: Rename, now: Timestamp) -> StoreFuture<'_, Replaced> {
        self.at_once(|map| {
            match live(map, rename.from, now) {
                None => return Ok(Replaced::Gone),
                Some((stored, _)) if stored.version != rename.expected => {
                    return Ok(Replaced::Conflict(stored.clone()));
                }
                Some(_) => {}
            }
            if live(map, rename.to, now).is_some() {
                let action = "renaming a session to the key of a live one";
                return Err(StoreError::new(StoreErrorKind::Corrupt, action));
            }
            let version = rename.expected.next();
            map.insert(rename.from, slot(rename.leave, version));
            map.insert(rename.to, slot(rename.write, version));
            Ok(Replaced::Replaced(version))
        })
    }

    fn delete_expired(&self, limit: usize, now: Timestamp) -> StoreFuture<'_, usize> {
        self.at_once(|map| {
            let expired = map
                .iter()
                .filter(|(_, (stored, _))| stored.expires_at <= now);
            let keys: Vec<_> = expired.map(|(key, _)| *key).take(limit).collect();
            for key in &keys {
                map.remove(key);
            }
            Ok(keys.len())
        })
    }

    fn clear(&self) -> StoreFuture<'_, ()> {
        self.at_once(|map| {
            map.clear();
            Ok(())
        })
    }

    fn lock(
        &self,
        key: PublicId,
        owner: LockOwner,
        until: Timestamp,
        now: Timestamp,
    ) -> StoreFuture<'_, Locked> {
        self.at_once(|map| {
            Ok(match live(map, key, now) {
                None => Locked::Gone,
                Some((_, Some((holder, end)))) if *holder != owner && now < *end => Locked::Held,
                Some((stored, lease)) => {
                    // Another owner takes the lock over. The new version makes late writes of the previous
                    // owner conflict.
                    if lease.is_some_and(|(holder, _)| holder != owner) {
                        stored.version = stored.version.next();
                    }
                    *lease = Some((owner, until));
                    Locked::Acquired
                }
            })
        })
    }

    fn unlock(&self, key: PublicId, owner: LockOwner) -> StoreFuture<'_, bool> {
        self.at_once(|map| {
            let lease = map.get_mut(&key).map(|(_, lease)| lease);
            let ours = lease.and_then(|lease| lease.take_if(|(holder, _)| *holder == owner));
            Ok(ours.is_some())
        })
    }
}

#[derive(SessionData)]
struct Visitor {
    #[session(default)]
    visits: u64,
}

#[session]
async fn hello(visitor: Session<Visitor>) -> poem::Result<String> {
    visitor.update_visits(|visits| *visits += 1)?;
    Ok(format!("Visit {}.\n", visitor.visits()?))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let sessions = Sessions::builder(MapStore::default()).build()?;
    let app = Route::new().at("/", get(hello)).with(sessions);
    Ok(serve(app).await?)
}

#[cfg(test)]
mod tests {
    use poem_session::conformance::Suite;

    use super::MapStore;

    /// Conformance 6.1, 6.2, 6.3, 6.4, 6.5, 6.6, 6.7, 6.9
    #[tokio::test(flavor = "multi_thread")]
    async fn it_keeps_the_contract() {
        Suite::new("custom_store", |_| async { MapStore::default() })
            .in_one_process()
            .run()
            .await
            .assert();
    }
}
