//! What poem-session uses of Tokio, with tasks and time that shuttle schedules.
//!
//! `sync` is Tokio's own: it needs no runtime. A task is shuttle's, and so is the decision which one goes
//! on. Time is counted and never waited for: see [`time`].

pub mod runtime;
pub mod time;

pub use tokio::sync;

pub use self::task::spawn;

/// Tasks.
pub mod task {
    pub use shuttle::future::{JoinError, JoinHandle, spawn};
}
