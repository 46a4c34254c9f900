//! Failures of a SQLite file: another process locks it, it becomes read-only, it is overwritten.

use std::{
    env,
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use poem_session::store::{
    SessionStore, SqliteStore,
    StoreErrorKind::{Misconfigured, TimedOut, Unavailable},
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

/// The file that the child process locks.
const FILE: &str = "POEM_SESSION_SQLITE_FILE";

/// Conformance 5.11, 6.10
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_another_process_locks_is_an_error_until_that_one_ends() {
    let home = Home::new_file();
    let store = sqlite_file(home.file()).survives_power_loss(false);
    let store = store.busy_timeout(Duration::from_millis(300));
    let store: Arc<dyn SessionStore> = Arc::new(store.open().await.expect("a new file"));
    let app = App::in_store(Arc::clone(&store), PATIENCE);
    let guest = app.sign_in().await;

    let mut holder = Command::new(env::current_exe().expect("this program"))
        .args(["--exact", "sqlite::the_holder", "--ignored", "--nocapture"])
        .env(FILE, home.file())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a child process");
    let output = BufReader::new(holder.stdout.take().expect("its output"));
    let mut lines = output.lines().map(|line| line.expect("text"));
    assert!(lines.any(|line| line == "locked"));
    let refused = refuses(&app, &guest, &WRITES);
    let (created, ()) = tokio::join!(store.create(key(), write("x"), now()), refused);
    is_unchanged(&guest).await;
    let error = created.expect_err("the other process holds the lock");
    assert_eq!(error.kind(), TimedOut, "{error:?}");
    assert!(text(&error).contains("locked"), "{error:?}");

    holder.kill().expect("a running child process");
    holder.wait().expect("the child process");
    goes_on(&guest).await;
}

#[tokio::test]
#[ignore = "the child process of another test"]
async fn the_holder() {
    let file = env::var_os(FILE).expect("started by the other test");
    let pool = SqlitePool::connect_lazy_with(SqliteConnectOptions::new().filename(file));
    let held = pool.begin_with("BEGIN IMMEDIATE").await.expect("the lock");
    // The test runner prints the name of the test without a line break.
    let mut out = io::stdout().lock();
    out.write_all(b"\nlocked\n").expect("a parent that reads");
    out.flush().expect("a parent that reads");
    // The read ends when the parent does.
    let _ = io::stdin().read(&mut [0]);
    drop(held);
}

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
