//! Converts driver errors to store errors.

use std::io;

use super::SqlDatabase;
use crate::store::{StoreError, StoreErrorKind};

/// Converts an error of a statement.
///
/// The driver's error becomes the source. It quotes the database's message, which names tables and users.
/// Statements contain no keys or records, because values are bound. If the message may contain a value, it is
/// left out.
pub(in crate::store) fn store_error<DB: SqlDatabase>(
    action: &'static str,
    error: sqlx::Error,
) -> StoreError {
    if let Some(why) = tls_refusal::<DB>(&error) {
        return misconfigured(action, why);
    }
    let kind = kind_of::<DB>(&error);
    let failure = StoreError::new(kind, action);
    match (&error, advice(&error)) {
        (sqlx::Error::Database(source), _) if DB::quotes_values(&**source) => {
            let code = source.code().unwrap_or_default();
            failure.with_source(format!(
                "{code}: a value does not fit its column; {OTHER_TABLE}"
            ))
        }
        (sqlx::Error::PoolTimedOut, _) => failure.with_source(NO_CONNECTION),
        (error, Some(advice)) => failure.with_source(format!("{error}; {advice}")),
        _ => failure.with_source(error),
    }
}

/// Explains an error of TLS that lasts until the settings or the certificate change. The texts of the driver may
/// show the name of the host, and do not say which parameter to set.
fn tls_refusal<DB: SqlDatabase>(error: &sqlx::Error) -> Option<String> {
    let words = DB::TLS;
    match error {
        sqlx::Error::Tls(_) if words.is_compiled => Some(format!(
            "{error}; `{}` in the URL connects without TLS, and without protection",
            words.off
        )),
        sqlx::Error::Tls(_) => Some(format!(
            "{error}; TLS needs the Cargo feature `{}` of poem-session",
            words.feature
        )),
        #[cfg(any(feature = "postgres-tls", feature = "mysql-tls"))]
        sqlx::Error::Io(error) => crate::store::tls::refused_certificate(error, words.authority),
        _ => None,
    }
}

const NO_TABLE: &str = "`migrate` creates the table";
const OTHER_TABLE: &str = "the table is not the one that `migrate` creates";
const LOST_STATEMENT: &str = "another client has changed the connection's prepared statements; behind a pooler in \
    transaction mode, add `pool_mode=transaction` to the store's URL";

/// The error of connecting to a pooler that cannot be used.
pub(in crate::store) const POOLER: &str = "a pooler between the store and PostgreSQL, such as PgBouncer in \
    transaction mode, does not keep prepared statements: add `pool_mode=transaction` to the store's URL, or use \
    PgBouncer 1.21 or later with `max_prepared_statements` above 0";
const NO_CONNECTION: &str =
    "no connection within the acquire timeout: all are in use, or the server accepts none";

/// Returns advice about the table that the database's message lacks.
fn advice(error: &sqlx::Error) -> Option<&'static str> {
    let source = match error {
        sqlx::Error::Database(source) => source,
        sqlx::Error::ColumnDecode { .. } => return Some(OTHER_TABLE),
        _ => return None,
    };
    let code = source.code()?;
    if code.len() < 5 {
        return sqlite_advice(&code, source.message());
    }
    match &*code {
        "42P01" | "42S02" => Some(NO_TABLE),
        "26000" | "42P05" => Some(LOST_STATEMENT),
        // A column is missing or has another type.
        "42703" | "42804" | "42883" | "42S22" => Some(OTHER_TABLE),
        // The table has a constraint that the store's rows violate.
        state => state.starts_with("23").then_some(OTHER_TABLE),
    }
}

/// The advice for SQLite, which has numeric codes with few distinctions instead of five-character codes.
fn sqlite_advice(code: &str, message: &str) -> Option<&'static str> {
    match code.parse::<u32>().ok()? & 0xff {
        1 if message.starts_with("no such table") => Some(NO_TABLE),
        1 => message.contains("column").then_some(OTHER_TABLE),
        // The table has a constraint that the store's rows violate, or another type of key.
        19 | 20 => Some(OTHER_TABLE),
        _ => None,
    }
}

fn kind_of<DB: SqlDatabase>(error: &sqlx::Error) -> StoreErrorKind {
    match error {
        sqlx::Error::PoolTimedOut => StoreErrorKind::TimedOut,
        sqlx::Error::Database(error) => DB::kind_of(&**error),
        sqlx::Error::Decode(_) => StoreErrorKind::Corrupt,
        sqlx::Error::ColumnDecode { .. } => DB::WRONG_TYPE,
        sqlx::Error::Configuration(_)
        | sqlx::Error::InvalidArgument(_)
        | sqlx::Error::Encode(_)
        | sqlx::Error::TypeNotFound { .. }
        | sqlx::Error::ColumnNotFound(_)
        | sqlx::Error::ColumnIndexOutOfBounds { .. } => StoreErrorKind::Misconfigured,
        // The connection broke, the server cannot be reached, or the pool was closed.
        _ => StoreErrorKind::Unavailable,
    }
}

/// Converts an error of opening a connection.
pub(in crate::store) fn connect_error<DB: SqlDatabase>(error: sqlx::Error) -> StoreError {
    let action = DB::ACTIONS.open;
    match error {
        // The message may quote a part of the address.
        sqlx::Error::Configuration(_) => misconfigured(action, "the URL is invalid"),
        error => store_error::<DB>(action, error),
    }
}

/// Creates an error about the store's configuration.
pub(in crate::store) fn misconfigured(action: &'static str, why: impl Into<String>) -> StoreError {
    StoreError::new(StoreErrorKind::Misconfigured, action).with_source(why.into())
}

/// Returns whether the error means that the connection is broken.
pub(in crate::store) fn is_broken(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(error) => error.kind() != io::ErrorKind::TimedOut,
        // Messages of a server that closes the connection: PostgreSQL shuts down or has crashed; MySQL has
        // lost the connection or was told to end it.
        sqlx::Error::Database(error) => {
            matches!(
                error.code().as_deref(),
                Some("57P01" | "57P02" | "08S01" | "70100")
            )
        }
        _ => false,
    }
}

/// Returns the kind of an error by its SQLSTATE.
pub(in crate::store) fn by_sqlstate(state: &str) -> StoreErrorKind {
    match state.get(..2) {
        // A value or row that the table refuses; a user that may not connect; a missing database or schema;
        // a missing table, column or privilege.
        Some("22" | "23" | "28" | "3D" | "3F" | "42") => StoreErrorKind::Misconfigured,
        // A pooler has lost a prepared statement.
        _ if state == "26000" => StoreErrorKind::Misconfigured,
        // The disk is full.
        _ if state == "53100" => StoreErrorKind::Full,
        // A statement or a wait for a lock was cancelled.
        _ if matches!(state, "57014" | "55P03") => StoreErrorKind::TimedOut,
        _ => StoreErrorKind::Unavailable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use StoreErrorKind::{Full, Misconfigured, TimedOut, Unavailable};

    #[test]
    fn each_sqlstate_has_a_kind() {
        for (state, kind) in [
            // No space on the device; too many connections; out of memory.
            ("53100", Full),
            ("53300", Unavailable),
            ("53200", Unavailable),
            // Read-only; shutting down; a file that could not be written.
            ("25006", Unavailable),
            ("57P01", Unavailable),
            ("58030", Unavailable),
            // A cancelled statement; a lock that is not available.
            ("57014", TimedOut),
            ("55P03", TimedOut),
            // A wrong password; a missing database, table, privilege or column.
            ("28P01", Misconfigured),
            ("3D000", Misconfigured),
            ("42P01", Misconfigured),
            ("42501", Misconfigured),
            ("42703", Misconfigured),
            // A prepared statement that does not exist, or exists already.
            ("26000", Misconfigured),
            ("42P05", Misconfigured),
            // A value that is too long for its column; a missing value of a required column.
            ("22001", Misconfigured),
            ("23502", Misconfigured),
            ("", Unavailable),
        ] {
            assert_eq!(by_sqlstate(state), kind, "{state}");
        }
    }
}
