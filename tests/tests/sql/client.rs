//! A client of the database besides the store, with all privileges.

use std::{any::Any, path::Path, sync::Arc, time::Duration};

use poem_session::{
    PublicId,
    store::{MySqlStore, PostgresStore, SqliteStore, TableName},
};
use poem_session_tests::{PATIENCE, eventually};
use sqlx::{
    AssertSqlSafe, MySqlPool, PgPool, SqlitePool,
    pool::PoolOptions,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};

use crate::{Database, Home, Store};

/// The options of an application's pool on a SQLite file. They do not wait for the disk.
pub(crate) fn sqlite_options(file: &Path) -> SqliteConnectOptions {
    let options = SqliteConnectOptions::new().filename(file);
    let options = options.create_if_missing(true).busy_timeout(PATIENCE);
    options
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Off)
}

/// A pool of the application.
#[derive(Clone, Debug)]
pub(crate) enum Client {
    Postgres(PgPool),
    MariaDb(MySqlPool),
    Sqlite(SqlitePool),
}

macro_rules! on_pool {
    ($client:expr, $pool:ident => $then:expr) => {
        match $client {
            Client::Postgres($pool) => $then,
            Client::MariaDb($pool) => $then,
            Client::Sqlite($pool) => $then,
        }
    };
}

impl Client {
    pub(crate) async fn connect(home: &Home) -> Self {
        Self::pool(home, 4, PATIENCE).await
    }

    /// Opens a pool with this maximum of connections. `acquire` limits the wait for a free one.
    pub(crate) async fn pool(home: &Home, connections: u32, acquire: Duration) -> Self {
        macro_rules! options {
            () => {
                PoolOptions::new()
                    .max_connections(connections)
                    .acquire_timeout(acquire)
            };
        }
        let url = &home.url;
        match home.database {
            Database::Postgres => options!().connect(url).await.map(Self::Postgres),
            Database::MariaDb => options!().connect(url).await.map(Self::MariaDb),
            Database::Sqlite => {
                let connect = options!().connect_with(sqlite_options(home.file()));
                connect.await.map(Self::Sqlite)
            }
        }
        .expect("the database accepts a connection")
    }

    /// Begins a transaction on a connection of its own.
    pub(crate) async fn begin(home: &Home) -> Self {
        let client = Self::pool(home, 1, PATIENCE).await;
        client.run("BEGIN").await;
        client
    }

    /// Creates a store on this pool, without its table.
    pub(crate) fn store(&self, table: TableName) -> Arc<dyn Store> {
        match self.clone() {
            Self::Postgres(pool) => Arc::new(PostgresStore::from_pool(pool).in_table(table)),
            Self::MariaDb(pool) => Arc::new(MySqlStore::from_pool(pool).in_table(table)),
            Self::Sqlite(pool) => Arc::new(SqliteStore::from_pool(pool).in_table(table)),
        }
    }

    /// Takes a connection from the pool until the returned value is dropped.
    pub(crate) async fn hold(&self) -> Box<dyn Any> {
        const FREE: &str = "a free connection";
        on_pool!(self, pool => Box::new(pool.acquire().await.expect(FREE)))
    }

    /// Runs statements.
    pub(crate) async fn run(&self, statements: impl Into<String>) {
        let statements = statements.into();
        let query = sqlx::raw_sql(AssertSqlSafe(statements.clone()));
        on_pool!(self, pool => query.execute(pool).await.map(drop))
            .unwrap_or_else(|error| panic!("{statements}: {error}"));
    }

    /// Runs a query that returns a number.
    pub(crate) async fn number(&self, query: impl Into<String>) -> i64 {
        let query = query.into();
        let scalar = AssertSqlSafe(query.clone());
        on_pool!(self, pool => sqlx::query_scalar(scalar).fetch_one(pool).await)
            .unwrap_or_else(|error| panic!("{query}: {error}"))
    }

    /// Counts the records.
    pub(crate) async fn records(&self) -> i64 {
        self.number("SELECT count(*) FROM poem_sessions").await
    }

    /// Returns bytes as a literal.
    pub(crate) fn literal(&self, bytes: &[u8]) -> String {
        let digits = |hex: String, byte: &u8| hex + format!("{byte:02x}").as_str();
        let hex = bytes.iter().fold(String::new(), digits);
        match self {
            Self::Postgres(_) => format!(r"'\x{hex}'"),
            Self::MariaDb(_) | Self::Sqlite(_) => format!("x'{hex}'"),
        }
    }

    /// Runs a statement on one record, such as `DELETE FROM poem_sessions`.
    pub(crate) async fn run_on(&self, key: PublicId, statement: &str) {
        let key = self.literal(key.as_bytes());
        self.run(format!("{statement} WHERE id = {key}")).await;
    }
}

/// A user with the privileges of an application.
pub(crate) struct Account<'a> {
    home: &'a Home,
    name: &'static str,
    /// The user, as SQL statements name it.
    pub(crate) user: String,
    /// The URL of the database for this user.
    pub(crate) url: String,
}

pub(crate) const PASSWORD: &str = "hunter2-hunter2";

impl<'a> Account<'a> {
    /// Creates a user with access to the sessions' table, which must exist. All databases of a server share
    /// its users, so that each test needs another name.
    pub(crate) async fn create(home: &'a Home, name: &'static str) -> Self {
        let (scheme, rest) = home.url.split_once("://").expect("a URL");
        let (_, place) = rest.split_once('@').expect("a user");
        let user = match home.database {
            Database::MariaDb => format!("{name}@'127.0.0.1'"),
            _ => name.to_owned(),
        };
        let url = format!("{scheme}://{name}:{PASSWORD}@{place}");
        let account = Self {
            home,
            name,
            user,
            url,
        };
        let client = Client::connect(home).await;
        let create = account.password("CREATE", PASSWORD);
        client.run(create).await;
        let privileges = "SELECT, INSERT, UPDATE, DELETE ON poem_sessions";
        client
            .run(format!("GRANT {privileges} TO {}", account.user))
            .await;
        account
    }

    /// Returns a statement that sets the password: `verb` is `CREATE` or `ALTER`.
    pub(crate) fn password(&self, verb: &str, password: &str) -> String {
        let identified = match self.home.database {
            Database::MariaDb => "IDENTIFIED BY",
            _ => "PASSWORD",
        };
        format!("{verb} USER {} {identified} '{password}'", self.user)
    }

    /// Closes all connections of the user.
    pub(crate) async fn disconnect(&self) {
        let close = match self.home.database {
            Database::MariaDb => format!("KILL CONNECTION USER {}", self.user),
            _ => format!(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                 WHERE usename = '{}'",
                self.name
            ),
        };
        self.home.server().run(close).await;
        self.is_disconnected().await;
    }

    /// Waits until the user has no connection.
    pub(crate) async fn is_disconnected(&self) {
        let (table, column) = match self.home.database {
            Database::MariaDb => ("information_schema.processlist", "user"),
            _ => ("pg_stat_activity", "usename"),
        };
        let count = format!(
            "SELECT count(*) FROM {table} WHERE {column} = '{}'",
            self.name
        );
        eventually("the user has no connection", async || {
            let connections = self.home.server().run(&count).await;
            (connections.trim() == "0").then_some(())
        })
        .await;
    }
}
