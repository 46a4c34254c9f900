//! What holds however the tasks of one process, or of two, are scheduled.
//!
//! Here poem-session runs over shuttle: each lock, each number that threads share, each call of a store is
//! a place at which another task may go on, and a scheduler tries many orders of them. A failure names a file
//! with the schedule that led to it; [`explore`] says how to run that one again.

extern crate poem_session_shuttle as poem_session;

mod explore;
mod sessions;
mod store;
