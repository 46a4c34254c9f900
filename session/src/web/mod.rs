//! Sessions in Poem: translates between Poem's types and [`session`](crate::session). No other module names a
//! Poem type.

mod builder;
mod caches;
pub(crate) mod extract;
mod fetch;
pub(crate) mod handler;
mod layer;
mod middleware;
mod response;
mod sessions;
pub(crate) mod snapshot;
mod source;
mod update;

pub use self::{builder::SessionsBuilder, middleware::SessionsEndpoint, sessions::Sessions};
