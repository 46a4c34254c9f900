//! One running server.

use std::fmt;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::daemon::{Daemon, Launch, log_file};
use super::user::{User, hand_over, unprivileged};
use super::{port, reaper};

/// How long a server may take to answer after its start, and to end in an orderly way. Generous:
/// several are started at once on a machine that compiles at the same time.
const PATIENCE: Duration = Duration::from_mins(5);

/// What differs between the engines.
pub(crate) trait Engine: fmt::Debug + Send + Sync {
    /// A word for directories and messages.
    fn name(&self) -> &'static str;

    /// The user that its package made for it.
    fn user(&self) -> &'static str;

    /// Fills a new directory with what the server needs there. Runs once.
    fn prepare(&self, place: &Place) -> Result<(), String>;

    /// What to start.
    fn launch(&self, place: &Place) -> Launch;

    /// Whether the process `pid` answers; `log` is what it wrote since it was started.
    fn is_ready(&self, place: &Place, pid: u32, log: &str) -> bool;

    /// The signal for an orderly end.
    fn stop_signal(&self) -> Signal;

    /// The URL of the database called so, or of the one there from the start.
    fn url(&self, port: u16, database: Option<&str>) -> String;

    /// The engine's own client, given a statement or command to run.
    fn client(&self, port: u16, statement: &str) -> Command;

    /// The statement that makes a new database, if one is needed, and that database's name.
    fn new_database(&self, number: u32) -> (Option<String>, String);

    /// Where the engine logs statements, if it was started so.
    fn statement_log(&self, place: &Place) -> Option<PathBuf>;
}

/// Where a server is.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) directory: PathBuf,
    pub(crate) port: u16,
    pub(crate) user: Option<User>,
}

impl Place {
    /// A path in the directory, as an argument.
    pub(crate) fn path(&self, name: &str) -> String {
        self.directory.join(name).display().to_string()
    }
}

/// A server that a test talks to. Clones are the same server; it ends with the last of them, and in
/// any case with the tests.
#[derive(Clone)]
pub struct Server {
    inner: Arc<Inner>,
}

struct Inner {
    engine: Box<dyn Engine>,
    place: Place,
    daemon: Mutex<Option<Daemon>>,
    databases: AtomicU32,
}

impl Server {
    /// Starts a server on a free port. Blocks.
    pub(crate) fn start(engine: Box<dyn Engine>) -> Self {
        let directory = reaper::new_directory(engine.name());
        let user = unprivileged(engine.user());
        hand_over(&directory, user).expect("a new directory can be given away");
        let mut place = Place {
            directory,
            port: port::free(),
            user,
        };
        if let Err(why) = engine.prepare(&place) {
            panic!("{} cannot be set up: {why}", engine.name());
        }
        let daemon = loop {
            match Daemon::begin(engine.as_ref(), &place) {
                Ok(daemon) => break daemon,
                // Another program took it in the meantime.
                Err(_) if !port::is_free(place.port) => place.port = port::free(),
                Err(why) => panic!("{} does not start: {why}", engine.name()),
            }
        };
        let inner = Inner {
            engine,
            place,
            daemon: Mutex::new(Some(daemon)),
            databases: AtomicU32::new(0),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// The URL of the database that is there from the start, with name and password.
    pub fn url(&self) -> String {
        self.inner.engine.url(self.port(), None)
    }

    /// The port on 127.0.0.1. It stays the same over a restart.
    pub fn port(&self) -> u16 {
        self.inner.place.port
    }

    /// The address it listens on.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port()).into()
    }

    /// The process, while there is one.
    pub fn pid(&self) -> Option<u32> {
        self.daemon().as_ref().map(Daemon::pid)
    }

    /// Where its data and its log are.
    pub fn directory(&self) -> &Path {
        &self.inner.place.directory
    }

    /// All it has written to its output, restarts included.
    pub fn log(&self) -> String {
        log_since(self.directory(), 0)
    }

    /// A new, empty database in this server, as a URL: shared servers keep tests apart so.
    ///
    /// In Redis it is the next number.
    pub async fn new_database(&self) -> String {
        let number = 1 + self.inner.databases.fetch_add(1, Ordering::Relaxed);
        let (statement, name) = self.inner.engine.new_database(number);
        if let Some(statement) = statement {
            self.run(statement).await;
        }
        self.inner.engine.url(self.port(), Some(&name))
    }

    /// Runs a statement (a command, in Redis) through the engine's own client, as its administrator,
    /// and gives what that prints. A failure is a panic. Redis commands are split at white space.
    pub async fn run(&self, statement: impl Into<String>) -> String {
        let (server, statement) = (self.clone(), statement.into());
        blocking(move || server.run_blocking(&statement)).await
    }

    /// The same, where a failure is expected.
    ///
    /// # Errors
    ///
    /// What the client says of the failure. In Redis an error is a reply like any other.
    pub async fn try_run(&self, statement: impl Into<String>) -> Result<String, String> {
        let (server, statement) = (self.clone(), statement.into());
        blocking(move || server.try_run_blocking(&statement)).await
    }

    pub(crate) fn run_blocking(&self, statement: &str) -> String {
        let said = self.try_run_blocking(statement);
        said.unwrap_or_else(|why| panic!("{self:?}: `{statement}` failed: {why}"))
    }

    fn try_run_blocking(&self, statement: &str) -> Result<String, String> {
        let mut client = self.inner.engine.client(self.port(), statement);
        let output = client
            .output()
            .expect("the client of an installed server starts");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() {
            return Ok(text);
        }
        Err(text + &String::from_utf8_lossy(&output.stderr))
    }

    /// Ends it at once, with all its processes and without a chance to write anything more.
    pub async fn kill(&self) {
        let server = self.clone();
        blocking(move || server.kill_blocking()).await;
    }

    fn kill_blocking(&self) {
        if let Some(mut daemon) = self.daemon().take() {
            daemon.kill();
        }
    }

    /// Ends it in the orderly way.
    pub async fn stop(&self) {
        let server = self.clone();
        blocking(move || {
            if let Some(mut daemon) = server.daemon().take() {
                daemon.signal(server.inner.engine.stop_signal());
                assert!(daemon.wait(PATIENCE).is_some(), "{server:?} does not stop");
            }
        })
        .await;
    }

    /// Starts it again on the same port and the same data, and returns when it answers. Kills it
    /// first if it runs.
    pub async fn restart(&self) {
        let server = self.clone();
        blocking(move || {
            server.kill_blocking();
            match Daemon::begin(server.inner.engine.as_ref(), &server.inner.place) {
                Ok(daemon) => *server.daemon() = Some(daemon),
                Err(why) => panic!("{server:?} does not start again: {why}"),
            }
        })
        .await;
    }

    /// Stops it where it is: connections stay open, and nobody answers.
    pub fn pause(&self) {
        if let Some(daemon) = self.daemon().as_mut() {
            daemon.pause();
        }
    }

    /// Lets it go on after [`pause`](Self::pause).
    pub fn resume(&self) {
        if let Some(daemon) = self.daemon().as_mut() {
            daemon.resume();
        }
    }

    /// Frees the disk, in effect, that [`Options::file_limit`](super::Options::file_limit) has made full.
    pub fn lift_file_limit(&self) {
        if let Some(daemon) = self.daemon().as_mut() {
            daemon.lift_file_limit();
        }
    }

    pub(crate) fn engine_name(&self) -> &'static str {
        self.inner.engine.name()
    }

    pub(crate) fn statement_log(&self) -> Option<PathBuf> {
        self.inner.engine.statement_log(&self.inner.place)
    }

    /// A test that fails while it holds the lock leaves a server that can be killed all the same.
    fn daemon(&self) -> MutexGuard<'_, Option<Daemon>> {
        self.inner
            .daemon
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on port {}", self.engine_name(), self.port())
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        drop(self.daemon.get_mut().map(Option::take));
        // The reaper removes what is left.
        let _ = fs::remove_dir_all(&self.place.directory);
    }
}

impl Daemon {
    /// Starts the server and waits until it answers.
    fn begin(engine: &dyn Engine, place: &Place) -> Result<Self, String> {
        let log = log_file(&place.directory);
        let offset = fs::metadata(&log).map_or(0, |metadata| metadata.len());
        let mut daemon = Self::start(&engine.launch(place), &place.directory)
            .map_err(|error| format!("no process: {error}"))?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let output = log_since(&place.directory, offset);
            if let Some(status) = daemon.ended() {
                return Err(format!("it ended with {status}:\n{output}"));
            }
            if engine.is_ready(place, daemon.pid(), &output) {
                return Ok(daemon);
            }
            if Instant::now() >= deadline {
                return Err(format!("it does not answer:\n{output}"));
            }
            sleep(Duration::from_millis(10));
        }
    }
}

fn log_since(directory: &Path, offset: u64) -> String {
    let bytes = fs::read(log_file(directory)).unwrap_or_default();
    let from = usize::try_from(offset).unwrap_or(usize::MAX);
    String::from_utf8_lossy(bytes.get(from..).unwrap_or_default()).into_owned()
}

/// Runs what blocks apart from the tests' tasks, which have to go on meanwhile.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(failure) => std::panic::resume_unwind(failure.into_panic()),
    }
}
