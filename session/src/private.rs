//! The items that generated code uses. Not part of the public API: any of them may change in any release.

pub use poem;

pub use crate::{
    error::{GetError, SetError, UpdateError},
    field::Field,
    key::{Absence, Defaulted, Key, Optional, SessionValue},
    session::{AfterHandler as After, Edit, Encoder, Fields, Handle, SessionData},
    web::{
        extract::snapshot,
        handler::{
            HandlerOutput, HandlerParam, KeyParam, Parameters, after, edit, extract, into_response,
            key, write_back,
        },
    },
};

/// What a layer for another framework is made of. The tests drive sessions without Poem through it.
pub mod front_end {
    pub use crate::{
        lifecycle::ClientUpdate,
        session::{Finished, Found, Manager, Outcome, RequestGuard, RequestSession},
    };
}

/// Never constructed. The compiler reports its name if `#[handler]` stands over `#[session]`, which makes the
/// endpoint by itself.
#[derive(Debug)]
pub enum RemoveTheHandlerAttribute {}
