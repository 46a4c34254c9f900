use std::time::{Duration, Instant};

use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use tempfile::TempDir;

use super::*;
use crate::{
    clock::Timestamp,
    id::{PublicId, SessionId},
    store::{Created, Replaced, SessionStore as _, Write},
};

const NOW: Timestamp = Timestamp::from_millis(1_000_000);

/// Settings whose time limits a slow machine does not reach.
fn patient(path: impl AsRef<std::path::Path>) -> SqliteStoreBuilder {
    let patience = Duration::from_mins(5);
    SqliteStore::builder(path)
        .busy_timeout(patience)
        .acquire_timeout(patience)
}

fn directory() -> TempDir {
    tempfile::tempdir().expect("a directory")
}

fn key() -> PublicId {
    SessionId::random().public()
}

fn write(data: &'static str) -> Write {
    Write::new(data, NOW.saturating_add(Duration::from_mins(1)))
}

async fn create(store: &SqliteStore, data: &'static str) -> Result<PublicId, StoreError> {
    let key = key();
    let created = store.create(key, write(data), NOW).await?;
    assert!(matches!(created, Created::Created(_)), "{created:?}");
    Ok(key)
}

async fn load(store: &SqliteStore, key: PublicId) -> Option<bytes::Bytes> {
    let stored = store.load(key, NOW).await.expect("a file that can be read");
    stored.map(|stored| stored.data)
}

fn said(error: &StoreError) -> String {
    format!("{error:?}")
}

#[tokio::test]
async fn sessions_survive_the_store() {
    let directory = directory();
    let path = directory.path().join("sessions.db");
    let store = patient(&path).open().await.expect("a new file");
    let key = create(&store, "kept").await.expect("create");
    store.close().await;
    let store = patient(&path).open().await.expect("the same file");
    assert_eq!(load(&store, key).await.as_deref(), Some(&b"kept"[..]));
}

#[tokio::test]
async fn two_stores_share_the_sessions_of_a_file() {
    let directory = directory();
    let path = directory.path().join("sessions.db");
    let one = patient(&path).open().await.expect("a new file");
    let other = patient(&path).open().await.expect("the same file");
    let key = create(&one, "shared").await.expect("create");
    assert_eq!(load(&other, key).await.as_deref(), Some(&b"shared"[..]));
    other.clear().await.expect("clear");
    assert_eq!(load(&one, key).await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_processes_can_create_the_file() {
    for _ in 0..5 {
        let directory = directory();
        let path = directory.path().join("sessions.db");
        let mut opening = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let path = path.clone();
            opening.spawn(async move {
                let store = patient(path).open().await.expect("one file");
                create(&store, "by one of many").await.expect("create");
            });
        }
        opening.join_all().await;
    }
}

#[cfg(unix)]
#[tokio::test]
async fn the_files_are_readable_only_for_their_owner() {
    use std::os::unix::fs::PermissionsExt as _;

    let directory = directory();
    let path = directory.path().join("sessions.db");
    let store = patient(&path).open().await.expect("a new file");
    create(&store, "private").await.expect("create");
    let mut files = 0;
    for entry in directory.path().read_dir().expect("the directory") {
        let entry = entry.expect("a file");
        let mode = entry.metadata().expect("its mode").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{entry:?}");
        files += 1;
    }
    assert_eq!(files, 3, "the database, its log and its index");
}

#[tokio::test]
async fn a_file_that_is_not_a_database_is_refused() {
    let directory = directory();
    let path = directory.path().join("notes.txt");
    std::fs::write(
        &path,
        "no database, but long enough to be looked at. ".repeat(50),
    )
    .expect("a file");
    let before = std::fs::read(&path).expect("the file");
    let error = SqliteStore::open(&path).await.expect_err("a text file");
    assert_eq!(error.kind(), StoreErrorKind::Misconfigured, "{error:?}");
    assert_eq!(std::fs::read(&path).expect("the file"), before);
}

#[tokio::test]
async fn a_database_in_memory_is_refused() {
    let error = SqliteStore::open(":memory:").await.expect_err("memory");
    assert_eq!(error.kind(), StoreErrorKind::Misconfigured);
    assert!(said(&error).contains("MemoryStore"), "{error:?}");
}

/// SQLite would read this name as a URI.
#[tokio::test]
async fn a_file_name_that_looks_like_a_uri_is_a_file_name() {
    let directory = directory();
    let path = directory.path().join("file:sessions.db?mode=memory");
    let store = patient(&path).open().await.expect("a file");
    create(&store, "kept").await.expect("create");
    assert!(path.exists());
}

#[tokio::test]
async fn a_missing_table_is_an_error_that_names_migrate() {
    let directory = directory();
    let options = SqliteConnectOptions::new()
        .filename(directory.path().join("app.db"))
        .create_if_missing(true);
    let pool = SqlitePoolOptions::new().connect_lazy_with(options);
    let store = SqliteStore::from_pool(pool.clone())
        .in_table(TableName::new("shop \"sessions\"").expect("a name"));
    let error = create(&store, "too early").await.expect_err("no table");
    assert_eq!(error.kind(), StoreErrorKind::Misconfigured, "{error:?}");
    assert!(
        said(&error).contains("creating a session in SQLite"),
        "{error:?}"
    );
    assert!(said(&error).contains("no such table"), "{error:?}");

    for _ in 0..2 {
        store.migrate().await.expect("a table");
    }
    let key = create(&store, "now").await.expect("create");
    assert_eq!(load(&store, key).await.as_deref(), Some(&b"now"[..]));
    let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM \"shop \"\"sessions\"\"\"")
        .fetch_one(&pool)
        .await
        .expect("the table");
    assert_eq!(rows, 1);
}

#[tokio::test]
async fn a_table_in_a_schema_is_refused() {
    let directory = directory();
    let table = TableName::default().in_schema("app").expect("a name");
    let builder = SqliteStore::builder(directory.path().join("sessions.db")).table(table);
    let error = builder.open().await.expect_err("a schema");
    assert_eq!(error.kind(), StoreErrorKind::Misconfigured);
}

#[tokio::test]
async fn a_full_disk_is_an_error_until_there_is_space() {
    let directory = directory();
    let options = SqliteConnectOptions::new()
        .filename(directory.path().join("sessions.db"))
        .create_if_missing(true);
    let pool = SqlitePoolOptions::new()
        .max_connections(1)
        .connect_lazy_with(options);
    let store = SqliteStore::from_pool(pool.clone());
    store.migrate().await.expect("a table");
    let key = create(&store, "kept").await.expect("create");
    let limit = |pages: u32| {
        let pragma = sqlx::AssertSqlSafe(format!("PRAGMA max_page_count = {pages}"));
        sqlx::raw_sql(pragma).execute(&pool)
    };
    limit(1).await.expect("a limit");
    let big = Write::new(vec![0; 1 << 20], NOW.saturating_add(Duration::from_mins(1)));
    let error = store
        .create(super::tests::key(), big.clone(), NOW)
        .await
        .expect_err("the disk is full");
    assert_eq!(error.kind(), StoreErrorKind::Full, "{error:?}");
    assert!(said(&error).contains("full"), "{error:?}");
    assert_eq!(load(&store, key).await.as_deref(), Some(&b"kept"[..]));

    limit(u32::MAX - 1).await.expect("no limit");
    let created = store.create(super::tests::key(), big, NOW).await;
    assert!(matches!(created, Ok(Created::Created(_))), "{created:?}");
}

#[tokio::test]
async fn a_write_waits_for_a_locked_file_and_then_fails() {
    let directory = directory();
    let path = directory.path().join("sessions.db");
    let waits = Duration::from_millis(200);
    let store = SqliteStore::builder(&path).busy_timeout(waits).open();
    let store = store.await.expect("a new file");
    let key = create(&store, "kept").await.expect("create");
    let other =
        SqlitePoolOptions::new().connect_lazy_with(SqliteConnectOptions::new().filename(&path));
    let held = other.begin_with("BEGIN IMMEDIATE").await.expect("the lock");

    let began = Instant::now();
    let stored = store.load(key, NOW).await.expect("a read");
    let version = stored.expect("the record").version;
    let replace = || store.replace(key, version, write("changed"), NOW);
    let error = replace()
        .await
        .expect_err("another connection has the lock");
    assert_eq!(error.kind(), StoreErrorKind::TimedOut, "{error:?}");
    assert!(began.elapsed() >= waits, "{:?}", began.elapsed());
    assert!(load(&store, key).await.is_some(), "a read needs no lock");

    held.rollback().await.expect("the lock is released");
    assert!(matches!(replace().await, Ok(Replaced::Replaced(_))));
}

#[tokio::test]
async fn a_row_that_the_store_did_not_write_is_corrupt() {
    let directory = directory();
    let store = patient(directory.path().join("sessions.db")).open();
    let store = store.await.expect("a new file");
    let key = create(&store, "ours").await.expect("create");
    // The store's strict table refuses other types, so the test replaces the table.
    for statement in [
        "DROP TABLE poem_sessions",
        "CREATE TABLE poem_sessions (id, data, version, expires_at, lock_owner, lock_until)",
    ] {
        sqlx::raw_sql(statement)
            .execute(&store.writer)
            .await
            .expect("a table of theirs");
    }
    sqlx::query(
        "INSERT INTO poem_sessions (id, data, version, expires_at) VALUES ($1, 'x', 'y', 9e15)",
    )
    .bind(&key.as_bytes()[..])
    .execute(&store.writer)
    .await
    .expect("a row of theirs");
    let error = store.load(key, NOW).await.expect_err("text for a number");
    assert_eq!(error.kind(), StoreErrorKind::Corrupt, "{error:?}");
}

#[tokio::test]
async fn debug_and_errors_do_not_show_the_path() {
    let directory = directory();
    let path = directory.path().join("secret-place.db");
    let store = patient(&path).open().await.expect("a new file");
    assert!(!format!("{store:?}").contains("secret-place"));
    let missing = directory.path().join("secret-place/sessions.db");
    let error = SqliteStore::open(missing).await.expect_err("no directory");
    assert!(!said(&error).contains("secret-place"), "{error:?}");
}
