//! Masters that are replaced while the store writes.

use poem_session::{
    PublicId,
    store::{RedisStore, SessionStore},
};
use poem_session_tests::{
    eventually,
    load::Load,
    records::{create, data, now, recovery},
    servers::{Options, Server, redis_cluster, redis_sentinel},
};

use crate::{name, open, open_with_timeout};

/// Waits until all servers together have this number of records. A replica receives further writes only a
/// second after its first copy.
async fn have_records(servers: &[Server], records: usize) {
    eventually("the first copies are complete", async || {
        let mut found = 0;
        for server in servers {
            let size = server.run("DBSIZE").await;
            found += size.trim().parse::<usize>().expect("a number");
        }
        (found >= records).then_some(())
    })
    .await;
}

/// Waits until each record can be read.
async fn are_readable(store: &RedisStore, keys: &[PublicId]) {
    for key in keys {
        eventually("a record can be read", async || {
            store.load(*key, now()).await.ok()
        })
        .await;
    }
}

/// Waits until the old master is a replica. Sentinel closes its connections then, so that a command may fail.
async fn is_demoted(master: &Server) {
    eventually("the old master becomes a replica", async || {
        let role = master.try_run("ROLE").await.ok()?;
        role.starts_with("slave").then_some(())
    })
    .await;
}

/// A killed master resets its connections, and a paused one keeps them open and does not reply.
#[derive(Clone, Copy, Debug)]
enum Outage {
    Kill,
    Pause,
}

impl Outage {
    async fn begin(self, master: &Server) {
        match self {
            Self::Kill => master.kill().await,
            Self::Pause => master.pause(),
        }
    }

    async fn end(self, master: &Server) {
        match self {
            Self::Kill => master.restart().await,
            Self::Pause => master.resume(),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_replaces_a_killed_master() {
    in_a_cluster(Outage::Kill).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_replaces_a_paused_master() {
    in_a_cluster(Outage::Pause).await;
}

async fn in_a_cluster(outage: Outage) {
    let options = Options::new().fast();
    let Some(cluster) = redis_cluster::private_that_fails_over(options).await else {
        return;
    };
    let url = cluster.url();
    let patient = open(&url).await;
    let mut keys = Vec::new();
    for _ in 0..50 {
        keys.push(create(&patient, b"data").await.0);
    }
    have_records(cluster.nodes(), 2 * keys.len()).await;
    let store = open_with_timeout(&url).await;
    let load = Load::begin(16, store.clone(), &patient).await;
    load.adds(1000).await;
    let before = load.added();
    cluster.replicate().await;

    let master = cluster.owner(&name(keys[0])).await;
    outage.begin(&master).await;
    are_readable(&store, &keys).await;
    load.adds(200).await;
    outage.end(&master).await;
    is_demoted(&master).await;
    cluster.settle().await;
    let after = load.added();
    load.adds(200).await;
    are_readable(&store, &keys).await;
    ends(load, &before, &after, &patient).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sentinel_replaces_a_killed_master() {
    with_sentinel(Outage::Kill).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sentinel_replaces_a_paused_master() {
    with_sentinel(Outage::Pause).await;
}

async fn with_sentinel(outage: Outage) {
    let Some(sentinel) = redis_sentinel::private(Options::new().fast()).await else {
        return;
    };
    let url = sentinel.url();
    let patient = open(&url).await;
    create(&patient, b"data").await;
    have_records(sentinel.servers(), 3).await;
    let store = open_with_timeout(&url).await;
    let load = Load::begin(8, store.clone(), &patient).await;
    load.adds(500).await;
    let before = load.added();
    sentinel.replicate().await;

    let master = sentinel.master().await;
    outage.begin(&master).await;
    eventually("another master is elected", async || {
        (sentinel.master().await.port() != master.port()).then_some(())
    })
    .await;
    recovery(&store).await;
    outage.end(&master).await;
    is_demoted(&master).await;
    // A write to the old master is acknowledged before these.
    load.adds(200).await;
    let after = load.added();
    load.adds(200).await;
    ends(load, &before, &after, &patient).await;
}

/// Ends the load. The writes that had reached the replicas before the failover (`before`), and those that
/// were acknowledged after it (later than `after`), are stored.
async fn ends(load: Load, before: &[u64], after: &[u64], store: &RedisStore) {
    let (mut lost, mut acknowledged) = (0, 0);
    for (number, each) in load.end().await.into_iter().enumerate() {
        let added = each.acknowledged;
        let stored = each.stored(store).await.unwrap_or(0);
        // One write may have been in progress when `after` was counted.
        let least = before[number] + (added - after[number]).saturating_sub(1);
        assert!(stored >= least, "{stored}, at least {least}: {each:?}");
        lost += added.saturating_sub(stored);
        acknowledged += added;
    }
    println!("{lost} of {acknowledged} acknowledged writes lost");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_is_stopped_and_started_again() {
    let options = Options::new().arguments(["--appendfsync", "always"]);
    let Some(cluster) = redis_cluster::private(options).await else {
        return;
    };
    let store = open_with_timeout(&cluster.url()).await;
    let (id, _) = create(&open(&cluster.url()).await, b"data").await;
    for node in cluster.nodes() {
        node.stop().await;
    }
    crate::faults::failure(&store).await;
    for node in cluster.nodes() {
        node.restart().await;
    }
    cluster.settle().await;
    recovery(&store).await;
    are_readable(&store, &[id]).await;
    let patient = open(&cluster.url()).await;
    assert_eq!(data(&patient, id).await.as_deref(), Some(&b"data"[..]));
}
