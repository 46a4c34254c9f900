//! The stores, held to what is asked of every store.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use poem_session::{
    conformance::Suite,
    store::{MemoryStore, OnFull, SqliteStore, TableName, connect},
};
use tempfile::TempDir;

fn directory() -> Arc<TempDir> {
    Arc::new(tempfile::tempdir().expect("a directory"))
}

fn table(namespace: String) -> TableName {
    TableName::new(namespace).expect("the suite's names are fit for tables")
}

/// Hundreds of calls at once wait for their turn on whatever disk there is.
const PATIENCE: Duration = Duration::from_mins(5);

#[tokio::test]
async fn memory() {
    let suite = Suite::new("memory", |_| async { MemoryStore::new() });
    suite.run().await.assert();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn memory_on_many_threads() {
    let suite = Suite::new("memory on four threads", |_| async { MemoryStore::new() });
    suite.run().await.assert();
}

/// What evicts is as right as what refuses, as long as there is room.
#[tokio::test]
async fn memory_that_evicts() {
    let suite = Suite::new("memory that evicts", |_| async {
        let builder = MemoryStore::builder().capacity(2000);
        builder.on_full(OnFull::EvictSoonest).build()
    });
    suite.run().await.assert();
}

#[tokio::test]
async fn memory_by_its_address() {
    let suite = Suite::new("memory by its address", |_| async {
        connect("memory:").await.expect("a store")
    });
    suite.run().await.assert();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sqlite() {
    let directory = directory();
    let suite = Suite::new("sqlite", move |namespace| {
        let path = directory.path().join("sessions.db");
        let builder = SqliteStore::builder(path)
            .table(table(namespace))
            .busy_timeout(PATIENCE)
            .acquire_timeout(PATIENCE);
        async { builder.open().await.expect("a file") }
    });
    suite.run().await.assert();
}

/// The writes are those of several connections, which meet in SQLite itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sqlite_on_a_pool() {
    use sqlx::sqlite::{
        SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous,
    };

    let directory = directory();
    let options = SqliteConnectOptions::new()
        .filename(directory.path().join("app.db"))
        .create_if_missing(true)
        .busy_timeout(PATIENCE)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Normal);
    let pool = SqlitePoolOptions::new()
        .max_connections(5)
        .acquire_timeout(PATIENCE)
        .connect_with(options)
        .await
        .expect("a file");
    let suite = Suite::new("sqlite on a pool", move |namespace| {
        let store = SqliteStore::from_pool(pool.clone()).in_table(table(namespace));
        async {
            store.migrate().await.expect("a table");
            store
        }
    });
    suite.run().await.assert();
    drop(directory);
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_by_its_address() {
    let begun = Instant::now();
    loop {
        let directory = directory();
        let suite = Suite::new("sqlite by its address", move |namespace| {
            let file = directory.path().join(namespace);
            let url = format!("sqlite:{}.db", file.display());
            async move { connect(&url).await.expect("a file") }
        });
        let report = suite.run().await;
        // An address sets no time limits. On a busy machine the default ones may be too short.
        let is_late = report.to_string().contains("did not answer in time");
        if !is_late || begun.elapsed() > PATIENCE {
            return report.assert();
        }
    }
}
