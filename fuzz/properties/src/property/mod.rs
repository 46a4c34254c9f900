//! The properties. Each is a function of the input that panics if the property does not hold.

pub(crate) mod address;
pub(crate) mod cookie;
pub(crate) mod derive;
pub(crate) mod handler;
pub(crate) mod record;
pub(crate) mod redis_value;
pub(crate) mod settings;
mod site;
pub(crate) mod sources;
pub(crate) mod value;
