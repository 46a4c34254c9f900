//! The part of Tokio that poem-session uses, with tasks and time that shuttle schedules.
//!
//! `io` and `sync` are the modules of Tokio, which need no runtime. Tasks belong to shuttle, which decides which of
//! them runs. Time is counted and never waited for: see [`time`].

pub mod runtime;
pub mod time;

pub use tokio::{io, sync};

pub use self::task::spawn;

/// Tasks.
pub mod task {
    pub use shuttle::future::{JoinError, JoinHandle, spawn};
}
