//! Sessions in a PostgreSQL table.

use sqlx::{PgPool, Postgres, error::DatabaseError};

use super::{
    StoreError, StoreErrorKind,
    sql::{
        Actions, Attempts, Backend, DATA, DatabaseBuilder, InUse, Placeholders, Row, Statement,
        Statements, TableName, UPSERT, Value, Written, actions, by_sqlstate, quoted, server_store,
        session_store, statement_calls, store_error,
    },
};

/// Keeps sessions in a PostgreSQL table. Needs the Cargo feature `postgres`; for connections over TLS,
/// `postgres-tls`.
///
/// Every call is one statement and one round trip, on PostgreSQL 13 and later. Expired sessions stay in
/// the table until they are swept: [`delete_expired`](super::SessionStore::delete_expired), which any
/// number of processes may call at the same time.
///
/// The user needs the rights `SELECT`, `INSERT`, `UPDATE` and `DELETE` on the table, and the right to create
/// it only where it is not there.
///
/// ```no_run
/// use poem_session::{Sessions, store::PostgresStore};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let store = PostgresStore::connect("postgres://shop@localhost/shop").await?;
/// store.migrate().await?;
/// let sessions = Sessions::builder(store).build()?;
/// # Ok(())
/// # }
/// ```
pub struct PostgresStore {
    pool: PgPool,
    table: TableName,
    statements: PostgresStatements,
}

/// Sets up a [`PostgresStore`].
pub type PostgresStoreBuilder = DatabaseBuilder<PostgresStore>;

struct PostgresStatements {
    shared: Statements,
    upsert: Statement,
    rename_and_leave: Statement,
    sweep: Statement,
}

/// Held while a table is created, so that processes which start together do it one after the other:
/// `IF NOT EXISTS` by itself does not wait for another that is just creating. The number is any that
/// others are unlikely to use.
const MIGRATION_LOCK: i64 = 0x0070_6f65_6d2d_7373;

impl PostgresStore {
    /// The statements that create what the store needs, separated by semicolons, for migration tools.
    /// They do nothing where it is there.
    ///
    /// ```
    /// use poem_session::store::{PostgresStore, TableName};
    ///
    /// let ddl = PostgresStore::ddl(&TableName::new("shop_sessions")?);
    /// assert!(ddl.starts_with(r#"CREATE TABLE IF NOT EXISTS "shop_sessions" ("#));
    /// # Ok::<(), poem_session::store::StoreError>(())
    /// ```
    pub fn ddl(table: &TableName) -> String {
        let schema = table.schema().map_or(String::new(), |schema| {
            format!("CREATE SCHEMA IF NOT EXISTS {};\n", quoted(schema, '"'))
        });
        format!(
            "\
{schema}CREATE TABLE IF NOT EXISTS {table} (
    id BYTEA NOT NULL PRIMARY KEY,
    data BYTEA NOT NULL,
    version BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    lock_owner BYTEA,
    lock_until BIGINT
);
CREATE INDEX IF NOT EXISTS {index} ON {table} (expires_at);
",
            table = table.quoted('"'),
            index = table.quoted_index('"'),
        )
    }

    /// Creates the schema, the table and its index if the table is not there. Any number of processes may do so
    /// at the same time. Where the table is there, no right to create anything is needed.
    ///
    /// # Errors
    /// If the database refuses or cannot be reached, or if the table has other columns.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        self.create_table()
            .await
            .map_err(|error| store_error::<Self>(Self::ACTIONS.migrate, error))
    }

    async fn create_table(&self) -> sqlx::Result<()> {
        let mut transaction = self.pool.begin().await?;
        sqlx::query("SELECT pg_advisory_xact_lock($1)")
            .bind(MIGRATION_LOCK)
            .execute(&mut *transaction)
            .await?;
        let is_there: bool = sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL")
            .bind(self.table.quoted('"'))
            .fetch_one(&mut *transaction)
            .await?;
        if !is_there {
            let ddl = sqlx::AssertSqlSafe(Self::ddl(&self.table));
            sqlx::raw_sql(ddl).execute(&mut *transaction).await?;
        }
        execute(&mut *transaction, &self.statements.shared.columns, &[]).await?;
        transaction.commit().await
    }
}

/// Adds the record as it was before the statement, in case the write meets none.
///
/// Where another transaction changes the record while this one waits for it, the write sees what that
/// one made of it, and the rest still sees what was there before: that is the version asked for, which
/// tells the two apart.
fn or_current(write: &str) -> String {
    or_current_of(&format!("written AS ({write} RETURNING version)"))
}

fn or_current_of(written: &str) -> String {
    format!(
        "WITH {written} SELECT version, NULL, NULL FROM written \
         UNION ALL SELECT version, {DATA}, expires_at FROM {{table}} \
         WHERE id = $1 AND expires_at > $2 AND NOT EXISTS (SELECT 1 FROM written)"
    )
}

impl PostgresStatements {
    fn new(table: &str) -> Self {
        let statement = |template: &str| Statement::new(template, table, Placeholders::Numbered);
        Self {
            shared: Statements::new(table, Placeholders::Numbered, or_current),
            upsert: statement(UPSERT),
            rename_and_leave: statement(&or_current_of(
                "remaining AS (UPDATE {table} SET data = $7, version = version + 1, expires_at = $8, \
                 lock_owner = NULL, lock_until = NULL \
                 WHERE id = $1 AND version = $3 AND expires_at > $2 RETURNING version), \
                 written AS (INSERT INTO {table} (id, data, version, expires_at) \
                 SELECT $6::bytea, $4::bytea, version, $5::bigint FROM remaining RETURNING version)",
            )),
            // An array, so that the rows are chosen once, however the deletion is planned.
            sweep: statement(
                "DELETE FROM {table} WHERE id = ANY (ARRAY(\
                 SELECT id FROM {table} WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2 \
                 FOR UPDATE SKIP LOCKED))",
            ),
        }
    }
}

impl Backend for PostgresStore {
    const ACTIONS: Actions = actions!("PostgreSQL");

    fn statements(&self) -> &Statements {
        &self.statements.shared
    }

    fn kind_of(error: &dyn DatabaseError) -> StoreErrorKind {
        by_sqlstate(error.code().as_deref().unwrap_or_default())
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
        let row = self.fetch(&self.statements.upsert, values).await?;
        Ok(row.map(|row| row.version))
    }

    async fn write_if(&self, statement: &Statement, values: &[Value<'_>]) -> sqlx::Result<Written> {
        let row = self.fetch(statement, values).await?;
        Ok(match row {
            Some(row) if row.record.is_none() => Written::Yes,
            row => Written::No(row.and_then(Row::into_stored)),
        })
    }

    async fn rename_and_leave(&self, values: &[Value<'_>]) -> sqlx::Result<Written> {
        self.write_if(&self.statements.rename_and_leave, values)
            .await
    }

    async fn sweep(&self, limit: i64, now: i64) -> sqlx::Result<u64> {
        let values = [Value::Integer(now), Value::Integer(limit)];
        self.execute(&self.statements.sweep, &values).await
    }
}

server_store! {
    /// Connects to the database at this address, `postgres://user:password@host:port/database`, with
    /// the settings that libpq knows as parameters. Creates nothing: see [`migrate`](Self::migrate).
    PostgresStore, PostgresStatements, '"', Postgres
}
session_store!(PostgresStore);
statement_calls!(Postgres);
