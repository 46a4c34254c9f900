//! The stores that what happens in parallel is tested on.

use std::{any::Any, sync::Arc};

use futures_util::future::BoxFuture;
use poem_session::store::{SessionStore, connect};
use poem_session_tests::servers::{Server, mariadb, postgres, redis};

/// A store for one test, empty.
#[derive(Clone)]
pub(crate) struct Backend {
    /// For messages.
    pub(crate) name: &'static str,
    pub(crate) store: Arc<dyn SessionStore>,
    /// What lives as long as the store: a directory, a server.
    _keep: Arc<dyn Any + Send + Sync>,
}

type Opened = BoxFuture<'static, Option<Backend>>;

/// How each store is opened. A new store gets its line here. One whose server is not installed is left
/// out, and the harness says so.
const FACTORIES: &[fn() -> Opened] = &[
    || Box::pin(Backend::open("memory", "memory:".into(), ())),
    || Box::pin(sqlite()),
    || Box::pin(on_server("Redis", redis::shared())),
    || Box::pin(on_server("PostgreSQL", postgres::shared())),
    || Box::pin(on_server("MariaDB", mariadb::shared())),
];

/// Each store, empty.
pub(crate) async fn stores() -> Vec<Backend> {
    let mut opened = Vec::new();
    for open in FACTORIES {
        opened.extend(open().await);
    }
    opened
}

impl Backend {
    async fn open(name: &'static str, url: String, keep: impl Any + Send + Sync) -> Option<Self> {
        let store = connect(&url).await;
        Some(Self {
            name,
            store: store.expect("the store opens"),
            _keep: Arc::new(keep),
        })
    }
}

async fn sqlite() -> Option<Backend> {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let file = directory.path().join("sessions.db");
    let url = format!("sqlite:{}", file.display());
    Backend::open("SQLite", url, directory).await
}

/// In a database of its own.
async fn on_server(
    name: &'static str,
    server: impl Future<Output = Option<Server>>,
) -> Option<Backend> {
    let server = server.await?;
    let url = server.new_database().await;
    Backend::open(name, url, server).await
}
