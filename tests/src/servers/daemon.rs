//! A program that runs beside the tests, with its child processes.

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
use crate::{PATIENCE, poll_blocking};

/// The file in a daemon's directory for its output.
const LOG_FILE: &str = "log";

/// Writes the pid file and then becomes the program, so that the reaper can end the program whenever this
/// process dies. Ignores SIGXFSZ, so that a write past the limit of file sizes returns an error instead of
/// ending the program.
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

/// How to start a program.
#[derive(Debug)]
pub(crate) struct Launch {
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<OsString>,
    /// The user to run as, if the tests may choose one.
    pub(crate) user: Option<User>,
    /// The signal that ends the program and its children at once.
    pub(crate) end: Signal,
    /// The maximum size of the files that it writes, in bytes.
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
    /// Starts the program. Its output is appended to the log in the directory.
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
            // Ctrl-C does not reach another process group. The reaper ends this one.
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

    /// Starts the program and waits until `parse` finds a value in its output.
    pub(crate) fn start_and_parse<T>(
        launch: &Launch,
        directory: &Path,
        parse: impl Fn(&str) -> Option<T>,
    ) -> (Self, T) {
        let mut daemon = Self::start(launch, directory).expect("a shell starts");
        let name = launch.program.display();
        let output = || {
            let bytes = fs::read(log_file(directory)).unwrap_or_default();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        let value = poll_blocking(
            || {
                let ended = daemon.ended().is_some();
                let value = parse(&output());
                assert!(value.is_some() || !ended, "{name} ended: {}", output());
                value
            },
            || format!("{name} is not ready: {}", output()),
        );
        (daemon, value)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The exit status, if the program has ended.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child
            .try_wait()
            .expect("a child process can be waited for")
    }

    /// Sends a signal to the program alone, not to its children.
    pub(crate) fn signal(&mut self, signal: Signal) {
        if self.ended().is_none() {
            send(self.pid(), signal);
        }
    }

    /// Waits for the end of the program, up to a limit.
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

    /// Kills the program and its children, and waits until all have ended.
    pub(crate) fn kill(&mut self) {
        let children = self.freeze();
        for pid in &children {
            send(*pid, Signal::SIGKILL);
        }
        let _ = self.child.kill();
        self.wait(PATIENCE);
        let _ = fs::remove_file(self.directory.join(PAUSED_FILE));
        while children.iter().any(|pid| is_alive(*pid)) {
            sleep(Duration::from_millis(2));
        }
    }

    /// Stops the program and its children with SIGSTOP.
    pub(crate) fn pause(&mut self) {
        let children = self.freeze();
        // The reaper continues these processes, because a stopped one does not handle its signal.
        let list: Vec<String> = children.iter().map(u32::to_string).collect();
        fs::write(self.directory.join(PAUSED_FILE), list.join(" "))
            .expect("the directory takes a file");
    }

    /// Continues the program and its children.
    pub(crate) fn resume(&mut self) {
        for pid in descendants(self.pid()) {
            send(pid, Signal::SIGCONT);
        }
        self.signal(Signal::SIGCONT);
        let _ = fs::remove_file(self.directory.join(PAUSED_FILE));
    }

    /// Removes the limit of file sizes from the program and its children.
    pub(crate) fn lift_file_limit(&mut self) {
        let mut processes = descendants(self.pid());
        processes.push(self.pid());
        for pid in processes {
            // In a container, root may not change the limits of another user's process.
            let mut prlimit = Command::new("prlimit");
            prlimit.args(["--pid", &pid.to_string(), "--fsize=unlimited:"]);
            become_user(&mut prlimit, self.user);
            let status = prlimit.status().expect("`prlimit` is part of util-linux");
            assert!(status.success() || !is_alive(pid), "prlimit: {status}");
        }
    }

    /// Stops the program and its children, and returns the children. A signal to the process group would
    /// miss some: PostgreSQL puts the process of each connection into its own group.
    fn freeze(&mut self) -> Vec<u32> {
        if self.ended().is_some() {
            return Vec::new();
        }
        stop(self.pid());
        let mut frozen = Vec::new();
        loop {
            let found = descendants(self.pid());
            let is_new = |pid: &u32| !frozen.contains(pid);
            let new: Vec<u32> = found.into_iter().filter(is_new).collect();
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

/// Returns the file for the output of a daemon in this directory.
pub(crate) fn log_file(directory: &Path) -> PathBuf {
    directory.join(LOG_FILE)
}

/// Returns whether a process exists and is not a zombie.
fn is_alive(pid: u32) -> bool {
    status(pid).is_some_and(|(state, _)| state != 'Z')
}

/// Sends a signal. Ignores that the process may have ended.
fn send(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).expect("Linux numbers processes up to 2^22");
    let _ = kill(Pid::from_raw(pid), signal);
}

/// Stops a process and waits until its threads have stopped, because a running one can still serve a request.
fn stop(pid: u32) {
    send(pid, Signal::SIGSTOP);
    poll_blocking(
        || (!is_running(pid)).then_some(()),
        || format!("process {pid} does not stop"),
    );
}

/// Returns whether a thread of the process has neither stopped nor ended.
fn is_running(pid: u32) -> bool {
    let tasks = fs::read_dir(format!("/proc/{pid}/task"));
    let mut tasks = tasks.into_iter().flatten().flatten();
    tasks.any(|task| {
        let stat = fs::read_to_string(task.path().join("stat")).unwrap_or_default();
        parse_stat(&stat).is_some_and(|(state, _)| !matches!(state, 'T' | 't' | 'Z' | 'X'))
    })
}

/// Returns the children of a process, and their children.
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

/// Returns the state and the parent of a process.
fn status(pid: u32) -> Option<(char, u32)> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Parses the `stat` line of a process or a thread: `PID (NAME) STATE PARENT …`.
fn parse_stat(line: &str) -> Option<(char, u32)> {
    // A name may contain spaces and parentheses.
    let (_, rest) = line.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    let state = fields.next()?.chars().next()?;
    let parent = fields.next()?.parse().ok()?;
    Some((state, parent))
}
