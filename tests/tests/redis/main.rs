//! Tests of the Redis store on real servers: one server, Sentinel and a Cluster.

mod cluster;
mod commands;
mod conformance;
mod credentials;
mod failover;
mod faults;
mod full;
mod lost;
mod namespace;
mod settings;
mod sizing;
mod tls;

use std::time::Duration;

use poem_session::{
    PublicId,
    store::{RedisSource, RedisStore, RedisStoreBuilder},
};
use poem_session_tests::{
    PATIENCE,
    records::{call_all, create},
    servers::{Server, redis},
};

/// The timeout of a store whose calls should reach it. It is long, so that no other call does on a busy
/// machine.
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

/// Returns the Redis key of a record.
fn name(key: PublicId) -> String {
    format!("poem-session:{{{key}}}")
}

/// Creates a record and makes each call on it. All must work.
async fn use_all(store: &RedisStore) {
    let (key, version) = create(store, b"data").await;
    for result in call_all(store, key, version, "data").await {
        result.expect("a call that works");
    }
}
