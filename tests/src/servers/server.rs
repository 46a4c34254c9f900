//! A running server.

use std::fmt;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::sys::signal::Signal;

use super::daemon::{Daemon, Launch, log_file};
use super::user::{User, hand_over, unprivileged};
use super::{port, reaper};
use crate::{PATIENCE, poll_blocking};

/// The differences between the kinds of servers.
pub(crate) trait Engine: fmt::Debug + Send + Sync {
    /// The name in directories and messages.
    fn name(&self) -> &'static str;

    /// The user that the package of the server creates.
    fn user(&self) -> &'static str;

    /// Creates the files of a new server in its directory. Called once.
    fn prepare(&self, place: &Place) -> Result<(), String>;

    /// Returns the command line.
    fn launch(&self, place: &Place) -> Launch;

    /// Returns whether the server with the process `pid` is ready. `log` is its output since the start.
    fn is_ready(&self, place: &Place, pid: u32, log: &str) -> bool;

    /// The signal for a clean shutdown.
    fn stop_signal(&self) -> Signal;

    /// Returns the URL of a database, by default of the first one.
    fn url(&self, port: u16, database: Option<&str>) -> String;

    /// Returns the command that runs a statement with the command-line client of the server.
    fn client(&self, port: u16, statement: &str) -> Command;

    /// Returns the name of a new database and the statement that creates it, if one is needed.
    fn new_database(&self, number: u32) -> (Option<String>, String);

    /// The file to which the server logs statements, if that is enabled.
    fn statement_log(&self, place: &Place) -> Option<PathBuf>;
}

/// The directory, port and user of a server.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) directory: PathBuf,
    pub(crate) port: u16,
    pub(crate) user: Option<User>,
}

impl Place {
    /// Returns a path in the directory, as an argument.
    pub(crate) fn path(&self, name: &str) -> String {
        self.directory.join(name).display().to_string()
    }
}

/// A running server. A clone is the same server. The server ends when the last clone is dropped, and at
/// the latest with the tests.
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
        hand_over(&directory, user).expect("the owner of a directory can be changed");
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
                // Another program has taken the port meanwhile.
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

    /// The URL of the first database, with user and password.
    pub fn url(&self) -> String {
        self.inner.engine.url(self.port(), None)
    }

    /// The port on 127.0.0.1. A restart does not change it.
    pub fn port(&self) -> u16 {
        self.inner.place.port
    }

    /// The address that the server listens on.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port()).into()
    }

    /// The process id, while the server runs.
    pub fn pid(&self) -> Option<u32> {
        self.daemon().as_ref().map(Daemon::pid)
    }

    /// The directory of the data and the log.
    pub fn directory(&self) -> &Path {
        &self.inner.place.directory
    }

    /// Creates an empty database and returns its URL. Tests on a shared server use separate databases.
    pub async fn new_database(&self) -> String {
        let number = 1 + self.inner.databases.fetch_add(1, Ordering::Relaxed);
        let (statement, name) = self.inner.engine.new_database(number);
        if let Some(statement) = statement {
            self.run(statement).await;
        }
        self.inner.engine.url(self.port(), Some(&name))
    }

    /// Runs a statement, or a Redis command, with the command-line client of the server and as its
    /// administrator, and returns the output. Panics if it fails. A Redis command is split at white space.
    pub async fn run(&self, statement: impl Into<String>) -> String {
        let (server, statement) = (self.clone(), statement.into());
        blocking(move || server.run_blocking(&statement)).await
    }

    /// Like [`run`](Self::run), for a statement that may fail.
    ///
    /// # Errors
    ///
    /// Returns the output of the client if it fails. An error reply of Redis is not a failure.
    pub async fn try_run(&self, statement: impl Into<String>) -> Result<String, String> {
        let (server, statement) = (self.clone(), statement.into());
        blocking(move || server.try_run_blocking(&statement)).await
    }

    pub(crate) fn run_blocking(&self, statement: &str) -> String {
        let output = self.try_run_blocking(statement);
        output.unwrap_or_else(|why| panic!("{self:?}: `{statement}` failed: {why}"))
    }

    fn try_run_blocking(&self, statement: &str) -> Result<String, String> {
        let mut client = self.inner.engine.client(self.port(), statement);
        let output = client.output().expect("the client starts");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() {
            return Ok(text);
        }
        Err(text + &String::from_utf8_lossy(&output.stderr))
    }

    /// Kills the server and its child processes.
    pub async fn kill(&self) {
        let server = self.clone();
        blocking(move || server.kill_blocking()).await;
    }

    fn kill_blocking(&self) {
        if let Some(mut daemon) = self.daemon().take() {
            daemon.kill();
        }
    }

    /// Shuts the server down cleanly.
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

    /// Starts the server again with the same port and data, and waits until it is ready. Kills it first if
    /// it runs.
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

    /// Stops the processes of the server with SIGSTOP. Connections stay open and get no replies.
    pub fn pause(&self) {
        if let Some(daemon) = self.daemon().as_mut() {
            daemon.pause();
        }
    }

    /// Continues the server after [`pause`](Self::pause).
    pub fn resume(&self) {
        if let Some(daemon) = self.daemon().as_mut() {
            daemon.resume();
        }
    }

    /// Removes the limit that [`Options::file_limit`](super::Options::file_limit) has set.
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

    /// Ignores a poisoned lock, so that the server can be killed after a test has failed.
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
        // If this fails, the reaper removes the directory.
        let _ = fs::remove_dir_all(&self.place.directory);
    }
}

impl Daemon {
    /// Starts the server and waits until it is ready.
    fn begin(engine: &dyn Engine, place: &Place) -> Result<Self, String> {
        let log = log_file(&place.directory);
        let offset = fs::metadata(&log).map_or(0, |metadata| metadata.len());
        let mut daemon = Self::start(&engine.launch(place), &place.directory)
            .map_err(|error| format!("no process: {error}"))?;
        poll_blocking(
            || {
                let output = log_since(&place.directory, offset);
                if let Some(status) = daemon.ended() {
                    return Some(Err(format!("it ended with {status}:\n{output}")));
                }
                let is_ready = engine.is_ready(place, daemon.pid(), &output);
                is_ready.then_some(Ok(()))
            },
            || {
                let output = log_since(&place.directory, offset);
                format!("{} is not ready:\n{output}", engine.name())
            },
        )?;
        Ok(daemon)
    }
}

fn log_since(directory: &Path, offset: u64) -> String {
    let bytes = fs::read(log_file(directory)).unwrap_or_default();
    let from = usize::try_from(offset).unwrap_or(usize::MAX);
    String::from_utf8_lossy(bytes.get(from..).unwrap_or_default()).into_owned()
}

/// Runs a blocking function outside of the runtime's threads, so that the tasks of the tests keep running.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(failure) => std::panic::resume_unwind(failure.into_panic()),
    }
}
