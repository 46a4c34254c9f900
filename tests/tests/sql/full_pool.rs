//! A pool whose connections are all in use.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use poem_session::store::{MySqlStore, PostgresStore, SessionStore, SqliteStore, StoreErrorKind};
use sqlx::{
    Database as Driver, Pool, mysql::MySqlPoolOptions, pool::PoolOptions, postgres::PgPoolOptions,
    sqlite::SqlitePoolOptions,
};
use tokio::{task::JoinSet, time::sleep};

use crate::{
    BRIEF, Database, LIMIT, PATIENCE,
    client::sqlite_options,
    contention::Other,
    key, now, said,
    site::{Ask, Site, Visitor},
    sqlite_file,
};

crate::on_each_database!(
    a_pool_that_the_application_has_used_up_is_an_error_in_time,
    requests_that_wait_for_a_lock_hold_up_the_others_no_longer_than_they_may,
);

const CONNECTIONS: u32 = 2;

/// The settings of a small pool of the application's own.
fn small<DB: Driver>() -> PoolOptions<DB> {
    PoolOptions::new()
        .max_connections(CONNECTIONS)
        .acquire_timeout(BRIEF)
}

async fn a_pool_that_the_application_has_used_up_is_an_error_in_time(database: Database) {
    let Some(server) = database.shared().await else {
        return;
    };
    let url = server.new_database().await;
    database.open(&url).await;
    match database {
        Database::Postgres => {
            let pool = PgPoolOptions::connect(small(), &url).await;
            let pool = pool.expect("the server answers");
            used_up(PostgresStore::from_pool(pool.clone()), pool).await;
        }
        Database::MariaDb => {
            let pool = MySqlPoolOptions::connect(small(), &url).await;
            let pool = pool.expect("the server answers");
            used_up(MySqlStore::from_pool(pool.clone()), pool).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sqlite_pool_that_the_application_has_used_up_is_an_error_in_time() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("sessions.db");
    // A new file takes its time.
    let made = sqlite_file(&file).open().await.expect("a file");
    made.close().await;
    let pool = SqlitePoolOptions::connect_with(small(), sqlite_options(&file)).await;
    let pool = pool.expect("a file");
    let store = SqliteStore::from_pool(pool.clone());
    used_up(store, pool).await;
}

/// Conformance 5.11, 6.10
async fn used_up<DB: Driver>(store: impl SessionStore, pool: Pool<DB>) {
    let store: Arc<dyn SessionStore> = Arc::new(store);
    let site = Site::on(Arc::clone(&store));
    let guest = site.guest().await;
    let mut held = Vec::new();
    for _ in 0..CONNECTIONS {
        held.push(pool.acquire().await.expect("a free connection"));
    }
    let refused = site.refuses(&guest, &Ask::ALL);
    let (loaded, ()) = tokio::join!(store.load(key(), now()), refused);
    let error = loaded.expect_err("all are taken");
    assert_eq!(error.kind(), StoreErrorKind::TimedOut, "{error:?}");
    assert!(said(&error).contains("all are in use"), "{error:?}");
    drop(held);
    guest.goes_on(1).await;
}

/// Another client holds the record of a session in a transaction that does not end. The requests of that
/// session take up all connections of the store.
///
/// Conformance 5.11, 6.10
async fn requests_that_wait_for_a_lock_hold_up_the_others_no_longer_than_they_may(
    database: Database,
) {
    let Some(server) = database.shared().await else {
        return;
    };
    let url = server.new_database().await;
    database.open(&url).await;
    let store: Arc<dyn SessionStore> = match database {
        Database::Postgres => {
            let pool = PgPoolOptions::connect(small(), &url).await;
            Arc::new(PostgresStore::from_pool(pool.expect("it answers")))
        }
        Database::MariaDb => {
            let pool = MySqlPoolOptions::connect(small(), &url).await;
            Arc::new(MySqlStore::from_pool(pool.expect("it answers")))
        }
    };
    let site = Site::with_timeout(store, LIMIT);
    let mut other_guest = site.guest().await;
    let guest = site.guest().await;
    let mut holder = Other::begin(database, &url).await;
    holder
        .run_on_all("UPDATE poem_sessions SET version = version")
        .await;

    let count = |mut guest: Visitor| async move { guest.ask(Ask::Count).await };
    let begun = Instant::now();
    loop {
        let mut waiting: JoinSet<_> = (0..CONNECTIONS).map(|_| count(guest.clone())).collect();
        sleep(Duration::from_millis(300)).await;
        let reply = other_guest.ask(Ask::Look).await;
        while let Some(reply) = waiting.join_next().await {
            reply.expect("a request that ends").is_refused();
        }
        if reply.is_refusal() {
            break reply.is_refused();
        }
        // On a busy machine the connections may not have been taken yet, or not any more.
        assert!(begun.elapsed() < PATIENCE, "{reply:?}");
    }
    // The statements of those who gave up wait on in the server, and not in the pool.
    other_guest.has_counted(1).await;
    holder.rollback().await;
    other_guest.goes_on(1).await;
    drop(guest);
}
