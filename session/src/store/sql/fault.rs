//! What an error of the driver is to a session.

use super::Backend;
use crate::store::{StoreError, StoreErrorKind};

/// An error met while a statement ran.
///
/// The driver's error goes along as the source. It quotes the database, which names tables and users;
/// values are bound, so no key or record is in a statement, and none in what is said about one.
pub(in crate::store) fn store_error<B: Backend>(
    action: &'static str,
    error: sqlx::Error,
) -> StoreError {
    StoreError::new(kind_of::<B>(&error), action).with_source(error)
}

fn kind_of<B: Backend>(error: &sqlx::Error) -> StoreErrorKind {
    match error {
        sqlx::Error::PoolTimedOut => StoreErrorKind::TimedOut,
        sqlx::Error::Database(error) => B::kind_of(&**error),
        sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. } => StoreErrorKind::Corrupt,
        sqlx::Error::Configuration(_)
        | sqlx::Error::InvalidArgument(_)
        | sqlx::Error::Encode(_)
        | sqlx::Error::TypeNotFound { .. }
        | sqlx::Error::ColumnNotFound(_)
        | sqlx::Error::ColumnIndexOutOfBounds { .. } => StoreErrorKind::Misconfigured,
        // Connections that break, a server that is not there, a pool that was closed.
        _ => StoreErrorKind::Unavailable,
    }
}

/// An error met while a connection was set up.
pub(in crate::store) fn connect_error<B: Backend>(error: sqlx::Error) -> StoreError {
    let action = B::ACTIONS.open;
    match error {
        // It may quote a part of the address.
        sqlx::Error::Configuration(_) => misconfigured(action, "the address cannot be understood"),
        error => store_error::<B>(action, error),
    }
}

/// The store cannot be used as it is set up; `why` is for whoever set it up.
pub(in crate::store) fn misconfigured(action: &'static str, why: impl Into<String>) -> StoreError {
    StoreError::new(StoreErrorKind::Misconfigured, action).with_source(why.into())
}

/// What an SQLSTATE says, for the databases that have them.
pub(in crate::store) fn by_sqlstate(state: &str) -> StoreErrorKind {
    match state.get(..2) {
        // Not allowed to connect; no such database, no such schema; no such table, or no right to it.
        Some("28" | "3D" | "3F" | "42") => StoreErrorKind::Misconfigured,
        // A statement or a wait for a lock that was cut off.
        _ if matches!(state, "57014" | "55P03") => StoreErrorKind::TimedOut,
        _ => StoreErrorKind::Unavailable,
    }
}
