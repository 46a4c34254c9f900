//! What can happen to a file: other processes hold it, it may not grow, it is overwritten.

use std::{
    env,
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use poem_session::{
    PublicId,
    store::{
        SessionStore, SqliteStore,
        StoreErrorKind::{Full, Misconfigured, TimedOut, Unavailable},
    },
};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions, SqliteSynchronous};

use crate::{
    client::Client,
    create, key, load, now, said,
    site::{Ask, Site},
    sqlite_file, write,
};

/// The file that a child process works on.
const FILE: &str = "POEM_SESSION_SQLITE_FILE";

/// This program once more, for one ignored test, started through this script.
fn child(script: &str, test: &str, file: &Path) -> Child {
    let program = env::current_exe().expect("this program");
    Command::new("sh")
        .args(["-c", script, "child"])
        .arg(program)
        .args(["--exact", test, "--ignored", "--nocapture"])
        .env(FILE, file)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a shell")
}

/// What a child process says that is meant for its parent.
fn lines(child: &mut Child) -> impl Iterator<Item = String> + use<> {
    let output = BufReader::new(child.stdout.take().expect("its output"));
    let lines = output.lines().map(|line| line.expect("text"));
    lines.filter_map(|line| line.strip_prefix("child: ").map(str::to_owned))
}

/// In one call, so that a line is whole or not there.
fn tell_parent(what: &str) {
    let mut out = io::stdout().lock();
    let line = format!("child: {what}\n");
    out.write_all(line.as_bytes()).expect("a parent that reads");
    out.flush().expect("a parent that reads");
}

/// Conformance 5.11, 6.10
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_another_process_has_locked_is_an_error_until_that_one_ends() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("sessions.db");
    let store = sqlite_file(&file).survives_power_loss(false);
    let store = store.busy_timeout(Duration::from_millis(300));
    let store: Arc<dyn SessionStore> = Arc::new(store.open().await.expect("a new file"));
    let site = Site::on(Arc::clone(&store));
    let mut guest = site.guest().await;

    let mut holder = child("exec \"$@\"", "sqlite::the_holder", &file);
    assert_eq!(lines(&mut holder).next().as_deref(), Some("held"));
    let refused = site.refuses(&guest, &Ask::WRITES);
    let (created, ()) = tokio::join!(store.create(key(), write("x"), now()), refused);
    guest.has_counted(1).await;
    let error = created.expect_err("a lock elsewhere");
    assert_eq!(error.kind(), TimedOut, "{error:?}");
    assert!(said(&error).contains("locked"), "{error:?}");

    holder.kill().expect("a child that is still there");
    holder.wait().expect("the child");
    guest.goes_on(1).await;
}

#[tokio::test]
#[ignore = "the child process of another test"]
async fn the_holder() {
    let file = env::var_os(FILE).expect("started by the other test");
    let pool = SqlitePoolOptions::new();
    let pool = pool.connect_lazy_with(SqliteConnectOptions::new().filename(file));
    let held = pool.begin_with("BEGIN IMMEDIATE").await.expect("the lock");
    tell_parent("held");
    // Until the parent ends, if it does not kill this one.
    let _ = io::stdin().read(&mut [0]);
    drop(held);
}

/// Conformance 5.11, 6.10
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_may_not_grow_keeps_what_it_has() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("sessions.db");
    // In blocks of 512 bytes: a megabyte.
    let script = "trap '' XFSZ; ulimit -f 2048; exec \"$@\"";
    let mut filler = child(script, "sqlite::the_filler", &file);
    let said: Vec<String> = lines(&mut filler).collect();
    assert!(filler.wait().expect("the child").success(), "{said:?}");
    let (last, keys) = said.split_last().expect("the end");
    assert_eq!(last, "full");
    assert!(keys.len() > 10, "{keys:?}");

    let records = Client::open(&file).await.records().await;
    assert_eq!(usize::try_from(records), Ok(keys.len()));
    let store: Arc<dyn SessionStore> = Arc::new(sqlite_file(&file).open().await.expect("the file"));
    for key in keys {
        let key: PublicId = key.parse().expect("a key");
        assert_eq!(load(&store, key).await, Some(content(key)));
    }
    create(&store, "there is room again").await;
}

fn content(key: PublicId) -> String {
    key.to_string().repeat(100)
}

#[tokio::test]
#[ignore = "the child process of another test"]
async fn the_filler() {
    let file = env::var_os(FILE).expect("started by the other test");
    let store = sqlite_file(file).open().await.expect("a new file");
    let mut written = Vec::new();
    let error = loop {
        let key = key();
        match store.create(key, write(content(key)), now()).await {
            Ok(_) => written.push(key),
            Err(error) => break error,
        }
        tell_parent(&key.to_string());
    };
    // The kernel says "file too large" where it would say "no space left", and so does SQLite.
    assert!(matches!(error.kind(), Full | Unavailable), "{error:?}");
    for key in &written {
        let stored = store.load(*key, now()).await.expect("reads go on");
        assert!(stored.is_some_and(|stored| stored.data == content(*key)));
    }
    tell_parent("full");
}

/// Somebody writes over the file while it is in use, and then puts it back.
///
/// Conformance 5.11, 6.10
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_was_overwritten_is_an_error_until_it_is_back() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("sessions.db");
    let made = sqlite_file(&file).open().await.expect("a new file");
    made.close().await;
    let pool = SqlitePoolOptions::new().max_connections(2);
    let pool = pool.connect_lazy_with(
        SqliteConnectOptions::new()
            .filename(&file)
            .synchronous(SqliteSynchronous::Off),
    );
    let store: Arc<dyn SessionStore> = Arc::new(SqliteStore::from_pool(pool.clone()));
    let site = Site::on(Arc::clone(&store));
    let guest = site.guest().await;
    // What connections remember is right, and not to be tested here.
    let mut connections = [pool.acquire().await, pool.acquire().await];
    for connection in &mut connections {
        let connection = connection.as_mut().expect("a connection");
        let forget = "PRAGMA wal_checkpoint(TRUNCATE); PRAGMA shrink_memory";
        let forgotten = sqlx::raw_sql(forget).execute(&mut **connection).await;
        forgotten.expect("nobody else is there");
    }
    drop(connections);

    let good = std::fs::read(&file).expect("the file");
    std::fs::write(&file, "no database. ".repeat(good.len() / 10)).expect("the file");
    site.refuses(&guest, &Ask::ALL).await;
    let error = store.load(key(), now()).await.expect_err("no database");
    assert_eq!(error.kind(), Misconfigured, "{error:?}");
    assert!(said(&error).contains("not a database"), "{error:?}");
    std::fs::write(&file, good).expect("the file");
    guest.goes_on(1).await;
}
