//! The SQL stores: what is asked of every store, what reaches the server, and what happens when it fails.
//! Each test runs on PostgreSQL and on MariaDB, and those that need no server on SQLite, too.

mod client;
mod conformance;
mod contention;
mod credentials;
mod faults;
mod foreign_tables;
mod full_disk;
mod full_pool;
mod read_only;
mod round_trips;
mod set_up;
mod site;
mod sizing;
mod sqlite;

use std::{path::Path, sync::Arc, time::Duration};

use poem_session::{
    PublicId, SessionId,
    clock::{Clock as _, SystemClock, Timestamp},
    store::{
        Created, MySqlStore, PostgresStore, SessionStore, SqliteStore, SqliteStoreBuilder,
        StoreError, TableName, Version, Write,
    },
};
use poem_session_tests::servers::{Options, Server, mariadb, postgres};

/// Runs functions that take a [`Database`] as tests, once for each.
macro_rules! on_each_database {
    ($($test:ident),+ $(,)?) => {
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                super::$test(crate::Database::Postgres).await;
            })+
        }

        mod mariadb {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                super::$test(crate::Database::MariaDb).await;
            })+
        }
    };
}
pub(crate) use on_each_database;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Database {
    Postgres,
    MariaDb,
}

impl Database {
    fn name(self) -> &'static str {
        match self {
            Self::Postgres => "PostgreSQL",
            Self::MariaDb => "MariaDB",
        }
    }

    async fn shared(self) -> Option<Server> {
        match self {
            Self::Postgres => postgres::shared().await,
            Self::MariaDb => mariadb::shared().await,
        }
    }

    async fn private(self, options: Options) -> Option<Server> {
        match self {
            Self::Postgres => postgres::private(options).await,
            Self::MariaDb => mariadb::private(options).await,
        }
    }

    /// A store in this table, without creating it.
    async fn connect(self, url: &str, table: TableName) -> Result<Store, StoreError> {
        self.connect_within(PATIENCE, url, table).await
    }

    /// The same, with the time that a call may wait for a connection.
    async fn connect_within(
        self,
        patience: Duration,
        url: &str,
        table: TableName,
    ) -> Result<Store, StoreError> {
        Ok(match self {
            Self::Postgres => {
                let builder = PostgresStore::builder(url).table(table);
                let store = builder.acquire_timeout(patience).connect().await?;
                Store::Postgres(Arc::new(store))
            }
            Self::MariaDb => {
                let builder = MySqlStore::builder(url).table(table);
                let store = builder.acquire_timeout(patience).connect().await?;
                Store::MySql(Arc::new(store))
            }
        })
    }

    /// A store in the default table, created.
    async fn open(self, url: &str) -> Arc<dyn SessionStore> {
        let store = self.connect(url, TableName::default()).await;
        let store = store.expect("the server answers");
        store.migrate().await.expect("a table");
        store.sessions()
    }
}

#[derive(Clone, Debug)]
enum Store {
    Postgres(Arc<PostgresStore>),
    MySql(Arc<MySqlStore>),
}

impl Store {
    async fn migrate(&self) -> Result<(), StoreError> {
        match self {
            Self::Postgres(store) => store.migrate().await,
            Self::MySql(store) => store.migrate().await,
        }
    }

    fn sessions(&self) -> Arc<dyn SessionStore> {
        match self {
            Self::Postgres(store) => Arc::clone(store) as _,
            Self::MySql(store) => Arc::clone(store) as _,
        }
    }
}

/// How long anything may take that has to happen, on a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_mins(5);

/// How long a call waits for a connection where there is none to be had, and the time limit that sessions
/// then set for a call. Both are such that others do not reach them by chance.
const BRIEF: Duration = Duration::from_secs(6);
const LIMIT: Duration = Duration::from_secs(10);

/// A SQLite file that is waited for as long as it takes.
fn sqlite_file(file: impl AsRef<Path>) -> SqliteStoreBuilder {
    let builder = SqliteStore::builder(file);
    builder.busy_timeout(PATIENCE).acquire_timeout(PATIENCE)
}

fn now() -> Timestamp {
    SystemClock.now()
}

fn key() -> PublicId {
    SessionId::random().public()
}

fn write(data: impl Into<String>) -> Write {
    let end = now().saturating_add(Duration::from_mins(30));
    Write::new(data.into(), end)
}

/// All that an error says, in each of the ways that it may be printed.
fn said(error: &StoreError) -> String {
    format!("{error:?} {error:#?} {error}")
}

async fn create(store: &Arc<dyn SessionStore>, data: &str) -> (PublicId, Version) {
    let key = key();
    match store.create(key, write(data), now()).await {
        Ok(Created::Created(version)) => (key, version),
        other => panic!("{other:?}"),
    }
}

async fn load(store: &Arc<dyn SessionStore>, key: PublicId) -> Option<String> {
    let stored = store.load(key, now()).await.expect("the server answers");
    stored.map(|stored| String::from_utf8_lossy(&stored.data).into_owned())
}
