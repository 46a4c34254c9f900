//! Smoke tests of the harness: each server starts, survives failures and ends with the tests.

use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use poem_session_tests::eventually;
use poem_session_tests::servers::{
    Options, Server, mariadb, postgres, redis, redis_cluster, redis_sentinel,
};
use tokio::time::{sleep, timeout};

/// Takes a server down in every way and back up. `write` stores the number 42, and `read` returns it.
async fn smoke(server: Server, write: &str, read: &'static str) {
    server.run(write).await;
    server.kill().await;
    assert!(std::net::TcpStream::connect(server.address()).is_err());
    server.restart().await;
    assert_eq!(server.run(read).await.trim(), "42", "after a crash");

    server.stop().await;
    server.restart().await;
    assert_eq!(server.run(read).await.trim(), "42", "after a shutdown");

    server.pause();
    let paused = server.clone();
    let mut reply = tokio::spawn(async move { paused.run(read).await });
    let wait = timeout(Duration::from_millis(500), &mut reply).await;
    assert!(wait.is_err(), "a paused server replies");
    server.resume();
    assert_eq!(reply.await.unwrap().trim(), "42", "after a pause");

    let directory = server.directory().to_owned();
    drop(server);
    assert!(!directory.exists(), "the directory of a dropped server");
}

const SQL: &str = "CREATE TABLE kept (n integer); INSERT INTO kept VALUES (42)";

#[tokio::test]
async fn redis() {
    let options = Options::new().arguments(["--appendfsync", "always"]);
    if let Some(server) = redis::private(options).await {
        smoke(server, "SET kept 42", "GET kept").await;
    }
}

#[tokio::test]
async fn postgres() {
    if let Some(server) = postgres::private(Options::new()).await {
        smoke(server, SQL, "SELECT n FROM kept").await;
    }
}

#[tokio::test]
async fn mariadb() {
    if let Some(server) = mariadb::private(Options::new()).await {
        smoke(server, SQL, "SELECT n FROM kept").await;
    }
}

/// A key is on its master, and `replicate` waits until it is on the replicas too.
async fn is_replicated(master: &Server, servers: &[Server], replicate: impl Future<Output = ()>) {
    assert_eq!(master.run("SET kept 42").await.trim(), "OK");
    replicate.await;
    let mut copies = 0;
    for server in servers {
        copies += usize::from(server.run("DBSIZE").await.trim() == "1");
    }
    let replicas = master.run("INFO replication").await;
    let replicas = replicas.matches("state=online").count();
    assert_eq!((copies, replicas > 0), (1 + replicas, true));
}

#[tokio::test]
async fn redis_cluster() {
    let Some(cluster) = redis_cluster::private(Options::new()).await else {
        return;
    };
    assert_eq!(cluster.masters().await.len(), 3);
    let owner = cluster.owner("kept").await;
    is_replicated(&owner, cluster.nodes(), cluster.replicate()).await;
}

#[tokio::test]
async fn redis_sentinel() {
    let Some(sentinel) = redis_sentinel::private(Options::new()).await else {
        return;
    };
    let master = sentinel.master().await;
    is_replicated(&master, sentinel.servers(), sentinel.replicate()).await;
}

/// How the inner run ends, and the file in which it lists what it has started.
const ENDING: &str = "POEM_SESSION_HARNESS_ENDING";
const REPORT: &str = "POEM_SESSION_HARNESS_REPORT";

#[tokio::test]
async fn servers_end_with_the_tests() {
    for ending in ["returns", "panics", "exits", "is killed", "gets Ctrl-C"] {
        leaves_nothing_behind(ending).await;
    }
}

#[tokio::test]
#[ignore = "the child process of `servers_end_with_the_tests`"]
async fn inner_run() {
    let ending = std::env::var(ENDING).expect("started by the other test");
    let report = std::env::var(REPORT).expect("started by the other test");
    let (redis, mariadb, postgres, paused) = tokio::join!(
        redis::shared(),
        mariadb::private(Options::new()),
        postgres::shared(),
        postgres::private(Options::new()),
    );
    if let Some(paused) = &paused {
        paused.pause();
    }
    let started: Vec<Server> = [redis, mariadb, postgres, paused]
        .into_iter()
        .flatten()
        .collect();
    let directories: Vec<String> = started
        .iter()
        .map(|server| server.directory().display().to_string())
        .collect();
    // A rename makes the complete file appear at once.
    let draft = format!("{report}.draft");
    fs::write(&draft, directories.join("\n")).unwrap();
    fs::rename(draft, &report).unwrap();
    // The outer run removes the file when it has seen the processes.
    while Path::new(&report).exists() {
        sleep(Duration::from_millis(5)).await;
    }
    match ending.as_str() {
        "returns" => {}
        "panics" => panic!("on request"),
        "exits" => std::process::exit(0),
        _ => sleep(Duration::from_mins(10)).await,
    }
}

fn start_inner_run(ending: &str, report: &Path, output: &Path) -> Child {
    // Ctrl-C is ignored in a background process of a script, and its children inherit that.
    Command::new("env")
        .arg("--default-signal=INT")
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "inner_run", "--ignored"])
        .env(ENDING, ending)
        .env(REPORT, report)
        .stdin(Stdio::null())
        .stdout(File::create(output).unwrap())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .unwrap()
}

async fn leaves_nothing_behind(ending: &str) {
    let directory = tempfile::tempdir().unwrap();
    let (report, output) = (
        directory.path().join("report"),
        directory.path().join("log"),
    );
    let mut run = start_inner_run(ending, &report, &output);
    eventually("the inner run starts servers", async || {
        let status = run.try_wait().unwrap();
        let printed = || fs::read_to_string(&output).unwrap();
        assert!(status.is_none(), "the inner run ended: {}", printed());
        report.exists().then_some(())
    })
    .await;

    let listed = fs::read_to_string(&report).unwrap();
    let mut directories: Vec<PathBuf> = listed.lines().map(PathBuf::from).collect();
    let servers: Vec<u32> = directories.iter().map(|of| server_in(of)).collect();
    assert!(servers.iter().all(|pid| is_running(*pid)));
    // The children of PostgreSQL are in process groups of their own, and some of them are paused.
    let children: Vec<u32> = servers.iter().flat_map(|pid| children_of(*pid)).collect();
    let processes = [servers, children].concat();

    let group = Pid::from_raw(-i32::try_from(run.id()).unwrap());
    match ending {
        "is killed" => kill(group, Signal::SIGKILL).unwrap(),
        "gets Ctrl-C" => kill(group, Signal::SIGINT).unwrap(),
        _ => {}
    }
    fs::remove_file(&report).unwrap();
    run.wait().unwrap();
    let parent = directories.first().and_then(|of| of.parent());
    directories.extend(parent.map(Path::to_owned));
    let is_left = || {
        let directories = directories.iter().filter(|of| of.exists());
        let processes = processes.iter().filter(|pid| is_running(**pid));
        directories.count() + processes.count() > 0
    };
    let expected = format!("nothing is left after the run that {ending}");
    eventually(&expected, async || (!is_left()).then_some(())).await;
}

/// Returns the process of the server in a directory, from its pid file.
fn server_in(directory: &Path) -> u32 {
    let text = fs::read_to_string(directory.join("pid")).expect("a pid file");
    let pid = text.split(' ').nth(1).expect("a signal and a number");
    pid.parse().expect("a number")
}

fn children_of(parent: u32) -> Vec<u32> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let processes = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    processes
        .filter(|pid| status(*pid).is_some_and(|(_, of)| of == parent))
        .collect()
}

fn is_running(pid: u32) -> bool {
    status(pid).is_some_and(|(state, _)| state != "Z")
}

/// Returns the state of a process and its parent.
fn status(pid: u32) -> Option<(String, u32)> {
    let line = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = line.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    Some((fields.next()?.to_owned(), fields.next()?.parse().ok()?))
}
