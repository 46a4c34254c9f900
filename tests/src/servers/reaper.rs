//! Nothing that the tests start outlives them.
//!
//! Statics are never dropped, a failing test may abort, and a test run may be killed outright: so the
//! tests' own process cannot be trusted to clean up. A small shell script does it. It reads a pipe
//! whose other end this process holds and never writes to; the pipe ends when this process does, in
//! whatever way. The kernel's parent-death signal would not do: it follows the death of the *thread*
//! that started a child, and each test is a thread.

use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio, id};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// Where a daemon's directory says what to end: `SIGNAL PID STAT`, with the kernel's line about the
/// process as of its start.
pub(crate) const PID_FILE: &str = "pid";

/// Where a paused daemon's directory lists the processes that were stopped.
pub(crate) const PAUSED_FILE: &str = "paused";

/// Waits for the end of the tests' process, ends every daemon named in the run's directory, and
/// removes that directory. Field 22 of `/proc/PID/stat`, the time of the start, tells a daemon from a
/// stranger that was given its number later; field 3 is `Z` for one that has ended already.
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
    # A driver that is killed cannot end its browser any more: both are in the group that it leads.
    [ "$signal" != KILL ] || kill -s KILL -- "-$pid"
    for paused in $(cat "${file%pid}paused"); do kill -s CONT "$paused"; done
    kill -s CONT "$pid"
}
force() { kill -s KILL "$pid"; }
{
    each end
    for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do each : || break; sleep 0.1; done
    # A daemon that was starting just now cannot write its pid file any more, and gives up.
    n=0
    while [ $n -lt 600 ]; do each force; rm -rf "$run"; [ -e "$run" ] || break; sleep 0.1; n=$((n + 1)); done
} >/dev/null 2>&1
"#;

struct Run {
    directory: PathBuf,
    /// Holds the pipe.
    _watcher: Child,
}

/// A new directory in this run's own, which is removed at the end of this process together with
/// every daemon started in it.
pub(crate) fn new_directory(name: &str) -> PathBuf {
    static RUN: OnceLock<Run> = OnceLock::new();
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let run = RUN.get_or_init(begin);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let directory = run.directory.join(format!("{name}-{number}"));
    fs::create_dir(&directory).expect("the run's directory takes a new entry");
    directory
}

fn begin() -> Run {
    let random = RandomState::new().hash_one(0);
    let name = format!("poem-session-{}-{random:016x}", id());
    let directory = std::env::temp_dir().join(name);
    fs::create_dir(&directory).expect("the temporary directory takes a new entry");
    // The servers' users have to pass through it.
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o755))
        .expect("one's own directory takes a new mode");
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
        // Ctrl-C reaches the whole group of the tests; this one has work to do then.
        .process_group(0)
        .spawn()
        .expect("a shell starts")
}
