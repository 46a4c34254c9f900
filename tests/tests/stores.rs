//! The conformance suite on the stores that need no server.

use std::sync::Arc;

use poem_session::{
    conformance::Suite,
    store::{MemoryStore, OnFull, SqliteStore, TableName, connect},
};
use poem_session_tests::{PATIENCE, stores::sqlite_file};
use tempfile::TempDir;

fn directory() -> Arc<TempDir> {
    Arc::new(tempfile::tempdir().expect("a directory"))
}

fn table(namespace: String) -> TableName {
    TableName::new(namespace).expect("a valid name")
}

#[tokio::test]
async fn memory() {
    let suite = Suite::new("memory", |_| async { MemoryStore::new() });
    suite.in_one_process().run().await.assert();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn memory_on_four_threads() {
    let suite = Suite::new("memory on four threads", |_| async { MemoryStore::new() });
    suite.in_one_process().run().await.assert();
}

/// A store that evicts records passes too, because it is not full.
#[tokio::test]
async fn memory_that_evicts() {
    let suite = Suite::new("memory that evicts", |_| async {
        let builder = MemoryStore::builder().capacity(2000);
        builder.on_full(OnFull::EvictSoonest).build()
    });
    suite.in_one_process().run().await.assert();
}

#[tokio::test]
async fn memory_by_url() {
    let suite = Suite::new("memory by its URL", |_| async {
        connect("memory:").await.expect("a store")
    });
    suite.in_one_process().run().await.assert();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sqlite() {
    let directory = directory();
    let suite = Suite::new("sqlite", move |namespace| {
        let path = directory.path().join("sessions.db");
        let builder = sqlite_file(path).table(table(namespace));
        async { builder.open().await.expect("a file") }
    });
    suite.run().await.assert();
}

/// Several connections write to the file.
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
