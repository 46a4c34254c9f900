//! Creating the table, and invalid settings.

use std::{net::TcpListener, sync::Arc, time::Duration};

use poem_session::store::{
    MySqlStore, PostgresStore, SessionStore, SqliteStore,
    StoreErrorKind::{Misconfigured, TimedOut, Unavailable},
};
use poem_session_tests::{
    PATIENCE,
    records::{call_all, create, key, now},
};
use tokio::{task::JoinSet, time::timeout};

use crate::{
    Database, Home, by_url,
    client::{Account, Client},
    load, table, text,
};

crate::on_private_servers!(
    // The test uses many connections.
    Options::new().fast();
    concurrent_processes_create_the_table,
);
crate::on_databases!(the_longest_timeouts_work);
crate::on_servers!(
    a_url_is_enough,
    another_tool_can_create_the_table,
    a_user_without_privileges_can_use_an_existing_table,
    a_missing_table_is_named,
    a_wrong_password_and_a_missing_database_are_misconfigured,
    a_server_that_does_not_listen_is_an_error_in_time,
);

/// Conformance 5.11
async fn the_longest_timeouts_work(home: Home) {
    let store = match home.database {
        Database::Sqlite => {
            let builder = SqliteStore::builder(home.file());
            let builder = builder.busy_timeout(Duration::MAX);
            Arc::new(
                builder
                    .acquire_timeout(Duration::MAX)
                    .open()
                    .await
                    .expect("a file"),
            )
        }
        _ => home.open_at(&home.url, Duration::MAX).await,
    };
    let (id, version) = create(&store, "data").await;
    for result in call_all(&store, id, version, "more").await {
        result.expect("a call that works");
    }
}

async fn concurrent_processes_create_the_table(home: Home) {
    let home = Arc::new(home);
    for _ in 0..3 {
        let url = home.server().new_database().await;
        let mut creating = JoinSet::new();
        for _ in 0..12 {
            let (home, url) = (Arc::clone(&home), url.clone());
            creating.spawn(async move {
                let store = home.open_at(&url, PATIENCE).await;
                create(&store, "data").await;
            });
        }
        creating.join_all().await;
    }
}

async fn a_url_is_enough(home: Home) {
    let store = by_url(&home.url).await.expect("a store");
    let (key, _) = create(&store, "kept").await;
    let other = home
        .url
        .replace("postgres:", "postgresql:")
        .replace("mysql:", "mariadb:");
    let store = by_url(&other).await.expect("the same database");
    assert_eq!(load(&store, key).await.as_deref(), Some("kept"));
}

async fn another_tool_can_create_the_table(home: Home) {
    let client = Client::connect(&home).await;
    let table = table("from \"elsewhere\"");
    client
        .run(match home.database {
            Database::Postgres => PostgresStore::ddl(&table),
            _ => MySqlStore::ddl(&table),
        })
        .await;
    let store: Arc<dyn SessionStore> = client.store(table);
    let (key, _) = create(&store, "kept").await;
    assert_eq!(load(&store, key).await.as_deref(), Some("kept"));
}

async fn a_user_without_privileges_can_use_an_existing_table(home: Home) {
    home.open().await;
    let clerk = Account::create(&home, "clerk").await;
    let store = by_url(&clerk.url).await.expect("the table exists");
    let (key, _) = create(&store, "kept").await;
    assert_eq!(load(&store, key).await.as_deref(), Some("kept"));

    Client::connect(&home)
        .await
        .run("DROP TABLE poem_sessions")
        .await;
    let store = home.connect_to(&clerk.url, PATIENCE).await.expect("a user");
    let error = store.migrate().await.expect_err("no privilege to create");
    assert_eq!(error.kind(), Misconfigured, "{error:?}");
}

async fn a_missing_table_is_named(home: Home) {
    let store = home.connect().await;
    let error = store.load(key(), now()).await.expect_err("no table");
    assert_eq!(error.kind(), Misconfigured, "{error:?}");
    assert!(text(&error).contains("poem_sessions"), "{error:?}");
}

async fn a_wrong_password_and_a_missing_database_are_misconfigured(home: Home) {
    let name = format!("/{}", home.database_name());
    let url = &home.url;
    let password = url.split(['@', ':']).nth(2).expect("a password");
    let wrong_password = url.replace(password, "hunter2-hunter2");
    let wrong_database = url.replace(&name, "/nowhere");
    for url in [wrong_password, wrong_database] {
        let error = by_url(&url).await.expect_err("a refusal");
        assert_eq!(error.kind(), Misconfigured, "{error:?}");
        let text = text(&error);
        assert!(!text.contains("hunter2") && !text.contains(password));
    }
}

async fn a_server_that_does_not_listen_is_an_error_in_time(home: Home) {
    // The port was free a moment ago.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    let (scheme, _) = home.url.split_once(':').expect("a scheme");
    let url = format!("{scheme}://user:hunter2@{address}/sessions");
    let store = home.connect_to(&url, Duration::from_millis(300));
    let store = timeout(PATIENCE, store).await.expect("a call that ends");
    let error = store.expect_err("nothing listens");
    assert!(matches!(error.kind(), TimedOut | Unavailable), "{error:?}");
    assert!(!text(&error).contains("hunter2"), "{error:?}");
}
