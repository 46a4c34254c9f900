//! PgBouncer between the store and PostgreSQL.

use std::sync::Arc;

use futures_util::future::join_all;
use poem_session::{
    PublicId,
    conformance::Suite,
    store::{
        PoolMode, PostgresStore, SessionStore, StoreError, StoreErrorKind::Misconfigured, connect,
    },
};
use poem_session_tests::{
    PATIENCE,
    application::App,
    records::{create, now},
    servers::{
        Options, Server,
        pgbouncer::{self, Mode},
        postgres,
    },
};

use sqlx::{Row as _, pool::PoolOptions, postgres::PgConnectOptions};

use crate::{Database, client::Client, load, outage::goes_on, table, text};

/// PgBouncer opens these connections of the server at once, and gives them to its clients in turn.
const IN_TURN: &str = "min_pool_size = 5\nserver_round_robin = 1\ndefault_pool_size = 20";

/// Starts PgBouncer in front of a server of its own.
async fn pooler(mode: Mode, settings: &str) -> Option<Server> {
    let options = Options::new()
        .fast()
        .arguments(["-c", "max_connections=300"]);
    let server = postgres::private(options).await?;
    pgbouncer::in_front_of(&server, mode, settings).await
}

/// Runs the conformance suite through a pooler.
async fn passes_the_suite(pooler: &Server, mode: PoolMode) {
    let url = pooler.url();
    let suite = Suite::new("PgBouncer", move |namespace| {
        let builder = PostgresStore::builder(&url)
            .table(table(namespace))
            .pool_mode(mode)
            .max_connections(4)
            .acquire_timeout(PATIENCE);
        async {
            let store = builder.connect().await;
            let store = store.expect("the pooler accepts a connection");
            store.migrate().await.expect("a table");
            store
        }
    });
    suite.run().await.assert();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_passes_the_suite_through_a_pooler_in_session_mode() {
    // In this mode, each connection of a store takes one of the server.
    let settings = "default_pool_size = 250";
    let Some(pooler) = pooler(Mode::Session, settings).await else {
        return;
    };
    passes_the_suite(&pooler, PoolMode::Session).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_passes_the_suite_through_a_pooler_in_transaction_mode() {
    let Some(pooler) = pooler(Mode::Transaction, IN_TURN).await else {
        return;
    };
    passes_the_suite(&pooler, PoolMode::Transaction).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_passes_the_suite_through_a_pooler_that_keeps_prepared_statements() {
    let settings = format!("{IN_TURN}\nmax_prepared_statements = 200");
    if !pgbouncer::can_keep_statements().await {
        eprintln!("not run: this PgBouncer is older than 1.21");
        return;
    }
    let Some(pooler) = pooler(Mode::Transaction, &settings).await else {
        return;
    };
    passes_the_suite(&pooler, PoolMode::Session).await;
}

/// Connects a store, and creates its table.
async fn open(url: &str) -> Result<PostgresStore, StoreError> {
    let builder = PostgresStore::builder(url).acquire_timeout(PATIENCE);
    let store = builder.connect().await?;
    store.migrate().await?;
    Ok(store)
}

/// Many visitors use an application at the same time.
async fn serves_many(store: PostgresStore) {
    let app = App::in_store(Arc::new(store), PATIENCE);
    join_all((0..20).map(|_| async { goes_on(&app.sign_in().await).await })).await;
}

/// The pooler is idle, has one connection, or gives its connections in turn.
#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_that_keeps_no_prepared_statements_is_refused_unless_the_url_names_its_mode() {
    for settings in ["", "default_pool_size = 1", IN_TURN] {
        let Some(pooler) = pooler(Mode::Transaction, settings).await else {
            return;
        };
        let url = pooler.new_database().await;
        for _ in 0..3 {
            let error = open(&url).await.expect_err("it loses statements");
            assert_eq!(error.kind(), Misconfigured, "{settings}: {error:?}");
            for words in [
                "`pool_mode=transaction`",
                "PgBouncer 1.21",
                "`max_prepared_statements`",
            ] {
                assert!(text(&error).contains(words), "{settings}: {error:?}");
            }
        }
        let store = open(&format!("{url}&pool_mode=transaction")).await;
        serves_many(store.expect("the URL names the mode")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_of_the_application_can_name_the_mode_of_its_pooler() {
    let Some(pooler) = pooler(Mode::Transaction, IN_TURN).await else {
        return;
    };
    let options: PgConnectOptions = pooler.url().parse().expect("a URL");
    let pool = PoolOptions::new()
        .acquire_timeout(PATIENCE)
        .connect_with(options.extra_float_digits(None))
        .await
        .expect("the pooler accepts a connection");
    let store = PostgresStore::from_pool(pool).in_pool_mode(PoolMode::Transaction);
    let store = store.in_table(table("own pool"));
    store.migrate().await.expect("a table");
    serves_many(store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_pool_mode_is_refused() {
    let url = "postgres://sessions:hunter2@127.0.0.1:1/db?sslmode=disable&pool_mode=statement";
    let error = connect(url).await.expect_err("an unknown mode");
    assert_eq!(error.kind(), Misconfigured, "{error:?}");
    assert!(text(&error).contains("`pool_mode` must be"), "{error:?}");
    let builder = PostgresStore::builder(&url.replace("statement", "session"));
    let error = builder.pool_mode(PoolMode::Session).connect().await;
    let error = error.expect_err("two modes");
    assert!(text(&error).contains("both"), "{error:?}");
}

/// Another user of the pool removes the prepared statements of its only connection.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_has_lost_its_prepared_statements_is_closed() {
    let Some(lone) = Lone::connect().await else {
        return;
    };
    assert_eq!(load(&lone.store, lone.known).await.as_deref(), Some("kept"));
    lone.is_replaced_after("DEALLOCATE ALL").await;
}

/// Another user of the pool has prepared a statement under the name of the store's first one.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_has_another_statement_of_the_same_name_is_closed() {
    let Some(lone) = Lone::connect().await else {
        return;
    };
    lone.is_replaced_after("PREPARE sqlx_s_1 AS SELECT 1").await;
}

/// A store on a pool of one new connection.
struct Lone {
    client: Client,
    store: Arc<dyn SessionStore>,
    known: PublicId,
}

impl Lone {
    async fn connect() -> Option<Self> {
        let home = Database::Postgres.home().await?;
        let (known, _) = create(&home.open().await, "kept").await;
        let client = Client::pool(&home, 1, PATIENCE).await;
        let store = client.store(table("poem_sessions"));
        Some(Self {
            client,
            store,
            known,
        })
    }

    async fn is_replaced_after(&self, disturbance: &str) {
        let before = self.connection().await;
        self.client.run(disturbance).await;
        let error = self.store.load(self.known, now()).await;
        let error = error.expect_err("the statement of that name is not the store's");
        assert_eq!(error.kind(), Misconfigured, "{error:?}");
        assert!(text(&error).contains("pool_mode=transaction"), "{error:?}");
        assert_eq!(load(&self.store, self.known).await.as_deref(), Some("kept"));
        assert_ne!(self.connection().await, before);
    }

    /// Returns the process of the server that serves the connection. Prepares no statement.
    async fn connection(&self) -> i32 {
        let Client::Postgres(pool) = &self.client else {
            panic!("the test is about PostgreSQL");
        };
        let row = sqlx::raw_sql("SELECT pg_backend_pid()").fetch_one(pool);
        row.await.expect("a row").get(0)
    }
}
