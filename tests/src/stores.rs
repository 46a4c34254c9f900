//! An empty store of each kind, for tests that hold on every store.

use std::{any::Any, path::Path, sync::Arc};

use futures_util::future::BoxFuture;
use poem_session::store::{
    MemoryStore, MySqlStore, PostgresStore, RedisStore, SessionStore, SqliteStore,
    SqliteStoreBuilder,
};

use crate::{
    PATIENCE,
    servers::{mariadb, postgres, redis},
};

/// An empty store for one test.
#[derive(Clone)]
pub struct Backend {
    /// The name, for messages.
    pub name: &'static str,
    /// The store.
    pub store: Arc<dyn SessionStore>,
    /// The directory or the server of the store.
    _keep: Arc<dyn Any + Send + Sync>,
}

type Opened = BoxFuture<'static, Option<Backend>>;

/// Opens each store. A store whose server is not installed is left out, and the harness reports that.
const FACTORIES: &[fn() -> Opened] = &[
    || Box::pin(async { Some(Backend::new("memory", MemoryStore::new(), ())) }),
    || Box::pin(in_sqlite()),
    || Box::pin(in_redis()),
    || Box::pin(in_postgres()),
    || Box::pin(in_mariadb()),
];

/// Opens every store.
pub async fn stores() -> Vec<Backend> {
    let mut opened = Vec::new();
    for open in FACTORIES {
        opened.extend(open().await);
    }
    opened
}

impl Backend {
    fn new(
        name: &'static str,
        store: impl SessionStore + 'static,
        keep: impl Any + Send + Sync,
    ) -> Self {
        Self {
            name,
            store: Arc::new(store),
            _keep: Arc::new(keep),
        }
    }
}

/// A builder of a store in a SQLite file that may be locked for as long as the machine is busy.
pub fn sqlite_file(file: impl AsRef<Path>) -> SqliteStoreBuilder {
    let builder = SqliteStore::builder(file);
    builder.busy_timeout(PATIENCE).acquire_timeout(PATIENCE)
}

async fn in_sqlite() -> Option<Backend> {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let store = sqlite_file(directory.path().join("sessions.db"));
    let store = store.open().await.expect("a new file");
    Some(Backend::new("SQLite", store, directory))
}

async fn in_redis() -> Option<Backend> {
    let server = redis::shared().await?;
    let url = server.new_database().await;
    let store = RedisStore::builder(url).call_timeout(PATIENCE);
    let store = store.connect().await;
    Some(Backend::new(
        "Redis",
        store.expect("the server runs"),
        server,
    ))
}

async fn in_postgres() -> Option<Backend> {
    let server = postgres::shared().await?;
    let store = PostgresStore::builder(&server.new_database().await).acquire_timeout(PATIENCE);
    let store = store.connect().await.expect("the server runs");
    store.migrate().await.expect("a table");
    Some(Backend::new("PostgreSQL", store, server))
}

async fn in_mariadb() -> Option<Backend> {
    let server = mariadb::shared().await?;
    let store = MySqlStore::builder(&server.new_database().await).acquire_timeout(PATIENCE);
    let store = store.connect().await.expect("the server runs");
    store.migrate().await.expect("a table");
    Some(Backend::new("MariaDB", store, server))
}
