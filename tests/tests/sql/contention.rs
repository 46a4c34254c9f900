//! What a call makes of another transaction that it had to wait for.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use poem_session::{
    PublicId,
    store::{Rename, Replaced, SessionStore, Version},
};
use tokio::{sync::Mutex, task::JoinHandle, time::sleep};

use crate::{Database, PATIENCE, client::Client, create, key, load, now, write};

crate::on_each_database!(
    a_replace_waits_for_who_came_first,
    a_rename_waits_for_who_came_first,
    a_sweep_does_not_wait,
    what_was_undone_in_a_deadlock_is_done_again,
);

/// Another client of the database, in a transaction that holds a record.
pub(crate) enum Other {
    Postgres(sqlx::Transaction<'static, sqlx::Postgres>),
    MariaDb(sqlx::Transaction<'static, sqlx::MySql>),
}

impl Other {
    pub(crate) async fn begin(database: Database, url: &str) -> Self {
        match database {
            Database::Postgres => {
                let pool = sqlx::PgPool::connect(url).await.expect("it answers");
                Self::Postgres(pool.begin().await.expect("a transaction"))
            }
            Database::MariaDb => {
                let pool = sqlx::MySqlPool::connect(url).await.expect("it answers");
                Self::MariaDb(pool.begin().await.expect("a transaction"))
            }
        }
    }

    /// Runs a statement on all records.
    pub(crate) async fn run_on_all(&mut self, statement: &'static str) {
        match self {
            Self::Postgres(transaction) => {
                let query = sqlx::query(statement);
                query.execute(&mut **transaction).await.map(drop)
            }
            Self::MariaDb(transaction) => {
                let query = sqlx::query(statement);
                query.execute(&mut **transaction).await.map(drop)
            }
        }
        .expect("a statement that the database understands");
    }

    /// Runs a statement that ends with the key.
    async fn run(&mut self, statement: &'static str, key: PublicId) {
        let key = key.as_bytes().to_vec();
        match self {
            Self::Postgres(transaction) => {
                let statement = sqlx::AssertSqlSafe(format!("{statement} = $1"));
                let query = sqlx::query(statement).bind(key);
                query.execute(&mut **transaction).await.map(drop)
            }
            Self::MariaDb(transaction) => {
                let statement = sqlx::AssertSqlSafe(format!("{statement} = ?"));
                let query = sqlx::query(statement).bind(key);
                query.execute(&mut **transaction).await.map(drop)
            }
        }
        .expect("a statement that the database understands");
    }

    async fn commit(self) {
        match self {
            Self::Postgres(transaction) => transaction.commit().await,
            Self::MariaDb(transaction) => transaction.commit().await,
        }
        .expect("a commit");
    }

    pub(crate) async fn rollback(self) {
        match self {
            Self::Postgres(transaction) => transaction.rollback().await,
            Self::MariaDb(transaction) => transaction.rollback().await,
        }
        .expect("a rollback");
    }
}

const CHANGE: &str = "UPDATE poem_sessions SET version = version + 1 WHERE id";
const END: &str = "DELETE FROM poem_sessions WHERE id";

/// What the other does with the record while the call waits for it.
#[derive(Clone, Copy, Debug)]
enum Does {
    Changes,
    Ends,
    Nothing,
}

/// Waits until a client of this database waits for another one.
async fn somebody_waits(client: &Client) {
    let waiting = match client {
        Client::Postgres(_) => {
            "SELECT count(*) FROM pg_stat_activity \
             WHERE wait_event_type = 'Lock' AND datname = current_database()"
        }
        _ => {
            "SELECT count(*) FROM information_schema.innodb_trx \
             JOIN information_schema.processlist ON id = trx_mysql_thread_id \
             WHERE trx_state = 'LOCK WAIT' AND db = DATABASE()"
        }
    };
    let begun = Instant::now();
    loop {
        // What InnoDB says of transactions is renewed only when nobody has asked for a tenth of a second.
        let _turn = TURN.lock().await;
        sleep(Duration::from_millis(150)).await;
        if client.number(waiting).await > 0 {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "it did not wait");
    }
}

static TURN: Mutex<()> = Mutex::const_new(());

/// Starts the call while the other holds the record, sees that it waits, and lets it go on.
async fn meanwhile<T: Send + 'static>(
    client: &Client,
    mut other: Other,
    does: Does,
    key: PublicId,
    call: impl FnOnce() -> JoinHandle<T>,
) -> T {
    other
        .run(if let Does::Ends = does { END } else { CHANGE }, key)
        .await;
    let call = call();
    somebody_waits(client).await;
    assert!(!call.is_finished(), "it did not wait");
    match does {
        Does::Nothing => other.rollback().await,
        _ => other.commit().await,
    }
    call.await.expect("a call that ends")
}

fn matches_what_was_done(does: Does, answer: &Replaced, before: Version) {
    match (does, answer) {
        (Does::Changes, Replaced::Conflict(current)) => {
            assert_eq!(current.version, before.next(), "what it was changed to");
        }
        (Does::Ends, Replaced::Gone) | (Does::Nothing, Replaced::Replaced(_)) => {}
        (does, answer) => panic!("the other {does:?}, and the answer is {answer:?}"),
    }
}

async fn a_replace_waits_for_who_came_first(database: Database) {
    let Some(server) = database.shared().await else {
        return;
    };
    let url = server.new_database().await;
    let store = database.open(&url).await;
    let client = Client::connect(database, &url).await;
    for does in [Does::Changes, Does::Ends, Does::Nothing] {
        let (key, version) = create(&store, "first").await;
        let other = Other::begin(database, &url).await;
        let call = || {
            let store = Arc::clone(&store);
            tokio::spawn(async move { store.replace(key, version, write("second"), now()).await })
        };
        let answer = meanwhile(&client, other, does, key, call).await;
        let answer = answer.expect("an answer");
        matches_what_was_done(does, &answer, version);
        let expected = match does {
            Does::Changes => Some("first"),
            Does::Ends => None,
            Does::Nothing => Some("second"),
        };
        assert_eq!(load(&store, key).await.as_deref(), expected, "{does:?}");
    }
}

async fn a_rename_waits_for_who_came_first(database: Database) {
    let Some(server) = database.shared().await else {
        return;
    };
    let url = server.new_database().await;
    let store = database.open(&url).await;
    let client = Client::connect(database, &url).await;
    for does in [Does::Changes, Does::Ends, Does::Nothing] {
        let (from, version) = create(&store, "first").await;
        let to = key();
        let other = Other::begin(database, &url).await;
        let call = || {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let rename = Rename::new(from, version, to, write("renamed"), write("left"));
                store.rename(rename, now()).await
            })
        };
        let answer = meanwhile(&client, other, does, from, call).await;
        let answer = answer.expect("an answer");
        matches_what_was_done(does, &answer, version);
        let (old, new) = match does {
            Does::Changes => (Some("first"), None),
            Does::Ends => (None, None),
            Does::Nothing => (Some("left"), Some("renamed")),
        };
        assert_eq!(load(&store, from).await.as_deref(), old, "{does:?}, old");
        assert_eq!(load(&store, to).await.as_deref(), new, "{does:?}, new");
    }
}

/// Another process that sweeps holds the records that it is about to delete.
async fn a_sweep_does_not_wait(database: Database) {
    let Some(server) = database.shared().await else {
        return;
    };
    let url = server.new_database().await;
    let store = database.open(&url).await;
    let (held, _) = create(&store, "dead").await;
    for _ in 0..5 {
        create(&store, "dead").await;
    }
    let mut other = Other::begin(database, &url).await;
    other.run(END, held).await;
    let later = now().saturating_add(Duration::from_hours(1));
    let swept = store.delete_expired(100, later);
    let swept = tokio::time::timeout(PATIENCE, swept).await;
    assert_eq!(swept.expect("it waited").expect("an answer"), 5);
    other.rollback().await;
    let swept = store.delete_expired(100, later).await;
    assert_eq!(swept.expect("an answer"), 1);
}

async fn what_was_undone_in_a_deadlock_is_done_again(database: Database) {
    let Some(server) = database.shared().await else {
        return;
    };
    let url = server.new_database().await;
    if let Database::Postgres = database {
        // A connection that waits looks for a deadlock once, after this time, and is then the one that is
        // undone. The call's does that when the other waits, too, and the other's does not.
        let name = url.rsplit('/').next().expect("a name");
        let patient = format!("ALTER DATABASE {name} SET deadlock_timeout = '10s'");
        server.run(patient).await;
    }
    let store = database.open(&url).await;
    let client = Client::connect(database, &url).await;
    // The whole table is deleted in the order of the keys, or in that of their coming.
    let [first, last] = [[0; 32], [0xff; 32]].map(PublicId::from_bytes);
    for key in [first, last] {
        let created = store.create(key, write("doomed"), now()).await;
        created.expect("an answer");
    }
    let mut other = Other::begin(database, &url).await;
    if let Database::Postgres = database {
        other.run_on_all("SET LOCAL deadlock_timeout = '1h'").await;
    }
    // More work than the call's, as the database would rather undo the lesser.
    for _ in 0..20 {
        other.run(CHANGE, last).await;
    }
    let call = {
        let store = Arc::clone(&store);
        tokio::spawn(async move { store.clear().await })
    };
    somebody_waits(&client).await;
    assert!(!call.is_finished(), "it did not wait");
    // Now each waits for the other.
    other.run(CHANGE, first).await;
    other.commit().await;
    let cleared = call.await.expect("a call that ends");
    cleared.expect("what was undone is tried again");
    assert_eq!(load(&store, first).await, None);
    assert_eq!(load(&store, last).await, None);
}
