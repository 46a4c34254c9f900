//! Section 6 of the behaviour checklist, in the form of the public suite.

use poem_session::conformance::Suite;
use poem_session_tests::servers::{redis, redis_cluster, redis_sentinel};

use crate::builder;

async fn run(name: &str, url: String) {
    let open = move |namespace: String| {
        let url = url.clone();
        async move {
            let builder = builder(url).prefix(format!("{namespace}:"));
            builder.connect().await.expect("the server answers")
        }
    };
    Suite::new(name, open)
        .expires_by_itself()
        .run()
        .await
        .assert();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_server() {
    let Some(server) = redis::shared().await else {
        return;
    };
    run("redis", server.new_database().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_server_with_the_newer_protocol() {
    let Some(server) = redis::shared().await else {
        return;
    };
    let url = server.new_database().await + "?protocol=resp3";
    run("redis, resp3", url).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster() {
    let Some(cluster) = redis_cluster::shared().await else {
        return;
    };
    run("redis cluster", cluster.url()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn through_sentinel() {
    let Some(sentinel) = redis_sentinel::shared().await else {
        return;
    };
    run("redis through sentinel", sentinel.url()).await;
}
