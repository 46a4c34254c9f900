//! Calls that wait for the transaction of another client.

use std::{sync::Arc, time::Duration};

use poem_session::{
    PublicId,
    store::{Rename, Replaced, SessionStore},
};
use poem_session_tests::{
    PATIENCE, eventually,
    records::{create, create_expired, key, now, write},
};
use tokio::{
    sync::Mutex,
    task::JoinHandle,
    time::{sleep, timeout},
};

use crate::{Database, Home, client::Client, load};

crate::on_servers!(
    a_replace_and_a_rename_wait_for_another_write,
    a_sweep_does_not_wait_for_another_sweep,
    a_call_that_a_deadlock_undid_is_repeated,
    clear_removes_a_session_that_is_moving,
);

const CHANGE: &str = "UPDATE poem_sessions SET version = version + 1";
const DELETE: &str = "DELETE FROM poem_sessions";

/// Waits until a client of this database waits for a lock.
async fn somebody_waits<T>(client: &Client, call: &JoinHandle<T>) {
    static TURN: Mutex<()> = Mutex::const_new(());
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
    eventually("the call waits for a lock", async || {
        // InnoDB renews its list of transactions only if nobody has read it for 0.1 s.
        let _turn = TURN.lock().await;
        sleep(Duration::from_millis(150)).await;
        (client.number(waiting).await > 0).then_some(())
    })
    .await;
    assert!(!call.is_finished(), "the call did not wait");
}

/// The other client's write to the record, and whether it commits.
const OTHERS: [(&str, bool); 3] = [(CHANGE, true), (DELETE, true), (CHANGE, false)];

async fn a_replace_and_a_rename_wait_for_another_write(home: Home) {
    let store = home.open().await;
    let client = Client::connect(&home).await;
    for (is_rename, (statement, commits)) in [false, true]
        .into_iter()
        .flat_map(|is_rename| OTHERS.map(|other| (is_rename, other)))
    {
        let (from, version) = create(&store, "first").await;
        let to = key();
        let other = Client::begin(&home).await;
        other.run_on(from, statement).await;
        let call = tokio::spawn({
            let store = Arc::clone(&store);
            async move {
                let new = write("new");
                if is_rename {
                    let rename = Rename::new(from, version, to, new, write("left"));
                    store.rename(rename, now()).await
                } else {
                    store.replace(from, version, new, now()).await
                }
            }
        });
        somebody_waits(&client, &call).await;
        other.run(if commits { "COMMIT" } else { "ROLLBACK" }).await;

        let result = call.await.expect("a call that ends").expect("a result");
        let case = format!("rename: {is_rename}, {statement}, commits: {commits}");
        let expected = match result {
            Replaced::Conflict(current) => {
                assert_eq!((statement, commits), (CHANGE, true), "{case}");
                assert_eq!(current.version, version.next(), "{case}");
                (Some("first"), None)
            }
            Replaced::Gone => {
                assert_eq!((statement, commits), (DELETE, true), "{case}");
                (None, None)
            }
            Replaced::Replaced(_) => {
                assert!(!commits, "{case}");
                if is_rename {
                    (Some("left"), Some("new"))
                } else {
                    (Some("new"), None)
                }
            }
        };
        let found = (load(&store, from).await, load(&store, to).await);
        assert_eq!((found.0.as_deref(), found.1.as_deref()), expected, "{case}");
    }
}

async fn a_sweep_does_not_wait_for_another_sweep(home: Home) {
    let store = home.open().await;
    let held = create_expired(&store).await;
    for _ in 0..5 {
        create_expired(&store).await;
    }
    let other = Client::begin(&home).await;
    other.run_on(held, DELETE).await;
    let sweep = timeout(PATIENCE, store.delete_expired(100, now())).await;
    assert_eq!(sweep.expect("it does not wait").expect("a result"), 5);
    other.run("ROLLBACK").await;
    let swept = store.delete_expired(100, now()).await;
    assert_eq!(swept.expect("a result"), 1);
}

/// Another client moves a session, as a rename does, and commits while `clear` waits for it.
///
/// Conformance 1.27, 6.7
async fn clear_removes_a_session_that_is_moving(home: Home) {
    let store = home.open().await;
    let client = Client::connect(&home).await;
    let old = key();
    let created = store.create(old, write("moving"), now()).await;
    created.expect("a result");
    let other = Client::begin(&home).await;
    let new = client.literal(&[7; 32]);
    other
        .run(format!(
            "INSERT INTO poem_sessions (id, data, version, expires_at) \
             SELECT {new}, data, version, expires_at FROM poem_sessions"
        ))
        .await;
    other.run_on(old, CHANGE).await;
    let clear = {
        let store = Arc::clone(&store);
        tokio::spawn(async move { store.clear().await })
    };
    somebody_waits(&client, &clear).await;
    other.run("COMMIT").await;
    clear.await.expect("a call that ends").expect("it waits");
    assert_eq!(client.records().await, 0);
}

async fn a_call_that_a_deadlock_undid_is_repeated(home: Home) {
    if home.database == Database::Postgres {
        // PostgreSQL undoes the transaction that detects the deadlock, after it has waited for this time. The
        // time of the other client is longer, so that the call is undone.
        let name = home.database_name();
        let wait = format!("ALTER DATABASE {name} SET deadlock_timeout = '10s'");
        home.server().run(wait).await;
    }
    let store = home.open().await;
    let client = Client::connect(&home).await;
    // `clear` deletes the records in the order of the keys, or in that of their creation.
    let [first, last] = [[0; 32], [0xff; 32]].map(PublicId::from_bytes);
    for key in [first, last] {
        let created = store.create(key, write("to be cleared"), now()).await;
        created.expect("a result");
    }
    let other = Client::begin(&home).await;
    if home.database == Database::Postgres {
        other.run("SET LOCAL deadlock_timeout = '1h'").await;
    }
    // InnoDB undoes the transaction with fewer changes.
    for _ in 0..20 {
        other.run_on(last, CHANGE).await;
    }
    let clear = {
        let store = Arc::clone(&store);
        tokio::spawn(async move { store.clear().await })
    };
    somebody_waits(&client, &clear).await;
    // Now each of the two waits for the other.
    other.run_on(first, CHANGE).await;
    other.run("COMMIT").await;
    let cleared = clear.await.expect("a call that ends");
    cleared.expect("the call is repeated");
    assert_eq!(load(&store, first).await, None);
    assert_eq!(load(&store, last).await, None);
}
