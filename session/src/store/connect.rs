//! Opens a store by URL.

use std::sync::Arc;

#[cfg(feature = "sqlite")]
use super::parameters::Parameters;
use super::{MemoryStore, SessionStore, StoreError, StoreErrorKind};

const ACTION: &str = "opening a session store by URL";

/// Opens a store by URL, and creates its table if it does not exist.
///
/// | URL | store | Cargo feature |
/// |---|---|---|
/// | `memory:` | [`MemoryStore`] | – |
/// | `sqlite:PATH` | `SqliteStore` | `sqlite` |
/// | `postgres://…`, `postgresql://…` | `PostgresStore` | `postgres` |
/// | `mysql://…`, `mariadb://…` | `MySqlStore` | `mysql` |
/// | `redis://…`, `rediss://…` (TLS), `valkey://…` | `RedisStore` | `redis`, `redis-tls` |
/// | `redis+cluster://…`, `redis+sentinel://…` | `RedisStore` | `redis` |
///
/// The path of a SQLite file is relative to the current directory, unless it is absolute:
/// `sqlite:sessions.db`. It is not percent-decoded. A path that contains `?` needs the store's builder.
///
/// # Parameters
/// Parameters follow the URL, as in `postgres://shop@db/shop?table=shop_sessions&sslmode=verify-ca`. Their values are
/// percent-decoded. For other settings, use the store's builder.
///
/// | parameter | stores | meaning | default |
/// |---|---|---|---|
/// | `table` | SQLite, PostgreSQL, MySQL | the table: `TABLE`, or `SCHEMA.TABLE` except in SQLite | `poem_sessions` |
/// | `prefix` | Redis | the prefix of all keys | `poem-session:` |
/// | `pool_mode` | PostgreSQL | `session`, or `transaction` behind a pooler in that mode | `session` |
/// | `sslmode` | PostgreSQL | `verify-full`, `verify-ca`, `require`, `prefer` or `disable` | `verify-full`, with the feature `postgres-tls` |
/// | `sslrootcert` | PostgreSQL | a file with the certificate of an authority to trust, in addition to the system's | – |
/// | `ssl-mode` | MySQL | `VERIFY_IDENTITY`, `VERIFY_CA`, `REQUIRED`, `PREFERRED` or `DISABLED` | `VERIFY_IDENTITY`, with the feature `mysql-tls` |
/// | `ssl-ca` | MySQL | a file with the certificate of an authority to trust, in addition to the system's | – |
/// | `protocol` | Redis | `resp2` or `resp3` | `resp2` |
///
/// `PostgresStore` and `MySqlStore` list the parameters that only they have, and `RedisStore::connect` those of Sentinel
/// and of Unix sockets.
///
/// Two applications on one database need a `table` each, and two on one Redis server a `prefix` each. Otherwise they
/// share their sessions, and [`Sessions::clear`](crate::Sessions::clear) of one removes those of both.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let store = poem_session::store::connect("memory:").await?;
/// # Ok::<(), poem_session::store::StoreError>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`Misconfigured`](StoreErrorKind::Misconfigured) if the URL's scheme is unknown, the Cargo feature of the
/// store is off, or the URL has a parameter that the store does not know; otherwise any error of opening the store.
/// An error names the scheme and the unknown parameter. No error quotes another part of the URL, because it may
/// contain a password.
pub async fn connect(url: &str) -> Result<Arc<dyn SessionStore>, StoreError> {
    let Some((scheme, rest)) = url.split_once(':') else {
        return Err(misconfigured(format!("the URL has no scheme; {KNOWN}")));
    };
    match scheme {
        "memory" if rest.is_empty() || rest == "//" => Ok(Arc::new(MemoryStore::new())),
        "memory" => Err(misconfigured("`memory:` must end after the colon")),
        #[cfg(feature = "sqlite")]
        "sqlite" => sqlite(rest).await,
        #[cfg(not(feature = "sqlite"))]
        "sqlite" => Err(feature_is_off(scheme, "sqlite")),
        #[cfg(feature = "postgres")]
        "postgres" | "postgresql" => postgres(url).await,
        #[cfg(not(feature = "postgres"))]
        "postgres" | "postgresql" => Err(feature_is_off(scheme, "postgres")),
        #[cfg(feature = "mysql")]
        "mysql" | "mariadb" => mysql(url).await,
        #[cfg(not(feature = "mysql"))]
        "mysql" | "mariadb" => Err(feature_is_off(scheme, "mysql")),
        #[cfg(feature = "redis")]
        _ if is_redis(scheme) => Ok(Arc::new(super::RedisStore::connect(url).await?)),
        #[cfg(not(feature = "redis"))]
        _ if is_redis(scheme) => Err(feature_is_off(scheme, "redis")),
        _ => Err(unknown(scheme, rest)),
    }
}

fn is_redis(scheme: &str) -> bool {
    let family = scheme.split_once('+').map_or(scheme, |(family, _)| family);
    matches!(family, "redis" | "rediss" | "valkey" | "valkeys")
}

const KNOWN: &str = "known schemes are memory:, sqlite:, postgres:, mysql:, redis:, redis+cluster: and redis+sentinel:";

#[cfg(feature = "sqlite")]
async fn sqlite(rest: &str) -> Result<Arc<dyn SessionStore>, StoreError> {
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let mut parameters = Parameters::parse(query, &["table"], &[]).map_err(misconfigured)?;
    // `sqlite:///var/db` and `sqlite://db` are the same as `sqlite:/var/db` and `sqlite:db`.
    let path = path.strip_prefix("//").unwrap_or(path);
    if path.is_empty() {
        return Err(misconfigured(
            "`sqlite:` must be followed by the path of a file",
        ));
    }
    let mut builder = super::SqliteStore::builder(path);
    if let Some(table) = parameters.take("table") {
        builder = builder.table(super::TableName::parse(&table)?);
    }
    Ok(Arc::new(builder.open().await?))
}

#[cfg(feature = "postgres")]
async fn postgres(url: &str) -> Result<Arc<dyn SessionStore>, StoreError> {
    let store = super::PostgresStore::connect(url).await?;
    store.migrate().await?;
    Ok(Arc::new(store))
}

#[cfg(feature = "mysql")]
async fn mysql(url: &str) -> Result<Arc<dyn SessionStore>, StoreError> {
    let store = super::MySqlStore::connect(url).await?;
    store.migrate().await?;
    Ok(Arc::new(store))
}

/// Creates the error for a store whose Cargo feature is off.
#[cfg(not(all(
    feature = "sqlite",
    feature = "postgres",
    feature = "mysql",
    feature = "redis"
)))]
fn feature_is_off(scheme: &str, feature: &str) -> StoreError {
    misconfigured(format!(
        "`{scheme}:` needs the Cargo feature `{feature}` of poem-session"
    ))
}

fn unknown(scheme: &str, rest: &str) -> StoreError {
    // Text before a colon may be a user name, unless the whole looks like a URL.
    if rest.starts_with("//") && scheme.bytes().all(is_scheme_byte) {
        misconfigured(format!("no store has the scheme `{scheme}:`; {KNOWN}"))
    } else {
        misconfigured(format!("the URL has no known scheme; {KNOWN}"))
    }
}

fn is_scheme_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.')
}

fn misconfigured(why: impl Into<String>) -> StoreError {
    StoreError::new(StoreErrorKind::Misconfigured, ACTION).with_source(why.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn refusal(url: &str) -> String {
        let error = connect(url).await.expect_err(url);
        assert_eq!(error.kind(), StoreErrorKind::Misconfigured, "{url}");
        format!("{error:?}")
    }

    #[tokio::test]
    async fn opens_a_memory_store() {
        for url in ["memory:", "memory://"] {
            let store = connect(url).await.expect(url);
            assert!(format!("{store:?}").starts_with("MemoryStore"), "{store:?}");
        }
        refusal("memory:x").await;
    }

    #[tokio::test]
    async fn an_error_names_the_scheme_and_never_the_url() {
        assert!(
            refusal("mongodb://u:hunter2@host/db")
                .await
                .contains("`mongodb:`")
        );
        for url in [
            "mongodb://u:hunter2@host/db",
            "hunter2",
            "hunter2:5432/db",
            "memory:hunter2",
            "",
            ":",
            "//hunter2",
        ] {
            let text = refusal(url).await;
            assert!(!text.contains("hunter2"), "{text}");
            assert!(text.contains("memory:"), "{text}");
        }
    }

    #[cfg(feature = "sqlite")]
    #[tokio::test]
    async fn opens_a_sqlite_file() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("sessions.db");
        for slashes in ["", "//"] {
            let url = format!("sqlite:{slashes}{}", file.display());
            let store = connect(&url).await.expect("a file");
            assert!(format!("{store:?}").starts_with("SqliteStore"), "{store:?}");
        }
        assert!(file.exists());
        for url in [
            "sqlite:",
            "sqlite://",
            "sqlite::memory:",
            "sqlite://:memory:",
        ] {
            refusal(url).await;
        }
        let missing = directory.path().join("missing/sessions.db");
        refusal(&format!("sqlite:{}", missing.display())).await;
    }

    #[cfg(feature = "sqlite")]
    #[tokio::test]
    async fn a_sqlite_url_can_name_the_table() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("a#b.db");
        let url = format!("sqlite:{}", file.display());
        let store = connect(&format!("{url}?table=shop%20sessions")).await;
        let text = format!("{:?}", store.expect("a file"));
        assert!(text.contains("shop sessions"), "{text}");
        assert!(file.exists(), "a `#` is part of the path");
        for (parameter, words) in [
            (
                "tabel=x",
                "the unknown parameter `tabel`; known parameters are table",
            ),
            ("pool_mode=session", "the unknown parameter `pool_mode`"),
            ("table=app.sessions", "SQLite has no schemas"),
            ("table=", "1 to 50 bytes"),
        ] {
            let text = refusal(&format!("{url}?{parameter}")).await;
            assert!(text.contains(words), "{text}");
        }
    }

    #[cfg(any(feature = "postgres", feature = "mysql"))]
    #[tokio::test]
    async fn an_invalid_server_url_is_not_quoted() {
        for url in [
            #[cfg(feature = "postgres")]
            "postgres://u:hunter2@host:hunter2/db",
            #[cfg(feature = "postgres")]
            "postgres://u@host/db?sslmode=hunter2",
            #[cfg(feature = "mysql")]
            "mysql://u:hunter2@host:hunter2/db",
            #[cfg(feature = "mysql")]
            "mysql://u@host/db?ssl-mode=hunter2",
            #[cfg(feature = "postgres")]
            "postgres://u:pass?hunter2@host/db",
            #[cfg(feature = "mysql")]
            "mysql://u:pass?hunter2=x@host/db",
            #[cfg(feature = "postgres")]
            "postgres://u@host/db?sslrootcert=/hunter2/missing",
            #[cfg(feature = "mysql")]
            "mysql://u@host/db?table=a&table=hunter2",
        ] {
            let text = refusal(url).await;
            assert!(!text.contains("hunter2"), "{text}");
        }
    }

    #[cfg(not(any(feature = "sqlite", feature = "postgres", feature = "mysql")))]
    #[tokio::test]
    async fn an_error_names_the_feature_that_is_off() {
        for (url, feature) in [
            ("sqlite:hunter2", "`sqlite`"),
            ("postgresql://u:hunter2@host/db", "`postgres`"),
            ("mariadb://u:hunter2@host/db", "`mysql`"),
        ] {
            let text = refusal(url).await;
            assert!(text.contains(feature), "{text}");
            assert!(!text.contains("hunter2"), "{text}");
        }
    }
}
