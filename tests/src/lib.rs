//! The test harness of `poem-session`.
//!
//! - [`servers`]: Redis (alone, as a Cluster, with Sentinel), PostgreSQL, PgBouncer, MariaDB and a browser.
//! - [`certificates`]: certificates for servers with TLS.
//! - [`proxy`]: a TCP proxy that cuts, refuses and stalls connections.
//! - [`monitor`]: records the commands and statements that reach a server.
//! - [`process`]: runs the workspace's own programs.
//! - [`http`]: HTTP clients with cookies, over a real socket.
//! - [`records`] and [`load`]: direct calls of a store, and continuous writes to it.
//! - [`stores`]: opens an empty store of each kind.
//! - [`watched`]: a store whose calls can be delayed, refused, or made to lose their results.
//! - [`application`]: an application with sessions, whose handlers are closures, and its visitors.
//! - [`reply`]: a response to a visitor of that application, or to an HTTP client.
//! - [`front_end`]: serves requests with sessions without a web framework.
//!
//! The harness panics if it fails itself. It needs Linux.

use std::time::{Duration, Instant};

pub mod application;
pub mod certificates;
pub mod front_end;
pub mod http;
pub mod load;
pub mod monitor;
pub mod process;
pub mod proxy;
pub mod records;
pub mod reply;
pub mod servers;
pub mod stores;
pub mod watched;

/// The longest wait for something that must happen. It is long because the machine may be busy.
pub const PATIENCE: Duration = Duration::from_mins(5);

/// The pause between two polls.
const INTERVAL: Duration = Duration::from_millis(10);

/// Polls until `poll` returns a value.
///
/// # Panics
///
/// Panics with `expected` after [`PATIENCE`].
pub async fn eventually<T>(expected: &str, mut poll: impl AsyncFnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(value) = poll().await {
            return value;
        }
        assert!(begun.elapsed() < PATIENCE, "waited in vain: {expected}");
        tokio::time::sleep(INTERVAL).await;
    }
}

/// Polls until `poll` returns a value, and blocks the thread meanwhile. Panics with `failure` after
/// [`PATIENCE`].
fn poll_blocking<T>(mut poll: impl FnMut() -> Option<T>, failure: impl Fn() -> String) -> T {
    let begun = Instant::now();
    loop {
        if let Some(value) = poll() {
            return value;
        }
        assert!(begun.elapsed() < PATIENCE, "{}", failure());
        std::thread::sleep(INTERVAL);
    }
}
