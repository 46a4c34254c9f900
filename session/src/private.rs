//! The items that the code of the macros refers to. They are not part of the public API: any of them may change
//! in any release.

pub use poem;

pub use crate::{
    __impl_extractor as impl_extractor,
    error::{GetError, SetError, UpdateError},
    field::Field,
    key::{Absence, Defaulted, Key, Optional, SessionValue, make_key},
    session::{AfterHandler, Edit, Encoder, Fields, Handle, SessionData},
    web::{
        extract::snapshot,
        handler::{
            DefaultedKeyParam, HandlerOutput, HandlerParam, KeyParam, ParamKey, Parameters, after,
            edit, extract, into_response, key, key_param, set_passive, write_back,
        },
        snapshot::{MutParam, Owned, ReadOnly, Snapshot, allow_mut},
    },
};

/// The parts of a layer for another framework. The tests use them to run sessions without Poem.
pub mod front_end {
    pub use crate::{
        lifecycle::ClientUpdate,
        session::{Finished, Found, FoundIds, Manager, Outcome, RequestGuard, RequestSession},
    };
}

/// A type without values, named in the error that the compiler reports for `#[handler]` above `#[session]`.
/// `#[session]` makes the endpoint by itself, so the name says to remove `#[handler]`.
#[derive(Debug)]
pub enum RemoveTheHandlerAttribute {}
