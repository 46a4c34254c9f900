//! A record of what a server was asked to do, to count round trips.
//!
//! ```no_run
//! use poem_session_tests::monitor::Monitor;
//! use poem_session_tests::servers::{Options, redis};
//!
//! # async fn test() {
//! let Some(server) = redis::private(Options::new()).await else { return };
//! let monitor = Monitor::start(&server).await;
//! // … what is to be counted …
//! let seen = monitor.finish().await;
//! assert_eq!(seen.len(), 1, "{seen:#?}");
//! # }
//! ```

mod redis;
mod sql;

use std::sync::atomic::{AtomicU32, Ordering};

use crate::servers::{Server, blocking};

/// One thing that a client asked of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// Which connection it came on, in the server's own words.
    pub client: String,
    /// The statement, or the command and its arguments separated by spaces.
    pub text: String,
}

impl Command {
    /// Its first word in capitals: `GET`, `EVALSHA`, `SELECT`.
    pub fn name(&self) -> String {
        self.text
            .split_whitespace()
            .next()
            .unwrap_or_default()
            .to_ascii_uppercase()
    }
}

/// Records until [`finish`](Self::finish).
#[derive(Debug)]
pub struct Monitor {
    recordings: Vec<Recording>,
}

#[derive(Debug)]
enum Recording {
    Redis(redis::Recording),
    Sql(sql::Recording),
}

impl Monitor {
    /// Records what reaches this server from now on. A PostgreSQL or MariaDB has to be one that was
    /// started with [`log_statements`](crate::servers::Options::log_statements).
    ///
    /// On a shared server that includes what other tests send.
    pub async fn start(server: &Server) -> Self {
        Self::start_all(std::slice::from_ref(server)).await
    }

    /// Records what reaches any of these servers, such as the masters of a Cluster.
    pub async fn start_all(servers: &[Server]) -> Self {
        let servers = servers.to_vec();
        let recordings = blocking(move || servers.iter().map(Recording::start).collect()).await;
        Self { recordings }
    }

    /// Everything that was asked between the start and now, in order for each server.
    ///
    /// Not in it are what a script does inside Redis (the call of the script is), and what sets a
    /// connection up: the handshake, a Redis client's look at its cluster, SQL's `SET`.
    pub async fn finish(self) -> Vec<Command> {
        blocking(move || {
            let finish = |recording| match recording {
                Recording::Redis(recording) => redis::Recording::finish(recording),
                Recording::Sql(recording) => sql::Recording::finish(&recording),
            };
            self.recordings.into_iter().flat_map(finish).collect()
        })
        .await
    }
}

impl Recording {
    fn start(server: &Server) -> Self {
        match server.engine_name() {
            "redis" => Self::Redis(redis::Recording::start(server.clone())),
            _ => Self::Sql(sql::Recording::start(server.clone())),
        }
    }
}

/// A word that nothing else sends: the server is given it at the end of a recording, and all that
/// came earlier is known to be in when it shows up there.
fn marker() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("end-of-recording-{}-{number}", std::process::id())
}
