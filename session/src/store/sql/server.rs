//! The parts that the stores on database servers share: the address, the pool, and the release of
//! connections.

use std::{fmt, str::FromStr, time::Duration};

use sqlx::{Connection, error::DatabaseError, pool::PoolConnection};

use super::{
    SqlDatabase, SqlStore, SqlStoreBuilder, TableName,
    connection::Ended,
    error::{connect_error, is_broken, misconfigured},
};
use crate::store::{
    StoreError,
    parameters::{Parameters, Parts},
};

/// The URL of a database server. `Debug` does not show it, because it may contain a password.
#[derive(Clone)]
pub struct ServerAddress(String);

impl fmt::Debug for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// The options of a database's driver.
pub(super) type DriverOptions<DB> = <<DB as sqlx::Database>::Connection as Connection>::Options;

/// A database server that [`SqlStore`] supports: `sqlx::Postgres` or `sqlx::MySql`. Other crates cannot
/// implement this trait.
pub trait ServerDatabase: SqlDatabase<Source = ServerAddress> {
    /// The parameters of a URL that the store reads.
    #[doc(hidden)]
    const PARAMETERS: &'static [&'static str];

    /// The parameters of a URL that the driver reads.
    #[doc(hidden)]
    const DRIVER_PARAMETERS: &'static [&'static str];
}

impl<DB: ServerDatabase> SqlStore<DB> {
    /// Connects to a database by URL, with the default settings. It does not create the table: see
    /// [`migrate`](Self::migrate).
    ///
    /// The URL is `postgres://user:password@host:port/database` or `mysql://user:password@host:port/database`.
    /// [`connect`](crate::store::connect()) lists the parameters that may follow.
    ///
    /// # Errors
    /// [`Misconfigured`](crate::store::StoreErrorKind::Misconfigured) if the URL is invalid or has an unknown
    /// parameter, or if the database refuses the user;
    /// [`TimedOut`](crate::store::StoreErrorKind::TimedOut) if no server accepts a connection within 3 seconds.
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
        let settings = Settings::<DB>::read(&self)?;
        let pool = self
            .pool_options()
            .before_acquire(|connection: &mut DB::Connection, known| {
                Box::pin(async move {
                    if known.idle_for >= CHECK_AFTER {
                        Connection::ping(connection).await?;
                    }
                    Ok(true)
                })
            })
            .connect_with(settings.options)
            .await
            .map_err(connect_error::<DB>)?;
        Ok(SqlStore::on_pools(pool.clone(), pool, settings.table))
    }
}

/// The settings that a URL and a builder make together.
struct Settings<DB: ServerDatabase> {
    options: DriverOptions<DB>,
    table: TableName,
}

impl<DB: ServerDatabase> Settings<DB> {
    fn read(builder: &SqlStoreBuilder<DB>) -> Result<Self, StoreError> {
        let refuse = |why: String| misconfigured(DB::ACTIONS.open, why);
        let parts = Parts::of(&builder.source.0);
        let mut parameters = Parameters::parse(parts.query, DB::PARAMETERS, DB::DRIVER_PARAMETERS)
            .map_err(refuse)?;
        let table = parameters
            .take("table")
            .map(|text| TableName::parse(&text))
            .transpose()?;
        let url = format!("{}?{}", parts.base, parameters.query());
        let options = DriverOptions::<DB>::from_str(&url).map_err(connect_error::<DB>)?;
        Ok(Self {
            options,
            table: one_of("table", builder.table.clone(), table).map_err(refuse)?,
        })
    }
}

/// Returns the value that the builder or the URL sets, or else the default.
fn one_of<T: Default>(name: &str, builder: Option<T>, url: Option<T>) -> Result<T, String> {
    match (builder, url) {
        (Some(_), Some(_)) => Err(format!("both the URL and the builder set a {name}")),
        (builder, url) => Ok(builder.or(url).unwrap_or_default()),
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

#[cfg(all(test, feature = "postgres"))]
mod tests {
    use super::*;
    use crate::store::PostgresStore;

    /// The driver ignores a parameter that it does not know, so a wrong name in the list would have no effect.
    #[test]
    fn every_parameter_reaches_the_driver() {
        let settings = Settings::read(&PostgresStore::builder(
            "postgres://a/b?user=me&dbname=shop&port=7&application_name=x&options[geqo]=off&table=a.b",
        ));
        let settings = settings.expect("a URL");
        let options = settings.options;
        assert_eq!(options.get_username(), "me");
        assert_eq!(options.get_database(), Some("shop"));
        assert_eq!(options.get_port(), 7);
        assert_eq!(options.get_application_name(), Some("x"));
        assert_eq!(options.get_options(), Some("-c geqo=off"));
        assert_eq!(settings.table.quoted('"'), "\"a\".\"b\"");
    }

    #[test]
    fn a_setting_comes_from_the_url_or_from_the_builder() {
        let table = || TableName::new("mine").expect("a name");
        let settings = |url: &str| Settings::read(&PostgresStore::builder(url).table(table()));
        let read = settings("postgres://host/db").expect("a URL without it");
        assert_eq!(read.table, table());
        let error = settings("postgres://host/db?table=mine").err();
        let text = format!("{:?}", error.expect("two tables"));
        assert!(text.contains("both the URL and the builder"), "{text}");
    }
}
