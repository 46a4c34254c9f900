//! Requests and jobs at work with one session.

mod cancelling;
mod distant;
mod ending;
mod exclusive;
mod merging;
mod rotation;
mod world;
