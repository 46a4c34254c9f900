//! A master that is replaced by its sentinels.

use std::time::{Duration, Instant};

use poem_session_tests::servers::{Options, redis_sentinel};
use tokio::time::sleep;

use crate::{
    LIMIT, PATIENCE, cluster::replicated, create, faults::recovery, load::Load, open, open_within,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_master_is_killed_under_load() {
    failover(true).await;
}

/// Its connections stay open, and it would come back as a master that nobody wants.
#[tokio::test(flavor = "multi_thread")]
async fn a_master_hangs_under_load() {
    failover(false).await;
}

async fn failover(kill: bool) {
    let Some(sentinel) = redis_sentinel::private(Options::new().fast()).await else {
        return;
    };
    create(&open(&sentinel.url()).await, b"data").await;
    replicated(sentinel.servers(), 3).await;
    let store = open_within(LIMIT, &sentinel.url()).await;
    let load = Load::begin(8, &store, &sentinel.url()).await;
    load.adds(500).await;
    let before = load.added();
    sentinel.replicate().await;

    let master = sentinel.master().await;
    let begun = Instant::now();
    if kill {
        master.kill().await;
    } else {
        master.pause();
    }
    while sentinel.master().await.port() == master.port() {
        assert!(begun.elapsed() < PATIENCE, "no other master");
        sleep(Duration::from_millis(50)).await;
    }
    recovery(&store).await;
    let outage = begun.elapsed();
    if !kill {
        master.resume();
        // While its part is changed it cuts its connections: then there is no answer.
        while !matches!(master.try_run("ROLE").await, Ok(role) if role.starts_with("slave")) {
            let waits = begun.elapsed() < PATIENCE;
            assert!(waits, "the old master is not demoted");
            sleep(Duration::from_millis(50)).await;
        }
    }
    // A step that the old master has acknowledged is counted by the time that others are.
    load.adds(200).await;
    let after = load.added();
    load.adds(200).await;
    let how = if kill { "killed" } else { "hung" };
    println!("sentinel, master {how}: served again after {outage:?}");
    load.end_of_failover(&before, &after, &sentinel.url()).await;
}
