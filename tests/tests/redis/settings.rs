//! Settings.

use std::time::Duration;

use poem_session::store::SessionStore as _;
use poem_session_tests::servers::{redis_cluster, redis_sentinel};

use crate::{Database, builder, use_all};

/// Conformance 5.11
#[tokio::test(flavor = "multi_thread")]
async fn the_longest_call_timeout_works() {
    let mut urls = Vec::new();
    urls.extend(Database::new().await.map(|database| database.url));
    urls.extend(redis_cluster::shared().await.map(|cluster| cluster.url()));
    urls.extend(redis_sentinel::shared().await.map(|servers| servers.url()));
    for url in urls {
        let store = builder(url).call_timeout(Duration::MAX).connect().await;
        let store = store.expect("the server is ready");
        use_all(&store).await;
        store.clear().await.expect("clear");
    }
}
