//! Ends every program that the tests have started, however the tests end.
//!
//! The process of the tests cannot do that itself: it does not drop statics, and it may abort or be killed.
//! A shell script does it. The script reads from a pipe whose other end this process holds, and the pipe
//! closes when this process ends. The parent-death signal of Linux does not work here, because it follows
//! the *thread* that started a child, and each test is a thread.

use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio, id};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// The file in a daemon's directory with the process to end: `SIGNAL PID STAT`, where `STAT` is the `stat`
/// line of the process at its start.
pub(crate) const PID_FILE: &str = "pid";

/// The file in a paused daemon's directory with its stopped child processes.
pub(crate) const PAUSED_FILE: &str = "paused";

/// Waits for the end of the tests' process, ends every daemon in the run's directory, and removes that
/// directory. Field 22 of `/proc/PID/stat` is the start time, which differs if another process got the same
/// id later. Field 3 is `Z` for a zombie.
const SCRIPT: &str = r#"
run=$1
while read -r _; do :; done
field() { n=$1; set -f; set -- ${2##*) }; shift "$((n - 3))"; printf %s "$1"; }
alive() {
    { read -r now <"/proc/$pid/stat"; } 2>/dev/null || return 1
    [ "$(field 3 "$now")" != Z ] && [ "$(field 22 "$now")" = "$(field 22 "$stat")" ]
}
each() {
    any=1
    for file in "$run"/*/pid; do
        { read -r signal pid stat <"$file"; } 2>/dev/null || continue
        if alive; then any=0; "$@"; fi
    done
    return $any
}
end() {
    kill -s "$signal" "$pid"
    # A killed driver cannot end its browser, which is in the same process group.
    [ "$signal" != KILL ] || kill -s KILL -- "-$pid"
    for paused in $(cat "${file%pid}paused"); do kill -s CONT "$paused"; done
    kill -s CONT "$pid"
}
force() { kill -s KILL "$pid"; }
{
    each end
    for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do each : || break; sleep 0.1; done
    # A daemon that is just starting gives up, because it cannot write its pid file any more.
    n=0
    while [ $n -lt 600 ]; do each force; rm -rf "$run"; [ -e "$run" ] || break; sleep 0.1; n=$((n + 1)); done
} >/dev/null 2>&1
"#;

struct Run {
    directory: PathBuf,
    /// Owns the pipe.
    _watcher: Child,
}

/// Creates a directory for a daemon. When this process ends, the reaper ends the daemon and removes the
/// directory.
pub(crate) fn new_directory(name: &str) -> PathBuf {
    static RUN: OnceLock<Run> = OnceLock::new();
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let run = RUN.get_or_init(begin);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let directory = run.directory.join(format!("{name}-{number}"));
    fs::create_dir(&directory).expect("the run's directory is writable");
    directory
}

fn begin() -> Run {
    let random = RandomState::new().hash_one(0);
    let name = format!("poem-session-{}-{random:016x}", id());
    let directory = std::env::temp_dir().join(name);
    fs::create_dir(&directory).expect("the temporary directory is writable");
    // The users of the servers must be able to enter it.
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o755))
        .expect("an owner can change the mode");
    let watcher = watch(&directory);
    Run {
        directory,
        _watcher: watcher,
    }
}

fn watch(directory: &Path) -> Child {
    Command::new("sh")
        .args(["-c", SCRIPT, "reaper"])
        .arg(directory)
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // Ctrl-C does not reach another process group.
        .process_group(0)
        .spawn()
        .expect("a shell starts")
}
