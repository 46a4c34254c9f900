//! The items that the code of the macros refers to. They are not part of the public API: any of them may change
//! in any release.

pub use poem;

pub use crate::{
    __impl_extractor as impl_extractor,
    error::{GetError, SetError, UpdateError},
    key::{Absence, Defaulted, Encoder, Field, Key, Optional, SessionData, SessionValue},
    session::{Edit, Fields, Handle},
    web::handler::{
        After, HandlerOutput, HandlerParam, KeyParam, Parameters, after, edit, extract,
        into_response, key, snapshot, write_back,
    },
};

/// A type without values, named in the error that the compiler reports for `#[handler]` above `#[session]`.
/// `#[session]` makes the endpoint by itself, so the name says to remove `#[handler]`.
#[derive(Debug)]
pub enum RemoveTheHandlerAttribute {}
