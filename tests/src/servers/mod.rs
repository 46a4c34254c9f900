//! Real servers: started for the tests on free ports of 127.0.0.1, with data in a temporary
//! directory, and gone when the tests are.
//!
//! Each module has `shared()`, one instance for all tests of the program, and `private(options)`, one
//! for a test that stops it, breaks it or counts what reaches it. Both give `None`, and report the
//! test as not run, where the server is not installed; under `cargo xtask test` that is a failure.
//!
//! ```no_run
//! use poem_session_tests::servers::{Options, postgres};
//!
//! # async fn test() {
//! let Some(server) = postgres::private(Options::new()).await else { return };
//! let url = server.new_database().await;
//! server.kill().await; // as a power cut would
//! server.restart().await; // same port, same data
//! # }
//! ```

pub mod chromedriver;
pub mod mariadb;
pub mod postgres;
pub mod redis;
pub mod redis_cluster;
pub mod redis_sentinel;

mod daemon;
mod need;
mod options;
mod port;
mod reaper;
mod require;
mod server;
mod user;

pub use options::Options;
pub use server::Server;

pub(crate) use daemon::{Daemon, Launch, log_file};
pub(crate) use port::free as free_port;
pub(crate) use reaper::new_directory;
pub(crate) use server::blocking;
