//! A master that is replaced by its sentinels.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use poem_session_tests::servers::{Options, redis_sentinel};
use tokio::time::sleep;

use crate::{
    cluster::replicated,
    create,
    faults::{keep_adding, recovery},
    open,
};

/// The harness's sentinels notice after 1.5 seconds; the rest is theirs to agree and to promote. Where they
/// fail to agree they wait for long before they try again.
const FAILOVER: Duration = Duration::from_mins(1);

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
    let store = open(&sentinel.url()).await;
    create(&store, b"data").await;
    replicated(sentinel.servers(), 3).await;
    let stop = Arc::new(AtomicBool::new(false));
    let load: Vec<_> = (0..8)
        .map(|_| tokio::spawn(keep_adding(store.clone(), Arc::clone(&stop))))
        .collect();
    sleep(Duration::from_secs(2)).await;
    let master = sentinel.master().await;
    let begun = Instant::now();
    if kill {
        master.kill().await;
    } else {
        master.pause();
    }
    while sentinel.master().await.port() == master.port() {
        assert!(begun.elapsed() < FAILOVER, "no other master");
        sleep(Duration::from_millis(50)).await;
    }
    recovery(&store, FAILOVER).await;
    let outage = begun.elapsed();
    if !kill {
        master.resume();
    }
    sleep(Duration::from_secs(2)).await;
    stop.store(true, Ordering::Relaxed);
    let (mut acknowledged, mut kept) = (0, 0);
    for counter in load {
        let (counter, added, _) = counter.await.expect("no step takes too long");
        acknowledged += added;
        kept += counter.stored(&store).await.unwrap_or(0);
    }
    println!(
        "sentinel, master {}: served again after {outage:?}; {} of {acknowledged} acknowledged writes lost",
        if kill { "killed" } else { "hung" },
        acknowledged.saturating_sub(kept),
    );
    assert!(kept * 100 >= acknowledged * 90, "{kept} of {acknowledged}");
}
