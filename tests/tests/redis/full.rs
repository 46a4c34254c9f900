//! A server that has reached `maxmemory`.

use std::time::Duration;

use poem_session::{
    PublicId,
    store::{
        LockOwner, Locked, RecordClass, RedisStore, Rename, Replaced, SessionStore, StoreErrorKind,
        Version, Write,
    },
};
use poem_session_tests::{
    records::{create, data, key, now, replaced, write},
    servers::{Options, Server, redis},
};

use crate::{name, open};

/// A server whose memory is full, and a record on it that was created before.
struct Full {
    server: Server,
    store: RedisStore,
    key: PublicId,
    version: Version,
}

impl Full {
    async fn new() -> Option<Self> {
        let server = redis::private(Options::new().fast()).await?;
        let store = open(&server.url()).await;
        let (key, version) = create(&store, vec![7; 100]).await;
        // A value of another application takes the memory. The limit is below what is used then.
        server.run("SETRANGE other 2000000 x").await;
        server.run("CONFIG SET maxmemory-policy noeviction").await;
        server.run("CONFIG SET maxmemory 2000000").await;
        Some(Self {
            server,
            store,
            key,
            version,
        })
    }

    /// Replaces the record.
    async fn replace(&self, write: Write) -> Result<Replaced, StoreErrorKind> {
        let replace = self.store.replace(self.key, self.version, write, now());
        replace.await.map_err(|error| error.kind())
    }

    async fn ttl(&self) -> u64 {
        let pttl = self.server.run(format!("PTTL {}", name(self.key))).await;
        pttl.trim().parse().expect("a record that expires")
    }
}

fn later() -> poem_session::clock::Timestamp {
    now().saturating_add(Duration::from_hours(5))
}

/// Conformance 5.14
#[tokio::test(flavor = "multi_thread")]
async fn a_full_server_refuses_new_records_and_larger_ones() {
    let Some(full) = Full::new().await else {
        return;
    };
    let created = full.store.create(key(), write("data"), now()).await;
    assert_eq!(created.expect_err("no memory").kind(), StoreErrorKind::Full);
    let larger = full.replace(write(vec![7; 101])).await;
    assert_eq!(larger, Err(StoreErrorKind::Full));
    assert_eq!(data(&full.store, full.key).await, Some(vec![7; 100]));

    let smaller = full.replace(write(vec![8; 99])).await;
    assert!(matches!(smaller, Ok(Replaced::Replaced(_))), "{smaller:?}");
    assert_eq!(data(&full.store, full.key).await, Some(vec![8; 99]));
}

/// Conformance 5.14
#[tokio::test(flavor = "multi_thread")]
async fn a_full_server_accepts_a_tombstone_of_any_size() {
    let Some(full) = Full::new().await else {
        return;
    };
    let tombstone = write(vec![9; 300]).with_class(RecordClass::Retired);
    let ended = full.replace(tombstone).await;
    assert!(matches!(ended, Ok(Replaced::Replaced(_))), "{ended:?}");
    assert_eq!(data(&full.store, full.key).await, Some(vec![9; 300]));
}

/// Conformance 5.14
#[tokio::test(flavor = "multi_thread")]
async fn a_full_server_moves_a_record_to_a_new_key() {
    let Some(full) = Full::new().await else {
        return;
    };
    let (mut from, mut version) = (full.key, full.version);
    for _ in 0..20 {
        let to = key();
        // A sign-in adds to the session.
        let rename = Rename::new(from, version, to, write(vec![8; 200]), write("left"));
        version = replaced(full.store.rename(rename, now()).await);
        assert_eq!(data(&full.store, to).await, Some(vec![8; 200]));
        assert_eq!(data(&full.store, from).await.as_deref(), Some(&b"left"[..]));
        from = to;
    }
    let lost = Rename::new(full.key, full.version, key(), write("new"), write("left"));
    let lost = full.store.rename(lost, now()).await;
    assert!(matches!(lost, Ok(Replaced::Conflict(_))), "{lost:?}");
}

/// Conformance 5.14
#[tokio::test(flavor = "multi_thread")]
async fn a_full_server_locks_and_touches_records() {
    let Some(full) = Full::new().await else {
        return;
    };
    let (store, key, before) = (&full.store, full.key, full.ttl().await);
    let (owner, until) = (LockOwner::random(), write("").expires_at);
    let locked = store.lock(key, owner, until, now()).await;
    assert_eq!(locked.expect("it takes 24 bytes"), Locked::Acquired);
    let other = store.lock(key, LockOwner::random(), until, now()).await;
    assert_eq!(other.expect("a reply"), Locked::Held);
    assert!(store.unlock(key, owner).await.expect("it frees memory"));
    let after = full.ttl().await;
    assert!((1..=before).contains(&after), "{before} and {after} ms");

    let touched = store.touch(key, full.version, later(), now()).await;
    assert!(touched.expect("it takes no memory"));
    assert!(full.ttl().await > before, "the server keeps it longer");
    let stored = store.load(key, now()).await.expect("a load");
    let stored = stored.expect("the record");
    assert_eq!(
        (&*stored.data, stored.version),
        (&[7; 100][..], full.version)
    );
}
