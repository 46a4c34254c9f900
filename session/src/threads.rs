//! What this crate uses of threads: the standard library's, or, where a model checker schedules them, its
//! own.

#[cfg(poem_session_shuttle)]
pub(crate) use shuttle::{sync::atomic, thread::yield_now};
#[cfg(not(poem_session_shuttle))]
pub(crate) use std::{sync::atomic, thread::yield_now};
