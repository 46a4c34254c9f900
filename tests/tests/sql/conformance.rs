//! The conformance suite of the library.

use poem_session::{
    conformance::Suite,
    store::{MySqlStore, PostgresStore},
};

use crate::{Database, Home, client::Client, table};
use poem_session_tests::PATIENCE;

crate::on_servers!(
    a_store_passes_the_suite,
    a_store_on_a_pool_and_in_a_schema_passes_the_suite,
);

async fn a_store_passes_the_suite(home: Home) {
    macro_rules! suite {
        ($store:ident) => {
            Suite::new(home.database.name(), move |namespace| {
                let builder = $store::builder(&home.url).table(table(namespace));
                async {
                    let store = builder.acquire_timeout(PATIENCE).connect().await;
                    let store = store.expect("the server accepts a connection");
                    store.migrate().await.expect("a table");
                    store
                }
            })
        };
    }
    match home.database {
        Database::Postgres => suite!(PostgresStore).run().await.assert(),
        _ => suite!(MySqlStore).run().await.assert(),
    }
}

/// The name of the schema contains quotes. PostgreSQL creates the schema, which is a database in MariaDB.
async fn a_store_on_a_pool_and_in_a_schema_passes_the_suite(home: Home) {
    if home.database == Database::MariaDb {
        home.server().run("CREATE DATABASE `shop \"``live```").await;
    }
    let client = Client::pool(&home, 10, PATIENCE).await;
    let suite = Suite::new(home.database.name(), move |namespace| {
        let table = table(namespace).in_schema("shop \"`live`");
        let store = client.store(table.expect("a valid name"));
        async move {
            store.migrate().await.expect("a table");
            store
        }
    });
    suite.run().await.assert();
}
