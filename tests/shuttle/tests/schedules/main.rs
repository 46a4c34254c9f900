//! Properties that hold for every schedule of the tasks of one process or of two.
//!
//! Here poem-session runs over shuttle: at each lock, each shared atomic and each call of a store, another task
//! may run, and a scheduler tries many orders of them. A failure names a file with the schedule that failed, and
//! [`explore`] says how to replay it.

extern crate poem_session_shuttle as poem_session;

mod explore;
mod sessions;
mod store;
