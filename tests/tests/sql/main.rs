//! Tests of the SQL stores on real databases: the conformance suite, the statements of each call, and
//! failures of the server, the network, the disk and the table.

mod access;
mod client;
mod conformance;
mod contention;
mod dropped;
mod failover;
mod faults;
mod foreign_tables;
mod full_disk;
mod full_pool;
mod namespace;
mod outage;
mod pooler;
mod round_trips;
mod set_up;
mod sizing;
mod sqlite;
mod tls;

use std::{fmt::Debug, path::Path, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use poem_session::{
    PublicId,
    store::{
        MySqlStore, PostgresStore, SessionStore, SqlDatabase, SqlStore, StoreError, StoreErrorKind,
        TableName, connect,
    },
};
use poem_session_tests::{
    PATIENCE, eventually,
    records::data,
    servers::{Options, Server, mariadb, postgres},
    stores::sqlite_file,
};
use tempfile::TempDir;

/// Runs a function as a test if its database is available.
macro_rules! test_on {
    ($name:ident, $test:path, $home:expr) => {
        #[tokio::test(flavor = "multi_thread")]
        async fn $name() {
            if let Some(home) = $home.await {
                $test(home).await;
            }
        }
    };
}
/// Runs each function as a test on an empty database of the shared servers.
macro_rules! on_servers {
    ($($test:ident),+ $(,)?) => {$(
        mod $test {
            crate::test_on!(postgres, super::$test, crate::Database::Postgres.home());
            crate::test_on!(mariadb, super::$test, crate::Database::MariaDb.home());
        }
    )+};
}
/// Runs each function as a test on an empty database of the shared servers and on a SQLite file.
macro_rules! on_databases {
    ($($test:ident),+ $(,)?) => {$(
        mod $test {
            crate::test_on!(postgres, super::$test, crate::Database::Postgres.home());
            crate::test_on!(mariadb, super::$test, crate::Database::MariaDb.home());
            crate::test_on!(sqlite, super::$test, crate::Database::Sqlite.home());
        }
    )+};
}
/// Runs each function as a test on a server of its own with these options.
macro_rules! on_private_servers {
    ($options:expr; $($test:ident),+ $(,)?) => {$(
        mod $test {
            use poem_session_tests::servers::Options;

            crate::test_on!(postgres, super::$test, crate::Database::Postgres.private($options));
            crate::test_on!(mariadb, super::$test, crate::Database::MariaDb.private($options));
        }
    )+};
}
pub(crate) use {on_databases, on_private_servers, on_servers, test_on};

/// The time that a call waits for a connection if none is free, and the sessions' limit for a call. Both are
/// long, so that a busy machine does not reach them by accident.
const BRIEF: Duration = Duration::from_secs(6);
const LIMIT: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Database {
    Postgres,
    MariaDb,
    Sqlite,
}

impl Database {
    fn name(self) -> &'static str {
        match self {
            Self::Postgres => "PostgreSQL",
            Self::MariaDb => "MariaDB",
            Self::Sqlite => "SQLite",
        }
    }

    /// Returns an empty database on the shared server, or a new file.
    async fn home(self) -> Option<Home> {
        let server = match self {
            Self::Postgres => postgres::shared().await?,
            Self::MariaDb => mariadb::shared().await?,
            Self::Sqlite => return Some(Home::new_file()),
        };
        let url = server.new_database().await;
        Some(Home::on(self, server, url))
    }

    /// Starts a server for one test and returns its first database.
    async fn private(self, options: Options) -> Option<Home> {
        let server = match self {
            Self::Postgres => postgres::private(options).await?,
            Self::MariaDb => mariadb::private(options).await?,
            Self::Sqlite => panic!("SQLite has no server"),
        };
        let url = server.url();
        Some(Home::on(self, server, url))
    }
}

/// A database for one test.
struct Home {
    database: Database,
    /// The URL, or the path of the SQLite file.
    url: String,
    server: Option<Server>,
    _directory: Option<TempDir>,
}

impl Home {
    fn on(database: Database, server: Server, url: String) -> Self {
        Self {
            database,
            url,
            server: Some(server),
            _directory: None,
        }
    }

    fn new_file() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        Self {
            database: Database::Sqlite,
            url: directory.path().join("sessions.db").display().to_string(),
            server: None,
            _directory: Some(directory),
        }
    }

    /// The name of the database in the URL.
    fn database_name(&self) -> &str {
        let (_, end) = self.url.rsplit_once('/').expect("a database");
        end.split('?').next().expect("a name")
    }

    fn server(&self) -> &Server {
        self.server.as_ref().expect("the test needs a server")
    }

    fn file(&self) -> &Path {
        self.url.as_ref()
    }

    /// Connects a store with the default table. Does not create the table, except in SQLite.
    async fn connect(&self) -> Arc<dyn Store> {
        let store = self.connect_to(&self.url, PATIENCE).await;
        store.expect("the database accepts a connection")
    }

    /// Connects a store at this URL, such as that of another user. `acquire` limits the time that a call
    /// waits for a connection.
    async fn connect_to(&self, url: &str, acquire: Duration) -> Result<Arc<dyn Store>, StoreError> {
        Ok(match self.database {
            Database::Postgres => {
                let builder = PostgresStore::builder(url).acquire_timeout(acquire);
                Arc::new(builder.connect().await?)
            }
            Database::MariaDb => {
                let builder = MySqlStore::builder(url).acquire_timeout(acquire);
                Arc::new(builder.connect().await?)
            }
            Database::Sqlite => Arc::new(sqlite_file(url).acquire_timeout(acquire).open().await?),
        })
    }

    /// Connects a store and creates its table.
    async fn open(&self) -> Arc<dyn SessionStore> {
        self.open_at(&self.url, PATIENCE).await
    }

    async fn open_at(&self, url: &str, acquire: Duration) -> Arc<dyn SessionStore> {
        let store = self.connect_to(url, acquire).await;
        let store = store.expect("the database accepts a connection");
        store.migrate().await.expect("a table");
        store
    }
}

/// Connects a store with the default settings. Repeats the call if a busy machine reaches their time limit.
async fn by_url(url: &str) -> Result<Arc<dyn SessionStore>, StoreError> {
    eventually("a result before the time limit", async || {
        let store = connect(url).await;
        let is_late = matches!(&store, Err(error) if error.kind() == StoreErrorKind::TimedOut);
        (!is_late).then_some(store)
    })
    .await
}

/// A store of any SQL database.
trait Store: SessionStore + Debug {
    fn migrate(&self) -> BoxFuture<'_, Result<(), StoreError>>;
}

impl<DB: SqlDatabase> Store for SqlStore<DB> {
    fn migrate(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(SqlStore::migrate(self))
    }
}

fn table(name: impl Into<String>) -> TableName {
    TableName::new(name).expect("a valid name")
}

/// Returns the text of an error, printed in each of the possible ways.
fn text(error: &StoreError) -> String {
    format!("{error:?} {error:#?} {error}")
}

/// Loads the data of a record as text.
async fn load(store: &Arc<dyn SessionStore>, key: PublicId) -> Option<String> {
    let data = data(store, key).await?;
    Some(String::from_utf8(data).expect("text"))
}
