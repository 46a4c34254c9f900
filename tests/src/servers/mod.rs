//! Starts real servers for the tests, on free ports of 127.0.0.1 and with their data in a temporary
//! directory. They end with the tests.
//!
//! Each module has a function `shared()`, which returns one instance for all tests of the program, and a
//! function `private(options)`, for a test that stops the server, breaks it or counts its commands. If the
//! server is not installed, both report the test as not run and return `None`. Under `cargo xtask test`,
//! the test fails then.
//!
//! ```no_run
//! use poem_session_tests::servers::{Options, postgres};
//!
//! # async fn test() {
//! let Some(server) = postgres::private(Options::new()).await else { return };
//! let url = server.new_database().await;
//! server.kill().await; // as in a power cut
//! server.restart().await; // same port, same data
//! # }
//! ```

pub mod chromedriver;
pub mod mariadb;
pub mod pgbouncer;
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
pub(crate) use user::User;
