//! How sessions behave, seen over HTTP.
//!
//! Each test names the lines of the conformance checklist that it holds the product to. Time is a
//! [`ManualClock`](poem_session::clock::ManualClock), and an order of events that matters is forced:
//! nothing here waits for time to pass or hopes for a race.

// Durations in here are written down: one below zero is a test that fails.
#![allow(clippy::unchecked_time_subtraction)]
// Handlers look as users write them.
#![allow(clippy::unused_async, clippy::needless_pass_by_value)]

mod support;

mod basics;
mod carriers;
mod cookie;
mod ending;
mod errors;
mod exclusive;
mod expiry;
mod fence;
mod handlers;
mod hostile;
mod layers;
mod limits;
mod merging;
mod misuse;
mod outliving;
mod outside;
mod parallel;
mod rotation;
mod saving;
mod schema;
mod security;
mod settings;
mod sign_out;
mod streams;
mod values;
