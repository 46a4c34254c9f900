//! Tables and rows of somebody else's, under the names of ours.

use std::sync::Arc;

use poem_session::store::{
    LockOwner, Rename, Replaced, SessionStore, StoreErrorKind, TableName, Version,
};

use crate::{
    Database,
    client::Client,
    create, key, load, now, said,
    site::{Ask, Site},
    sqlite_file, write,
};

crate::on_each_database!(
    a_table_of_other_columns_is_noticed_at_the_start,
    a_table_of_other_types_is_an_error_that_says_so,
    a_row_that_is_no_record_is_an_error_and_stays,
    what_is_larger_than_any_session_is_not_read,
);

const OF_OTHER_COLUMNS: &str =
    "CREATE TABLE poem_sessions (id INTEGER NOT NULL PRIMARY KEY, expires_at INTEGER, owner TEXT)";

/// Tables that a record does not fit in, each with a row: other types; a column that has to be given.
const OF_OTHER_TYPES: [&str; 2] = [
    "CREATE TABLE poem_sessions (id VARCHAR(64) NOT NULL PRIMARY KEY, data VARCHAR(64), \
     version VARCHAR(64), expires_at VARCHAR(64), lock_owner VARCHAR(64), lock_until VARCHAR(64)); \
     INSERT INTO poem_sessions VALUES ('theirs', 'theirs', 'theirs', 'theirs', NULL, NULL)",
    "CREATE TABLE poem_sessions (id {bytes} NOT NULL PRIMARY KEY, data {bytes}, version BIGINT, \
     expires_at BIGINT, lock_owner {bytes}, lock_until BIGINT, tenant VARCHAR(64) NOT NULL); \
     INSERT INTO poem_sessions VALUES ('theirs', 'theirs', 1, 9999999999999, NULL, NULL, 'theirs')",
];

/// What their rows say stays what it was.
const THEIRS: &str = "SELECT count(*) FROM poem_sessions WHERE id = 'theirs' AND data = 'theirs'";

/// What no error may show.
const SECRET: &str = "secret-of-a-session";

async fn a_table_of_other_columns_is_noticed_at_the_start(database: Database) {
    let Some(server) = database.shared().await else {
        return;
    };
    let url = server.new_database().await;
    let client = Client::connect(database, &url).await;
    client.run(OF_OTHER_COLUMNS).await;
    let store = database.connect(&url, TableName::default()).await;
    let store = store.expect("the server answers");
    let error = store.migrate().await.expect_err("another table");
    assert_eq!(error.kind(), StoreErrorKind::Misconfigured, "{error:?}");
    assert!(
        said(&error).contains("data"),
        "it names a column: {error:?}"
    );
    does_not_fit(store.sessions(), &client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sqlite_table_of_other_columns_is_noticed_at_the_start() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("sessions.db");
    let (_, client) = sqlite(&file).await;
    client.run("DROP TABLE poem_sessions").await;
    client.run(OF_OTHER_COLUMNS).await;
    let error = sqlite_file(file).open().await.expect_err("another table");
    assert_eq!(error.kind(), StoreErrorKind::Misconfigured, "{error:?}");
    assert!(
        said(&error).contains("data"),
        "it names a column: {error:?}"
    );
}

async fn a_table_of_other_types_is_an_error_that_says_so(database: Database) {
    let Some(server) = database.shared().await else {
        return;
    };
    let bytes = match database {
        Database::Postgres => "BYTEA",
        Database::MariaDb => "VARBINARY(64)",
    };
    for table in OF_OTHER_TYPES {
        let url = server.new_database().await;
        let client = Client::connect(database, &url).await;
        client.run(table.replace("{bytes}", bytes)).await;
        let store = database.connect(&url, TableName::default()).await;
        let store = store.expect("the server answers").sessions();
        does_not_fit(store, &client).await;
        assert_eq!(client.number(THEIRS).await, 1, "{table}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sqlite_table_of_other_types_is_an_error_that_says_so() {
    for table in OF_OTHER_TYPES {
        let directory = tempfile::tempdir().expect("a directory");
        let (store, client) = sqlite(&directory.path().join("sessions.db")).await;
        client.run("DROP TABLE poem_sessions").await;
        // Types mean something in strict tables only.
        let table = table
            .replace("VARCHAR(64)", "TEXT")
            .replace("BIGINT", "INTEGER")
            .replace("{bytes}", "ANY")
            .replace("); ", ") STRICT; ");
        client.run(table).await;
        does_not_fit(store, &client).await;
        assert_eq!(client.number(THEIRS).await, 1);
    }
}

async fn sqlite(file: &std::path::Path) -> (Arc<dyn SessionStore>, Client) {
    let store = sqlite_file(file).open().await.expect("a new file");
    (Arc::new(store), Client::open(file).await)
}

/// Whatever is asked of the store: no record gets into the table, and the error says what to do about it.
///
/// Conformance 5.10, 5.11
async fn does_not_fit(store: Arc<dyn SessionStore>, client: &Client) {
    let before = client.records().await;
    let (id, version, owner) = (key(), Version::FIRST, LockOwner::random());
    let end = write("").expires_at;
    let secret = || write(SECRET);
    let create = store.create(id, secret(), now()).await;
    create.expect_err("nothing can be written");
    let rename = Rename::new(id, version, key(), secret(), secret());
    let answers = [
        store.load(id, now()).await.map(drop),
        store.create(id, secret(), now()).await.map(drop),
        store.replace(id, version, secret(), now()).await.map(drop),
        store.touch(id, version, end, now()).await.map(drop),
        store.rename(rename, now()).await.map(drop),
        store.lock(id, owner, end, now()).await.map(drop),
        store.unlock(id, owner).await.map(drop),
    ];
    for error in answers.into_iter().filter_map(Result::err) {
        assert_eq!(error.kind(), StoreErrorKind::Misconfigured, "{error:?}");
        let said = said(&error);
        let helps = said.contains("`migrate` creates") || said.contains("'tenant'");
        assert!(helps, "{said}");
        assert!(!said.contains(&SECRET[..6]), "{said}");
        assert!(!said.contains(&id.to_string()[..8]), "{said}");
    }
    let site = Site::on(store);
    site.stranger().ask(Ask::Count).await.is_refused();
    assert_eq!(client.records().await, before);
}

async fn a_row_that_is_no_record_is_an_error_and_stays(database: Database) {
    let Some(server) = database.shared().await else {
        return;
    };
    let url = server.new_database().await;
    let store = database.open(&url).await;
    garbage_stays(store, Client::connect(database, &url).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sqlite_row_that_is_no_record_is_an_error_and_stays() {
    let directory = tempfile::tempdir().expect("a directory");
    let (store, client) = sqlite(&directory.path().join("sessions.db")).await;
    garbage_stays(store, client).await;
}

/// Conformance 1.25
async fn garbage_stays(store: Arc<dyn SessionStore>, client: Client) {
    let garbage = match client {
        Client::Postgres(_) => r"'\xc1c1c1'",
        Client::MariaDb(_) | Client::Sqlite(_) => "x'c1c1c1'",
    };
    let site = Site::on(Arc::clone(&store));
    for (change, is_there) in [
        (format!("data = {garbage}"), format!("data = {garbage}")),
        // No store gives such a version.
        ("version = -7".to_owned(), "version = -7".to_owned()),
    ] {
        let mut guest = site.guest().await;
        let update = format!("UPDATE poem_sessions SET {change}");
        client.run(update).await;
        for ask in Ask::ALL {
            guest.ask(ask).await.is_corrupt();
        }
        let rows = format!("SELECT count(*) FROM poem_sessions WHERE {is_there}");
        assert_eq!(client.number(rows).await, 1, "{change}");
        assert_eq!(client.records().await, 1, "{change}");
        // It is in nobody else's way, and once it is removed in nobody's.
        site.guest().await.goes_on(1).await;
        client.run("DELETE FROM poem_sessions").await;
        guest.has_counted(0).await;
    }
}

async fn what_is_larger_than_any_session_is_not_read(database: Database) {
    let Some(server) = database.shared().await else {
        return;
    };
    let url = server.new_database().await;
    let store = database.open(&url).await;
    what_is_too_large_is_not_read(store, Client::connect(database, &url).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_larger_than_any_session_is_not_read_from_sqlite() {
    let directory = tempfile::tempdir().expect("a directory");
    let (store, client) = sqlite(&directory.path().join("sessions.db")).await;
    what_is_too_large_is_not_read(store, client).await;
}

/// Conformance 5.13
async fn what_is_too_large_is_not_read(store: Arc<dyn SessionStore>, client: Client) {
    const LARGEST: usize = 8 * 1024 * 1024;

    let (id, version) = create(&store, &"x".repeat(LARGEST)).await;
    let data = load(&store, id).await.expect("it is no larger");
    assert_eq!(data.len(), LARGEST);

    let size = LARGEST + 1;
    let larger = match client {
        Client::Postgres(_) => format!("decode(repeat('00', {size}), 'hex')"),
        Client::MariaDb(_) => format!("repeat('x', {size})"),
        Client::Sqlite(_) => format!("zeroblob({size})"),
    };
    let update = format!("UPDATE poem_sessions SET data = {larger}");
    client.run(update).await;
    let stale = store.replace(id, version.next(), write("data"), now());
    for error in [store.load(id, now()).await.map(drop), stale.await.map(drop)] {
        let error = error.expect_err("it is too large");
        assert_eq!(error.kind(), StoreErrorKind::Corrupt, "{}", said(&error));
    }
    let write = store.replace(id, version, write("data"), now()).await;
    assert!(matches!(write, Ok(Replaced::Replaced(_))), "{write:?}");
}
