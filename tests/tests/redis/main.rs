//! Tests of the Redis store on real servers: one server, Sentinel and a Cluster.

mod cluster;
mod commands;
mod conformance;
mod credentials;
mod failover;
mod faults;
mod load;
mod lost;
mod sizing;

use std::time::Duration;

use poem_session::{
    PublicId, SessionId,
    clock::{Clock, SystemClock, Timestamp},
    store::{
        Created, LockOwner, RedisSource, RedisStore, RedisStoreBuilder, Rename, Replaced,
        SessionStore, StoreError, Version, Write,
    },
};
use poem_session_tests::{PATIENCE, eventually, servers::Server, servers::redis};

/// The timeout of a store whose calls should reach it. It is long, so that no other call does on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(6);

/// A builder of a store that waits as long as necessary.
fn builder(source: impl Into<RedisSource>) -> RedisStoreBuilder {
    RedisStore::builder(source).call_timeout(PATIENCE)
}

async fn open(url: &str) -> RedisStore {
    builder(url).connect().await.expect("the server is ready")
}

/// Opens a store whose calls time out.
async fn open_with_timeout(url: &str) -> RedisStore {
    let builder = RedisStore::builder(url).call_timeout(TIMEOUT);
    builder.connect().await.expect("the server is ready")
}

/// An empty database of the shared server.
struct Database {
    server: Server,
    url: String,
}

impl Database {
    async fn new() -> Option<Self> {
        let server = redis::shared().await?;
        let url = server.new_database().await;
        Some(Self { server, url })
    }

    /// Runs a command.
    async fn run(&self, command: impl AsRef<str>) -> String {
        let number = self.url.rsplit('/').next().expect("a number");
        let command = format!("-n {number} {}", command.as_ref());
        self.server.run(command).await.trim().to_owned()
    }
}

fn key() -> PublicId {
    SessionId::random().public()
}

fn now() -> Timestamp {
    SystemClock.now()
}

/// A write that expires after half an hour.
fn write(data: impl Into<Vec<u8>>) -> Write {
    Write::new(data.into(), now().saturating_add(Duration::from_mins(30)))
}

/// Returns the Redis key of a record.
fn name(key: PublicId) -> String {
    format!("poem-session:{{{key}}}")
}

async fn create(store: &RedisStore, data: &[u8]) -> (PublicId, Version) {
    let key = key();
    match store.create(key, write(data), now()).await {
        Ok(Created::Created(version)) => (key, version),
        other => panic!("create returned {other:?}"),
    }
}

async fn data(store: &RedisStore, key: PublicId) -> Option<Vec<u8>> {
    let stored = store.load(key, now()).await.expect("load");
    stored.map(|stored| stored.data.to_vec())
}

fn replaced(result: Result<Replaced, StoreError>) -> Version {
    match result {
        Ok(Replaced::Replaced(version)) => version,
        other => panic!("the write returned {other:?}"),
    }
}

/// Makes each call on one record once.
async fn call_all(
    store: &RedisStore,
    key: PublicId,
    version: Version,
) -> [Result<(), StoreError>; 7] {
    let (owner, until) = (LockOwner::random(), write("").expires_at);
    let load = store.load(key, now()).await.map(drop);
    let create = store.create(key, write("data"), now()).await.map(drop);
    let lock = store.lock(key, owner, until, now()).await.map(drop);
    let unlock = store.unlock(key, owner).await.map(drop);
    let touch = store.touch(key, version, until, now()).await.map(drop);
    let replace = store.replace(key, version, write("data"), now()).await;
    let version = match replace {
        Ok(Replaced::Replaced(version)) => version,
        _ => version,
    };
    let rename = Rename::new(key, version, crate::key(), write("new"), write("left"));
    let rename = store.rename(rename, now()).await.map(drop);
    [load, create, lock, unlock, touch, replace.map(drop), rename]
}

/// Creates a record and makes each call on it. All must work.
async fn use_all(store: &RedisStore) {
    let (key, version) = create(store, b"data").await;
    for result in call_all(store, key, version).await {
        result.expect("a call that works");
    }
}

/// Waits until the store works again.
async fn recovery(store: &RedisStore) {
    eventually("the store works again", async || {
        store.load(key(), now()).await.ok()
    })
    .await;
}

/// A record that counts its writes. As a session does, it merges with the writes of others.
struct Counter {
    key: PublicId,
    version: Version,
    value: u64,
}

impl Counter {
    async fn create(store: &RedisStore) -> Self {
        let (key, version) = create(store, &0_u64.to_be_bytes()).await;
        Self {
            key,
            version,
            value: 0,
        }
    }

    async fn add(&mut self, store: &RedisStore) -> Result<(), StoreError> {
        loop {
            let next = write(self.value.wrapping_add(1).to_be_bytes());
            match store.replace(self.key, self.version, next, now()).await? {
                Replaced::Replaced(version) => {
                    self.version = version;
                    self.value += 1;
                    return Ok(());
                }
                Replaced::Conflict(stored) => {
                    self.version = stored.version;
                    self.value = number(&stored.data);
                }
                Replaced::Gone => panic!("the counter is gone"),
            }
        }
    }

    async fn stored(&self, store: &RedisStore) -> Option<u64> {
        data(store, self.key).await.map(|data| number(&data))
    }
}

fn number(data: &[u8]) -> u64 {
    u64::from_be_bytes(data.try_into().expect("eight bytes"))
}
