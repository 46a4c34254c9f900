//! The parts of a store that differ between databases.

use std::{fmt, future::Future};

use sqlx::{error::DatabaseError, pool::PoolConnection};

use super::{
    SqlStore, TableName,
    connection::Ended,
    driver::{Driver, Value},
    statement::{Placeholders, Statement},
};
use crate::store::{StoreError, StoreErrorKind, Stored};

/// A database that [`SqlStore`] supports: `sqlx::Sqlite`, `sqlx::Postgres` or `sqlx::MySql`, each with its
/// Cargo feature. Other crates cannot implement this trait.
// Values are bound in the order that `Statements` documents: the key first, then the time.
pub trait SqlDatabase: Driver + Sealed {
    /// The name of the store's type, for `Debug`.
    #[doc(hidden)]
    const STORE: &'static str;

    #[doc(hidden)]
    const ACTIONS: Actions;

    /// The quotation mark of identifiers.
    #[doc(hidden)]
    const QUOTE: char;

    #[doc(hidden)]
    const PLACEHOLDERS: Placeholders;

    /// The words about TLS for errors of the connection.
    #[doc(hidden)]
    const TLS: TlsWords = TlsWords {
        feature: "",
        is_compiled: false,
        authority: "",
        off: "",
    };

    /// The kind of the error that a value of another type than its column's causes. If columns are typed, the
    /// whole table is wrong.
    #[doc(hidden)]
    const WRONG_TYPE: StoreErrorKind = StoreErrorKind::Misconfigured;

    /// The statements that other databases do not use.
    #[doc(hidden)]
    type Statements: Send + Sync + 'static;

    /// The database's address, and the settings that other databases do not have.
    #[doc(hidden)]
    type Source: Clone + fmt::Debug + Send + Sync + 'static;

    /// Creates the database's own statements from their templates.
    #[doc(hidden)]
    fn statements(new: &dyn Fn(&str) -> Statement) -> Self::Statements;

    /// Extends a conditional update so that it returns the current record if it writes nothing. A database
    /// that cannot do so returns `update`.
    #[doc(hidden)]
    fn or_current(update: &str) -> String {
        update.to_owned()
    }

    #[doc(hidden)]
    fn ddl(table: &TableName) -> String;

    /// Checks that the database can have a table of this name.
    #[doc(hidden)]
    fn check_table(_table: &TableName) -> Result<(), StoreError> {
        Ok(())
    }

    /// Creates the table if it does not exist, and checks its columns.
    #[doc(hidden)]
    fn create_table(store: &SqlStore<Self>) -> impl Future<Output = sqlx::Result<()>> + Send;

    /// Returns the kind of an error of the database.
    #[doc(hidden)]
    fn kind_of(error: &dyn DatabaseError) -> StoreErrorKind;

    /// Returns whether the text of an error may contain a bound value.
    #[doc(hidden)]
    fn quotes_values(_error: &dyn DatabaseError) -> bool {
        false
    }

    /// Returns a connection to its pool, or closes it if it cannot be used again.
    #[doc(hidden)]
    fn release(connection: PoolConnection<Self>, ended: Ended<'_>);

    /// Returns the number of rows that a statement has changed.
    #[doc(hidden)]
    fn rows(result: &Self::QueryResult) -> u64;

    /// Inserts a record or overwrites an expired one. Returns the record's version, or `None` if a live record
    /// exists. Values: key, now, data, expiry, version of a new record.
    #[doc(hidden)]
    fn upsert(
        store: &SqlStore<Self>,
        values: &[Value<'_>],
    ) -> impl Future<Output = sqlx::Result<Option<i64>>> + Send;

    /// Replaces a record if it has the expected version. Values: see `Statements::replace`.
    #[doc(hidden)]
    fn replace(
        store: &SqlStore<Self>,
        values: &[Value<'_>],
    ) -> impl Future<Output = sqlx::Result<Written>> + Send {
        async {
            Ok(match store.execute(&store.shared.replace, values).await? {
                1 => Written::Yes,
                _ => Written::Unknown,
            })
        }
    }

    /// Writes a record under a new key, and another record under the old key if that has the expected version.
    /// Values: old key, now, expected version, data, expiry, new key, data left, expiry left, new version of both.
    #[doc(hidden)]
    fn rename(
        store: &SqlStore<Self>,
        values: &[Value<'_>],
    ) -> impl Future<Output = sqlx::Result<Written>> + Send;

    /// Deletes all records, those of a rename that is under way included.
    #[doc(hidden)]
    fn clear(store: &SqlStore<Self>) -> impl Future<Output = sqlx::Result<()>> + Send {
        async { store.execute(&store.shared.clear, &[]).await.map(drop) }
    }

    /// Deletes up to `limit` records that have expired by `now` and by the database's clock, and returns their
    /// number.
    #[doc(hidden)]
    fn sweep(
        store: &SqlStore<Self>,
        limit: i64,
        now: i64,
    ) -> impl Future<Output = sqlx::Result<u64>> + Send;
}

/// Prevents other crates from implementing [`SqlDatabase`].
pub trait Sealed {}

/// The result of a conditional write.
pub enum Written {
    /// The record was written.
    Yes,
    /// Nothing was written. This is the record that existed when the statement started, if any.
    No(Option<Stored>),
    /// Nothing was written. The current record has to be loaded.
    Unknown,
}

/// The words with which errors explain the settings of TLS.
pub struct TlsWords {
    /// The Cargo feature.
    pub(in crate::store) feature: &'static str,
    /// Whether the feature is on.
    pub(in crate::store) is_compiled: bool,
    /// The parameter of the URL that names the certificate of an authority.
    #[cfg_attr(
        not(any(feature = "postgres-tls", feature = "mysql-tls")),
        allow(dead_code, reason = "only errors of TLS name it")
    )]
    pub(in crate::store) authority: &'static str,
    /// The parameter of the URL that turns TLS off.
    pub(in crate::store) off: &'static str,
}

/// The operations of a store, as its errors name them.
pub struct Actions {
    pub(in crate::store) load: &'static str,
    pub(in crate::store) create: &'static str,
    pub(in crate::store) replace: &'static str,
    pub(in crate::store) touch: &'static str,
    pub(in crate::store) rename: &'static str,
    pub(in crate::store) delete_expired: &'static str,
    pub(in crate::store) clear: &'static str,
    pub(in crate::store) lock: &'static str,
    pub(in crate::store) unlock: &'static str,
    pub(in crate::store) open: &'static str,
    pub(in crate::store) migrate: &'static str,
}

/// Creates the [`Actions`] of a database from its name.
macro_rules! actions {
    ($database:literal) => {
        $crate::store::sql::Actions {
            load: concat!("loading a session from ", $database),
            create: concat!("creating a session in ", $database),
            replace: concat!("replacing a session in ", $database),
            touch: concat!("touching a session in ", $database),
            rename: concat!("renaming a session in ", $database),
            delete_expired: concat!("deleting expired sessions from ", $database),
            clear: concat!("deleting all sessions from ", $database),
            lock: concat!("locking a session in ", $database),
            unlock: concat!("unlocking a session in ", $database),
            open: concat!("opening ", $database, " for sessions"),
            migrate: concat!("creating the session table in ", $database),
        }
    };
}
pub(in crate::store) use actions;
