//! Sessions in Poem. Everything that names a Poem type is in here; the rest of the crate knows nothing of
//! the framework.

mod builder;
mod config;
mod extract;
pub(crate) mod handler;
mod middleware;
mod response;
mod sessions;
mod site_data;
mod source;

pub use self::{
    builder::{DataSet, SessionsBuilder},
    config::SessionConfig,
    middleware::SessionsEndpoint,
    sessions::{Sessions, Sweeper},
    site_data::SiteData,
    source::IdSource,
};
