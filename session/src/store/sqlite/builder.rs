//! How a SQLite file is opened.

use std::{
    fs::OpenOptions,
    io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use sqlx::{
    SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use super::{Backend as _, SqliteStore};
use crate::store::{
    StoreError, StoreErrorKind,
    sql::{TableName, misconfigured, store_error},
};

/// How long a call waits for its turn on a connection. Below the sessions' own limit, so that the
/// error says what it was.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(4);
/// How long to wait before another attempt to change the file's mode.
const PAUSE: Duration = Duration::from_millis(20);

/// Sets up a [`SqliteStore`].
///
/// ```no_run
/// use std::time::Duration;
/// use poem_session::store::{SqliteStore, TableName};
///
/// # async fn run() -> Result<(), poem_session::store::StoreError> {
/// let store = SqliteStore::builder("sessions.db")
///     .table(TableName::new("shop_sessions")?)
///     .busy_timeout(Duration::from_secs(1))
///     .open()
///     .await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use = "it does nothing until `open` is called"]
pub struct SqliteStoreBuilder {
    path: PathBuf,
    table: TableName,
    max_readers: u32,
    busy_timeout: Duration,
    survives_power_loss: bool,
}

impl SqliteStoreBuilder {
    pub(super) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            table: TableName::default(),
            max_readers: 4,
            busy_timeout: Duration::from_secs(3),
            survives_power_loss: true,
        }
    }

    /// The table to keep sessions in; `poem_sessions` unless told otherwise. Each application that
    /// shares the file needs its own.
    pub fn table(mut self, table: TableName) -> Self {
        self.table = table;
        self
    }

    /// How many connections read at the same time, at least one; 4 unless told otherwise. One more
    /// writes.
    pub fn max_readers(mut self, connections: u32) -> Self {
        self.max_readers = connections.max(1);
        self
    }

    /// How long a write waits for one of another process; 3 seconds unless told otherwise.
    pub fn busy_timeout(mut self, timeout: Duration) -> Self {
        self.busy_timeout = timeout;
        self
    }

    /// Whether an acknowledged write survives a power cut or a crash of the machine, as it does unless
    /// told otherwise. Without, each write saves a wait for the disk; the file stays whole, and writes
    /// survive the end of the process, but those of the last moments before a power cut may be undone.
    /// A sign-out may be among them.
    pub fn survives_power_loss(mut self, survives: bool) -> Self {
        self.survives_power_loss = survives;
        self
    }

    /// Opens the file, or creates it, readable for its owner only; creates the table if it is not there.
    ///
    /// # Errors
    /// As [`SqliteStore::open`].
    pub async fn open(self) -> Result<SqliteStore, StoreError> {
        let path = absolute(&self.path)?;
        create_private(&path)?;
        let writer = self.writer(&path).await?;
        let readers =
            Self::pool_options(self.max_readers).connect_lazy_with(self.connect_options(&path));
        let store = SqliteStore::on_pools(readers, writer, self.table);
        store.migrate().await?;
        Ok(store)
    }

    fn connect_options(&self, path: &Path) -> SqliteConnectOptions {
        let synchronous = if self.survives_power_loss {
            SqliteSynchronous::Full
        } else {
            SqliteSynchronous::Normal
        };
        // SQLite counts in milliseconds, with 31 bits.
        let longest = Duration::from_millis(i32::MAX.unsigned_abs().into());
        SqliteConnectOptions::new()
            .filename(path)
            .busy_timeout(self.busy_timeout.min(longest))
            .synchronous(synchronous)
    }

    fn pool_options(connections: u32) -> SqlitePoolOptions {
        SqlitePoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            // There is no network between that could have gone.
            .test_before_acquire(false)
            .max_lifetime(None)
    }

    /// Opens the connection that writes, and has it turn on write-ahead mode. The file keeps that mode.
    async fn writer(&self, path: &Path) -> Result<SqlitePool, StoreError> {
        let action = SqliteStore::ACTIONS.open;
        let options = self
            .connect_options(path)
            .journal_mode(SqliteJournalMode::Wal);
        let give_up = Instant::now() + self.busy_timeout;
        loop {
            // Should the connection ever be lost, the next one finds the mode as it is.
            let pool = Self::pool_options(1)
                .idle_timeout(None)
                .connect_with(options.clone());
            let error = match pool.await {
                Ok(pool) => return Ok(pool),
                Err(error) => store_error::<SqliteStore>(action, error),
            };
            // Changing the mode takes the file alone, and SQLite does not wait for that by itself. It
            // matters where processes create the file together.
            if error.kind() != StoreErrorKind::TimedOut || Instant::now() >= give_up {
                return Err(error);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// The path, so that SQLite takes it for one whatever it looks like, and wherever the process goes.
fn absolute(path: &Path) -> Result<PathBuf, StoreError> {
    let action = SqliteStore::ACTIONS.open;
    if path.as_os_str() == ":memory:" {
        let why = "each connection would have a database of its own; there is `MemoryStore`";
        return Err(misconfigured(action, why));
    }
    let path = std::path::absolute(path).map_err(|error| {
        StoreError::new(StoreErrorKind::Misconfigured, action).with_source(error)
    })?;
    if path.to_str().is_none() {
        return Err(misconfigured(action, "the path is not UTF-8"));
    }
    Ok(path)
}

/// Creates the file, if it is not there, for nobody else on the machine to read: SQLite gives the
/// files it puts beside it the same mode.
fn create_private(path: &Path) -> Result<(), StoreError> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => {
            let kind = match error.kind() {
                io::ErrorKind::NotFound
                | io::ErrorKind::NotADirectory
                | io::ErrorKind::PermissionDenied => StoreErrorKind::Misconfigured,
                _ => StoreErrorKind::Unavailable,
            };
            Err(StoreError::new(kind, SqliteStore::ACTIONS.open).with_source(error))
        }
    }
}
