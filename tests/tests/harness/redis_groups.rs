//! Redis Cluster and Sentinel: they form, replace a lost master, and take it back.

use std::time::{Duration, Instant};

use poem_session_tests::servers::{Options, Server, redis_cluster, redis_sentinel};
use tokio::time::sleep;

const PATIENCE: Duration = Duration::from_mins(5);

#[tokio::test]
async fn a_cluster_has_three_masters_and_fails_over() {
    let Some(cluster) = redis_cluster::private_that_fails_over(Options::new()).await else {
        return;
    };
    assert_eq!(cluster.nodes().len(), 6);
    assert_eq!(cluster.url().matches("127.0.0.1:").count(), 6);
    assert_eq!(cluster.masters().await.len(), 3);

    let lost = cluster.owner("some-key").await;
    assert_eq!(lost.run("SET some-key 42").await.trim(), "OK");
    cluster.replicate().await;
    lost.kill().await;
    let begun = Instant::now();
    while cluster.masters().await.len() < 3 {
        assert!(begun.elapsed() < PATIENCE, "no replica takes over");
        sleep(Duration::from_millis(50)).await;
    }
    cluster.settle().await;
    let heir = cluster.owner("some-key").await;
    assert_ne!(heir.port(), lost.port());
    assert_eq!(heir.run("GET some-key").await.trim(), "42");

    lost.restart().await;
    cluster.settle().await;
    while lost.run("ROLE").await.starts_with("master") {
        assert!(
            begun.elapsed() < PATIENCE,
            "the lost master does not become a replica"
        );
        sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(cluster.masters().await.len(), 3);
}

/// Sentinel cuts all connections of a server whose part it changes: then there is no answer.
async fn is_master(server: &Server) -> Option<bool> {
    let role = server.try_run("ROLE").await.ok()?;
    Some(role.starts_with("master"))
}

#[tokio::test]
async fn sentinels_elect_a_new_master_and_demote_the_old_one() {
    let Some(sentinel) = redis_sentinel::private(Options::new()).await else {
        return;
    };
    assert_eq!(
        (sentinel.servers().len(), sentinel.sentinels().len()),
        (3, 3)
    );
    assert!(sentinel.url().ends_with("/primary"), "{}", sentinel.url());

    let lost = sentinel.master().await;
    assert_eq!(lost.run("SET some-key 42").await.trim(), "OK");
    sentinel.replicate().await;
    lost.kill().await;
    let begun = Instant::now();
    let heir = loop {
        let master = sentinel.master().await;
        if master.port() != lost.port() && is_master(&master).await == Some(true) {
            break master;
        }
        assert!(begun.elapsed() < PATIENCE, "no replica is elected");
        sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(heir.run("GET some-key").await.trim(), "42");

    lost.restart().await;
    while is_master(&lost).await != Some(false) {
        assert!(begun.elapsed() < PATIENCE, "the old master is not demoted");
        sleep(Duration::from_millis(50)).await;
    }
    sentinel.settle().await;
}
