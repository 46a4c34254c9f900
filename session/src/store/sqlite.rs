//! A store in a SQLite file.

mod open;
#[cfg(test)]
mod tests;

use sqlx::{Connection as _, Sqlite, SqliteConnection, error::DatabaseError, pool::PoolConnection};

use self::open::SqliteFile;
use super::{
    StoreError, StoreErrorKind,
    sql::{
        Actions, Ended, Lent, Placeholders, Sealed, SqlDatabase, SqlStore, SqlStoreBuilder,
        Statement, TableName, UPSERT, Value, Written, actions, misconfigured,
    },
};

/// A store in a SQLite file on this machine. Needs the Cargo feature `sqlite`.
///
/// Any number of processes may share the file. The file is in write-ahead mode, so reads never wait for writes.
/// Writes of this process wait in order for one connection. An acknowledged write survives the end of the
/// process and, by default, a power failure.
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
/// Expired sessions stay in the file until they are swept with
/// [`delete_expired`](super::SessionStore::delete_expired).
pub type SqliteStore = SqlStore<Sqlite>;

/// Settings of a [`SqliteStore`].
pub type SqliteStoreBuilder = SqlStoreBuilder<Sqlite>;

/// The statements of SQLite.
pub struct SqliteStatements {
    upsert: Statement,
    leave: Statement,
    put: Statement,
    sweep: Statement,
}

impl Sealed for Sqlite {}

impl SqlDatabase for Sqlite {
    const STORE: &'static str = "SqliteStore";
    const ACTIONS: Actions = actions!("SQLite");
    const QUOTE: char = '"';
    const PLACEHOLDERS: Placeholders = Placeholders::Numbered;
    const WRONG_TYPE: StoreErrorKind = StoreErrorKind::Corrupt;

    type Statements = SqliteStatements;
    type Source = SqliteFile;

    fn statements(new: &dyn Fn(&str) -> Statement) -> SqliteStatements {
        SqliteStatements {
            upsert: new(UPSERT),
            leave: new(
                "UPDATE {table} SET data = $7, version = $9, expires_at = $8, \
                 lock_owner = NULL, lock_until = NULL \
                 WHERE id = $1 AND version = $3 AND expires_at > $2",
            ),
            put: new("INSERT INTO {table} (id, data, version, expires_at) VALUES ($6, $4, $9, $5)"),
            sweep: new("DELETE FROM {table} WHERE id IN (SELECT id FROM {table} \
                 WHERE expires_at <= min($1, CAST(strftime('%s', 'now') AS INTEGER) * 1000) LIMIT $2)"),
        }
    }

    fn ddl(table: &TableName) -> String {
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

    fn check_table(table: &TableName) -> Result<(), StoreError> {
        match table.schema() {
            Some(_) => Err(misconfigured(
                Self::ACTIONS.migrate,
                "SQLite has no schemas",
            )),
            None => Ok(()),
        }
    }

    async fn create_table(store: &SqliteStore) -> sqlx::Result<()> {
        let ddl = sqlx::AssertSqlSafe(Self::ddl(&store.table));
        sqlx::raw_sql(ddl).execute(&store.writer).await?;
        store.execute(&store.shared.columns, &[]).await.map(drop)
    }

    fn kind_of(error: &dyn DatabaseError) -> StoreErrorKind {
        match primary_code(error) {
            // Busy or locked until the busy timeout.
            Some(5 | 6) => StoreErrorKind::TimedOut,
            // Full.
            Some(13) => StoreErrorKind::Full,
            // A missing table or column, a missing permission, other types or constraints, not a database.
            Some(1 | 3 | 19 | 20 | 23 | 26) => StoreErrorKind::Misconfigured,
            // A disk failure, or a file that is read-only, damaged or cannot be opened.
            _ => StoreErrorKind::Unavailable,
        }
    }

    /// Closes the connection after errors that concern the file: the connection may use a file that has been
    /// replaced, or remember the error, and would continue to fail.
    fn release(mut connection: PoolConnection<Self>, ended: Ended<'_>) {
        if let Ended::Err(sqlx::Error::Database(error)) = ended
            // Read-only, a disk failure, damaged, cannot be opened, not a database.
            && matches!(primary_code(&**error), Some(8 | 10 | 11 | 14 | 26))
        {
            connection.close_on_drop();
        }
    }

    fn rows(result: &Self::QueryResult) -> u64 {
        result.rows_affected()
    }

    async fn upsert(store: &SqliteStore, values: &[Value<'_>]) -> sqlx::Result<Option<i64>> {
        let row = store.fetch_written(&store.own.upsert, values).await?;
        Ok(row.map(|row| row.version))
    }

    async fn rename(store: &SqliteStore, values: &[Value<'_>]) -> sqlx::Result<Written> {
        let mut lent = Lent::take(&store.writer).await?;
        let written = rename_on(lent.get(), &store.own, values).await;
        lent.release(written)
    }

    async fn sweep(store: &SqliteStore, limit: i64, now: i64) -> sqlx::Result<u64> {
        let values = [Value::Integer(now), Value::Integer(limit)];
        store.execute(&store.own.sweep, &values).await
    }
}

async fn rename_on(
    connection: &mut SqliteConnection,
    statements: &SqliteStatements,
    values: &[Value<'_>],
) -> sqlx::Result<Written> {
    // The transaction takes the write lock at once. A transaction that starts with a read can fail to
    // take it later.
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    let left = run(&mut transaction, &statements.leave, values).await?;
    if left == 0 {
        transaction.rollback().await?;
        return Ok(Written::Unknown);
    }
    run(&mut transaction, &statements.put, values).await?;
    transaction.commit().await?;
    Ok(Written::Yes)
}

async fn run(
    connection: &mut SqliteConnection,
    statement: &Statement,
    values: &[Value<'_>],
) -> sqlx::Result<u64> {
    use super::sql::Driver as _;

    let done = Sqlite::execute(connection, Sqlite::bind(statement, values)).await?;
    Ok(done.rows_affected())
}

/// Returns the low byte of SQLite's error code. The other bits only add detail.
fn primary_code(error: &dyn DatabaseError) -> Option<u32> {
    let code: u32 = error.code()?.parse().ok()?;
    Some(code & 0xff)
}
