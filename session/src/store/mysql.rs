//! A store in a table of MySQL or MariaDB.

use sqlx::{
    AssertSqlSafe, MySql,
    error::DatabaseError,
    mysql::{MySqlConnectOptions, MySqlDatabaseError, MySqlSslMode},
    pool::PoolConnection,
};

use super::{
    StoreErrorKind,
    sql::{
        Actions, Chosen, Ended, Placeholders, Row, Sealed, ServerAddress, ServerDatabase,
        SqlDatabase, SqlStore, SqlStoreBuilder, Statement, TableName, TlsWords, Value, Written,
        actions, by_sqlstate, release_to_pool,
    },
};

/// A store in a table of MySQL (8.0 and later) or MariaDB (10.6 and later). Needs the Cargo feature `mysql`, and
/// `mysql-tls` for TLS.
///
/// Reading, changing and touching a session is one statement and one round trip; a rename is two. Expired
/// sessions stay in the table until they are swept with
/// [`delete_expired`](super::SessionStore::delete_expired). Any number of processes may sweep at the same time.
///
/// The user needs the privileges `SELECT`, `INSERT`, `UPDATE` and `DELETE` on the table, and the privilege to
/// create it only if it does not exist.
///
/// # URL
/// `mysql://user:password@host:port/database?parameters`. The store reads the parameter `table`
/// ([`connect`](crate::store::connect()) describes it). The other parameters are `ssl-mode`, `ssl-ca`, `ssl-cert`,
/// `ssl-key`, `socket`, `charset`, `collation`, `timezone`, and `statement-cache-capacity`, the largest number of
/// prepared statements per connection (100). An unknown parameter is an error. A user name or password must be
/// percent-encoded.
///
/// # TLS
/// With the feature `mysql-tls`, the store connects only to a server with TLS whose certificate it can verify: an
/// authority of the system, or the one in `ssl-ca=FILE`, has issued it for the host in the URL. The URL can ask for
/// less:
///
/// | `ssl-mode` | the connection is encrypted | the authority is verified | the name is verified |
/// |---|---|---|---|
/// | `VERIFY_IDENTITY` | yes | yes | yes |
/// | `VERIFY_CA` | yes | yes | no |
/// | `REQUIRED` | yes | no | no |
/// | `PREFERRED` | if the server offers it | no | no |
/// | `DISABLED` | no | no | no |
///
/// `REQUIRED` and `PREFERRED` do not protect against an attacker who can answer in place of the server. On a Unix
/// socket (`socket=PATH`), the default is `DISABLED`. Without the feature, the default is `PREFERRED`, and TLS is not
/// available.
///
/// Without TLS, MySQL 8 accepts only users with the plugin `mysql_native_password`, unless the application
/// enables the feature `mysql-rsa` of `sqlx`.
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
pub type MySqlStore = SqlStore<MySql>;

/// Settings of a [`MySqlStore`].
pub type MySqlStoreBuilder = SqlStoreBuilder<MySql>;

/// The statements of MySQL and MariaDB.
pub struct MySqlStatements {
    insert: Statement,
    version: Statement,
    overwrite_expired: Statement,
    put: Statement,
    leave: Statement,
    remove: Statement,
    sweep: Statement,
}

/// The number of rows that one statement of a sweep deletes. It is small, so that other statements do not wait
/// long for the rows' locks.
const BATCH: i64 = 1000;

const NO_SUCH_TABLE: u16 = 1146;

/// Bytes that are not valid text. The column is a text column, so the table is not one that `migrate` creates.
const NOT_TEXT: [u16; 4] = [1300, 1366, 3854, 3988];

impl Sealed for MySql {}

impl SqlDatabase for MySql {
    const STORE: &'static str = "MySqlStore";
    const ACTIONS: Actions = actions!("MySQL");
    const QUOTE: char = '`';
    const PLACEHOLDERS: Placeholders = Placeholders::Positional;
    const TLS: TlsWords = TlsWords {
        feature: "mysql-tls",
        is_compiled: cfg!(feature = "mysql-tls"),
        authority: "ssl-ca=FILE",
        off: "ssl-mode=DISABLED",
    };

    type Statements = MySqlStatements;
    type Source = ServerAddress;

    fn statements(new: &dyn Fn(&str) -> Statement) -> MySqlStatements {
        MySqlStatements {
            insert: new(
                "INSERT INTO {table} (id, data, version, expires_at) VALUES ($1, $3, $5, $4)",
            ),
            // The other columns are not null if the record has expired.
            version: new(
                "SELECT version, IF(expires_at <= $2, id, NULL), IF(expires_at <= $2, 0, NULL) \
                 FROM {table} WHERE id = $1",
            ),
            overwrite_expired: new(
                "UPDATE {table} SET data = $3, version = version + $5, expires_at = $4, \
                 lock_owner = NULL, lock_until = NULL WHERE id = $1 AND version = $6",
            ),
            put: new("INSERT INTO {table} (id, data, version, expires_at) VALUES ($6, $4, $9, $5)"),
            leave: new(
                "UPDATE {table} SET data = $7, version = $9, expires_at = $8, \
                 lock_owner = NULL, lock_until = NULL \
                 WHERE id = $1 AND version = $3 AND expires_at > $2",
            ),
            remove: new("DELETE FROM {table} WHERE id = $6"),
            // The rows are selected first and then found by their keys one by one. With a condition on a list
            // of keys, MySQL may scan a small table and wait for rows that others have locked.
            sweep: new("DELETE {table} FROM (SELECT id FROM {table} \
                 WHERE expires_at <= LEAST($1, UNIX_TIMESTAMP() * 1000) \
                 ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED) AS expired \
                 STRAIGHT_JOIN {table} ON {table}.id = expired.id"),
        }
    }

    fn ddl(table: &TableName) -> String {
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

    async fn create_table(store: &MySqlStore) -> sqlx::Result<()> {
        // The table is checked first: `CREATE TABLE IF NOT EXISTS` needs the privilege even if it exists.
        match store.execute(&store.shared.columns, &[]).await {
            Err(sqlx::Error::Database(error)) if number(&*error) == Some(NO_SUCH_TABLE) => {
                let ddl = AssertSqlSafe(Self::ddl(&store.table));
                sqlx::raw_sql(ddl).execute(&store.writer).await.map(drop)
            }
            other => other.map(drop),
        }
    }

    fn kind_of(error: &dyn DatabaseError) -> StoreErrorKind {
        match number(error) {
            // A wait for a lock, or a statement, that timed out.
            Some(1205 | 1969 | 3024) => StoreErrorKind::TimedOut,
            // Too many connections of one user. Missing privileges have the same SQLSTATE.
            Some(1203 | 1226) => StoreErrorKind::Unavailable,
            // The disk or the table is full.
            Some(1021 | 1114) => StoreErrorKind::Full,
            // A host that may not connect, an expired password, a locked account; a column that the store does
            // not know and that needs a value, or that does not accept the store's value.
            Some(1130 | 1820 | 1862 | 3118 | 4151 | 1265 | 1364) => StoreErrorKind::Misconfigured,
            Some(number) if NOT_TEXT.contains(&number) => StoreErrorKind::Misconfigured,
            _ => by_sqlstate(error.code().as_deref().unwrap_or_default()),
        }
    }

    /// The message of an error about a value that does not fit its column contains the value: a record or a
    /// key.
    fn quotes_values(error: &dyn DatabaseError) -> bool {
        let state = error.code().unwrap_or_default();
        number(error).is_some_and(|number| NOT_TEXT.contains(&number))
            || ["22", "23"].iter().any(|class| state.starts_with(class))
    }

    fn release(connection: PoolConnection<Self>, ended: Ended<'_>) {
        // `read_only` of the server, and of InnoDB.
        release_to_pool(connection, ended, |error| {
            matches!(number(error), Some(1290 | 1792 | 1836))
        });
    }

    fn rows(result: &Self::QueryResult) -> u64 {
        result.rows_affected()
    }

    async fn upsert(store: &MySqlStore, values: &[Value<'_>]) -> sqlx::Result<Option<i64>> {
        let statements = &store.own;
        let [.., Value::Integer(first)] = *values else {
            unreachable!("the last value is a version");
        };
        loop {
            match store.execute(&statements.insert, values).await {
                Ok(_) => return Ok(Some(first)),
                Err(sqlx::Error::Database(error)) if error.is_unique_violation() => {}
                Err(error) => return Err(error),
            }
            // The key exists. This is rare, because ids are random.
            let expired = match store.fetch(&statements.version, values).await? {
                // A sweep has deleted the record meanwhile.
                None => continue,
                Some(Row { record: None, .. }) => return Ok(None),
                Some(row) => row.version,
            };
            let values = [values, &[Value::Integer(expired)]].concat();
            if store
                .execute(&statements.overwrite_expired, &values)
                .await?
                == 1
            {
                return Ok(Some(expired + first));
            }
        }
    }

    /// Uses two statements, where a transaction would need four: it inserts the new record, updates the old one,
    /// and deletes the new one again if the old one has changed. If the call ends between the two statements,
    /// the new record stays until it expires, under an id that no client knows.
    async fn rename(store: &MySqlStore, values: &[Value<'_>]) -> sqlx::Result<Written> {
        let statements = &store.own;
        store.execute(&statements.put, values).await?;
        match store.execute(&statements.leave, values).await {
            Ok(1) => Ok(Written::Yes),
            Ok(_) => {
                store.execute(&statements.remove, values).await?;
                Ok(Written::Unknown)
            }
            Err(error) => {
                // If the connection broke, the update may have been executed, and then the new record is the
                // session. So the new record is deleted only after an error of the database.
                if matches!(error, sqlx::Error::Database(_)) {
                    store.execute(&statements.remove, values).await?;
                }
                Err(error)
            }
        }
    }

    async fn sweep(store: &MySqlStore, limit: i64, now: i64) -> sqlx::Result<u64> {
        let mut swept = 0;
        loop {
            let batch = BATCH.min(limit.saturating_sub_unsigned(swept));
            let values = [Value::Integer(now), Value::Integer(batch)];
            let deleted = store.execute(&store.own.sweep, &values).await?;
            swept += deleted;
            if deleted < BATCH.unsigned_abs() {
                return Ok(swept);
            }
        }
    }
}

impl ServerDatabase for MySql {
    const PARAMETERS: &'static [&'static str] = &["table"];
    const DRIVER_PARAMETERS: &'static [&'static str] = &[
        "ssl-mode",
        "sslmode",
        "ssl-ca",
        "sslca",
        "ssl-cert",
        "sslcert",
        "ssl-key",
        "sslkey",
        "statement-cache-capacity",
        "socket",
        "charset",
        "collation",
        "timezone",
        "time-zone",
    ];
    const AUTHORITY: &'static [&'static str] = &["ssl-ca", "sslca"];

    fn with_defaults(options: MySqlConnectOptions, tls: Chosen) -> MySqlConnectOptions {
        if tls.mode || !Self::TLS.is_compiled {
            return options;
        }
        // A Unix socket does not leave the machine, and has no name to verify.
        let mode = match options.get_socket() {
            Some(_) => MySqlSslMode::Disabled,
            None => MySqlSslMode::VerifyIdentity,
        };
        options.ssl_mode(mode)
    }

    fn accepts_any_name(options: &MySqlConnectOptions) -> bool {
        matches!(options.get_ssl_mode(), MySqlSslMode::VerifyCa)
    }
}

/// Returns MySQL's error number.
fn number(error: &dyn DatabaseError) -> Option<u16> {
    error
        .try_downcast_ref::<MySqlDatabaseError>()
        .map(MySqlDatabaseError::number)
}
