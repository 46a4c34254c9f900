//! The builder of the SQL stores.

use std::{fmt, time::Duration};

use sqlx::pool::PoolOptions;

use super::{SqlDatabase, TableName};
use crate::store::LONGEST_TIMEOUT;

/// Settings of a SQL store: see `SqliteStore::builder`, `PostgresStore::builder` and `MySqlStore::builder`.
///
/// `Debug` does not show the address, which may contain a password.
#[must_use = "the builder does nothing until the store is opened"]
pub struct SqlStoreBuilder<DB: SqlDatabase> {
    pub(in crate::store) source: DB::Source,
    /// The table that the builder sets.
    pub(in crate::store) table: Option<TableName>,
    pub(in crate::store) max_connections: u32,
    pub(in crate::store) acquire_timeout: Duration,
}

impl<DB: SqlDatabase> SqlStoreBuilder<DB> {
    pub(in crate::store) fn new(source: DB::Source) -> Self {
        Self {
            source,
            table: None,
            max_connections: 10,
            acquire_timeout: Duration::from_secs(3),
        }
    }

    /// Sets the table. The default is the URL's `table` parameter, or else `poem_sessions`. It is an error to set
    /// both. Each application that shares the database needs a table of its own: it is the store's namespace.
    pub fn table(mut self, table: TableName) -> Self {
        self.table = Some(table);
        self
    }

    /// Sets the largest number of connections, at least 1. The default is 10, and 4 for SQLite.
    ///
    /// For SQLite, these connections only read. One more connection writes.
    pub fn max_connections(mut self, connections: u32) -> Self {
        self.max_connections = connections.max(1);
        self
    }

    /// Sets how long a call waits for a connection: for a free one, or for the server to accept a new one. The
    /// default is 3 seconds, and 4 seconds for SQLite. The longest is 24 days.
    ///
    /// It should be below the sessions' timeout for a store call, so that the error names the cause.
    ///
    /// A statement whose caller has gone, as when a client disconnects, may take as long before its connection is
    /// closed. Otherwise each disconnected client would cost a connection.
    pub fn acquire_timeout(mut self, timeout: Duration) -> Self {
        self.acquire_timeout = timeout.min(LONGEST_TIMEOUT);
        self
    }

    pub(in crate::store) fn pool_options(&self) -> PoolOptions<DB> {
        PoolOptions::new()
            .max_connections(self.max_connections)
            .acquire_timeout(self.acquire_timeout)
            // A check before each statement would double the round trips.
            .test_before_acquire(false)
    }
}

impl<DB: SqlDatabase> Clone for SqlStoreBuilder<DB> {
    fn clone(&self) -> Self {
        Self {
            source: self.source.clone(),
            table: self.table.clone(),
            ..*self
        }
    }
}

impl<DB: SqlDatabase> fmt::Debug for SqlStoreBuilder<DB> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqlStoreBuilder")
            .field("source", &self.source)
            .field("table", &self.table)
            .field("max_connections", &self.max_connections)
            .field("acquire_timeout", &self.acquire_timeout)
            .finish()
    }
}
