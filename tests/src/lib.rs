//! What the tests of `poem-session` run on: real servers, a network that misbehaves on request, a
//! record of what reaches a server, the example programs, and an HTTP client.
//!
//! - [`servers`]: Redis (also Cluster and Sentinel), PostgreSQL, MariaDB, a browser.
//! - [`proxy`]: cuts, refuses and stalls connections.
//! - [`monitor`]: the commands and statements that a server was given.
//! - [`process`]: the workspace's own programs.
//! - [`http`]: clients with cookies, over a real socket.
//! - [`watched`]: a store whose calls a test can delay or fail, before or after they are carried out.
//! - [`front_end`]: serves requests with sessions without a web framework.
//!
//! A failure of the harness itself is a panic: the test cannot go on. All of it needs Linux.

pub mod front_end;
pub mod http;
pub mod monitor;
pub mod process;
pub mod proxy;
pub mod servers;
pub mod watched;
