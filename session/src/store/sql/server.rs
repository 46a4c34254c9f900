//! The parts that the stores on database servers share: the address, the pool, and the release of
//! connections.

use std::{fmt, fs::File, future::Future, str::FromStr, time::Duration};

use sqlx::{Connection, error::DatabaseError, pool::PoolConnection};

use super::{
    PoolMode, SqlDatabase, SqlStore, SqlStoreBuilder, TableName,
    connection::Ended,
    error::{connect_error, is_broken, misconfigured},
};
use crate::store::{
    StoreError,
    parameters::{Parameters, Parts},
};

/// The URL of a database server, and the settings that only servers have. `Debug` does not show the URL, because
/// it may contain a password.
#[derive(Clone)]
pub struct ServerAddress {
    url: String,
    /// The mode that the builder sets.
    pub(in crate::store) pool_mode: Option<PoolMode>,
}

impl fmt::Debug for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// The parameters about TLS that a URL has.
#[derive(Clone, Copy)]
pub struct Chosen {
    /// Whether the URL chooses a mode.
    pub(in crate::store) mode: bool,
    /// Whether the URL names the certificate of an authority.
    pub(in crate::store) authority: bool,
}

/// The names of the parameter that chooses the mode of TLS.
const TLS_MODE: [&str; 2] = ["sslmode", "ssl-mode"];

/// The names of the parameters about a certificate of the client.
const CLIENT: [&str; 4] = ["sslcert", "ssl-cert", "sslkey", "ssl-key"];

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

    /// The parameters among them that name the file of an authority's certificate.
    #[doc(hidden)]
    const AUTHORITY: &'static [&'static str];

    /// Applies the store's defaults to the driver's options.
    #[doc(hidden)]
    fn with_defaults(options: DriverOptions<Self>, tls: Chosen) -> DriverOptions<Self>;

    /// Returns whether the driver verifies the authority and accepts any name. For this it uses the process-wide
    /// cryptography provider.
    #[doc(hidden)]
    fn accepts_any_name(options: &DriverOptions<Self>) -> bool;

    /// Returns an error if the server cannot be used in the store's pool mode.
    #[doc(hidden)]
    fn check(
        _store: &SqlStore<Self>,
        _options: &DriverOptions<Self>,
    ) -> impl Future<Output = Result<(), StoreError>> + Send {
        async { Ok(()) }
    }
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
    /// parameter, if the server's certificate is not accepted, or if the database refuses the user;
    /// [`TimedOut`](crate::store::StoreErrorKind::TimedOut) if no server accepts a connection within 3 seconds.
    pub async fn connect(url: &str) -> Result<Self, StoreError> {
        Self::builder(url).connect().await
    }

    /// Returns a builder with the default settings for the database at this URL.
    pub fn builder(url: &str) -> SqlStoreBuilder<DB> {
        SqlStoreBuilder::new(ServerAddress {
            url: url.to_owned(),
            pool_mode: None,
        })
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
        #[cfg(any(feature = "postgres-tls", feature = "mysql-tls"))]
        if DB::accepts_any_name(&settings.options) {
            crate::store::tls::install_provider();
        }
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
            .connect_with(settings.options.clone())
            .await
            .map_err(connect_error::<DB>)?;
        let store = SqlStore::new(pool.clone(), pool, settings.table, settings.pool_mode);
        let check = DB::check(&store, &settings.options);
        // A pooler may have no second connection. Then the check waits, and shows nothing.
        match tokio::time::timeout(self.acquire_timeout, check).await {
            Ok(Err(error)) => Err(error),
            Ok(Ok(())) | Err(_) => Ok(store),
        }
    }
}

/// The settings that a URL and a builder make together.
struct Settings<DB: ServerDatabase> {
    options: DriverOptions<DB>,
    table: TableName,
    pool_mode: PoolMode,
}

impl<DB: ServerDatabase> Settings<DB> {
    fn read(builder: &SqlStoreBuilder<DB>) -> Result<Self, StoreError> {
        let refuse = |why: String| misconfigured(DB::ACTIONS.open, why);
        let parts = Parts::of(&builder.source.url);
        let mut parameters = Parameters::parse(parts.query, DB::PARAMETERS, DB::DRIVER_PARAMETERS)
            .map_err(refuse)?;
        let table = parameters
            .take("table")
            .map(|text| TableName::parse(&text))
            .transpose()?;
        let pool_mode = parameters
            .take("pool_mode")
            .map(|text| PoolMode::parse(&text).ok_or_else(|| refuse(POOL_MODES.to_owned())))
            .transpose()?;
        check_files(&parameters, DB::AUTHORITY.iter().chain(&CLIENT)).map_err(refuse)?;
        let url = format!("{}?{}", parts.base, parameters.query());
        let options = DriverOptions::<DB>::from_str(&url).map_err(connect_error::<DB>)?;
        let chosen = Chosen {
            mode: parameters.get(&TLS_MODE).is_some(),
            authority: parameters.get(DB::AUTHORITY).is_some(),
        };
        Ok(Self {
            options: DB::with_defaults(options, chosen),
            table: one_of("table", builder.table.clone(), table).map_err(refuse)?,
            pool_mode: one_of("pool mode", builder.source.pool_mode, pool_mode).map_err(refuse)?,
        })
    }
}

const POOL_MODES: &str = "the parameter `pool_mode` must be `session` or `transaction`";

/// Returns the value that the builder or the URL sets, or else the default.
fn one_of<T: Default>(name: &str, builder: Option<T>, url: Option<T>) -> Result<T, String> {
    match (builder, url) {
        (Some(_), Some(_)) => Err(format!("both the URL and the builder set a {name}")),
        (builder, url) => Ok(builder.or(url).unwrap_or_default()),
    }
}

/// Returns an error if a file that one of these parameters names cannot be opened. The driver reads the files for
/// each connection, and its error does not say which file is missing. A value may also be the contents of a file.
fn check_files<'a>(
    parameters: &Parameters<'_>,
    names: impl Iterator<Item = &'a &'a str>,
) -> Result<(), String> {
    for name in names {
        if let Some(file) = parameters.get(&[name])
            && !file.trim_start().starts_with("-----BEGIN")
            && let Err(error) = File::open(file)
        {
            return Err(format!(
                "the file that the parameter `{name}` names cannot be read: {error}"
            ));
        }
    }
    Ok(())
}

/// Returns a connection to its pool after success and after errors that do not affect the connection. Otherwise
/// closes it: after a failure of the connection, after a cancelled call, and after an error that `ends` names.
///
/// The pool would check such a connection and count it until the server responds. A server that is lost without
/// notice would block the pool until the network reports it, which may take a quarter of an hour. A server that
/// refuses writes may have been replaced by another one, which only a new connection reaches.
pub(in crate::store) fn release_to_pool<DB: SqlDatabase>(
    connection: PoolConnection<DB>,
    ended: Ended<'_>,
    ends: fn(&dyn DatabaseError) -> bool,
) {
    let usable = match ended {
        Ended::Ok => true,
        Ended::Err(error @ sqlx::Error::Database(source)) => !is_broken(error) && !ends(&**source),
        Ended::Err(_) | Ended::Cancelled => false,
    };
    if !usable {
        drop(connection.detach());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<DB: ServerDatabase>(url: &str) -> Settings<DB> {
        Settings::read(&SqlStore::<DB>::builder(url)).expect(url)
    }

    #[cfg(feature = "postgres")]
    #[test]
    fn postgres_is_verified_unless_the_url_says_otherwise() {
        use sqlx::{Postgres, postgres::PgSslMode};

        let mode = |url: &str| format!("{:?}", read::<Postgres>(url).options.get_ssl_mode());
        let says = |mode: PgSslMode| format!("{mode:?}");
        if cfg!(feature = "postgres-tls") {
            for url in [
                "postgres://host/db",
                "postgres://host/db?table=a&pool_mode=transaction",
                "postgres://host/db?sslrootcert=-----BEGIN",
                "postgres:///db?host=db.example",
            ] {
                assert_eq!(mode(url), says(PgSslMode::VerifyFull), "{url}");
            }
        }
        for (parameters, right) in [
            ("sslmode=disable", PgSslMode::Disable),
            ("ssl-mode=prefer", PgSslMode::Prefer),
            ("sslmode=require", PgSslMode::Require),
            ("sslmode=verify-ca", PgSslMode::VerifyCa),
            ("sslmode=verify-full", PgSslMode::VerifyFull),
            (
                "sslmode=require&sslrootcert=-----BEGIN",
                PgSslMode::VerifyCa,
            ),
            ("sslmode=prefer&sslrootcert=-----BEGIN", PgSslMode::Prefer),
            ("host=/run/postgresql", PgSslMode::Disable),
            (
                "host=/run/postgresql&sslmode=verify-full",
                PgSslMode::Disable,
            ),
        ] {
            let url = format!("postgres://host/db?{parameters}");
            assert_eq!(mode(&url), says(right), "{url}");
        }
        let socket = "postgres://%2Frun%2Fpostgresql/db";
        assert_eq!(mode(socket), says(PgSslMode::Disable));
    }

    #[cfg(feature = "mysql")]
    #[test]
    fn mysql_is_verified_unless_the_url_says_otherwise() {
        use sqlx::{MySql, mysql::MySqlSslMode};

        let mode = |url: &str| format!("{:?}", read::<MySql>(url).options.get_ssl_mode());
        let says = |mode: MySqlSslMode| format!("{mode:?}");
        if cfg!(feature = "mysql-tls") {
            for (url, right) in [
                ("mysql://host/db", MySqlSslMode::VerifyIdentity),
                (
                    "mysql://host/db?table=a&ssl-ca=-----BEGIN",
                    MySqlSslMode::VerifyIdentity,
                ),
                (
                    "mysql://host/db?socket=/run/mysqld.sock",
                    MySqlSslMode::Disabled,
                ),
            ] {
                assert_eq!(mode(url), says(right), "{url}");
            }
        }
        for (parameters, right) in [
            ("ssl-mode=DISABLED", MySqlSslMode::Disabled),
            ("sslmode=PREFERRED", MySqlSslMode::Preferred),
            ("ssl-mode=REQUIRED", MySqlSslMode::Required),
            (
                "ssl-mode=REQUIRED&ssl-ca=-----BEGIN",
                MySqlSslMode::Required,
            ),
            ("ssl-mode=VERIFY_CA", MySqlSslMode::VerifyCa),
            ("ssl-mode=VERIFY_IDENTITY", MySqlSslMode::VerifyIdentity),
            (
                "ssl-mode=VERIFY_CA&socket=/run/mysqld.sock",
                MySqlSslMode::VerifyCa,
            ),
        ] {
            let url = format!("mysql://host/db?{parameters}");
            assert_eq!(mode(&url), says(right), "{url}");
        }
    }

    /// The driver ignores a parameter that it does not know, so a wrong name in the list would have no effect.
    #[cfg(feature = "postgres")]
    #[test]
    fn every_parameter_reaches_the_driver() {
        use sqlx::Postgres;

        let settings = read::<Postgres>(
            "postgres://a/b?user=me&dbname=shop&port=7&application_name=x&options[geqo]=off&table=a.b",
        );
        let options = settings.options;
        assert_eq!(options.get_username(), "me");
        assert_eq!(options.get_database(), Some("shop"));
        assert_eq!(options.get_port(), 7);
        assert_eq!(options.get_application_name(), Some("x"));
        assert_eq!(options.get_options(), Some("-c geqo=off"));
        assert_eq!(settings.table.quoted('"'), "\"a\".\"b\"");
    }

    #[cfg(feature = "postgres")]
    #[test]
    fn a_setting_comes_from_the_url_or_from_the_builder() {
        use crate::store::PostgresStore;

        let table = || TableName::new("mine").expect("a name");
        let settings = |url: &str| {
            let builder = PostgresStore::builder(url).table(table());
            Settings::read(&builder.pool_mode(PoolMode::Transaction))
        };
        let read = settings("postgres://host/db").expect("a URL without them");
        assert_eq!(
            (read.table, read.pool_mode),
            (table(), PoolMode::Transaction)
        );
        for parameter in ["table=mine", "pool_mode=transaction"] {
            let error = settings(&format!("postgres://host/db?{parameter}")).err();
            let text = format!("{:?}", error.expect(parameter));
            assert!(text.contains("both the URL and the builder"), "{text}");
        }
        let read = self::read::<sqlx::Postgres>("postgres://host/db");
        assert_eq!(read.table, TableName::default());
        assert_eq!(read.pool_mode, PoolMode::Session);
    }
}
