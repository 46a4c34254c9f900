//! Failures of a SQLite file: it becomes read-only, or it is overwritten. The unit tests of the store prove what
//! a locked file and a full disk do.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use poem_session::store::{
    SessionStore, SqliteStore,
    StoreErrorKind::{Misconfigured, Unavailable},
};
use sqlx::{
    SqlitePool,
    sqlite::{SqliteConnectOptions, SqlitePoolOptions},
};

use crate::{
    Home,
    client::sqlite_options,
    outage::{ALL, WRITES, goes_on, is_unchanged, refuses},
    sqlite_file, text,
};
use poem_session_tests::{
    PATIENCE,
    application::App,
    records::{key, now, write},
};

/// Conformance 5.11, 6.10
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_becomes_read_only_is_an_error_until_it_is_writable() {
    let home = Home::new_file();
    let is_read_only = Arc::new(AtomicBool::new(false));
    let pool = SqlitePoolOptions::new().after_connect({
        let is_read_only = Arc::clone(&is_read_only);
        move |connection, _| {
            let value = u8::from(is_read_only.load(Ordering::SeqCst));
            let set = sqlx::AssertSqlSafe(format!("PRAGMA query_only = {value}"));
            Box::pin(async move { sqlx::raw_sql(set).execute(connection).await.map(drop) })
        }
    });
    // Each call opens a connection, so that the setting applies to it.
    let pool = pool.after_release(|_, _| Box::pin(async { Ok(false) }));
    let pool = pool.connect_lazy_with(sqlite_options(home.file()));
    let store = SqliteStore::from_pool(pool);
    store.migrate().await.expect("a table");
    let app = App::in_store(Arc::new(store), PATIENCE);
    let guest = app.sign_in().await;

    is_read_only.store(true, Ordering::SeqCst);
    refuses(&app, &guest, &WRITES).await;
    is_unchanged(&guest).await;
    is_read_only.store(false, Ordering::SeqCst);
    goes_on(&guest).await;

    let options = SqliteConnectOptions::new().filename(home.file());
    let pool = SqlitePool::connect_lazy_with(options.read_only(true));
    let store = SqliteStore::from_pool(pool);
    let error = store.create(key(), write("x"), now()).await.unwrap_err();
    assert_eq!(error.kind(), Unavailable, "{error:?}");
    assert!(text(&error).contains("readonly"), "{error:?}");
    assert_eq!(store.load(key(), now()).await.expect("a read"), None);
}

/// Conformance 5.11, 6.10
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_overwritten_is_an_error_until_it_is_restored() {
    let home = Home::new_file();
    let created = sqlite_file(home.file()).open().await.expect("a new file");
    created.close().await;
    let pool = SqlitePoolOptions::new().max_connections(2);
    let pool = pool.connect_lazy_with(sqlite_options(home.file()));
    let store: Arc<dyn SessionStore> = Arc::new(SqliteStore::from_pool(pool.clone()));
    let app = App::in_store(Arc::clone(&store), PATIENCE);
    let guest = app.sign_in().await;
    // The connections must read the file again instead of their caches.
    let mut connections = [pool.acquire().await, pool.acquire().await];
    for connection in &mut connections {
        let connection = connection.as_mut().expect("a connection");
        let forget = "PRAGMA wal_checkpoint(TRUNCATE); PRAGMA shrink_memory";
        let forgotten = sqlx::raw_sql(forget).execute(&mut **connection).await;
        forgotten.expect("no other connection");
    }
    drop(connections);

    let good = std::fs::read(home.file()).expect("the file");
    let bad = "no database. ".repeat(good.len() / 10);
    std::fs::write(home.file(), bad).expect("the file");
    refuses(&app, &guest, &ALL).await;
    let error = store.load(key(), now()).await.expect_err("no database");
    assert_eq!(error.kind(), Misconfigured, "{error:?}");
    assert!(text(&error).contains("not a database"), "{error:?}");
    std::fs::write(home.file(), good).expect("the file");
    goes_on(&guest).await;
}
