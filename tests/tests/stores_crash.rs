//! A process that is killed while it writes loses no acknowledged write.

use std::{
    collections::BTreeMap,
    env,
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use poem_session::{
    PublicId,
    clock::{Clock as _, SystemClock, Timestamp},
    store::{Created, Rename, SessionStore as _, SqliteStore, Version, Write},
};
use poem_session_tests::{records::replaced, stores::sqlite_file};

/// The file that the child process writes, and the number of the round.
const FILE: &str = "POEM_SESSION_CRASH_FILE";
const ROUND: &str = "POEM_SESSION_CRASH_ROUND";
const ROUNDS: u8 = 6;
const TASKS: u8 = 4;

/// The number of the last acknowledged write of each key, and its version.
type Acknowledged = BTreeMap<PublicId, (u8, Version)>;

fn key(round: u8, task: u8, number: u32, moved: bool) -> PublicId {
    let mut bytes = [0; 32];
    bytes[0] = round;
    bytes[1] = task;
    bytes[2] = u8::from(moved);
    bytes[4..8].copy_from_slice(&number.to_be_bytes());
    PublicId::from_bytes(bytes)
}

/// The data of this write of a key, counted from one. Every write has other data, so that a mixture of two is
/// noticed.
fn content(key: PublicId, number: u8) -> Vec<u8> {
    format!("{key} {number}\n").repeat(30).into_bytes()
}

fn far_off() -> Timestamp {
    SystemClock.now().saturating_add(Duration::from_hours(1))
}

fn write(key: PublicId, number: u8) -> Write {
    Write::new(content(key, number), far_off())
}

/// Opens the file without a time limit.
async fn open(file: &Path) -> SqliteStore {
    sqlite_file(file).open().await.expect("a file")
}

/// Conformance 6.10
#[tokio::test]
async fn sqlite_loses_no_acknowledged_write_to_a_kill() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("sessions.db");
    let mut acknowledged = Acknowledged::new();
    for round in 0..ROUNDS {
        let before = acknowledged.len();
        // The kill meets another moment of the work in each round.
        let life = Duration::from_millis(150 + 37 * u64::from(round));
        write_and_be_killed(&file, round, life, &mut acknowledged);
        let keys = acknowledged.len() - before;
        assert!(keys > 0, "round {round}: no write was acknowledged");

        let store = open(&file).await;
        for (key, (number, version)) in &acknowledged {
            check(&store, *key, *number, *version).await;
        }
        store.close().await;
        println!("round {round}: killed after {life:?} and {keys} keys; nothing lost");
    }
}

async fn check(store: &SqliteStore, key: PublicId, number: u8, version: Version) {
    let found = store.load(key, SystemClock.now()).await.expect("load");
    let Some(stored) = found else {
        panic!("{key}: write {number} is lost");
    };
    // The child may have been killed before it reported the last write.
    assert!(
        stored.version >= version,
        "{key}: write {number} was undone"
    );
    let mut later = number..=number + u8::from(stored.version > version);
    assert!(
        later.any(|number| stored.data == content(key, number)),
        "{key}: the write after {number} is incomplete",
    );
}

/// Starts this program as a writer, and kills it while it writes.
fn write_and_be_killed(file: &Path, round: u8, life: Duration, acknowledged: &mut Acknowledged) {
    let mut child = Command::new(env::current_exe().expect("this program"))
        .args(["--exact", "the_writer", "--ignored", "--nocapture"])
        .env(FILE, file)
        .env(ROUND, round.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a child process");
    let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
    let mut began = None;
    // After the kill, the rest of the output is read.
    while let Some(line) = lines.next().transpose().expect("its output") {
        let Some(done) = line.strip_prefix("done ") else {
            continue;
        };
        let mut words = done.split(' ');
        let mut word = || words.next().expect("three words");
        let key = word().parse().expect("a key");
        let number = word().parse().expect("a number");
        let version = Version::new(word().parse().expect("a version"));
        acknowledged.insert(key, (number, version));
        let began = *began.get_or_insert_with(Instant::now);
        if began.elapsed() >= life {
            child.kill().expect("a running child process");
        }
    }
    let status = child.wait().expect("the child process");
    assert_eq!(status.code(), None, "the child was not killed: {status}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the child process of `sqlite_loses_no_acknowledged_write_to_a_kill`"]
async fn the_writer() {
    let file = env::var_os(FILE).expect("started by the other test");
    let round = env::var(ROUND).expect("started by the other test");
    let round = round.parse().expect("a number");
    let store = std::sync::Arc::new(open(file.as_ref()).await);
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..TASKS {
        let store = std::sync::Arc::clone(&store);
        tasks.spawn(async move {
            for number in 0.. {
                write_one(&store, round, task, number).await;
            }
        });
    }
    tasks.join_all().await;
}

/// Creates a record, replaces it twice and renames it.
async fn write_one(store: &SqliteStore, round: u8, task: u8, number: u32) {
    let from = key(round, task, number, false);
    let now = SystemClock.now();
    let created = store.create(from, write(from, 1), now).await;
    let Ok(Created::Created(mut version)) = created else {
        panic!("create returned {created:?}");
    };
    report(from, 1, version);
    for number in 2..=3 {
        let next = write(from, number);
        version = replaced(store.replace(from, version, next, now).await);
        report(from, number, version);
    }
    let to = key(round, task, number, true);
    let rename = Rename::new(from, version, to, write(to, 1), write(from, 4));
    version = replaced(store.rename(rename, now).await);
    report(to, 1, version);
    report(from, 4, version);
}

/// Reports an acknowledged write to the parent. One call writes the line, so that it is complete or missing.
fn report(key: PublicId, number: u8, version: Version) {
    let version = version.get();
    let line = format!("done {key} {number} {version}\n");
    let mut out = std::io::stdout().lock();
    out.write_all(line.as_bytes()).expect("a parent that reads");
    out.flush().expect("a parent that reads");
}
