//! The conformance suite of the library.

use poem_session::conformance::Suite;
use poem_session_tests::servers::{redis_cluster, redis_sentinel};

use crate::{Database, builder};

async fn passes_the_suite(name: &str, url: Option<String>) {
    let Some(url) = url else { return };
    let open = move |namespace: String| {
        let builder = builder(&url).prefix(format!("{namespace}:"));
        async { builder.connect().await.expect("the server is ready") }
    };
    let suite = Suite::new(name, open).expires_by_itself();
    suite.run().await.assert();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_server() {
    let database = Database::new().await;
    passes_the_suite("redis", database.map(|database| database.url)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_server_with_resp3() {
    let database = Database::new().await;
    let url = database.map(|database| database.url + "?protocol=resp3");
    passes_the_suite("redis, resp3", url).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster() {
    let cluster = redis_cluster::shared().await;
    passes_the_suite("redis cluster", cluster.map(|cluster| cluster.url())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sentinel() {
    let sentinel = redis_sentinel::shared().await;
    passes_the_suite("redis sentinel", sentinel.map(|sentinel| sentinel.url())).await;
}
