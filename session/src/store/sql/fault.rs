//! What an error of the driver is to a session.

use std::io;

use super::Backend;
use crate::store::{StoreError, StoreErrorKind};

/// An error met while a statement ran.
///
/// The driver's error goes along as the source. It quotes the database, which names tables and users;
/// values are bound, so no key or record is in a statement, and where one may be in what is said about it,
/// that is left out.
pub(in crate::store) fn store_error<B: Backend>(
    action: &'static str,
    error: sqlx::Error,
) -> StoreError {
    let kind = kind_of::<B>(&error);
    let failed = StoreError::new(kind, action);
    match (&error, advice(&error)) {
        (sqlx::Error::Database(said), _) if B::quotes_values(&**said) => {
            let code = said.code().unwrap_or_default();
            failed.with_source(format!("{code}: a value does not fit; {OTHER_TABLE}"))
        }
        (sqlx::Error::PoolTimedOut, _) => failed.with_source(NO_CONNECTION),
        (error, Some(advice)) => failed.with_source(format!("{error}; {advice}")),
        _ => failed.with_source(error),
    }
}

const NO_TABLE: &str = "`migrate` creates the table";
const OTHER_TABLE: &str = "the table is not the one that `migrate` creates";
const NO_CONNECTION: &str =
    "no connection within the time to wait for one: all are in use, or the server accepts none";

/// What the database cannot know about its own complaint: where the table should have come from.
fn advice(error: &sqlx::Error) -> Option<&'static str> {
    let said = match error {
        sqlx::Error::Database(said) => said,
        sqlx::Error::ColumnDecode { .. } => return Some(OTHER_TABLE),
        _ => return None,
    };
    let code = said.code()?;
    if code.len() < 5 {
        return advice_of_sqlite(&code, said.message());
    }
    match &*code {
        "42P01" | "42S02" => Some(NO_TABLE),
        // No such column, or one of another type.
        "42703" | "42804" | "42883" | "42S22" => Some(OTHER_TABLE),
        // A rule that our rows do not keep.
        state => state.starts_with("23").then_some(OTHER_TABLE),
    }
}

/// SQLite has numbers where others have five letters, and one number for many things.
fn advice_of_sqlite(code: &str, message: &str) -> Option<&'static str> {
    match code.parse::<u32>().ok()? & 0xff {
        1 if message.starts_with("no such table") => Some(NO_TABLE),
        1 => message.contains("column").then_some(OTHER_TABLE),
        // A rule that our rows do not keep; another type than that of the key.
        19 | 20 => Some(OTHER_TABLE),
        _ => None,
    }
}

fn kind_of<B: Backend>(error: &sqlx::Error) -> StoreErrorKind {
    match error {
        sqlx::Error::PoolTimedOut => StoreErrorKind::TimedOut,
        sqlx::Error::Database(error) => B::kind_of(&**error),
        sqlx::Error::Decode(_) => StoreErrorKind::Corrupt,
        sqlx::Error::ColumnDecode { .. } => B::OF_ANOTHER_TYPE,
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

/// Whether the connection that a statement was to go over is no longer there.
pub(in crate::store) fn is_broken(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(error) => error.kind() != io::ErrorKind::TimedOut,
        // What a server says when it ends the connection: PostgreSQL shuts down or has crashed; MySQL
        // has lost it or was told to end it.
        sqlx::Error::Database(error) => {
            matches!(
                error.code().as_deref(),
                Some("57P01" | "57P02" | "08S01" | "70100")
            )
        }
        _ => false,
    }
}

/// What an SQLSTATE says, for the databases that have them.
pub(in crate::store) fn by_sqlstate(state: &str) -> StoreErrorKind {
    match state.get(..2) {
        // A value or a row that the table does not take; not allowed to connect; no such database, no
        // such schema; no such table or column, or no right to it.
        Some("22" | "23" | "28" | "3D" | "3F" | "42") => StoreErrorKind::Misconfigured,
        // A disk.
        _ if state == "53100" => StoreErrorKind::Full,
        // A statement or a wait for a lock that was cut off.
        _ if matches!(state, "57014" | "55P03") => StoreErrorKind::TimedOut,
        _ => StoreErrorKind::Unavailable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use StoreErrorKind::{Full, Misconfigured, TimedOut, Unavailable};

    #[test]
    fn each_state_is_the_trouble_that_it_says() {
        for (state, kind) in [
            // No space on the device; too many connections; out of memory.
            ("53100", Full),
            ("53300", Unavailable),
            ("53200", Unavailable),
            // For reading only; shutting down; a file that could not be written.
            ("25006", Unavailable),
            ("57P01", Unavailable),
            ("58030", Unavailable),
            // Cancelled; a lock that was not to be had.
            ("57014", TimedOut),
            ("55P03", TimedOut),
            // A wrong password; no such database; no such table; no right to it; no such column.
            ("28P01", Misconfigured),
            ("3D000", Misconfigured),
            ("42P01", Misconfigured),
            ("42501", Misconfigured),
            ("42703", Misconfigured),
            // Too long for the column; a column that has to be given.
            ("22001", Misconfigured),
            ("23502", Misconfigured),
            ("", Unavailable),
        ] {
            assert_eq!(by_sqlstate(state), kind, "{state}");
        }
    }
}
