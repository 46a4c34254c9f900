//! The test suite that every store here passes, to run on a store of your own.
//!
//! Needs the Cargo feature `conformance`; turn it on where you test:
//!
//! ```toml
//! [dev-dependencies]
//! poem-session = { version = "0.1", features = ["conformance"] }
//! ```
//!
//! Tell a [`Suite`] how to open an empty store, and assert on the [`Report`]:
//!
//! ```
//! use poem_session::{conformance::Suite, store::MemoryStore};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! // in a test marked `#[tokio::test]`
//! Suite::new("memory", |_namespace| async { MemoryStore::new() })
//!     .run()
//!     .await
//!     .assert();
//! # });
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! What is asked of a store is said by [`SessionStore`](crate::store::SessionStore); the suite asks
//! for all of it, and for what that implies when many ask at once. It does not stop and restart
//! servers: how your store gets over that is yours to test.

mod cases;
mod report;
mod suite;

#[cfg(test)]
mod broken;

pub use self::{
    report::{Failure, Report},
    suite::Suite,
};
