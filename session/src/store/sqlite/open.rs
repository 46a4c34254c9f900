//! Opens SQLite files.

use std::{
    fmt,
    fs::OpenOptions,
    io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use sqlx::{
    Sqlite, SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use super::{SqliteStore, SqliteStoreBuilder};
use crate::store::{
    LONGEST_TIMEOUT, StoreError, StoreErrorKind,
    sql::{SqlDatabase as _, misconfigured, store_error},
};

const ACTION: &str = Sqlite::ACTIONS.open;

/// The pause before another attempt to change the file's mode.
const PAUSE: Duration = Duration::from_millis(20);

/// The path of a SQLite file and the settings that only SQLite has. `Debug` does not show the path.
#[derive(Clone)]
pub struct SqliteFile {
    path: PathBuf,
    busy_timeout: Duration,
    survives_power_loss: bool,
}

impl fmt::Debug for SqliteFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteFile")
            .field("busy_timeout", &self.busy_timeout)
            .field("survives_power_loss", &self.survives_power_loss)
            .finish_non_exhaustive()
    }
}

impl SqliteStore {
    /// Opens the file at `path` with the default settings. Creates the file, readable only for its owner, and
    /// the table if they do not exist.
    ///
    /// # Errors
    /// [`Misconfigured`](StoreErrorKind::Misconfigured) if the directory does not exist or the file is not a
    /// database. A database in memory is not supported: use [`MemoryStore`](crate::store::MemoryStore).
    pub async fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        Self::builder(path).open().await
    }

    /// Returns a builder with the default settings for the file at `path`.
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
    pub fn builder(path: impl AsRef<Path>) -> SqliteStoreBuilder {
        SqliteStoreBuilder::new(SqliteFile {
            path: path.as_ref().to_owned(),
            busy_timeout: Duration::from_secs(3),
            survives_power_loss: true,
        })
        .max_connections(4)
        .acquire_timeout(Duration::from_secs(4))
    }
}

impl SqliteStoreBuilder {
    /// Sets how long a write waits for a write of another process. The default is 3 seconds, the longest 24 days.
    pub fn busy_timeout(mut self, timeout: Duration) -> Self {
        self.source.busy_timeout = timeout.min(LONGEST_TIMEOUT);
        self
    }

    /// Sets whether an acknowledged write survives a power failure or a crash of the machine. The default is
    /// true.
    ///
    /// If it is false, a write does not wait for the disk. The file stays intact and writes survive the end of
    /// the process, but a power failure may undo the last writes. A sign-out may be among them.
    pub fn survives_power_loss(mut self, survives: bool) -> Self {
        self.source.survives_power_loss = survives;
        self
    }

    /// Opens the file. Creates the file, readable only for its owner, and the table if they do not exist.
    ///
    /// # Errors
    /// See [`SqliteStore::open`].
    pub async fn open(self) -> Result<SqliteStore, StoreError> {
        let path = absolute(&self.source.path)?;
        create_private(&path)?;
        let writer = self.open_writer(&path).await?;
        let readers = self
            .sqlite_pool_options()
            .connect_lazy_with(self.connect_options(&path));
        let store = SqliteStore::on_pools(readers, writer, self.table.unwrap_or_default());
        store.migrate().await?;
        Ok(store)
    }

    fn connect_options(&self, path: &Path) -> SqliteConnectOptions {
        let synchronous = if self.source.survives_power_loss {
            SqliteSynchronous::Full
        } else {
            SqliteSynchronous::Normal
        };
        SqliteConnectOptions::new()
            .filename(path)
            .busy_timeout(self.source.busy_timeout)
            .synchronous(synchronous)
    }

    fn sqlite_pool_options(&self) -> SqlitePoolOptions {
        // A connection to a file does not age.
        self.pool_options().max_lifetime(None)
    }

    /// Opens the connection that writes, and changes the file to write-ahead mode. The file keeps the mode.
    ///
    /// There is one such connection: SQLite executes one write at a time, and calls that wait for a connection
    /// of the pool wait without polling.
    async fn open_writer(&self, path: &Path) -> Result<SqlitePool, StoreError> {
        let options = self
            .connect_options(path)
            .journal_mode(SqliteJournalMode::Wal);
        let give_up = Instant::now() + self.source.busy_timeout;
        loop {
            let pool = self
                .sqlite_pool_options()
                .max_connections(1)
                .idle_timeout(None)
                .connect_with(options.clone());
            let error = match pool.await {
                Ok(pool) => return Ok(pool),
                Err(error) => store_error::<Sqlite>(ACTION, error),
            };
            // The change of the mode needs exclusive access to the file, and SQLite does not wait for it. This
            // matters if several processes create the file at the same time.
            if error.kind() != StoreErrorKind::TimedOut || Instant::now() >= give_up {
                return Err(error);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// Returns the absolute path. SQLite reads it as a path whatever its form, also after the process changes its
/// directory.
fn absolute(path: &Path) -> Result<PathBuf, StoreError> {
    if path.as_os_str() == ":memory:" {
        let why = "each connection would have a database of its own; use `MemoryStore`";
        return Err(misconfigured(ACTION, why));
    }
    let path = std::path::absolute(path).map_err(|error| {
        StoreError::new(StoreErrorKind::Misconfigured, ACTION).with_source(error)
    })?;
    if path.to_str().is_none() {
        return Err(misconfigured(ACTION, "the path is not UTF-8"));
    }
    Ok(path)
}

/// Creates the file, readable only for its owner, if it does not exist. SQLite creates its other files with the
/// same mode.
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
            Err(StoreError::new(kind, ACTION).with_source(error))
        }
    }
}
