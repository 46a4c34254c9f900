//! The parts that the stores on database servers share: the address, the pool, and the release of
//! connections.

use std::{fmt, time::Duration};

use sqlx::{error::DatabaseError, pool::PoolConnection};

use super::{
    SqlDatabase, SqlStore, SqlStoreBuilder,
    connection::Ended,
    error::{connect_error, is_broken},
};
use crate::store::StoreError;

/// The URL of a database server. `Debug` does not show it, because it may contain a password.
#[derive(Clone)]
pub struct ServerAddress(String);

impl fmt::Debug for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A database server that [`SqlStore`] supports: `sqlx::Postgres` or `sqlx::MySql`. Other crates cannot
/// implement this trait.
pub trait ServerDatabase: SqlDatabase<Source = ServerAddress> {}

impl<DB: SqlDatabase<Source = ServerAddress>> ServerDatabase for DB {}

impl<DB: ServerDatabase> SqlStore<DB> {
    /// Connects to a database by URL, with the default settings. It does not create the table: see
    /// [`migrate`](Self::migrate).
    ///
    /// The URL is `postgres://user:password@host:port/database`, with libpq's settings as parameters, or
    /// `mysql://user:password@host:port/database`.
    ///
    /// # Errors
    /// [`Misconfigured`](crate::store::StoreErrorKind::Misconfigured) if the URL is invalid or the database
    /// refuses the user; [`TimedOut`](crate::store::StoreErrorKind::TimedOut) if no server accepts a connection
    /// within 3 seconds.
    pub async fn connect(url: &str) -> Result<Self, StoreError> {
        Self::builder(url).connect().await
    }

    /// Returns a builder with the default settings for the database at this URL.
    pub fn builder(url: &str) -> SqlStoreBuilder<DB> {
        SqlStoreBuilder::new(ServerAddress(url.to_owned()))
    }
}

/// The idle time after which a connection is checked before it is used: it may have been cut meanwhile.
const CHECK_AFTER: Duration = Duration::from_secs(1);

impl<DB: ServerDatabase> SqlStoreBuilder<DB> {
    /// Connects to the database. It does not create the table: see [`SqlStore::migrate`].
    ///
    /// # Errors
    /// See [`SqlStore::connect`]. The timeout is the [`acquire_timeout`](Self::acquire_timeout).
    pub async fn connect(self) -> Result<SqlStore<DB>, StoreError> {
        let options = self.source.0.parse().map_err(connect_error::<DB>)?;
        let pool = self
            .pool_options()
            .before_acquire(|connection: &mut DB::Connection, known| {
                Box::pin(async move {
                    if known.idle_for >= CHECK_AFTER {
                        sqlx::Connection::ping(connection).await?;
                    }
                    Ok(true)
                })
            })
            .connect_with(options)
            .await
            .map_err(connect_error::<DB>)?;
        Ok(SqlStore::on_pools(pool.clone(), pool, self.table))
    }
}

/// Returns a connection to its pool after success and after errors that do not affect the connection. Otherwise
/// closes it: after a failure of the connection, after a cancelled call, and if the server refuses writes.
///
/// The pool would check such a connection and count it until the server responds. A server that is lost without
/// notice would block the pool until the network reports it, which may take a quarter of an hour. A server that
/// refuses writes may have been replaced by another one, which only a new connection reaches.
pub(in crate::store) fn release_to_pool<DB: SqlDatabase>(
    connection: PoolConnection<DB>,
    ended: Ended<'_>,
    refuses_writes: fn(&dyn DatabaseError) -> bool,
) {
    let usable = match ended {
        Ended::Ok => true,
        Ended::Err(error @ sqlx::Error::Database(source)) => {
            !is_broken(error) && !refuses_writes(&**source)
        }
        Ended::Err(_) | Ended::Cancelled => false,
    };
    if !usable {
        drop(connection.detach());
    }
}
