//! Records the commands that reach a server, to count round trips.
//!
//! ```no_run
//! use poem_session::store::{RedisStore, SessionStore as _};
//! use poem_session_tests::{monitor::sends, records, servers::{Options, redis}};
//!
//! # async fn test() {
//! let Some(server) = redis::private(Options::new()).await else { return };
//! let store = RedisStore::connect(&server.url()).await.expect("the server is ready");
//! let load = store.load(records::key(), records::now());
//! assert_eq!(sends(&server, &["GETRANGE"], load).await, None);
//! # }
//! ```

mod redis;
mod sql;

use std::sync::atomic::{AtomicU32, Ordering};

use poem_session::store::StoreError;

use crate::servers::{Server, blocking};

/// Awaits a call of a store, which must succeed, and asserts the commands that reach the server: the first word
/// of each, in capitals.
///
/// Leaves out the commands that a script runs inside Redis, and those that set up a connection: the handshake,
/// and SQL's `SET`. On a shared server, this also sees the commands of other tests. PostgreSQL and MariaDB must
/// have been started with [`log_statements`](crate::servers::Options::log_statements).
pub async fn sends<T>(
    server: &Server,
    expected: &[&str],
    call: impl Future<Output = Result<T, StoreError>>,
) -> T {
    let server = server.clone();
    let recording = blocking(move || match server.engine_name() {
        "redis" => Recording::Redis(redis::Recording::start(server)),
        _ => Recording::Sql(sql::Recording::start(server)),
    });
    let recording = recording.await;
    let result = call.await.expect("a result");
    let seen = blocking(move || match recording {
        Recording::Redis(recording) => recording.finish(),
        Recording::Sql(recording) => recording.finish(),
    });
    let seen = seen.await;
    let names: Vec<_> = seen.iter().map(Command::name).collect();
    assert_eq!(names, expected, "{seen:#?}");
    result
}

/// A command or statement that a client sent to a server.
#[derive(Clone, Debug)]
struct Command {
    /// The connection that it came on, as the server names it.
    client: String,
    /// The first line of the statement, or the command and its arguments separated by spaces.
    text: String,
}

impl Command {
    fn new(client: &str, text: &str) -> Self {
        Self {
            client: client.to_owned(),
            text: text.to_owned(),
        }
    }

    /// The first word in capitals: `GET`, `EVALSHA`, `SELECT`.
    fn name(&self) -> String {
        self.text
            .split_whitespace()
            .next()
            .unwrap_or_default()
            .to_ascii_uppercase()
    }
}

/// A recording since its start.
enum Recording {
    Redis(redis::Recording),
    Sql(sql::Recording),
}

/// A unique word. A recording sends it to the server as its last command: when the word shows up in
/// the record, everything before it is there too.
fn marker() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("end-of-recording-{}-{number}", std::process::id())
}
