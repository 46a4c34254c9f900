//! Atomics and yielding: those of the standard library, or those of the model checker shuttle.

#[cfg(poem_session_shuttle)]
pub(crate) use shuttle::{sync::atomic, thread::yield_now};
#[cfg(not(poem_session_shuttle))]
pub(crate) use std::{sync::atomic, thread::yield_now};
