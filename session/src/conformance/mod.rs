//! The test suite for session stores. Every store of this crate passes it.
//!
//! To test a store of your own, enable the Cargo feature `conformance` for tests:
//!
//! ```toml
//! [dev-dependencies]
//! poem-session = { version = "0.1", features = ["conformance"] }
//! ```
//!
//! Create a [`Suite`] with a function that opens an empty store, run it, and assert on the [`Report`]:
//!
//! ```
//! use poem_session::{conformance::Suite, store::MemoryStore};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! // in a test marked `#[tokio::test]`
//! Suite::new("memory", |_namespace| async { MemoryStore::new() })
//!     .in_one_process()
//!     .run()
//!     .await
//!     .assert();
//! # });
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! The suite tests everything that [`SessionStore`](crate::store::SessionStore) documents, also for concurrent
//! calls. It does not stop or restart servers, so test the recovery of your store yourself.

mod cases;
mod report;
mod suite;

#[cfg(test)]
mod broken;

pub use self::{
    report::{Failure, Report},
    suite::Suite,
};
