//! A program that runs beside the tests: started, signalled with all its processes, and gone at the
//! end.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::reaper::{PAUSED_FILE, PID_FILE};
use super::user::{User, become_user};

/// The file in a daemon's directory that takes its output.
const LOG_FILE: &str = "log";

/// Writes the pid file and becomes the program: the file is there before the program is, so that
/// the reaper knows of it whenever this process dies. A write past the limit of file sizes is to be an
/// error, and not the end of a program that did not think of the signal.
const BECOME: &str = r#"
file=$1 signal=$2 limit=$3
shift 3
read -r stat <"/proc/$$/stat"
echo "$signal $$ $stat" >"$file" || exit 1
if [ "$limit" != none ]; then
    trap '' XFSZ
    ulimit -S -f "$limit"
fi
exec "$@"
"#;

/// What to start, and how.
#[derive(Debug)]
pub(crate) struct Launch {
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<OsString>,
    /// The user to become, where that can be chosen.
    pub(crate) user: Option<User>,
    /// The signal that ends it and all its processes at once, and leaves nothing behind.
    pub(crate) end: Signal,
    /// The largest file that it may write, in bytes.
    pub(crate) file_limit: Option<u64>,
}

impl Launch {
    pub(crate) fn new(program: PathBuf) -> Self {
        let end = Signal::SIGKILL;
        Self {
            program,
            arguments: Vec::new(),
            user: None,
            end,
            file_limit: None,
        }
    }

    pub(crate) fn arg(&mut self, argument: impl AsRef<OsStr>) -> &mut Self {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    pub(crate) fn args(&mut self, arguments: &[&str]) -> &mut Self {
        self.arguments.extend(arguments.iter().map(OsString::from));
        self
    }
}

/// A running program.
#[derive(Debug)]
pub(crate) struct Daemon {
    child: Child,
    directory: PathBuf,
    user: Option<User>,
    end: Signal,
}

impl Daemon {
    /// Starts it, with its output appended to the log in the directory.
    pub(crate) fn start(launch: &Launch, directory: &Path) -> io::Result<Self> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(log_file(directory))?;
        // `ulimit` counts in blocks of 512 bytes.
        let limit = launch
            .file_limit
            .map_or("none".to_owned(), |bytes| (bytes / 512).to_string());
        let signal = launch.end.as_str().trim_start_matches("SIG");
        let mut command = Command::new("sh");
        command
            .args(["-c", BECOME, "become"])
            .arg(directory.join(PID_FILE))
            .args([signal, &limit])
            .arg(&launch.program)
            .args(&launch.arguments)
            .current_dir(directory)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            // Ctrl-C is for the tests; the reaper ends what they started.
            .process_group(0);
        become_user(&mut command, launch.user);
        let child = command.spawn()?;
        Ok(Self {
            child,
            directory: directory.to_owned(),
            user: launch.user,
            end: launch.end,
        })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child
            .try_wait()
            .expect("one's own child can be waited for")
    }

    /// Sends a signal to the program alone, not to its children.
    pub(crate) fn signal(&mut self, signal: Signal) {
        if self.ended().is_none() {
            send(self.pid(), signal);
        }
    }

    /// Waits for its end, up to a limit.
    pub(crate) fn wait(&mut self, limit: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + limit;
        loop {
            match self.ended() {
                Some(status) => {
                    let _ = fs::remove_file(self.directory.join(PID_FILE));
                    return Some(status);
                }
                None if Instant::now() >= deadline => return None,
                None => sleep(Duration::from_millis(5)),
            }
        }
    }

    /// Ends it and its children with no chance to write anything more, and returns when all are gone.
    pub(crate) fn kill(&mut self) -> Option<ExitStatus> {
        let children = self.freeze();
        for pid in &children {
            send(*pid, Signal::SIGKILL);
        }
        let _ = self.child.kill();
        let status = self.wait(Duration::from_mins(5));
        let _ = fs::remove_file(self.directory.join(PAUSED_FILE));
        while children.iter().any(|pid| is_alive(*pid)) {
            sleep(Duration::from_millis(2));
        }
        status
    }

    /// Stops it and its children where they are.
    pub(crate) fn pause(&mut self) {
        let children = self.freeze();
        // For the reaper, whose signals they would not heed otherwise.
        let list: Vec<String> = children.iter().map(u32::to_string).collect();
        fs::write(self.directory.join(PAUSED_FILE), list.join(" "))
            .expect("the directory takes a file");
    }

    /// Lets it and its children go on.
    pub(crate) fn resume(&mut self) {
        for pid in descendants(self.pid()) {
            send(pid, Signal::SIGCONT);
        }
        self.signal(Signal::SIGCONT);
        let _ = fs::remove_file(self.directory.join(PAUSED_FILE));
    }

    /// Takes away the limit of file sizes from it and its children.
    pub(crate) fn lift_file_limit(&mut self) {
        let mut processes = descendants(self.pid());
        processes.push(self.pid());
        for pid in processes {
            // The processes are that user's, and root may not do all that it may elsewhere.
            let mut prlimit = Command::new("prlimit");
            prlimit.args(["--pid", &pid.to_string(), "--fsize=unlimited:"]);
            become_user(&mut prlimit, self.user);
            let status = prlimit.status().expect("`prlimit` is part of util-linux");
            assert!(status.success() || !is_alive(pid), "prlimit: {status}");
        }
    }

    /// Stops it and its children, and says which those are.
    ///
    /// PostgreSQL has a process for each connection, in a group of its own.
    fn freeze(&mut self) -> Vec<u32> {
        if self.ended().is_some() {
            return Vec::new();
        }
        stop(self.pid());
        let mut frozen = Vec::new();
        loop {
            let found = descendants(self.pid());
            let fresh = |pid: &u32| !frozen.contains(pid);
            let new: Vec<u32> = found.into_iter().filter(fresh).collect();
            if new.is_empty() {
                return frozen;
            }
            for pid in new {
                stop(pid);
                frozen.push(pid);
            }
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if self.end != Signal::SIGKILL && self.ended().is_none() {
            self.signal(self.end);
            self.resume();
            self.wait(Duration::from_secs(2));
        }
        self.kill();
    }
}

/// Where a daemon in this directory writes its output.
pub(crate) fn log_file(directory: &Path) -> PathBuf {
    directory.join(LOG_FILE)
}

/// Whether a process runs: exists, and is not only waiting to be reaped.
pub(crate) fn is_alive(pid: u32) -> bool {
    status(pid).is_some_and(|(state, _)| state != 'Z')
}

/// A process that has just ended takes no signal, and needs none.
fn send(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).expect("Linux numbers processes up to 2^22");
    let _ = kill(Pid::from_raw(pid), signal);
}

/// Stops a process, and waits until each of its threads has stopped: one that is running can serve a request
/// after the signal was sent.
fn stop(pid: u32) {
    send(pid, Signal::SIGSTOP);
    let begun = Instant::now();
    while is_running(pid) {
        let waits = begun.elapsed() < Duration::from_mins(1);
        assert!(waits, "process {pid} does not stop");
        sleep(Duration::from_millis(1));
    }
}

/// Whether one of a process's threads has neither stopped nor ended.
fn is_running(pid: u32) -> bool {
    let tasks = fs::read_dir(format!("/proc/{pid}/task"));
    let mut tasks = tasks.into_iter().flatten().flatten();
    tasks.any(|task| {
        let stat = fs::read_to_string(task.path().join("stat")).unwrap_or_default();
        parse_stat(&stat).is_some_and(|(state, _)| !matches!(state, 'T' | 't' | 'Z' | 'X'))
    })
}

/// The processes that a process has started, and those that these have started.
fn descendants(root: u32) -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let parents: Vec<(u32, u32)> = numbers
        .filter_map(|pid| status(pid).map(|(_, parent)| (pid, parent)))
        .collect();
    let mut found = vec![root];
    let mut next = 0;
    while let Some(parent) = found.get(next).copied() {
        let children = parents
            .iter()
            .filter(|(_, of)| *of == parent)
            .map(|(pid, _)| *pid);
        found.extend(children);
        next += 1;
    }
    found.split_off(1)
}

/// The state of a process and its parent.
fn status(pid: u32) -> Option<(char, u32)> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The state and the parent in the kernel's line about a process or a thread: `PID (NAME) STATE PARENT …`.
fn parse_stat(line: &str) -> Option<(char, u32)> {
    // A name may hold spaces and parentheses.
    let (_, rest) = line.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    let state = fields.next()?.chars().next()?;
    let parent = fields.next()?.parse().ok()?;
    Some((state, parent))
}
