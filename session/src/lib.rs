//! Typed, declarative HTTP sessions for Poem.

pub mod clock;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod id;
pub mod store;

pub use crate::id::{PublicId, SessionId};
