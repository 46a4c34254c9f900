//! How much room a session takes.

use std::sync::Arc;

use poem_session::store::{Created, Replaced, SessionStore, Write};
use tokio::task::JoinSet;

use crate::{Database, client::Client, key, now, sqlite_file, write};

crate::on_each_database!(bytes_a_session);

const SESSIONS: u32 = 20_000;

/// A record of 100 bytes.
fn record() -> Write {
    Write::new(vec![7; 100], write("").expires_at)
}

/// What the table and its indexes take in all, for each session.
async fn each(client: &Client) -> i64 {
    let size = match client {
        Client::Postgres(_) => "SELECT pg_total_relation_size('poem_sessions')",
        Client::MariaDb(_) => {
            // What the server knows of a table's size may be old.
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

async fn bytes_a_session(database: Database) {
    let Some(server) = database.shared().await else {
        return;
    };
    let url = server.new_database().await;
    let store = database.open(&url).await;
    let client = Client::connect(database, &url).await;
    let most = match database {
        Database::Postgres => 400,
        Database::MariaDb => 600,
    };
    takes_at_most(most, database.name(), store, client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_a_session_in_sqlite() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("sessions.db");
    let store = sqlite_file(&file).open().await.expect("a new file");
    let client = Client::open(&file).await;
    takes_at_most(350, "SQLite", Arc::new(store), client).await;
}

/// A store writes one session, and the database itself many like it: ids are random, and ends come one
/// after the other.
async fn takes_at_most(most: i64, name: &str, store: Arc<dyn SessionStore>, client: Client) {
    store
        .create(key(), record(), now())
        .await
        .expect("an answer");
    let numbers = format!(
        "(WITH RECURSIVE numbers (n) AS (SELECT 2 UNION ALL SELECT n + 1 FROM numbers \
         WHERE n < {SESSIONS}) SELECT n FROM numbers) AS numbers"
    );
    let (id, numbers) = match client {
        Client::Postgres(_) => ("sha256(n::text::bytea)", numbers),
        Client::MariaDb(_) => {
            let numbers = format!("(SELECT seq AS n FROM seq_2_to_{SESSIONS}) AS numbers");
            ("UNHEX(SHA2(n, 256))", numbers)
        }
        Client::Sqlite(_) => ("randomblob(32)", numbers),
    };
    let copies = format!(
        "INSERT INTO poem_sessions (id, data, version, expires_at) \
         SELECT {id}, data, version, expires_at + n FROM poem_sessions, {numbers}"
    );
    client.run(copies).await;
    assert_eq!(client.records().await, i64::from(SESSIONS));
    let bytes = each(&client).await;
    println!("{name}: {bytes} bytes for each session of 100 bytes");
    // A record, its key twice, its end twice and its version cannot take less.
    assert!((180..most).contains(&bytes), "{bytes}");
}

/// PostgreSQL writes a row anew with each change, and clears away later.
#[tokio::test(flavor = "multi_thread")]
async fn bytes_a_session_that_changes_in_postgres() {
    let Some(server) = Database::Postgres.shared().await else {
        return;
    };
    let url = server.new_database().await;
    let store = Database::Postgres.open(&url).await;
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
    let client = Client::connect(Database::Postgres, &url).await;
    let bytes = each(&client).await;
    println!("PostgreSQL: {bytes} bytes for each session of 100 bytes that was changed ten times");
    assert!((180..3000).contains(&bytes), "{bytes}");
}
