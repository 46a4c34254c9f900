//! Creating the table, and settings that are wrong.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use poem_session::store::{
    MySqlStore, PostgresStore, SessionStore, StoreError, StoreErrorKind, TableName, connect,
};
use poem_session_tests::servers::Options;
use tokio::{task::JoinSet, time::timeout};

use crate::{Database, PATIENCE, client::Account, create, key, load, now, said};

crate::on_each_database!(
    many_may_create_the_table_together,
    the_address_alone_is_enough,
    the_statements_are_there_for_other_tools,
    a_user_without_rights_may_use_what_is_there,
    a_missing_table_is_said,
    what_the_server_refuses_is_misconfigured,
    nobody_there_is_an_error_in_time,
);

async fn many_may_create_the_table_together(database: Database) {
    // A server of its own: others would use up the connections that it accepts.
    let Some(server) = database.private(Options::new().fast()).await else {
        return;
    };
    for _ in 0..3 {
        let url = server.new_database().await;
        let mut creating = JoinSet::new();
        for _ in 0..12 {
            let url = url.clone();
            creating.spawn(async move {
                let store = database.connect(&url, TableName::default()).await;
                let store = store.expect("the server answers");
                store.migrate().await.expect("a table");
                create(&store.sessions(), "by one of many").await;
            });
        }
        creating.join_all().await;
    }
}

/// A store of the default settings. A machine that is busy for as long as these wait is asked again.
async fn by_address(url: &str) -> Result<Arc<dyn SessionStore>, StoreError> {
    let begun = Instant::now();
    loop {
        match connect(url).await {
            Err(error) if error.kind() == StoreErrorKind::TimedOut => {
                assert!(begun.elapsed() < PATIENCE, "{error:?}");
            }
            done => return done,
        }
    }
}

async fn the_address_alone_is_enough(database: Database) {
    let Some(server) = database.shared().await else {
        return;
    };
    let url = server.new_database().await;
    let store = by_address(&url).await.expect("the server answers");
    let (key, _) = create(&store, "kept").await;
    let other = url
        .replace("postgres:", "postgresql:")
        .replace("mysql:", "mariadb:");
    let store = by_address(&other).await.expect("the same database");
    assert_eq!(load(&store, key).await.as_deref(), Some("kept"));
}

async fn the_statements_are_there_for_other_tools(database: Database) {
    let Some(server) = database.shared().await else {
        return;
    };
    let (url, table) = (server.new_database().await, "from \"elsewhere\"");
    let table = TableName::new(table).expect("a name");
    let store = database.connect(&url, table.clone()).await;
    let store = store.expect("the server answers").sessions();
    match database {
        Database::Postgres => {
            let pool = sqlx::PgPool::connect(&url).await.expect("it answers");
            let ddl = sqlx::AssertSqlSafe(PostgresStore::ddl(&table));
            sqlx::raw_sql(ddl).execute(&pool).await.map(drop)
        }
        Database::MariaDb => {
            let pool = sqlx::MySqlPool::connect(&url).await.expect("it answers");
            let ddl = sqlx::AssertSqlSafe(MySqlStore::ddl(&table));
            sqlx::raw_sql(ddl).execute(&pool).await.map(drop)
        }
    }
    .expect("statements that the database understands");
    let (key, _) = create(&store, "kept").await;
    assert_eq!(load(&store, key).await.as_deref(), Some("kept"));
}

async fn a_user_without_rights_may_use_what_is_there(database: Database) {
    let Some(server) = database.shared().await else {
        return;
    };
    let url = server.new_database().await;
    database.open(&url).await;
    let rights = "SELECT, INSERT, UPDATE, DELETE";
    let clerk = Account::create(database, &url, "clerk", rights).await;
    let store = by_address(&clerk.url).await.expect("the table is there");
    let (key, _) = create(&store, "kept").await;
    assert_eq!(load(&store, key).await.as_deref(), Some("kept"));

    let other = TableName::new("another").expect("a name");
    let store = database.connect(&clerk.url, other).await.expect("a user");
    let error = store.migrate().await.expect_err("no right to create");
    assert_eq!(error.kind(), StoreErrorKind::Misconfigured, "{error:?}");
}

async fn a_missing_table_is_said(database: Database) {
    let Some(server) = database.shared().await else {
        return;
    };
    let url = server.new_database().await;
    let store = database.connect(&url, TableName::default()).await;
    let store = store.expect("the server answers").sessions();
    let error = store.load(key(), now()).await.expect_err("no table");
    assert_eq!(error.kind(), StoreErrorKind::Misconfigured, "{error:?}");
    assert!(said(&error).contains("poem_sessions"), "{error:?}");
}

async fn what_the_server_refuses_is_misconfigured(database: Database) {
    let Some(server) = database.shared().await else {
        return;
    };
    let url = server.url();
    let password = url.split(['@', ':']).nth(2).expect("a password");
    let wrong_password = url.replace(password, "hunter2-hunter2");
    let (start, _) = url.rsplit_once('/').expect("a database");
    for url in [wrong_password, format!("{start}/nowhere")] {
        let error = by_address(&url).await.expect_err("a refusal");
        assert_eq!(error.kind(), StoreErrorKind::Misconfigured, "{error:?}");
        let said = said(&error);
        assert!(
            !said.contains("hunter2") && !said.contains(password),
            "{said}"
        );
    }
}

async fn nobody_there_is_an_error_in_time(database: Database) {
    let scheme = match database {
        Database::Postgres => "postgres",
        Database::MariaDb => "mysql",
    };
    // The port is one that nobody listens on, as it is taken from whoever did.
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = free.local_addr().expect("an address");
    drop(free);
    let url = format!("{scheme}://user:hunter2@{address}/sessions");
    let patience = Duration::from_millis(300);
    let store = database.connect_within(patience, &url, TableName::default());
    let store = timeout(PATIENCE, store).await.expect("an answer");
    let error = store.expect_err("nobody is there");
    assert!(
        matches!(
            error.kind(),
            StoreErrorKind::TimedOut | StoreErrorKind::Unavailable
        ),
        "{error:?}"
    );
    assert!(!said(&error).contains("hunter2"), "{error:?}");
}
