//! Typed, declarative HTTP sessions for Poem.

pub mod clock;
pub mod id;
pub mod store;

pub use crate::id::{PublicId, SessionId};
