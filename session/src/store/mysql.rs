//! Sessions in a table of MySQL or MariaDB.

use sqlx::{AssertSqlSafe, MySql, MySqlPool, error::DatabaseError, mysql::MySqlDatabaseError};

use super::{
    StoreError, StoreErrorKind,
    sql::{
        Actions, Attempts, Backend, DatabaseBuilder, InUse, Placeholders, Row, Statement,
        Statements, TableName, Value, Written, actions, by_sqlstate, server_store, session_store,
        statement_calls, store_error,
    },
};

/// Keeps sessions in a table of MySQL (8.0 and later) or MariaDB (10.6 and later). Needs the Cargo
/// feature `mysql`; for connections over TLS, `mysql-tls`.
///
/// Reading, changing and prolonging a session is one statement and one round trip; moving one to another
/// key, two. Expired sessions stay in the table until they are swept:
/// [`delete_expired`](super::SessionStore::delete_expired), which any number of processes may call at the
/// same time.
///
/// The user needs the rights `SELECT`, `INSERT`, `UPDATE` and `DELETE` on the table, and the right to create
/// it only where it is not there.
///
/// Without TLS, MySQL 8 lets a user in only whose plugin is `mysql_native_password`, unless the
/// application turns on the feature `mysql-rsa` of `sqlx`.
///
/// ```no_run
/// use poem_session::{Sessions, store::MySqlStore};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let store = MySqlStore::connect("mysql://shop@localhost/shop").await?;
/// store.migrate().await?;
/// let sessions = Sessions::builder(store).build()?;
/// # Ok(())
/// # }
/// ```
pub struct MySqlStore {
    pool: MySqlPool,
    table: TableName,
    statements: MySqlStatements,
}

/// Sets up a [`MySqlStore`].
pub type MySqlStoreBuilder = DatabaseBuilder<MySqlStore>;

struct MySqlStatements {
    shared: Statements,
    insert: Statement,
    version: Statement,
    revive: Statement,
    put: Statement,
    leave: Statement,
    take_back: Statement,
    sweep: Statement,
}

/// Rows that one statement of a sweep deletes: few, so that nobody waits for its locks for long.
const BATCH: i64 = 1000;

impl MySqlStore {
    /// The statement that creates what the store needs, for migration tools. It does nothing where it
    /// is there. A database that the table's name speaks of has to be there already.
    ///
    /// ```
    /// use poem_session::store::{MySqlStore, TableName};
    ///
    /// let ddl = MySqlStore::ddl(&TableName::new("shop_sessions")?);
    /// assert!(ddl.starts_with("CREATE TABLE IF NOT EXISTS `shop_sessions` ("));
    /// # Ok::<(), poem_session::store::StoreError>(())
    /// ```
    pub fn ddl(table: &TableName) -> String {
        format!(
            "\
CREATE TABLE IF NOT EXISTS {table} (
    id BINARY(32) NOT NULL PRIMARY KEY,
    data LONGBLOB NOT NULL,
    version BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    lock_owner BINARY(16),
    lock_until BIGINT,
    INDEX expires_at (expires_at)
) ENGINE = InnoDB;
",
            table = table.quoted('`'),
        )
    }

    /// Creates the table if it is not there. Any number of processes may do so at the same time. Where
    /// it is there, no right to create anything is needed.
    ///
    /// # Errors
    /// If the database refuses or cannot be reached, or if the table has other columns.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        self.create_table()
            .await
            .map_err(|error| store_error::<Self>(Self::ACTIONS.migrate, error))
    }

    async fn create_table(&self) -> sqlx::Result<()> {
        // The database looks at rights before it looks for the table.
        match execute(&self.pool, &self.statements.shared.columns, &[]).await {
            Err(sqlx::Error::Database(error)) if number(&*error) == Some(NO_SUCH_TABLE) => {
                let ddl = AssertSqlSafe(Self::ddl(&self.table));
                sqlx::raw_sql(ddl).execute(&self.pool).await.map(drop)
            }
            other => other.map(drop),
        }
    }
}

impl MySqlStatements {
    fn new(table: &str) -> Self {
        let statement = |template: &str| Statement::new(template, table, Placeholders::Positional);
        Self {
            shared: Statements::new(table, Placeholders::Positional, str::to_owned),
            insert: statement(
                "INSERT INTO {table} (id, data, version, expires_at) VALUES ($1, $3, 1, $4)",
            ),
            // With the other columns only where it has expired.
            version: statement(
                "SELECT version, IF(expires_at <= $2, id, NULL), IF(expires_at <= $2, 0, NULL) \
                 FROM {table} WHERE id = $1",
            ),
            revive: statement(
                "UPDATE {table} SET data = $3, version = version + 1, expires_at = $4, \
                 lock_owner = NULL, lock_until = NULL WHERE id = $1 AND version = $5",
            ),
            put: statement(
                "INSERT INTO {table} (id, data, version, expires_at) VALUES ($6, $4, $3 + 1, $5)",
            ),
            leave: statement(
                "UPDATE {table} SET data = $7, version = version + 1, expires_at = $8, \
                 lock_owner = NULL, lock_until = NULL \
                 WHERE id = $1 AND version = $3 AND expires_at > $2",
            ),
            take_back: statement("DELETE FROM {table} WHERE id = $6"),
            // The rows are chosen first, and then found by their keys one by one. A scan, as a condition
            // on a list of keys can become in a small table, would wait for the rows that others hold.
            sweep: statement(
                "DELETE {table} FROM (SELECT id FROM {table} WHERE expires_at <= $1 \
                 ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED) AS expired \
                 STRAIGHT_JOIN {table} ON {table}.id = expired.id",
            ),
        }
    }
}

const NO_SUCH_TABLE: u16 = 1146;

/// Bytes that are no text, as a table wants it that is not ours.
const NO_TEXT: [u16; 4] = [1300, 1366, 3854, 3988];

fn number(error: &dyn DatabaseError) -> Option<u16> {
    error
        .try_downcast_ref::<MySqlDatabaseError>()
        .map(MySqlDatabaseError::number)
}

impl Backend for MySqlStore {
    const ACTIONS: Actions = actions!("MySQL");

    fn statements(&self) -> &Statements {
        &self.statements.shared
    }

    fn kind_of(error: &dyn DatabaseError) -> StoreErrorKind {
        match number(error) {
            // A wait for a lock, or a statement, that was cut off.
            Some(1205 | 1969 | 3024) => StoreErrorKind::TimedOut,
            // Too many connections of one user, which shares its SQLSTATE with rights that are missing.
            Some(1203 | 1226) => StoreErrorKind::Unavailable,
            // A disk, and a table that cannot grow.
            Some(1021 | 1114) => StoreErrorKind::Full,
            // A host that may not connect, a password that has run out, an account that is locked; a
            // column of another table than ours, which has to be given, or takes no value of ours.
            Some(1130 | 1820 | 1862 | 3118 | 4151 | 1265 | 1364) => StoreErrorKind::Misconfigured,
            Some(number) if NO_TEXT.contains(&number) => StoreErrorKind::Misconfigured,
            _ => by_sqlstate(error.code().as_deref().unwrap_or_default()),
        }
    }

    fn refuses_writes(error: &dyn DatabaseError) -> bool {
        // `read_only` of the server, and of InnoDB.
        matches!(number(error), Some(1290 | 1792 | 1836))
    }

    /// What does not fit a column is quoted, be it a record or a key.
    fn quotes_values(error: &dyn DatabaseError) -> bool {
        let state = error.code().unwrap_or_default();
        number(error).is_some_and(|number| NO_TEXT.contains(&number))
            || ["22", "23"].iter().any(|class| state.starts_with(class))
    }

    async fn execute(&self, statement: &Statement, values: &[Value<'_>]) -> sqlx::Result<u64> {
        execute_on(&self.pool, statement, values).await
    }

    async fn fetch(
        &self,
        statement: &Statement,
        values: &[Value<'_>],
    ) -> sqlx::Result<Option<Row>> {
        fetch_on(&self.pool, statement, values).await
    }

    async fn upsert(&self, values: &[Value<'_>]) -> sqlx::Result<Option<i64>> {
        let statements = &self.statements;
        loop {
            match self.execute(&statements.insert, values).await {
                Ok(_) => return Ok(Some(1)),
                Err(sqlx::Error::Database(error)) if error.is_unique_violation() => {}
                Err(error) => return Err(error),
            }
            // Ids do not meet by chance, so that nearly nobody comes here.
            let expired = match self.fetch(&statements.version, values).await? {
                None => continue, // Swept meanwhile.
                Some(Row { record: None, .. }) => return Ok(None),
                Some(row) => row.version,
            };
            let values = [values, &[Value::Integer(expired)]].concat();
            if self.execute(&statements.revive, &values).await? == 1 {
                return Ok(Some(expired + 1));
            }
        }
    }

    /// Two statements, where a transaction would be four: the new record is put there first, and taken
    /// back if the old one turns out to have changed. If this ends between the two, the new one stays
    /// until it expires, under an id that nobody was told.
    async fn rename_and_leave(&self, values: &[Value<'_>]) -> sqlx::Result<Written> {
        self.execute(&self.statements.put, values).await?;
        let left = self.execute(&self.statements.leave, values).await;
        match left {
            Ok(1) => Ok(Written::Yes),
            Ok(_) => {
                self.execute(&self.statements.take_back, values).await?;
                Ok(Written::NotKnown)
            }
            Err(error) => {
                // Of a connection that broke it is not known what was done: with the old record ended,
                // the new one is the session.
                if matches!(error, sqlx::Error::Database(_)) {
                    self.execute(&self.statements.take_back, values).await?;
                }
                Err(error)
            }
        }
    }

    async fn sweep(&self, limit: i64, now: i64) -> sqlx::Result<u64> {
        let mut swept = 0;
        loop {
            let batch = BATCH.min(limit.saturating_sub_unsigned(swept));
            let values = [Value::Integer(now), Value::Integer(batch)];
            let deleted = self.execute(&self.statements.sweep, &values).await?;
            swept += deleted;
            if deleted < BATCH.unsigned_abs() {
                return Ok(swept);
            }
        }
    }
}

server_store! {
    /// Connects to the database at this address, `mysql://user:password@host:port/database`. Creates
    /// nothing: see [`migrate`](Self::migrate).
    MySqlStore, MySqlStatements, '`', MySql
}
session_store!(MySqlStore);
statement_calls!(MySql);
