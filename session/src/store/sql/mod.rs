//! Stores in a SQL database: one table, and mostly the same statements for every database.
//!
//! [`SqlStore`] implements the store contract once. The trait [`SqlDatabase`] supplies what differs between
//! the databases: statements that save a round trip or a lock, the meaning of error codes, and how
//! connections are opened and released.

mod builder;
mod connection;
mod database;
mod driver;
mod error;
mod operations;
mod pool_mode;
#[cfg(any(feature = "postgres", feature = "mysql"))]
mod server;
mod statement;
mod table;

use std::fmt;

use sqlx::Pool;

#[cfg(any(feature = "postgres", feature = "mysql"))]
pub use self::server::ServerDatabase;
#[cfg(any(feature = "postgres", feature = "mysql"))]
pub(super) use self::server::{Chosen, ServerAddress, release_to_pool};
pub use self::{
    builder::SqlStoreBuilder, database::SqlDatabase, pool_mode::PoolMode, table::TableName,
};
pub(super) use self::{
    connection::{Ended, Lent},
    database::{Actions, Sealed, TlsWords, Written, actions},
    driver::{Driver, Row, Value},
    error::{POOLER, by_sqlstate, misconfigured, store_error},
    statement::{DATA, Placeholders, Statement, Statements, UPSERT},
    table::quoted,
};
use super::StoreError;

/// A store in a table of a SQL database. Use it through the aliases `SqliteStore`, `PostgresStore` and
/// `MySqlStore`, which describe each database.
///
/// Expired sessions stay in the table until they are swept with
/// [`delete_expired`](super::SessionStore::delete_expired). Any number of processes may sweep at the same
/// time.
pub struct SqlStore<DB: SqlDatabase> {
    /// Runs the statements that only read.
    pub(super) readers: Pool<DB>,
    /// Runs the statements that write. This is the same pool as `readers`, unless the store has opened a
    /// SQLite file itself.
    pub(super) writer: Pool<DB>,
    pub(super) table: TableName,
    pub(super) pool_mode: PoolMode,
    pub(super) shared: Statements,
    pub(super) own: DB::Statements,
}

impl<DB: SqlDatabase> SqlStore<DB> {
    /// Creates a store that uses the application's connection pool and the table `poem_sessions`. It does not
    /// create the table: see [`migrate`](Self::migrate).
    ///
    /// The pool's options choose how the connection is protected. The drivers' own default verifies no certificate.
    ///
    /// The pool's timeouts should be below the sessions' timeout for a store call, so that the error names the
    /// cause. A SQLite file should be in write-ahead mode.
    pub fn from_pool(pool: Pool<DB>) -> Self {
        Self::on_pools(pool.clone(), pool, TableName::default())
    }

    /// Returns the same store with another table. It does not create the table: see
    /// [`migrate`](Self::migrate).
    #[must_use]
    pub fn in_table(self, table: TableName) -> Self {
        Self::new(self.readers, self.writer, table, self.pool_mode)
    }

    /// Returns the statements that create the table, separated by semicolons, for use in a migration tool.
    /// They do nothing if the table exists.
    ///
    /// For MySQL and MariaDB, a database that the table's name refers to must exist.
    ///
    #[cfg_attr(
        feature = "postgres",
        doc = r##"
```
use poem_session::store::{PostgresStore, TableName};

let ddl = PostgresStore::ddl(&TableName::new("shop_sessions")?);
assert!(ddl.starts_with(r#"CREATE TABLE IF NOT EXISTS "shop_sessions" ("#));
# Ok::<(), poem_session::store::StoreError>(())
```"##
    )]
    pub fn ddl(table: &TableName) -> String {
        DB::ddl(table)
    }

    /// Creates the table if it does not exist, and for PostgreSQL also its schema. Any number of processes may
    /// call this at the same time. If the table exists, no privilege to create anything is needed.
    ///
    /// # Errors
    /// [`Misconfigured`](super::StoreErrorKind::Misconfigured) if the table has other columns, if a privilege
    /// is missing, or if the table's name has a schema and the database is SQLite; otherwise any error of the
    /// database.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        DB::check_table(&self.table)?;
        let created = DB::create_table(self).await;
        created.map_err(|error| store_error::<DB>(DB::ACTIONS.migrate, error))
    }

    /// Closes the connections after the calls in progress have finished.
    pub async fn close(&self) {
        self.readers.close().await;
        // The writer closes last: SQLite then copies the write-ahead log into the file, unless another
        // process has the file open.
        self.writer.close().await;
    }

    pub(super) fn on_pools(readers: Pool<DB>, writer: Pool<DB>, table: TableName) -> Self {
        Self::new(readers, writer, table, PoolMode::Session)
    }

    pub(super) fn new(
        readers: Pool<DB>,
        writer: Pool<DB>,
        table: TableName,
        pool_mode: PoolMode,
    ) -> Self {
        let quoted = table.quoted(DB::QUOTE);
        let statement = |template: &str| {
            Statement::new(template, &quoted, DB::PLACEHOLDERS).in_pool_mode(pool_mode)
        };
        Self {
            shared: Statements::new(statement, DB::or_current),
            own: DB::statements(&statement),
            readers,
            writer,
            table,
            pool_mode,
        }
    }
}

impl<DB: SqlDatabase> fmt::Debug for SqlStore<DB> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(DB::STORE)
            .field("table", &self.table)
            .finish_non_exhaustive()
    }
}
