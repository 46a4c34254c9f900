//! What the macros' code calls. Not part of the public API: any of it may change in any release.

pub use poem;

pub use crate::{
    error::{GetError, SetError, UpdateError},
    key::{Absence, Defaulted, Encoder, Field, Key, Optional, SessionData, SessionValue},
    session::{Edit, Fields, Handle},
    web::handler::{
        After, HandlerOutput, HandlerParam, KeyParam, Parameters, after, edit, extract,
        into_response, key, snapshot, write_back,
    },
};

/// Never made. Its name is what the compiler reports where `#[handler]` stands over `#[session]`, which
/// makes the endpoint by itself.
#[derive(Debug)]
pub enum RemoveTheHandlerAttribute {}
