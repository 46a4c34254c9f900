//! Section 6 of the behaviour checklist, in the form of the public suite.

use std::time::Instant;

use poem_session::{
    conformance::Suite,
    store::{MySqlStore, PostgresStore, TableName},
};

use sqlx::{mysql::MySqlPoolOptions, postgres::PgPoolOptions};

use crate::{Database, PATIENCE};

crate::on_each_database!(passes_the_suite);

fn table(namespace: String) -> TableName {
    TableName::new(namespace).expect("the suite's names are fit for tables")
}

async fn passes_the_suite(database: Database) {
    let Some(server) = database.shared().await else {
        return;
    };
    let url = server.new_database().await;
    let suite = Suite::new(database.name(), move |namespace| {
        let url = url.clone();
        async move {
            // Two hundred calls at once take their turns, on whatever machine this is.
            let store = database.connect(&url, table(namespace)).await;
            let store = store.expect("the server answers");
            store.migrate().await.expect("a table");
            store.sessions()
        }
    });
    let begun = Instant::now();
    suite.run().await.assert();
    println!("in {:?}", begun.elapsed());
}

/// A schema of its own, and connections that others use too.
#[tokio::test(flavor = "multi_thread")]
async fn postgres_on_a_pool() {
    let Some(server) = Database::Postgres.shared().await else {
        return;
    };
    let url = server.new_database().await;
    let pool = PgPoolOptions::new().acquire_timeout(PATIENCE);
    let pool = pool.connect(&url).await.expect("it answers");
    let suite = Suite::new("PostgreSQL on a pool", move |namespace| {
        let table = table(namespace).in_schema("shop \"live\"").expect("a name");
        let store = PostgresStore::from_pool(pool.clone()).in_table(table);
        async {
            store.migrate().await.expect("a schema and a table");
            store
        }
    });
    suite.run().await.assert();
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_on_a_pool() {
    let Some(server) = Database::MariaDb.shared().await else {
        return;
    };
    server.run("CREATE DATABASE `shop ``live```").await;
    let pool = MySqlPoolOptions::new().acquire_timeout(PATIENCE);
    let pool = pool.connect(&server.url()).await.expect("it answers");
    let suite = Suite::new("MariaDB on a pool", move |namespace| {
        let table = table(namespace).in_schema("shop `live`").expect("a name");
        let store = MySqlStore::from_pool(pool.clone()).in_table(table);
        async {
            store.migrate().await.expect("a table");
            store
        }
    });
    suite.run().await.assert();
}
