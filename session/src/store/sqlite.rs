//! Sessions in a SQLite file.

mod builder;
#[cfg(test)]
mod tests;

use std::fmt;

use sqlx::{
    Connection as _, Sqlite, SqliteConnection, SqlitePool, error::DatabaseError,
    pool::PoolConnection,
};

pub use self::builder::SqliteStoreBuilder;
use super::{
    StoreError, StoreErrorKind,
    sql::{
        Actions, Backend, Placeholders, Row, Statement, Statements, TableName, UPSERT, Value,
        Written, actions, misconfigured, session_store, statement_calls, store_error,
    },
};

/// Keeps sessions in a SQLite file on this machine. Needs the Cargo feature `sqlite`.
///
/// Any number of processes may share the file. It is kept in write-ahead mode, so that reading never
/// waits for writing; writes of this process queue for one connection, in the order they come.
/// An acknowledged write survives the end of the process and, unless told otherwise, a power cut.
///
/// ```no_run
/// use poem_session::{Sessions, store::SqliteStore};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let store = SqliteStore::open("/var/lib/shop/sessions.db").await?;
/// let sessions = Sessions::builder(store).build()?;
/// # Ok(())
/// # }
/// ```
///
/// Expired sessions stay in the file until they are swept:
/// [`delete_expired`](super::SessionStore::delete_expired).
pub struct SqliteStore {
    readers: SqlitePool,
    /// Of one connection, where the store has opened the file itself: SQLite has one writer at a time
    /// anyway, and those that wait inside SQLite wait by sleeping.
    writer: SqlitePool,
    table: TableName,
    statements: SqliteStatements,
}

struct SqliteStatements {
    shared: Statements,
    upsert: Statement,
    leave: Statement,
    put: Statement,
    sweep: Statement,
}

impl SqliteStore {
    /// Opens the file at `path`, or creates it, readable for its owner only; creates the table if it is
    /// not there.
    ///
    /// # Errors
    /// [`Misconfigured`](StoreErrorKind::Misconfigured) if there is no such directory, or if the file is
    /// not a database. For a database in memory there is [`MemoryStore`](super::MemoryStore).
    pub async fn open(path: impl AsRef<std::path::Path>) -> Result<Self, StoreError> {
        Self::builder(path).open().await
    }

    /// Settings for the file at `path`.
    pub fn builder(path: impl AsRef<std::path::Path>) -> SqliteStoreBuilder {
        SqliteStoreBuilder::new(path.as_ref())
    }

    /// A store on connections of your own, in the table `poem_sessions`. Creates nothing: see
    /// [`migrate`](Self::migrate).
    ///
    /// The file should be in write-ahead mode, and the pool have time limits below that of the sessions.
    pub fn from_pool(pool: SqlitePool) -> Self {
        Self::on_pools(pool.clone(), pool, TableName::default())
    }

    /// The same store in another table. Creates nothing: see [`migrate`](Self::migrate).
    #[must_use]
    pub fn in_table(self, table: TableName) -> Self {
        Self::on_pools(self.readers, self.writer, table)
    }

    fn on_pools(readers: SqlitePool, writer: SqlitePool, table: TableName) -> Self {
        let statements = SqliteStatements::new(&table.quoted('"'));
        Self {
            readers,
            writer,
            table,
            statements,
        }
    }

    /// The statements that create what the store needs, separated by semicolons, for migration tools.
    /// They do nothing where it is there.
    pub fn ddl(table: &TableName) -> String {
        format!(
            "\
CREATE TABLE IF NOT EXISTS {table} (
    id BLOB NOT NULL PRIMARY KEY,
    data BLOB NOT NULL,
    version INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    lock_owner BLOB,
    lock_until INTEGER
) STRICT;
CREATE INDEX IF NOT EXISTS {index} ON {table} (expires_at);
",
            table = table.quoted('"'),
            index = table.quoted_index('"'),
        )
    }

    /// Creates the table if it is not there. [`open`](Self::open) has done so already.
    ///
    /// # Errors
    /// If the file cannot be written, or if the table has other columns.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        let action = Self::ACTIONS.migrate;
        if self.table.schema().is_some() {
            return Err(misconfigured(action, "SQLite has no schemas"));
        }
        self.create_table()
            .await
            .map_err(|error| store_error::<Self>(action, error))
    }

    async fn create_table(&self) -> sqlx::Result<()> {
        let ddl = sqlx::AssertSqlSafe(Self::ddl(&self.table));
        sqlx::raw_sql(ddl).execute(&self.writer).await?;
        let columns = &self.statements.shared.columns;
        execute(&self.writer, columns, &[]).await.map(drop)
    }

    async fn rename_and_leave_on(
        &self,
        connection: &mut SqliteConnection,
        values: &[Value<'_>],
    ) -> sqlx::Result<Written> {
        // It is known from the start to write; begun as a reading one, it could fail to become that.
        let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
        if execute(&mut *transaction, &self.statements.leave, values).await? == 0 {
            transaction.rollback().await?;
            return Ok(Written::NotKnown);
        }
        execute(&mut *transaction, &self.statements.put, values).await?;
        transaction.commit().await?;
        Ok(Written::Yes)
    }

    /// Waits for what is being done and closes the file.
    pub async fn close(&self) {
        self.readers.close().await;
        // Last: it moves the log into the file, unless another process has the file open.
        self.writer.close().await;
    }
}

impl SqliteStatements {
    fn new(table: &str) -> Self {
        let statement = |template: &str| Statement::new(template, table, Placeholders::Numbered);
        Self {
            shared: Statements::new(table, Placeholders::Numbered, str::to_owned),
            upsert: statement(UPSERT),
            leave: statement(
                "UPDATE {table} SET data = $7, version = version + 1, expires_at = $8, \
                 lock_owner = NULL, lock_until = NULL \
                 WHERE id = $1 AND version = $3 AND expires_at > $2",
            ),
            put: statement(
                "INSERT INTO {table} (id, data, version, expires_at) VALUES ($6, $4, $3 + 1, $5)",
            ),
            sweep: statement(
                "DELETE FROM {table} WHERE id IN \
                 (SELECT id FROM {table} WHERE expires_at <= $1 LIMIT $2)",
            ),
        }
    }
}

async fn execute_on(
    pool: &SqlitePool,
    statement: &Statement,
    values: &[Value<'_>],
) -> sqlx::Result<u64> {
    let mut connection = pool.acquire().await?;
    let result = execute(&mut *connection, statement, values).await;
    end(connection, result)
}

async fn fetch_on(
    pool: &SqlitePool,
    statement: &Statement,
    values: &[Value<'_>],
) -> sqlx::Result<Option<Row>> {
    let mut connection = pool.acquire().await?;
    let result = fetch(&mut *connection, statement, values).await;
    end(connection, result)
}

/// Passes on what came of it, and closes the connection if that may hold on to a file which is no longer
/// the one of that name, or remember what was wrong with it: it would go on failing when all is well again.
fn end<T>(mut connection: PoolConnection<Sqlite>, result: sqlx::Result<T>) -> sqlx::Result<T> {
    let error = result
        .as_ref()
        .err()
        .and_then(sqlx::Error::as_database_error);
    // Read-only; a failure of the disk; damaged; cannot be opened; not a database.
    if error.is_some_and(|error| matches!(primary(error), Some(8 | 10 | 11 | 14 | 26))) {
        connection.close_on_drop();
    }
    result
}

/// The low byte of SQLite's code; the rest says more precisely what is said by it already.
fn primary(error: &dyn DatabaseError) -> Option<u32> {
    let code: u32 = error.code()?.parse().ok()?;
    Some(code & 0xff)
}

impl Backend for SqliteStore {
    const ACTIONS: Actions = actions!("SQLite");
    const OF_ANOTHER_TYPE: StoreErrorKind = StoreErrorKind::Corrupt;

    fn statements(&self) -> &Statements {
        &self.statements.shared
    }

    fn kind_of(error: &dyn DatabaseError) -> StoreErrorKind {
        match primary(error) {
            // Busy and locked, for as long as the connection was told to wait.
            Some(5 | 6) => StoreErrorKind::TimedOut,
            Some(13) => StoreErrorKind::Full,
            // No such table or column; no permission; a table of other types or rules; not a database.
            Some(1 | 3 | 19 | 20 | 23 | 26) => StoreErrorKind::Misconfigured,
            // A disk that fails, a file that is read-only, damaged or cannot be opened.
            _ => StoreErrorKind::Unavailable,
        }
    }

    async fn execute(&self, statement: &Statement, values: &[Value<'_>]) -> sqlx::Result<u64> {
        execute_on(&self.writer, statement, values).await
    }

    /// All that is fetched is read only, but for [`upsert`](Backend::upsert).
    async fn fetch(
        &self,
        statement: &Statement,
        values: &[Value<'_>],
    ) -> sqlx::Result<Option<Row>> {
        fetch_on(&self.readers, statement, values).await
    }

    async fn upsert(&self, values: &[Value<'_>]) -> sqlx::Result<Option<i64>> {
        let row = fetch_on(&self.writer, &self.statements.upsert, values).await?;
        Ok(row.map(|row| row.version))
    }

    async fn rename_and_leave(&self, values: &[Value<'_>]) -> sqlx::Result<Written> {
        let mut connection = self.writer.acquire().await?;
        let written = self.rename_and_leave_on(&mut connection, values).await;
        end(connection, written)
    }

    async fn sweep(&self, limit: i64, now: i64) -> sqlx::Result<u64> {
        let values = [Value::Integer(now), Value::Integer(limit)];
        execute_on(&self.writer, &self.statements.sweep, &values).await
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore")
            .field("table", &self.table)
            .finish_non_exhaustive()
    }
}

session_store!(SqliteStore);
statement_calls!(Sqlite);
