//! Another client of the database than the store.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use poem_session_tests::servers::Server;
use sqlx::{
    AssertSqlSafe, MySqlPool, PgPool, SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};
use tokio::time::sleep;

use crate::{Database, PATIENCE};

/// How an application of its own opens a file, new or not, but for waiting for the disk: others keep that
/// busy, too, and nothing is switched off here.
pub(crate) fn sqlite_options(file: &Path) -> SqliteConnectOptions {
    let options = SqliteConnectOptions::new().filename(file);
    let options = options.create_if_missing(true);
    options
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Off)
}

/// Connections with all rights, to look at what is there, and to do it harm.
#[derive(Clone, Debug)]
pub(crate) enum Client {
    Postgres(PgPool),
    MariaDb(MySqlPool),
    Sqlite(SqlitePool),
}

impl Client {
    /// A client of the server's database at this address.
    pub(crate) async fn connect(database: Database, url: &str) -> Self {
        match database {
            Database::Postgres => PgPool::connect(url).await.map(Self::Postgres),
            Database::MariaDb => MySqlPool::connect(url).await.map(Self::MariaDb),
        }
        .expect("the server answers")
    }

    /// A client of the file, which has to be there.
    pub(crate) async fn open(file: &Path) -> Self {
        let options = SqliteConnectOptions::new().filename(file);
        let pool = SqlitePool::connect_with(options).await;
        Self::Sqlite(pool.expect("a file"))
    }

    /// Runs statements.
    pub(crate) async fn run(&self, statements: impl Into<String>) {
        let statements = statements.into();
        let query = sqlx::raw_sql(AssertSqlSafe(statements.clone()));
        match self {
            Self::Postgres(pool) => query.execute(pool).await.map(drop),
            Self::MariaDb(pool) => query.execute(pool).await.map(drop),
            Self::Sqlite(pool) => query.execute(pool).await.map(drop),
        }
        .unwrap_or_else(|error| panic!("{statements}: {error}"));
    }

    /// Asks for a number.
    pub(crate) async fn number(&self, query: impl Into<String>) -> i64 {
        let query = query.into();
        let ask = AssertSqlSafe(query.clone());
        match self {
            Self::Postgres(pool) => sqlx::query_scalar(ask).fetch_one(pool).await,
            Self::MariaDb(pool) => sqlx::query_scalar(ask).fetch_one(pool).await,
            Self::Sqlite(pool) => sqlx::query_scalar(ask).fetch_one(pool).await,
        }
        .unwrap_or_else(|error| panic!("{query}: {error}"))
    }

    /// How many records there are.
    pub(crate) async fn records(&self) -> i64 {
        self.number("SELECT count(*) FROM poem_sessions").await
    }
}

/// A user of the server who may do no more than is granted, and the password of all of them.
pub(crate) struct Account {
    database: Database,
    name: &'static str,
    /// The user, as the server's statements name it.
    user: String,
    /// The address of the database, for this user.
    pub(crate) url: String,
}

pub(crate) const PASSWORD: &str = "hunter2-hunter2";

impl Account {
    /// Makes a user with rights to the table of sessions, which has to be there. Names are the server's,
    /// so that each test takes one of its own.
    pub(crate) async fn create(
        database: Database,
        url: &str,
        name: &'static str,
        rights: &str,
    ) -> Self {
        let (scheme, rest) = url.split_once("://").expect("a URL");
        let (_, place) = rest.split_once('@').expect("a user");
        let (user, identified) = match database {
            Database::Postgres => (name.to_owned(), "PASSWORD"),
            Database::MariaDb => (format!("{name}@'127.0.0.1'"), "IDENTIFIED BY"),
        };
        let client = Client::connect(database, url).await;
        let create = format!("CREATE USER {user} {identified} '{PASSWORD}'");
        let grant = format!("GRANT {rights} ON poem_sessions TO {user}");
        client.run(create).await;
        client.run(grant).await;
        Self {
            database,
            name,
            user,
            url: format!("{scheme}://{name}:{PASSWORD}@{place}"),
        }
    }

    /// The statement that gives the user another password.
    pub(crate) fn new_password(&self, password: &str) -> String {
        let identified = match self.database {
            Database::Postgres => "PASSWORD",
            Database::MariaDb => "IDENTIFIED BY",
        };
        format!("ALTER USER {} {identified} '{password}'", self.user)
    }

    /// The statement that keeps the user out, or lets it in again.
    pub(crate) fn may_enter(&self, may: bool) -> String {
        let how = match (self.database, may) {
            (Database::Postgres, true) => "LOGIN",
            (Database::Postgres, false) => "NOLOGIN",
            (Database::MariaDb, true) => "ACCOUNT UNLOCK",
            (Database::MariaDb, false) => "ACCOUNT LOCK",
        };
        format!("ALTER USER {} {how}", self.user)
    }

    /// The user, as the server's statements name it.
    pub(crate) fn user(&self) -> &str {
        &self.user
    }

    /// Ends all connections of the user.
    pub(crate) async fn disconnect(&self, server: &Server) {
        let name = self.name;
        let end = match self.database {
            Database::Postgres => format!(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                 WHERE usename = '{name}'"
            ),
            Database::MariaDb => format!("KILL CONNECTION USER {}", self.user),
        };
        server.run(end).await;
        self.is_gone(server).await;
    }

    /// Waits until the user has no connection any more.
    pub(crate) async fn is_gone(&self, server: &Server) {
        let name = self.name;
        let (table, column) = match self.database {
            Database::Postgres => ("pg_stat_activity", "usename"),
            Database::MariaDb => ("information_schema.processlist", "user"),
        };
        let count = format!("SELECT count(*) FROM {table} WHERE {column} = '{name}'");
        let begun = Instant::now();
        loop {
            let connections = server.run(&count).await;
            match connections.trim() {
                "0" => return,
                some => assert!(begun.elapsed() < PATIENCE, "{name} has {some} connections"),
            }
            sleep(Duration::from_millis(10)).await;
        }
    }
}
