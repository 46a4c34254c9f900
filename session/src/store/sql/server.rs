//! What the stores on database servers share beyond the statements: the pool, and what becomes of a
//! connection that does not answer.

use std::{fmt, marker::PhantomData, time::Duration};

use sqlx::{
    Database, Pool,
    pool::{PoolConnection, PoolOptions},
};

use super::TableName;

/// Sets up a store on a database server: see `PostgresStore::builder` and `MySqlStore::builder`.
///
/// `S` is the store that it is for.
#[must_use = "it does nothing until `connect` is called"]
pub struct DatabaseBuilder<S> {
    /// There may be a password in it.
    url: String,
    table: TableName,
    max_connections: u32,
    acquire_timeout: Duration,
    store: PhantomData<fn() -> S>,
}

impl<S> DatabaseBuilder<S> {
    pub(in crate::store) fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            table: TableName::default(),
            max_connections: 10,
            acquire_timeout: Duration::from_secs(3),
            store: PhantomData,
        }
    }

    /// The table to keep sessions in; `poem_sessions` unless told otherwise. Each application that
    /// shares the database needs its own.
    pub fn table(mut self, table: TableName) -> Self {
        self.table = table;
        self
    }

    /// How many connections there may be, at least one; 10 unless told otherwise.
    pub fn max_connections(mut self, connections: u32) -> Self {
        self.max_connections = connections.max(1);
        self
    }

    /// How long to wait for a connection, whether for a free one or for the server to accept one; 3
    /// seconds unless told otherwise. It should be below the time limit that the sessions set for a call
    /// to the store, so that the error says what it was.
    pub fn acquire_timeout(mut self, timeout: Duration) -> Self {
        self.acquire_timeout = timeout;
        self
    }

    pub(in crate::store) fn url(&self) -> &str {
        &self.url
    }

    pub(in crate::store) fn pool_options<DB: Database>(&self) -> PoolOptions<DB> {
        PoolOptions::new()
            .max_connections(self.max_connections)
            .acquire_timeout(self.acquire_timeout)
            // A question before each statement would double the round trips. A connection that has
            // just been used is there; one that was idle for a while may have been cut.
            .test_before_acquire(false)
            .before_acquire(|connection: &mut DB::Connection, known| {
                Box::pin(async move {
                    if known.idle_for >= IDLE_FOR_A_WHILE {
                        sqlx::Connection::ping(connection).await?;
                    }
                    Ok(true)
                })
            })
    }

    pub(in crate::store) fn into_table(self) -> TableName {
        self.table
    }
}

const IDLE_FOR_A_WHILE: Duration = Duration::from_secs(1);

impl<S> Clone for DatabaseBuilder<S> {
    fn clone(&self) -> Self {
        Self {
            url: self.url.clone(),
            table: self.table.clone(),
            ..*self
        }
    }
}

impl<S> fmt::Debug for DatabaseBuilder<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DatabaseBuilder")
            .field("url", &format_args!("***"))
            .field("table", &self.table)
            .field("max_connections", &self.max_connections)
            .field("acquire_timeout", &self.acquire_timeout)
            .finish_non_exhaustive()
    }
}

/// A connection that is being used. It is closed, and not given back to the pool, if it fails, or if
/// whoever waits for its answer stops waiting.
///
/// Given back, it would be asked whether it is still there, and would count as one of the pool until it
/// answers: a server that vanished without a word would block the pool for as long as the network takes
/// to notice, which may be a quarter of an hour.
pub(in crate::store) struct InUse<DB: Database>(Option<PoolConnection<DB>>);

impl<DB: Database> InUse<DB> {
    pub(in crate::store) async fn acquire(pool: &Pool<DB>) -> sqlx::Result<Self> {
        pool.acquire()
            .await
            .map(|connection| Self(Some(connection)))
    }

    pub(in crate::store) fn connection(&mut self) -> &mut DB::Connection {
        self.0.as_mut().expect("taken at the end only")
    }

    /// Passes on what came of it, and gives the connection back if it can be used again.
    pub(in crate::store) fn end<T>(mut self, result: sqlx::Result<T>) -> sqlx::Result<T> {
        if matches!(result, Ok(_) | Err(sqlx::Error::Database(_))) {
            drop(self.0.take());
        }
        result
    }
}

impl<DB: Database> Drop for InUse<DB> {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take() {
            drop(connection.detach());
        }
    }
}

/// How often a statement is tried that the database has undone, to let another one through. It is
/// undone as a whole, so that it may be tried again.
const ATTEMPTS: u32 = 5;

/// Counts the attempts at one statement.
#[derive(Default)]
pub(in crate::store) struct Attempts(u32);

impl Attempts {
    /// Whether to try again.
    pub(in crate::store) fn again<T>(&mut self, result: &sqlx::Result<T>) -> bool {
        self.0 += 1;
        self.0 < ATTEMPTS && result.as_ref().is_err_and(was_undone)
    }
}

/// Whether the statement was chosen to give way, in a deadlock or among transactions in order.
fn was_undone(error: &sqlx::Error) -> bool {
    let code = error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code);
    matches!(code.as_deref(), Some("40001" | "40P01"))
}

/// Defines `execute_on` and `fetch_on`, which run a statement of
/// [`statement_calls`](super::statement_calls) on a connection of a pool.
macro_rules! pooled_calls {
    ($database:ty) => {
        async fn execute_on(
            pool: &sqlx::Pool<$database>,
            statement: &$crate::store::sql::Statement,
            values: &[$crate::store::sql::Value<'_>],
        ) -> sqlx::Result<u64> {
            let mut attempts = $crate::store::sql::Attempts::default();
            loop {
                let mut in_use = $crate::store::sql::InUse::acquire(pool).await?;
                let result = execute(in_use.connection(), statement, values).await;
                let result = in_use.end(result);
                if !attempts.again(&result) {
                    return result;
                }
            }
        }

        async fn fetch_on(
            pool: &sqlx::Pool<$database>,
            statement: &$crate::store::sql::Statement,
            values: &[$crate::store::sql::Value<'_>],
        ) -> sqlx::Result<Option<$crate::store::sql::Row>> {
            let mut attempts = $crate::store::sql::Attempts::default();
            loop {
                let mut in_use = $crate::store::sql::InUse::acquire(pool).await?;
                let result = fetch(in_use.connection(), statement, values).await;
                let result = in_use.end(result);
                if !attempts.again(&result) {
                    return result;
                }
            }
        }
    };
}
pub(in crate::store) use pooled_calls;
