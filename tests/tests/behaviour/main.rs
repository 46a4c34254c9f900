//! How sessions behave over HTTP.
//!
//! Each test names the lines of the conformance checklist that it covers. The clock is a
//! [`ManualClock`](poem_session::clock::ManualClock), and each test forces the order of events that it needs: no test
//! waits for time to pass.

// A duration below zero is a mistake in a test, and panics.
#![allow(clippy::unchecked_time_subtraction)]
// Handlers are written as users write them.
#![allow(clippy::unused_async, clippy::needless_pass_by_value)]

mod support;

mod basics;
mod caches;
mod carriers;
mod cookie;
mod cross_site;
mod ending;
mod errors;
mod exclusive;
mod expiry;
mod fence;
mod full;
mod handlers;
mod hostile;
mod in_doubt;
mod layers;
mod limits;
mod merging;
mod misuse;
mod nested;
mod outliving;
mod outside;
mod parallel;
mod passive;
mod plain_http;
mod read_only;
mod rotation;
mod saving;
mod schema;
mod security;
mod settings;
mod several_ids;
mod sign_out;
mod streams;
mod values;
