//! Several applications on one server, each with its prefix.

use std::sync::Arc;

use poem_session::store::{SessionStore, StoreErrorKind::Misconfigured};
use poem_session_tests::{
    records::{create, data},
    servers::{redis_cluster, redis_sentinel},
};

use crate::{Database, builder, open};

/// Opens the URL with two prefixes and with none.
async fn applications_share_a_server_with_a_prefix_each(url: &str) {
    let stores: [Arc<dyn SessionStore>; 3] = [
        Arc::new(open(&format!("{url}?prefix=shop%3A")).await),
        Arc::new(open(&format!("{url}?prefix=forum:")).await),
        Arc::new(open(url).await),
    ];
    let mut keys = Vec::new();
    for store in &stores {
        keys.push(create(store, b"kept").await.0);
    }
    for (at, store) in stores.iter().enumerate() {
        for (other, key) in keys.iter().enumerate() {
            let found = data(store, *key).await.is_some();
            assert_eq!(found, at == other, "store {at}, record {other}");
        }
    }
    stores[0].clear().await.expect("a result");
    assert_eq!(data(&stores[0], keys[0]).await, None);
    for at in [1, 2] {
        assert!(data(&stores[at], keys[at]).await.is_some(), "store {at}");
    }
    // The default prefix.
    let default = builder(url).prefix("poem-session:").connect().await;
    let default: Arc<dyn SessionStore> = Arc::new(default.expect("the server is ready"));
    assert!(data(&default, keys[2]).await.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn applications_share_one_server_with_a_prefix_each() {
    let Some(database) = Database::new().await else {
        return;
    };
    applications_share_a_server_with_a_prefix_each(&database.url).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn applications_share_a_cluster_with_a_prefix_each() {
    let Some(cluster) = redis_cluster::shared().await else {
        return;
    };
    applications_share_a_server_with_a_prefix_each(&cluster.url()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn applications_share_sentinels_with_a_prefix_each() {
    let Some(sentinel) = redis_sentinel::shared().await else {
        return;
    };
    applications_share_a_server_with_a_prefix_each(&sentinel.url()).await;
}

#[tokio::test]
async fn a_prefix_is_given_once_and_is_valid() {
    let url = "redis://127.0.0.1:1?prefix=hunter2";
    let twice = builder(url).prefix("shop:").connect().await;
    let error = twice.expect_err("two prefixes");
    assert_eq!(error.kind(), Misconfigured, "{error:?}");
    assert!(format!("{error:?}").contains("both"), "{error:?}");
    for url in [
        "redis://127.0.0.1:1?prefix=",
        "redis://127.0.0.1:1?prefix={hunter2}",
        "redis://127.0.0.1:1?prefix=a&prefix=hunter2",
        "redis://127.0.0.1:1?prefx=hunter2",
    ] {
        let error = builder(url).connect().await.expect_err(url);
        assert_eq!(error.kind(), Misconfigured, "{error:?}");
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    }
}
