//! Several applications on one database, each with its table.

use std::sync::Arc;

use poem_session::store::{SessionStore, StoreErrorKind::Misconfigured, connect};
use poem_session_tests::records::create;

use crate::{Database, Home, by_url, client::Client, load, text};

crate::on_databases!(
    applications_share_a_database_with_a_table_each,
    a_parameter_that_nobody_reads_is_refused_by_name,
);
crate::on_servers!(a_table_can_be_in_a_schema);

/// The URL of the database for `store::connect`, with this parameter.
fn url(home: &Home, parameter: &str) -> String {
    let end = if home.url.contains('?') { '&' } else { '?' };
    let start = match home.database {
        Database::Sqlite => "sqlite:",
        _ => "",
    };
    format!("{start}{}{end}{parameter}", home.url)
}

async fn open(home: &Home, parameter: &str) -> Arc<dyn SessionStore> {
    by_url(&url(home, parameter)).await.expect(parameter)
}

async fn applications_share_a_database_with_a_table_each(home: Home) {
    let stores = [
        open(&home, "table=shop_sessions").await,
        open(&home, "table=forum%20sessions").await,
        // The default table.
        open(&home, "").await,
    ];
    let mut keys = Vec::new();
    for store in &stores {
        keys.push(create(store, "kept").await.0);
    }
    for (at, store) in stores.iter().enumerate() {
        for (other, key) in keys.iter().enumerate() {
            let found = load(store, *key).await.is_some();
            assert_eq!(found, at == other, "store {at}, record {other}");
        }
    }
    stores[0].clear().await.expect("a result");
    assert_eq!(load(&stores[0], keys[0]).await, None);
    for at in [1, 2] {
        assert_eq!(load(&stores[at], keys[at]).await.as_deref(), Some("kept"));
    }
    let client = Client::connect(&home).await;
    assert_eq!(client.records().await, 1, "the default is `poem_sessions`");
}

async fn a_parameter_that_nobody_reads_is_refused_by_name(home: Home) {
    for (parameter, words) in [
        ("tabel=hunter2", "the unknown parameter `tabel`; known"),
        ("table=a&table=hunter2", "`table` twice"),
        ("table=", "1 to 50 bytes"),
        ("table=a.b.hunter2", "SCHEMA.TABLE"),
    ] {
        let error = connect(&url(&home, parameter)).await.expect_err(parameter);
        assert_eq!(error.kind(), Misconfigured, "{error:?}");
        let text = text(&error);
        assert!(text.contains(words) && !text.contains("hunter2"), "{text}");
    }
}

/// A schema of MariaDB is a database, and must exist.
async fn a_table_can_be_in_a_schema(home: Home) {
    let schema = format!("schema_of_{}", home.database_name());
    let client = Client::connect(&home).await;
    if home.database == Database::MariaDb {
        client.run(format!("CREATE DATABASE {schema}")).await;
    }
    let store = open(&home, &format!("table={schema}.shop")).await;
    create(&store, "kept").await;
    let count = client.number(format!("SELECT count(*) FROM {schema}.shop"));
    assert_eq!(count.await, 1);
}
