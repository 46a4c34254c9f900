//! The Redis store on real servers: one, behind Sentinel, and in a Cluster.

mod cluster;
mod commands;
mod conformance;
mod faults;
mod load;
mod lost;
mod sentinel;
mod sizing;

use std::time::Duration;

use poem_session::{
    PublicId, SessionId,
    clock::{Clock, SystemClock, Timestamp},
    store::{
        Created, RedisSource, RedisStore, RedisStoreBuilder, Replaced, SessionStore, StoreError,
        Version, Write,
    },
};

/// How long anything may take that has to happen, on a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_mins(5);
/// The time limit of a store whose calls are to reach it. It is one that others do not reach by chance.
const LIMIT: Duration = Duration::from_secs(6);

/// Settings of a store that waits for as long as it takes.
fn builder(source: impl Into<RedisSource>) -> RedisStoreBuilder {
    RedisStore::builder(source).call_timeout(PATIENCE)
}

async fn open(url: &str) -> RedisStore {
    builder(url).connect().await.expect("the server answers")
}

/// A store that gives up after the time limit.
async fn open_within(limit: Duration, url: &str) -> RedisStore {
    let builder = RedisStore::builder(url).call_timeout(limit);
    builder.connect().await.expect("the server answers")
}

fn key() -> PublicId {
    SessionId::random().public()
}

fn now() -> Timestamp {
    SystemClock.now()
}

/// A write that lives for half an hour.
fn write(data: impl Into<Vec<u8>>) -> Write {
    Write::new(data.into(), now().saturating_add(Duration::from_mins(30)))
}

/// The name of a record's key, as the server knows it.
fn name(key: PublicId) -> String {
    format!("poem-session:{{{key}}}")
}

async fn create(store: &RedisStore, data: &[u8]) -> (PublicId, Version) {
    let key = key();
    match store.create(key, write(data), now()).await {
        Ok(Created::Created(version)) => (key, version),
        other => panic!("create answered {other:?}"),
    }
}

async fn data(store: &RedisStore, key: PublicId) -> Option<Vec<u8>> {
    let stored = store.load(key, now()).await.expect("load");
    stored.map(|stored| stored.data.to_vec())
}

/// A record that counts: `add` takes one step, merging as a session does.
struct Counter {
    key: PublicId,
    version: Version,
    value: u64,
}

impl Counter {
    async fn create(store: &RedisStore) -> Self {
        let (key, version) = create(store, &0_u64.to_be_bytes()).await;
        let value = 0;
        Self {
            key,
            version,
            value,
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
    u64::from_be_bytes(data.try_into().expect("a counter is eight bytes"))
}
