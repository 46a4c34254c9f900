//! A store in a PostgreSQL table.

mod pooler;

use sqlx::{
    Connection as _, Executor as _, PgConnection, Postgres,
    error::DatabaseError,
    pool::PoolConnection,
    postgres::{PgConnectOptions, PgSslMode},
};

use super::{
    StoreError, StoreErrorKind,
    sql::{
        Actions, Chosen, DATA, Driver as _, Ended, Lent, Placeholders, PoolMode, Row, Sealed,
        ServerAddress, ServerDatabase, SqlDatabase, SqlStore, SqlStoreBuilder, Statement,
        TableName, TlsWords, UPSERT, Value, Written, actions, by_sqlstate, quoted, release_to_pool,
    },
};

/// A store in a PostgreSQL table. Needs the Cargo feature `postgres`, and `postgres-tls` for TLS.
///
/// Every call is one statement and one round trip, on PostgreSQL 13 and later. Expired sessions stay in the
/// table until they are swept with [`delete_expired`](super::SessionStore::delete_expired). Any number of
/// processes may sweep at the same time.
///
/// The user needs the privileges `SELECT`, `INSERT`, `UPDATE` and `DELETE` on the table, and the privilege to
/// create it only if it does not exist.
///
/// # URL
/// `postgres://user:password@host:port/database?parameters`. The store reads the parameters `table` and `pool_mode`
/// ([`connect`](crate::store::connect()) describes them). The other parameters are those of libpq: `sslmode`,
/// `sslrootcert`, `sslcert`, `sslkey`, `host`, `hostaddr`, `port`, `dbname`, `user`, `password`, `application_name`,
/// `options` and `options[setting]`; and `statement-cache-capacity`, the largest number of prepared statements per
/// connection (100). An unknown parameter is an error. A user name or password must be percent-encoded.
///
/// # TLS
/// With the feature `postgres-tls`, the store connects only to a server with TLS whose certificate it can verify: an
/// authority of the system, or the one in `sslrootcert=FILE`, has issued it for the host in the URL. The URL can ask
/// for less:
///
/// | `sslmode` | the connection is encrypted | the authority is verified | the name is verified |
/// |---|---|---|---|
/// | `verify-full` | yes | yes | yes |
/// | `verify-ca` | yes | yes | no |
/// | `require` | yes | only if there is an `sslrootcert` | no |
/// | `prefer` | if the server offers it | no | no |
/// | `disable` | no | no | no |
///
/// `require` and `prefer` do not protect against an attacker who can answer in place of the server. The environment
/// variable `PGSSLMODE` does not change the default. A Unix socket has no TLS. Without the feature, the default is
/// `prefer`, and TLS is not available.
///
/// # Poolers
/// The store works behind PgBouncer 1.18 and later (tested with 1.18 and 1.24).
///
/// | `pool_mode` of PgBouncer | needed |
/// |---|---|
/// | `session` | nothing |
/// | `transaction` | `pool_mode=transaction` in the store's URL; or PgBouncer 1.21 or later with `max_prepared_statements` above 0 |
/// | `statement` | not supported |
///
/// With `pool_mode=transaction`, a call takes four round trips instead of one: begin, prepare, run, commit. No prepared
/// statement stays on the server. Without it, statements are prepared once per connection. A pooler that gives each
/// transaction another connection, and does not translate the names of prepared statements, would run statements of
/// other clients. So [`connect`](SqlStore::connect) opens a second connection for a moment to find out, and returns an
/// error ([`Misconfigured`](StoreErrorKind::Misconfigured)) that says what to set. It can miss a pooler that is busy at
/// that moment, so set the mode whenever the pooler has it. [`from_pool`](SqlStore::from_pool) does not check: see
/// [`in_pool_mode`](SqlStore::in_pool_mode).
///
/// PgBouncer refuses most `options` in the URL. Use `table=SCHEMA.TABLE` for a schema, and `ALTER ROLE … SET` for
/// other settings.
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
pub type PostgresStore = SqlStore<Postgres>;

/// Settings of a [`PostgresStore`].
pub type PostgresStoreBuilder = SqlStoreBuilder<Postgres>;

/// The statements of PostgreSQL.
pub struct PostgresStatements {
    upsert: Statement,
    rename: Statement,
    sweep: Statement,
    lock_table: Statement,
}

/// The advisory lock that is held while a table is created, so that concurrent processes create it one after
/// the other. `IF NOT EXISTS` alone does not wait for a concurrent creation. The number is arbitrary and
/// unlikely to be used by others.
const MIGRATION_LOCK: i64 = 0x0070_6f65_6d2d_7373;

impl Sealed for Postgres {}

impl SqlDatabase for Postgres {
    const STORE: &'static str = "PostgresStore";
    const ACTIONS: Actions = actions!("PostgreSQL");
    const QUOTE: char = '"';
    const PLACEHOLDERS: Placeholders = Placeholders::Numbered;
    const TLS: TlsWords = TlsWords {
        feature: "postgres-tls",
        is_compiled: cfg!(feature = "postgres-tls"),
        authority: "sslrootcert=FILE",
        off: "sslmode=disable",
    };

    type Statements = PostgresStatements;
    type Source = ServerAddress;

    fn statements(new: &dyn Fn(&str) -> Statement) -> PostgresStatements {
        PostgresStatements {
            upsert: new(UPSERT),
            rename: new(&or_current_of(
                "remaining AS (UPDATE {table} SET data = $7, version = $9, expires_at = $8, \
                 lock_owner = NULL, lock_until = NULL \
                 WHERE id = $1 AND version = $3 AND expires_at > $2 RETURNING version), \
                 written AS (INSERT INTO {table} (id, data, version, expires_at) \
                 SELECT $6::bytea, $4::bytea, version, $5::bigint FROM remaining RETURNING version)",
            )),
            // The array makes PostgreSQL select the rows once, whatever plan it uses for the deletion.
            sweep: new("DELETE FROM {table} WHERE id = ANY (ARRAY(\
                 SELECT id FROM {table} \
                 WHERE expires_at <= LEAST($1, (extract(epoch FROM now()) * 1000)::bigint) \
                 ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED))"),
            lock_table: new("LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE"),
        }
    }

    fn or_current(update: &str) -> String {
        or_current_of(&format!("written AS ({update} RETURNING version)"))
    }

    fn ddl(table: &TableName) -> String {
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

    async fn create_table(store: &PostgresStore) -> sqlx::Result<()> {
        let mut transaction = store.writer.begin().await?;
        // These statements run once, so the server need not keep them.
        sqlx::query("SELECT pg_advisory_xact_lock($1)")
            .bind(MIGRATION_LOCK)
            .persistent(false)
            .execute(&mut *transaction)
            .await?;
        let exists: bool = sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL")
            .bind(store.table.quoted('"'))
            .persistent(false)
            .fetch_one(&mut *transaction)
            .await?;
        if !exists {
            let ddl = sqlx::AssertSqlSafe(Self::ddl(&store.table));
            sqlx::raw_sql(ddl).execute(&mut *transaction).await?;
        }
        let columns = Self::bind(&store.shared.columns, &[]);
        Self::execute(&mut transaction, columns).await?;
        transaction.commit().await
    }

    fn kind_of(error: &dyn DatabaseError) -> StoreErrorKind {
        by_sqlstate(error.code().as_deref().unwrap_or_default())
    }

    fn release(connection: PoolConnection<Self>, ended: Ended<'_>) {
        release_to_pool(connection, ended, |error| {
            let code = error.code();
            let code = code.as_deref().unwrap_or_default();
            // Read-only. A message that the server, or a pooler, did not expect.
            matches!(code, "25006" | "08P01") || pooler::lost_statement(code)
        });
    }

    fn rows(result: &Self::QueryResult) -> u64 {
        result.rows_affected()
    }

    async fn upsert(store: &PostgresStore, values: &[Value<'_>]) -> sqlx::Result<Option<i64>> {
        let row = store.fetch_written(&store.own.upsert, values).await?;
        Ok(row.map(|row| row.version))
    }

    async fn replace(store: &PostgresStore, values: &[Value<'_>]) -> sqlx::Result<Written> {
        let row = store.fetch_written(&store.shared.replace, values).await?;
        Ok(written(row))
    }

    async fn rename(store: &PostgresStore, values: &[Value<'_>]) -> sqlx::Result<Written> {
        let row = store.fetch_written(&store.own.rename, values).await?;
        Ok(written(row))
    }

    /// A deletion does not see a record that a rename writes at the same time, so it waits for the writes of others.
    async fn clear(store: &PostgresStore) -> sqlx::Result<()> {
        let mut lent = Lent::take(&store.writer).await?;
        let cleared = async {
            let mut transaction = lent.get().begin().await?;
            for statement in [&store.own.lock_table, &store.shared.clear] {
                let connection: &mut PgConnection = &mut transaction;
                connection.execute(Self::bind(statement, &[])).await?;
            }
            transaction.commit().await
        };
        let cleared = cleared.await;
        lent.release(cleared)
    }

    async fn sweep(store: &PostgresStore, limit: i64, now: i64) -> sqlx::Result<u64> {
        let values = [Value::Integer(now), Value::Integer(limit)];
        store.execute(&store.own.sweep, &values).await
    }
}

impl ServerDatabase for Postgres {
    const PARAMETERS: &'static [&'static str] = &["table", "pool_mode"];
    const DRIVER_PARAMETERS: &'static [&'static str] = &[
        "sslmode",
        "ssl-mode",
        "sslrootcert",
        "ssl-root-cert",
        "ssl-ca",
        "sslcert",
        "ssl-cert",
        "sslkey",
        "ssl-key",
        "statement-cache-capacity",
        "host",
        "hostaddr",
        "port",
        "dbname",
        "user",
        "password",
        "application_name",
        "options",
        "options[]",
    ];
    const AUTHORITY: &'static [&'static str] = &["sslrootcert", "ssl-root-cert", "ssl-ca"];

    fn with_defaults(options: PgConnectOptions, tls: Chosen) -> PgConnectOptions {
        // The store reads no floating-point number, and PgBouncer refuses the setting.
        let options = options.extra_float_digits(None);
        let is_socket = options.get_socket().is_some() || options.get_host().starts_with('/');
        let mode = match options.get_ssl_mode() {
            // As libpq: a Unix socket has no TLS.
            _ if is_socket => PgSslMode::Disable,
            _ if !tls.mode && Self::TLS.is_compiled => PgSslMode::VerifyFull,
            // As libpq: an authority's certificate is there to be used.
            PgSslMode::Require if tls.authority => PgSslMode::VerifyCa,
            mode => mode,
        };
        options.ssl_mode(mode)
    }

    fn accepts_any_name(options: &PgConnectOptions) -> bool {
        matches!(options.get_ssl_mode(), PgSslMode::VerifyCa)
    }

    async fn check(store: &PostgresStore, options: &PgConnectOptions) -> Result<(), StoreError> {
        match store.pool_mode {
            PoolMode::Session => pooler::check(&store.writer, options).await,
            PoolMode::Transaction => Ok(()),
        }
    }
}

impl PostgresStore {
    /// Returns the same store for a pooler in this mode: see [`PostgresStore`](PostgresStore#poolers).
    ///
    /// A store that is opened by URL reads the mode from the URL. For
    /// [`from_pool`](Self::from_pool), PgBouncer needs a pool whose options have `extra_float_digits(None)`.
    #[must_use]
    pub fn in_pool_mode(self, mode: PoolMode) -> Self {
        Self::new(self.readers, self.writer, self.table, mode)
    }
}

impl PostgresStoreBuilder {
    /// Sets the mode of the pooler between the store and the server. The default is the URL's `pool_mode`
    /// parameter, or else [`PoolMode::Session`], which is also right without a pooler. It is an error to set both.
    pub fn pool_mode(mut self, mode: PoolMode) -> Self {
        self.source.pool_mode = Some(mode);
        self
    }
}

/// Completes a statement whose `WITH` clause ends with the write `written`: it returns the new version, or, if
/// nothing was written, the record that existed before the statement.
///
/// If a concurrent transaction changes the record while the statement waits for it, the write sees the changed
/// record and the rest of the statement sees the earlier one. The earlier one has the expected version, so the
/// caller can tell that it is out of date.
fn or_current_of(written: &str) -> String {
    format!(
        "WITH {written} SELECT version, NULL, NULL FROM written \
         UNION ALL SELECT version, {DATA}, expires_at FROM {{table}} \
         WHERE id = $1 AND expires_at > $2 AND NOT EXISTS (SELECT 1 FROM written)"
    )
}

/// Converts the row of such a statement.
fn written(row: Option<Row>) -> Written {
    match row {
        Some(row) if row.record.is_none() => Written::Yes,
        row => Written::No(row.and_then(Row::into_stored)),
    }
}
