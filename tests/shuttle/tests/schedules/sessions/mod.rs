//! Requests and jobs at work with one session.

mod cancelling;
mod distance;
mod ending;
mod exclusive;
mod merging;
mod rotation;
#[path = "../../../../src/watched.rs"]
#[allow(
    dead_code,
    unreachable_pub,
    reason = "the harness's, over this crate's own build of the library"
)]
mod watched;
mod world;
