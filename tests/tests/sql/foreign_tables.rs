//! Tables and rows that the store did not write.

use std::sync::Arc;

use poem_session::store::{
    Replaced, SessionStore,
    StoreErrorKind::{self, Misconfigured},
    Version,
};

use crate::{
    Database, Home,
    client::Client,
    load,
    outage::{ALL, goes_on},
    sqlite_file, text,
};
use poem_session_tests::{
    PATIENCE,
    application::{App, count},
    records::{call_all, create, key, now, write},
};

crate::on_databases!(
    a_table_with_other_columns_is_an_error_at_the_start,
    a_table_with_other_types_is_an_error_with_a_hint,
    a_row_that_is_not_a_record_is_an_error_and_stays,
    a_record_above_the_maximum_size_is_not_read,
);

const OTHER_COLUMNS: &str =
    "CREATE TABLE poem_sessions (id INTEGER NOT NULL PRIMARY KEY, expires_at INTEGER, owner TEXT)";

/// Tables with one row that do not accept records: they have other types, or a column without a default.
const OTHER_TYPES: [&str; 2] = [
    "CREATE TABLE poem_sessions (id VARCHAR(64) NOT NULL PRIMARY KEY, data VARCHAR(64), \
     version VARCHAR(64), expires_at VARCHAR(64), lock_owner VARCHAR(64), lock_until VARCHAR(64)); \
     INSERT INTO poem_sessions VALUES ('theirs', 'theirs', 'theirs', 'theirs', NULL, NULL)",
    "CREATE TABLE poem_sessions (id {bytes} NOT NULL PRIMARY KEY, data {bytes}, version BIGINT, \
     expires_at BIGINT, lock_owner {bytes}, lock_until BIGINT, tenant VARCHAR(64) NOT NULL); \
     INSERT INTO poem_sessions VALUES ('theirs', 'theirs', 1, 9999999999999, NULL, NULL, 'theirs')",
];
const THEIRS: &str = "SELECT count(*) FROM poem_sessions WHERE id = 'theirs' AND data = 'theirs'";

/// A text that no error may contain.
const SECRET: &str = "secret-of-a-session";

async fn a_table_with_other_columns_is_an_error_at_the_start(home: Home) {
    let client = Client::connect(&home).await;
    client.run(OTHER_COLUMNS).await;
    let error = match home.database {
        // `open` creates the table.
        Database::Sqlite => sqlite_file(home.file()).open().await.map(drop),
        _ => home.connect().await.migrate().await,
    };
    let error = error.expect_err("another table");
    assert_eq!(error.kind(), Misconfigured, "{error:?}");
    assert!(text(&error).contains("data"), "no column name: {error:?}");
    rejects_records(client.store(crate::TableName::default()), &client).await;
}

async fn a_table_with_other_types_is_an_error_with_a_hint(home: Home) {
    for table in OTHER_TYPES {
        // A connection caches the types of an earlier table.
        let client = Client::connect(&home).await;
        let table = match home.database {
            Database::Postgres => table.replace("{bytes}", "BYTEA"),
            Database::MariaDb => table.replace("{bytes}", "VARBINARY(64)"),
            // Only strict tables check types.
            Database::Sqlite => table
                .replace("VARCHAR(64)", "TEXT")
                .replace("BIGINT", "INTEGER")
                .replace("{bytes}", "ANY")
                .replace("); ", ") STRICT; "),
        };
        client.run(&table).await;
        rejects_records(client.store(crate::TableName::default()), &client).await;
        assert_eq!(client.number(THEIRS).await, 1, "{table}");
        client.run("DROP TABLE poem_sessions").await;
    }
}

/// No call writes a record into the table, and each error says what to do.
///
/// Conformance 5.10, 5.11
async fn rejects_records(store: Arc<dyn SessionStore>, client: &Client) {
    let before = client.records().await;
    let id = key();
    let create = store.create(id, write(SECRET), now()).await;
    create.expect_err("the table does not accept records");
    let results = call_all(&store, id, Version::FIRST, SECRET).await;
    for error in results.into_iter().filter_map(Result::err) {
        assert_eq!(error.kind(), Misconfigured, "{error:?}");
        let text = text(&error);
        let has_hint = text.contains("`migrate` creates") || text.contains("'tenant'");
        assert!(has_hint, "{text}");
        assert!(!text.contains(&SECRET[..6]), "{text}");
        assert!(!text.contains(&id.to_string()[..8]), "{text}");
    }
    let stranger = App::in_store(store, PATIENCE).browser();
    stranger.does(count).await.assert_refused();
    assert_eq!(client.records().await, before);
}

/// Conformance 1.25
async fn a_row_that_is_not_a_record_is_an_error_and_stays(home: Home) {
    let store = home.open().await;
    let client = Client::connect(&home).await;
    let app = App::in_store(Arc::clone(&store), PATIENCE);
    let data = format!("data = {}", client.literal(&[0xc1; 3]));
    for change in [data.as_str(), "version = -7"] {
        let guest = app.sign_in().await;
        client
            .run(format!("UPDATE poem_sessions SET {change}"))
            .await;
        for act in ALL {
            guest.does(act).await.assert_corrupt();
        }
        let rows = format!("SELECT count(*) FROM poem_sessions WHERE {change}");
        assert_eq!(client.number(rows).await, 1, "{change}");
        assert_eq!(client.records().await, 1, "{change}");
        // Other sessions work, and this one starts anew when the row is gone.
        goes_on(&app.sign_in().await).await;
        client.run("DELETE FROM poem_sessions").await;
        assert_eq!(guest.user().await, None);
    }
}

/// Conformance 5.13
async fn a_record_above_the_maximum_size_is_not_read(home: Home) {
    const MAXIMUM: usize = 8 * 1024 * 1024;

    let store = home.open().await;
    let client = Client::connect(&home).await;
    let (id, version) = create(&store, "x".repeat(MAXIMUM)).await;
    let data = load(&store, id)
        .await
        .expect("a record of the maximum size");
    assert_eq!(data.len(), MAXIMUM);

    let size = MAXIMUM + 1;
    let larger = match client {
        Client::Postgres(_) => format!("decode(repeat('00', {size}), 'hex')"),
        Client::MariaDb(_) => format!("repeat('x', {size})"),
        Client::Sqlite(_) => format!("zeroblob({size})"),
    };
    client
        .run(format!("UPDATE poem_sessions SET data = {larger}"))
        .await;
    let stale = store.replace(id, version.next(), write("data"), now());
    for error in [store.load(id, now()).await.map(drop), stale.await.map(drop)] {
        let error = error.expect_err("the record is too large");
        assert_eq!(error.kind(), StoreErrorKind::Corrupt, "{}", text(&error));
    }
    let write = store.replace(id, version, write("data"), now()).await;
    assert!(matches!(write, Ok(Replaced::Replaced(_))), "{write:?}");
}
