//! Nothing outlives the tests, however they end.
//!
//! This test program runs itself once more, with one test of it that starts servers and then ends as
//! it is told to.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use poem_session_tests::servers::{Options, Server, mariadb, postgres, redis};
use tokio::time::sleep;

/// Tells the inner run how to end, and where to write what it started.
const ENDING: &str = "POEM_SESSION_HARNESS_ENDING";
const REPORT: &str = "POEM_SESSION_HARNESS_REPORT";

const PATIENCE: Duration = Duration::from_mins(5);

/// Only has a purpose in the inner run; otherwise it passes at once.
#[tokio::test]
async fn inner_run() {
    let (Ok(ending), Ok(report)) = (std::env::var(ENDING), std::env::var(REPORT)) else {
        return;
    };
    let (redis, own, postgres, mariadb, paused) = tokio::join!(
        redis::shared(),
        redis::private(Options::new()),
        postgres::shared(),
        mariadb::shared(),
        postgres::private(Options::new()),
    );
    if let Some(paused) = &paused {
        paused.pause();
    }
    let started: Vec<Server> = [redis, own, postgres, mariadb, paused]
        .into_iter()
        .flatten()
        .collect();
    let directories: Vec<String> = started
        .iter()
        .map(|server| server.directory().display().to_string())
        .collect();
    // The file is there when all of it is.
    let draft = format!("{report}.draft");
    fs::write(&draft, directories.join("\n")).unwrap();
    fs::rename(draft, &report).unwrap();
    // It is gone when the outer run has looked at everything.
    while Path::new(&report).exists() {
        sleep(Duration::from_millis(5)).await;
    }
    match ending.as_str() {
        "returns" => {}
        "panics" => panic!("as it was told to"),
        "exits" => std::process::exit(0),
        _ => sleep(Duration::from_mins(10)).await,
    }
}

async fn leaves_nothing_behind(ending: &str) {
    let file = |name: &str| {
        let name = format!("poem-session-{}-{ending}.{name}", std::process::id());
        std::env::temp_dir().join(name)
    };
    let (report, output) = (file("report"), file("output"));
    let mut run = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "harness::end::inner_run"])
        .env(ENDING, ending)
        .env(REPORT, &report)
        .stdin(Stdio::null())
        .stdout(File::create(&output).unwrap())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    while !report.exists() {
        let ended = run.try_wait().unwrap();
        let said = || fs::read_to_string(&output).unwrap();
        assert!(ended.is_none(), "the inner run starts nothing: {}", said());
        sleep(Duration::from_millis(5)).await;
    }
    fs::remove_file(&output).unwrap();

    let listed = fs::read_to_string(&report).unwrap();
    let mut directories: Vec<PathBuf> = listed.lines().map(PathBuf::from).collect();
    let servers: Vec<u32> = directories.iter().map(|of| server_in(of)).collect();
    assert!(servers.iter().all(|pid| is_running(*pid)), "they run");
    // PostgreSQL's children are in groups of their own, and some of them are stopped here. Others come and
    // end as they please.
    let children: Vec<u32> = servers.iter().flat_map(|pid| children_of(*pid)).collect();
    let processes = [servers, children].concat();

    if ending == "killed" {
        run.kill().unwrap();
    }
    fs::remove_file(&report).unwrap();
    run.wait().unwrap();
    let begun = Instant::now();
    let run_directory = directories
        .first()
        .and_then(|of| of.parent())
        .map(Path::to_owned);
    directories.extend(run_directory);
    while directories.iter().any(|directory| directory.exists())
        || processes.iter().any(|pid| is_running(*pid))
    {
        let left = (&directories, &processes);
        assert!(begun.elapsed() < PATIENCE, "left behind: {left:?}");
        sleep(Duration::from_millis(5)).await;
    }
}

/// The server of a directory, by its pid file.
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

/// The state of a process and its parent.
fn status(pid: u32) -> Option<(String, u32)> {
    let line = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = line.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    Some((fields.next()?.to_owned(), fields.next()?.parse().ok()?))
}

#[tokio::test]
async fn servers_end_with_a_run_that_passes() {
    leaves_nothing_behind("returns").await;
}

#[tokio::test]
async fn servers_end_with_a_run_that_fails() {
    leaves_nothing_behind("panics").await;
}

#[tokio::test]
async fn servers_end_with_a_run_that_exits() {
    leaves_nothing_behind("exits").await;
}

#[tokio::test]
async fn servers_end_with_a_run_that_is_killed() {
    leaves_nothing_behind("killed").await;
}
