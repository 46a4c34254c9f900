//! A database that may be read and not written.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use poem_session::store::{SessionStore as _, SqliteStore, StoreErrorKind};
use poem_session_tests::servers::Options;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};

use crate::{
    Database,
    client::{Account, Client, sqlite_options},
    create, key, now, said,
    site::{Ask, Site},
    write,
};

crate::on_each_database!(what_is_read_only_is_read_and_then_written_again);

/// What makes a server one that may only be read, as a primary that has handed over to its replica.
fn be_read_only(database: Database, is: bool) -> String {
    match database {
        // Connections that are open do not notice, in either direction.
        Database::Postgres => {
            let value = if is { "on" } else { "off" };
            format!("ALTER USER reader SET default_transaction_read_only = {value}")
        }
        Database::MariaDb => format!("SET GLOBAL read_only = {}", u8::from(is)),
    }
}

/// Conformance 5.11, 6.10
async fn what_is_read_only_is_read_and_then_written_again(database: Database) {
    let Some(server) = database.private(Options::new().fast()).await else {
        return;
    };
    database.open(&server.url()).await;
    // Administrators may write all the same.
    let rights = "SELECT, INSERT, UPDATE, DELETE";
    let user = Account::create(database, &server.url(), "reader", rights).await;
    let store = database.open(&user.url).await;
    let site = Site::on(store.clone());
    let mut guest = site.guest().await;
    let client = Client::connect(database, &server.url()).await;
    let records = client.records().await;

    server.run(be_read_only(database, true)).await;
    user.disconnect(&server).await;
    guest.has_counted(1).await;
    site.refuses(&guest, &Ask::WRITES).await;
    guest.has_counted(1).await;
    for _ in 0..10 {
        let error = store.create(key(), write("x"), now()).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error:?}");
        assert!(said(&error).contains("read-only"), "{error:?}");
    }
    // Each of the connections led to a server that may have handed over. None is kept.
    user.is_gone(&server).await;
    assert_eq!(client.records().await, records, "nothing was written");

    server.run(be_read_only(database, false)).await;
    guest.goes_on(1).await;
    create(&store, "written").await;
}

/// Conformance 5.11, 6.10
#[tokio::test(flavor = "multi_thread")]
async fn sqlite_that_is_read_only_is_read_and_then_written_again() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("sessions.db");
    let is = Arc::new(AtomicBool::new(false));
    let pool = SqlitePoolOptions::new().after_connect({
        let is = Arc::clone(&is);
        move |connection, _| {
            let set = is.load(Ordering::SeqCst).then_some("PRAGMA query_only = 1");
            let set = sqlx::raw_sql(set.unwrap_or("PRAGMA query_only = 0"));
            Box::pin(async move { set.execute(connection).await.map(drop) })
        }
    });
    // Each call has a connection of its own, as on a file system that changes under those that are open.
    let pool = pool.after_release(|_, _| Box::pin(async { Ok(false) }));
    let pool = pool.connect_lazy_with(sqlite_options(&file));
    let store = SqliteStore::from_pool(pool);
    store.migrate().await.expect("a table");
    let site = Site::on(Arc::new(store));
    let mut guest = site.guest().await;

    is.store(true, Ordering::SeqCst);
    site.refuses(&guest, &Ask::WRITES).await;
    guest.has_counted(1).await;
    is.store(false, Ordering::SeqCst);
    guest.goes_on(1).await;

    // As on a file system that may only be read.
    let pool = SqlitePoolOptions::new()
        .connect_lazy_with(SqliteConnectOptions::new().filename(&file).read_only(true));
    let store = SqliteStore::from_pool(pool);
    let error = store.create(key(), write("x"), now()).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error:?}");
    assert!(said(&error).contains("readonly"), "{error:?}");
    assert_eq!(store.load(key(), now()).await.expect("a read"), None);
}
