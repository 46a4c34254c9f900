//! What the stores on database servers share beyond the statements: how they are opened, the pool, and
//! what becomes of a connection that is of no more use.

use std::{fmt, marker::PhantomData, time::Duration};

use sqlx::{
    Database, Pool,
    pool::{PoolConnection, PoolOptions},
};

use super::{
    Backend, TableName,
    fault::{connect_error, is_broken},
};
use crate::store::StoreError;

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

    /// The pool, with its first connection.
    pub(in crate::store) async fn pool<DB: Database>(&self) -> Result<Pool<DB>, StoreError>
    where
        S: Backend,
    {
        let options = self.url.parse().map_err(connect_error::<S>)?;
        let pool = self.pool_options().connect_with(options).await;
        pool.map_err(connect_error::<S>)
    }

    fn pool_options<DB: Database>(&self) -> PoolOptions<DB> {
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

/// A connection that is being used. It is closed, and not given back to the pool, if it fails, if
/// whoever waits for its answer stops waiting, or if it leads to a server that refuses to write.
///
/// Given back, it would be asked whether it is still there, and would count as one of the pool until it
/// answers: a server that vanished without a word would block the pool for as long as the network takes
/// to notice, which may be a quarter of an hour. And a server that refuses to write may have handed over
/// to another one, which only a new connection finds.
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
    pub(in crate::store) fn end<B: Backend, T>(
        mut self,
        result: sqlx::Result<T>,
    ) -> sqlx::Result<T> {
        let usable = match &result {
            Ok(_) => true,
            Err(error @ sqlx::Error::Database(said)) => {
                !is_broken(error) && !B::refuses_writes(&**said)
            }
            Err(_) => false,
        };
        if usable {
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

/// Defines what the store on a server of this kind would repeat word for word: how it is opened and
/// closed, and `execute_on` and `fetch_on`, which run a statement of
/// [`statement_calls`](super::statement_calls) on a connection of its pool. The documentation given is
/// that of `connect`, and tells the form of the address.
macro_rules! server_store {
    ($(#[$address:meta])* $store:ident, $statements:ident, $quote:literal, $database:ty) => {
        impl $store {
            $(#[$address])*
            ///
            /// # Errors
            /// [`Misconfigured`](StoreErrorKind::Misconfigured) if the address cannot be understood or the
            /// database refuses the user; [`TimedOut`](StoreErrorKind::TimedOut) if no server accepts within
            /// 3 seconds.
            pub async fn connect(url: &str) -> Result<Self, StoreError> {
                Self::builder(url).connect().await
            }

            /// Settings for a store on the database at this address.
            pub fn builder(url: &str) -> DatabaseBuilder<Self> {
                DatabaseBuilder::new(url)
            }

            /// A store on connections of your own, in the table `poem_sessions`. Creates nothing: see
            /// [`migrate`](Self::migrate).
            ///
            /// The pool should have time limits below that of the sessions.
            pub fn from_pool(pool: sqlx::Pool<$database>) -> Self {
                Self::on_pool(pool, TableName::default())
            }

            /// The same store in another table. Creates nothing: see [`migrate`](Self::migrate).
            #[must_use]
            pub fn in_table(self, table: TableName) -> Self {
                Self::on_pool(self.pool, table)
            }

            fn on_pool(pool: sqlx::Pool<$database>, table: TableName) -> Self {
                let statements = $statements::new(&table.quoted($quote));
                Self {
                    pool,
                    table,
                    statements,
                }
            }

            /// Waits for what is being done and closes the connections.
            pub async fn close(&self) {
                self.pool.close().await;
            }
        }

        impl DatabaseBuilder<$store> {
            #[doc = concat!("Connects. Creates nothing: see [`", stringify!($store), "::migrate`].")]
            ///
            /// # Errors
            #[doc = concat!("As [`", stringify!($store), "::connect`].")]
            pub async fn connect(self) -> Result<$store, StoreError> {
                let pool = self.pool().await?;
                Ok($store::on_pool(pool, self.into_table()))
            }
        }

        impl std::fmt::Debug for $store {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($store))
                    .field("table", &self.table)
                    .finish_non_exhaustive()
            }
        }

        async fn execute_on(
            pool: &sqlx::Pool<$database>,
            statement: &Statement,
            values: &[Value<'_>],
        ) -> sqlx::Result<u64> {
            let mut attempts = Attempts::default();
            loop {
                let mut in_use = InUse::acquire(pool).await?;
                let result = execute(in_use.connection(), statement, values).await;
                let result = in_use.end::<$store, _>(result);
                if !attempts.again(&result) {
                    return result;
                }
            }
        }

        async fn fetch_on(
            pool: &sqlx::Pool<$database>,
            statement: &Statement,
            values: &[Value<'_>],
        ) -> sqlx::Result<Option<Row>> {
            let mut attempts = Attempts::default();
            loop {
                let mut in_use = InUse::acquire(pool).await?;
                let result = fetch(in_use.connection(), statement, values).await;
                let result = in_use.end::<$store, _>(result);
                if !attempts.again(&result) {
                    return result;
                }
            }
        }
    };
}
pub(in crate::store) use server_store;
