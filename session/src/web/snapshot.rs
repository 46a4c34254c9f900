//! [`Snapshot`]: whether a `mut` parameter of a `#[session]` handler is a struct whose changes would be lost.

use std::{marker::PhantomData, ops::Deref};

use crate::session::SessionData;

/// The type `T` of a `mut` parameter. Its method `kind` is one of two: session data has the one of `Snapshot`, and
/// any other type has the one of [`Owned`], to which `Snapshot` dereferences.
#[derive(Debug)]
pub struct Snapshot<T>(PhantomData<fn() -> T>);

/// The kind of session data: a handler gets a copy, which is not written back.
#[derive(Debug)]
pub struct ReadOnly;

/// The kind of any other type.
#[derive(Debug)]
pub struct Owned;

/// A kind of types whose parameters can be `mut`.
#[diagnostic::on_unimplemented(
    message = "changes of `{T}` would be lost: this parameter is a snapshot of the session",
    label = "a snapshot is not written back",
    note = "write `&mut {T}` to have the changed fields written back, or take `Session<{T}>`",
    note = "to change a copy, remove this `mut` and write `let mut` in the handler"
)]
pub trait MutParam<T> {}

impl<T> MutParam<T> for Owned {}

impl<T> Snapshot<T> {
    /// The type of a parameter.
    pub fn of(_: &T) -> Self {
        Self(PhantomData)
    }
}

impl<T: SessionData> Snapshot<T> {
    /// The kind of session data.
    pub fn kind(&self) -> ReadOnly {
        ReadOnly
    }
}

impl<T> Deref for Snapshot<T> {
    type Target = Owned;

    fn deref(&self) -> &Owned {
        &Owned
    }
}

impl Owned {
    /// The kind of any other type.
    #[must_use]
    pub fn kind(&self) -> Self {
        Self
    }
}

/// Compiles if a parameter of type `T` can be `mut`.
pub fn allow_mut<T, K: MutParam<T>>(_: &Snapshot<T>, _: K) {}
