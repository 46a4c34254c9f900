//! Sessions in a table of MySQL or MariaDB.

use std::fmt;

use sqlx::{
    AssertSqlSafe, MySql, MySqlPool, QueryBuilder,
    error::DatabaseError,
    mysql::{MySqlConnectOptions, MySqlDatabaseError},
};

use super::{
    StoreError, StoreErrorKind,
    sql::{
        Actions, Attempts, Backend, DatabaseBuilder, InUse, Placeholders, Row, Statement,
        Statements, TableName, Value, Written, actions, by_sqlstate, connect_error, pooled_calls,
        session_store, statement_calls, store_error,
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
}

/// Rows of one transaction of a sweep: few, so that nobody waits for its locks for long.
const BATCH: i64 = 500;

impl MySqlStore {
    /// Connects to the database at this address, `mysql://user:password@host:port/database`. Creates
    /// nothing: see [`migrate`](Self::migrate).
    ///
    /// # Errors
    /// [`Misconfigured`](StoreErrorKind::Misconfigured) if the address cannot be understood or the
    /// database refuses the user; [`TimedOut`](StoreErrorKind::TimedOut) if no server accepts within 3
    /// seconds.
    pub async fn connect(url: &str) -> Result<Self, StoreError> {
        Self::builder(url).connect().await
    }

    /// Settings for a store on the database at this address.
    pub fn builder(url: &str) -> MySqlStoreBuilder {
        DatabaseBuilder::new(url)
    }

    /// A store on connections of your own, in the table `poem_sessions`. Creates nothing: see
    /// [`migrate`](Self::migrate).
    ///
    /// The pool should have time limits below that of the sessions.
    pub fn from_pool(pool: MySqlPool) -> Self {
        Self::on_pool(pool, TableName::default())
    }

    /// The same store in another table; its schema is the name of a database of the same server.
    /// Creates nothing: see [`migrate`](Self::migrate).
    #[must_use]
    pub fn in_table(self, table: TableName) -> Self {
        Self::on_pool(self.pool, table)
    }

    fn on_pool(pool: MySqlPool, table: TableName) -> Self {
        let statements = MySqlStatements::new(&table.quoted('`'));
        Self {
            pool,
            table,
            statements,
        }
    }

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
    /// If the database refuses or cannot be reached.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        self.create_table()
            .await
            .map_err(|error| store_error::<Self>(Self::ACTIONS.migrate, error))
    }

    async fn create_table(&self) -> sqlx::Result<()> {
        // The database looks at rights before it looks for the table.
        let exists = AssertSqlSafe(format!("SELECT 1 FROM {} LIMIT 0", self.table.quoted('`')));
        match sqlx::raw_sql(exists).execute(&self.pool).await {
            Err(sqlx::Error::Database(error)) if number(&*error) == Some(NO_SUCH_TABLE) => {
                let ddl = AssertSqlSafe(Self::ddl(&self.table));
                sqlx::raw_sql(ddl).execute(&self.pool).await.map(drop)
            }
            other => other.map(drop),
        }
    }

    /// Waits for what is being done and closes the connections.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// One transaction of a sweep.
    async fn sweep_batch(&self, limit: i64, now: i64) -> sqlx::Result<u64> {
        let mut attempts = Attempts::default();
        loop {
            let mut in_use = InUse::acquire(&self.pool).await?;
            let result = self.sweep_on(in_use.connection(), limit, now).await;
            let result = in_use.end(result);
            if !attempts.again(&result) {
                return result;
            }
        }
    }

    async fn sweep_on(
        &self,
        connection: &mut sqlx::MySqlConnection,
        limit: i64,
        now: i64,
    ) -> sqlx::Result<u64> {
        let table = self.table.quoted('`');
        let mut transaction = sqlx::Connection::begin(connection).await?;
        let mut select = QueryBuilder::<MySql>::new("SELECT id FROM ");
        select
            .push(&table)
            .push(" WHERE expires_at <= ")
            .push_bind(now)
            .push(" ORDER BY expires_at LIMIT ")
            .push_bind(limit)
            .push(" FOR UPDATE SKIP LOCKED");
        let expired: Vec<Vec<u8>> = select
            .build_query_scalar()
            .fetch_all(&mut *transaction)
            .await?;
        if expired.is_empty() {
            transaction.rollback().await?;
            return Ok(0);
        }
        let mut delete = QueryBuilder::<MySql>::new("DELETE FROM ");
        delete.push(&table).push(" WHERE id IN (");
        let mut ids = delete.separated(", ");
        for id in expired {
            ids.push_bind(id);
        }
        delete.push(")");
        // Not kept: it is another statement for another number of rows.
        let deleted = delete
            .build()
            .persistent(false)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(deleted.rows_affected())
    }
}

impl MySqlStoreBuilder {
    /// Connects. Creates nothing: see [`MySqlStore::migrate`].
    ///
    /// # Errors
    /// As [`MySqlStore::connect`].
    pub async fn connect(self) -> Result<MySqlStore, StoreError> {
        let options: MySqlConnectOptions =
            self.url().parse().map_err(connect_error::<MySqlStore>)?;
        let pool = self
            .pool_options()
            .connect_with(options)
            .await
            .map_err(connect_error::<MySqlStore>)?;
        Ok(MySqlStore::on_pool(pool, self.into_table()))
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
        }
    }
}

const NO_SUCH_TABLE: u16 = 1146;

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
            _ => by_sqlstate(error.code().as_deref().unwrap_or_default()),
        }
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
            let left = limit.saturating_sub_unsigned(swept);
            let batch = BATCH.min(left);
            let deleted = self.sweep_batch(batch, now).await?;
            swept += deleted;
            if left == 0 || deleted < batch.unsigned_abs() {
                return Ok(swept);
            }
        }
    }
}

impl fmt::Debug for MySqlStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MySqlStore")
            .field("table", &self.table)
            .finish_non_exhaustive()
    }
}

session_store!(MySqlStore);
statement_calls!(MySql);
pooled_calls!(MySql);
