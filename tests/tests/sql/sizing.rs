//! The disk space of a session.

use std::sync::Arc;

use poem_session::store::{Created, Replaced, SessionStore as _, Write};
use tokio::task::JoinSet;

use crate::{Database, Home, client::Client};
use poem_session_tests::records::{key, now, write};

crate::on_databases!(bytes_per_session);

const SESSIONS: u32 = 20_000;

/// A record of 100 bytes.
fn record() -> Write {
    Write::new(vec![7; 100], write("").expires_at)
}

/// Returns the size of the table and its indexes, per session.
async fn size(client: &Client) -> i64 {
    let size = match client {
        Client::Postgres(_) => "SELECT pg_total_relation_size('poem_sessions')",
        Client::MariaDb(_) => {
            // MariaDB caches the size of a table.
            client.run("ANALYZE TABLE poem_sessions").await;
            "SELECT CAST(data_length + index_length AS SIGNED) FROM information_schema.tables \
             WHERE table_schema = DATABASE() AND table_name = 'poem_sessions'"
        }
        Client::Sqlite(_) => {
            "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"
        }
    };
    client.number(size).await / client.records().await
}

/// The store creates one session, and the database copies it with random ids and increasing expiry times.
async fn bytes_per_session(home: Home) {
    let store = home.open().await;
    let client = Client::connect(&home).await;
    let created = store.create(key(), record(), now()).await;
    created.expect("a record");
    let (most, id, numbers) = match home.database {
        Database::Postgres => (
            400,
            "sha256(n::text::bytea)",
            format!("generate_series(2, {SESSIONS}) AS n"),
        ),
        Database::MariaDb => (
            600,
            "UNHEX(SHA2(n, 256))",
            format!("(SELECT seq AS n FROM seq_2_to_{SESSIONS}) AS numbers"),
        ),
        Database::Sqlite => (
            350,
            "randomblob(32)",
            format!(
                "(WITH RECURSIVE numbers (n) AS (SELECT 2 UNION ALL SELECT n + 1 FROM numbers \
                 WHERE n < {SESSIONS}) SELECT n FROM numbers) AS numbers"
            ),
        ),
    };
    let copies = format!(
        "INSERT INTO poem_sessions (id, data, version, expires_at) \
         SELECT {id}, data, version, expires_at + n FROM poem_sessions, {numbers}"
    );
    client.run(copies).await;
    assert_eq!(client.records().await, i64::from(SESSIONS));
    let bytes = size(&client).await;
    println!(
        "{}: {bytes} bytes per session of 100 bytes",
        home.database.name()
    );
    // The data, and the key and the expiry in two places each, take at least this much.
    assert!((180..most).contains(&bytes), "{bytes}");
}

/// PostgreSQL writes a new row at each change, and removes the old one later.
#[tokio::test(flavor = "multi_thread")]
async fn bytes_per_changed_session_in_postgres() {
    let Some(home) = Database::Postgres.home().await else {
        return;
    };
    let store = home.open().await;
    let mut writers = JoinSet::new();
    for _ in 0..10 {
        let store = Arc::clone(&store);
        writers.spawn(async move {
            for _ in 0..100 {
                let key = key();
                let created = store.create(key, record(), now()).await;
                let Ok(Created::Created(mut version)) = created else {
                    panic!("{created:?}");
                };
                for _ in 0..10 {
                    let replaced = store.replace(key, version, record(), now()).await;
                    let Ok(Replaced::Replaced(next)) = replaced else {
                        panic!("{replaced:?}");
                    };
                    version = next;
                }
            }
        });
    }
    writers.join_all().await;
    let client = Client::connect(&home).await;
    let bytes = size(&client).await;
    println!("PostgreSQL: {bytes} bytes per session of 100 bytes after ten changes");
    assert!((180..3000).contains(&bytes), "{bytes}");
}
