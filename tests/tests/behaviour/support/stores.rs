//! The stores that what happens in parallel is tested on.

use std::{any::Any, sync::Arc};

use futures_util::future::BoxFuture;
use poem_session::store::{SessionStore, connect};

/// A store for one test, empty.
#[derive(Clone)]
pub(crate) struct Backend {
    /// For messages.
    pub(crate) name: &'static str,
    pub(crate) store: Arc<dyn SessionStore>,
    /// What lives as long as the store: a directory, a server.
    _keep: Arc<dyn Any + Send + Sync>,
}

/// How each store is opened. A new store gets its line here.
const FACTORIES: &[fn() -> BoxFuture<'static, Backend>] =
    &[|| Box::pin(memory()), || Box::pin(sqlite())];

/// Each store, empty.
pub(crate) async fn stores() -> Vec<Backend> {
    let mut opened = Vec::new();
    for open in FACTORIES {
        opened.push(open().await);
    }
    opened
}

impl Backend {
    async fn open(name: &'static str, url: &str, keep: impl Any + Send + Sync) -> Self {
        Self {
            name,
            store: connect(url).await.expect("the store opens"),
            _keep: Arc::new(keep),
        }
    }
}

async fn memory() -> Backend {
    Backend::open("memory", "memory:", ()).await
}

async fn sqlite() -> Backend {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let file = directory.path().join("sessions.db");
    let url = format!("sqlite:{}", file.display());
    Backend::open("SQLite", &url, directory).await
}
