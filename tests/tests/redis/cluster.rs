//! A Cluster that loses nodes, and moves keys about.

use std::time::{Duration, Instant};

use poem_session::{
    PublicId,
    store::{Created, LockOwner, Locked, RedisStore, Replaced, SessionStore, StoreErrorKind},
};
use poem_session_tests::servers::{Options, Server, redis_cluster, redis_cluster::Cluster};
use redis::{cluster::ClusterClient, cluster_routing::Slot};
use tokio::time::sleep;

use crate::{
    LIMIT, PATIENCE, builder, create, data, faults::recovery, key, load::Load, name, now, open,
    open_within, write,
};

/// Waits until all nodes together hold so many records. A replica's first copy is followed by nothing more
/// until it has said, a second later, that it is done.
pub(crate) async fn replicated(nodes: &[Server], records: usize) {
    let begun = Instant::now();
    loop {
        let mut held = 0;
        for node in nodes {
            let size = node.run("DBSIZE").await;
            held += size.trim().parse::<usize>().expect("a number");
        }
        if held >= records {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "{held} of {records}");
        sleep(Duration::from_millis(50)).await;
    }
}

/// Waits until each of the records can be read again.
async fn all_served(store: &RedisStore, keys: &[PublicId]) -> Duration {
    let begun = Instant::now();
    for key in keys {
        while let Err(error) = store.load(*key, now()).await {
            assert!(begun.elapsed() < PATIENCE, "still {error:?}");
            sleep(Duration::from_millis(20)).await;
        }
    }
    begun.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_is_killed_under_load() {
    failover(true).await;
}

/// Its connections stay open: nothing but silence tells that it is gone.
#[tokio::test(flavor = "multi_thread")]
async fn a_master_hangs_under_load() {
    failover(false).await;
}

async fn failover(kill: bool) {
    let options = Options::new().fast();
    let Some(cluster) = redis_cluster::private_that_fails_over(options).await else {
        return;
    };
    let patient = open(&cluster.url()).await;
    let mut keys = Vec::new();
    for _ in 0..50 {
        keys.push(create(&patient, b"data").await.0);
    }
    replicated(cluster.nodes(), 2 * keys.len()).await;
    let store = open_within(LIMIT, &cluster.url()).await;
    let load = Load::begin(16, &store, &cluster.url()).await;
    load.adds(1000).await;
    let before = load.added();
    cluster.replicate().await;

    let master = cluster.owner(&name(keys[0])).await;
    let begun = Instant::now();
    if kill {
        master.kill().await;
    } else {
        master.pause();
    }
    let outage = all_served(&store, &keys).await;
    load.adds(200).await;
    if kill {
        master.restart().await;
    } else {
        master.resume();
    }
    while master.run("ROLE").await.starts_with("master") {
        let waits = begun.elapsed() < PATIENCE;
        assert!(waits, "the lost master does not become a replica");
        sleep(Duration::from_millis(50)).await;
    }
    cluster.settle().await;
    let after = load.added();
    load.adds(200).await;
    all_served(&store, &keys).await;
    let how = if kill { "killed" } else { "hung" };
    println!("cluster, master {how}: all served again after {outage:?}");
    load.end_of_failover(&before, &after, &cluster.url()).await;
}

/// What was acknowledged and not passed on when a master dies is lost: here all that its replica, which was
/// held up, had not read yet. Records are whole or not there.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_replica_has_not_got_is_lost() {
    let options = Options::new().fast();
    let Some(cluster) = redis_cluster::private_that_fails_over(options).await else {
        return;
    };
    let store = open(&cluster.url()).await;
    let (before, _) = create(&store, b"data").await;
    let master = cluster.owner(&name(before)).await;
    let roles = master.run("ROLE").await;
    let is_replica = |node: &&Server| roles.contains(&node.port().to_string());
    let replica = cluster.nodes().iter().find(is_replica);
    let replica = replica.expect("each master has a replica").clone();
    replicated(cluster.nodes(), 2).await;

    replica.pause();
    let mut acknowledged = Vec::new();
    while acknowledged.len() < 400 {
        let key = key();
        let created = store.create(key, write(vec![7; 50_000]), now()).await;
        created.expect("the master is there");
        acknowledged.push(key);
    }
    master.kill().await;
    replica.resume();
    all_served(&store, &acknowledged).await;
    let mut lost = 0;
    for key in &acknowledged {
        match data(&store, *key).await {
            Some(data) => assert_eq!(data, vec![7; 50_000]),
            None => lost += 1,
        }
    }
    println!("cluster, master killed while its replica lagged: {lost} of 400 records lost");
    assert!(data(&store, before).await.is_some());
    master.restart().await;
    cluster.settle().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_nodes_are_stopped_and_started_again() {
    // What was acknowledged is in the file.
    let options = Options::new().arguments(["--appendfsync", "always"]);
    let Some(cluster) = redis_cluster::private(options).await else {
        return;
    };
    let store = open_within(LIMIT, &cluster.url()).await;
    let patient = open(&cluster.url()).await;
    let (id, _) = create(&patient, b"data").await;
    for node in cluster.nodes() {
        node.stop().await;
    }
    let load = tokio::time::timeout(PATIENCE, store.load(id, now())).await;
    let error = load
        .expect("a call that ends")
        .expect_err("nobody is there");
    assert_ne!(error.kind(), StoreErrorKind::Corrupt);
    for node in cluster.nodes() {
        node.restart().await;
    }
    cluster.settle().await;
    recovery(&store).await;
    all_served(&store, &[id]).await;
    let patient = open(&cluster.url()).await;
    assert_eq!(data(&patient, id).await.as_deref(), Some(&b"data"[..]));
}

/// The slot of a key, and the two masters between which it moves.
struct Move {
    slot: u16,
    from: Server,
    to: Server,
}

impl Move {
    async fn begin(cluster: &Cluster, name: &str) -> Self {
        let from = cluster.owner(name).await;
        let masters = cluster.masters().await;
        let to = masters.into_iter().find(|node| node.port() != from.port());
        let to = to.expect("there are three masters");
        let slot = from.run(format!("CLUSTER KEYSLOT {name}")).await;
        let slot = slot.trim().parse().expect("a number");
        let (from_id, to_id) = (id(&from).await, id(&to).await);
        to.run(format!("CLUSTER SETSLOT {slot} IMPORTING {from_id}"))
            .await;
        from.run(format!("CLUSTER SETSLOT {slot} MIGRATING {to_id}"))
            .await;
        Self { slot, from, to }
    }

    async fn migrate(&self, name: &str) {
        let port = self.to.port();
        let moved = self
            .from
            .run(format!("MIGRATE 127.0.0.1 {port} {name} 0 60000"))
            .await;
        assert!(moved.starts_with("OK"), "{moved}");
    }

    async fn end(&self) {
        let id = id(&self.to).await;
        for node in [&self.to, &self.from] {
            node.run(format!("CLUSTER SETSLOT {} NODE {id}", self.slot))
                .await;
        }
    }
}

async fn id(node: &Server) -> String {
    node.run("CLUSTER MYID").await.trim().to_owned()
}

/// While a slot moves, a key of it is on the old node, or on the new one, or nowhere yet. Every operation
/// finds it, which one that needs two keys would not.
#[tokio::test(flavor = "multi_thread")]
async fn a_slot_moves_while_it_is_used() {
    let Some(cluster) = redis_cluster::private(Options::new().fast()).await else {
        return;
    };
    let store = open(&cluster.url()).await;
    // Not created yet, waiting to be moved, and moved.
    let [new, still, gone] = same_slot();
    let mut versions = Vec::new();
    for key in [still, gone] {
        match store.create(key, write("data"), now()).await {
            Ok(Created::Created(version)) => versions.push((key, version)),
            other => panic!("create answered {other:?}"),
        }
    }
    let slot = Move::begin(&cluster, &name(new)).await;
    slot.migrate(&name(gone)).await;

    store
        .create(new, write("new"), now())
        .await
        .expect("create");
    assert_eq!(data(&store, new).await.as_deref(), Some(&b"new"[..]));
    for (key, version) in versions {
        assert_eq!(data(&store, key).await.as_deref(), Some(&b"data"[..]));
        let (owner, until) = (LockOwner::random(), write("").expires_at);
        assert!(
            store
                .touch(key, version, until, now())
                .await
                .expect("touch")
        );
        let locked = store.lock(key, owner, until, now()).await;
        assert_eq!(locked.expect("lock"), Locked::Acquired);
        let replaced = store.replace(key, version, write("more"), now()).await;
        assert!(
            matches!(replaced, Ok(Replaced::Replaced(_))),
            "{replaced:?}"
        );
        assert!(store.unlock(key, owner).await.expect("unlock"));
    }
    slot.migrate(&name(still)).await;
    slot.end().await;
    for key in [still, gone] {
        assert_eq!(data(&store, key).await.as_deref(), Some(&b"more"[..]));
    }
    store.clear().await.expect("clear");
    assert_eq!(data(&store, still).await, None);
}

/// Three keys of one slot.
fn same_slot() -> [PublicId; 3] {
    let slot = |key| Slot::for_key(name(key));
    let first = key();
    let mut others = std::iter::repeat_with(key).filter(|other| slot(*other) == slot(first));
    let mut other = || others.next().expect("keys do not run out");
    [first, other(), other()]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_the_cluster_is_refused() {
    let Some(cluster) = redis_cluster::shared().await else {
        return;
    };
    let mut refused = 0;
    for node in cluster.nodes() {
        match builder(node.url()).connect().await {
            Ok(_) => {}
            Err(error) => {
                assert_eq!(error.kind(), StoreErrorKind::Misconfigured);
                refused += 1;
            }
        }
    }
    // One node holds the key that is read to see whether it works.
    assert_eq!(refused, 5);
}

/// A connection of the application's own.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_of_the_applications() {
    let Some(cluster) = redis_cluster::shared().await else {
        return;
    };
    let nodes = cluster.nodes().iter().map(Server::url);
    let client = ClusterClient::builder(nodes)
        .retries(0)
        .connection_timeout(PATIENCE)
        .response_timeout(PATIENCE)
        .build()
        .expect("these are URLs");
    let connection = client.get_async_connection().await.expect("connect");
    let own = builder(connection).prefix("own:").connect().await;
    let own = own.expect("the prefix is valid");
    crate::commands::everything(&own).await;
    let (key, _) = create(&own, b"data").await;
    let other = builder(client).prefix("own:").connect().await;
    let other = other.expect("connect");
    assert_eq!(data(&other, key).await.as_deref(), Some(&b"data"[..]));
    other.clear().await.expect("clear");
    assert_eq!(data(&own, key).await, None);
}
