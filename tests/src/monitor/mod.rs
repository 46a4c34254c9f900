//! Records the commands that reach a server, to count round trips.
//!
//! ```no_run
//! use poem_session_tests::monitor::Monitor;
//! use poem_session_tests::servers::{Options, redis};
//!
//! # async fn test() {
//! let Some(server) = redis::private(Options::new()).await else { return };
//! let monitor = Monitor::start(&server).await;
//! // … the calls to count …
//! let seen = monitor.finish().await;
//! assert_eq!(seen.len(), 1, "{seen:#?}");
//! # }
//! ```

mod redis;
mod sql;

use std::sync::atomic::{AtomicU32, Ordering};

use crate::servers::{Server, blocking};

/// A command or statement that a client sent to a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// The connection that it came on, as the server names it.
    pub client: String,
    /// The first line of the statement, or the command and its arguments separated by spaces.
    pub text: String,
}

impl Command {
    fn new(client: &str, text: &str) -> Self {
        Self {
            client: client.to_owned(),
            text: text.to_owned(),
        }
    }

    /// The first word in capitals: `GET`, `EVALSHA`, `SELECT`.
    pub fn name(&self) -> String {
        self.text
            .split_whitespace()
            .next()
            .unwrap_or_default()
            .to_ascii_uppercase()
    }
}

/// Records until [`finish`](Self::finish) is called.
#[derive(Debug)]
pub struct Monitor(Recording);

#[derive(Debug)]
enum Recording {
    Redis(redis::Recording),
    Sql(sql::Recording),
}

impl Monitor {
    /// Starts to record. PostgreSQL and MariaDB must have been started with
    /// [`log_statements`](crate::servers::Options::log_statements).
    ///
    /// On a shared server, this also records the commands of other tests.
    pub async fn start(server: &Server) -> Self {
        let server = server.clone();
        let recording = blocking(move || match server.engine_name() {
            "redis" => Recording::Redis(redis::Recording::start(server)),
            _ => Recording::Sql(sql::Recording::start(server)),
        });
        Self(recording.await)
    }

    /// Returns the commands since the start, in order.
    ///
    /// Leaves out the commands that a script runs inside Redis, and those that set up a connection: the
    /// handshake, and SQL's `SET`.
    pub async fn finish(self) -> Vec<Command> {
        blocking(move || match self.0 {
            Recording::Redis(recording) => recording.finish(),
            Recording::Sql(recording) => recording.finish(),
        })
        .await
    }
}

/// A unique word. A recording sends it to the server as its last command: when the word shows up in
/// the record, everything before it is there too.
fn marker() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("end-of-recording-{}-{number}", std::process::id())
}
