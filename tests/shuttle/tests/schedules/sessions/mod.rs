//! Requests and jobs that use one session.

mod cancelling;
mod distance;
mod ending;
mod exclusive;
#[path = "../../../../src/front_end.rs"]
#[allow(
    dead_code,
    unreachable_pub,
    reason = "the file of the harness, for this crate's own build of the library"
)]
mod front_end;
mod merging;
mod rotation;
#[path = "../../../../src/watched.rs"]
#[allow(
    dead_code,
    unreachable_pub,
    reason = "the file of the harness, for this crate's own build of the library"
)]
mod watched;
mod world;
