//! A Cluster that loses nodes, and moves keys about.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use poem_session::{
    PublicId,
    store::{Created, LockOwner, Locked, RedisStore, Replaced, SessionStore, StoreErrorKind},
};
use poem_session_tests::servers::{Options, Server, redis_cluster, redis_cluster::Cluster};
use redis::{cluster::ClusterClient, cluster_routing::Slot};
use tokio::{task::JoinHandle, time::sleep};

use crate::{
    Counter, create, data,
    faults::{keep_adding, recovery},
    key, name, now, open, write,
};

/// The harness's nodes are given up after two seconds; the rest is theirs to vote and to promote.
const FAILOVER: Duration = Duration::from_mins(1);

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
        assert!(begun.elapsed() < FAILOVER, "{held} of {records}");
        sleep(Duration::from_millis(50)).await;
    }
}

type Load = Vec<JoinHandle<(Counter, u64, Vec<StoreErrorKind>)>>;

fn load(store: &RedisStore, stop: &Arc<AtomicBool>) -> Load {
    (0..16)
        .map(|_| tokio::spawn(keep_adding(store.clone(), Arc::clone(stop))))
        .collect()
}

/// How many of the acknowledged steps are there, how many there were, and how many failed.
async fn count(store: &RedisStore, load: Load) -> (u64, u64, usize) {
    let (mut kept, mut acknowledged, mut failed) = (0, 0, 0);
    for counter in load {
        let (counter, added, failures) = counter.await.expect("no step takes too long");
        kept += added.min(counter.stored(store).await.unwrap_or(0));
        acknowledged += added;
        failed += failures.len();
    }
    (kept, acknowledged, failed)
}

/// Waits until each of the records can be read again.
async fn all_served(store: &RedisStore, keys: &[PublicId]) -> Duration {
    let begun = Instant::now();
    for key in keys {
        while let Err(error) = store.load(*key, now()).await {
            assert!(begun.elapsed() < FAILOVER, "still {error:?}");
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
    let Some(cluster) = redis_cluster::private(Options::new().fast()).await else {
        return;
    };
    let store = open(&cluster.url()).await;
    let mut keys = Vec::new();
    for _ in 0..50 {
        keys.push(create(&store, b"data").await.0);
    }
    replicated(cluster.nodes(), 2 * keys.len()).await;
    let stop = Arc::new(AtomicBool::new(false));
    let load = load(&store, &stop);
    sleep(Duration::from_secs(2)).await;

    let master = cluster.owner(&name(keys[0])).await;
    let begun = Instant::now();
    if kill {
        master.kill().await;
    } else {
        master.pause();
    }
    sleep(Duration::from_millis(200)).await;
    all_served(&store, &keys).await;
    let outage = begun.elapsed();
    sleep(Duration::from_secs(1)).await;
    if kill {
        master.restart().await;
    } else {
        master.resume();
    }
    cluster.settle().await;
    sleep(Duration::from_secs(1)).await;
    all_served(&store, &keys).await;
    stop.store(true, Ordering::Relaxed);
    let (kept, acknowledged, failed) = count(&store, load).await;
    println!(
        "cluster, master {}: all served again after {outage:?}; {failed} writes failed; {} of \
         {acknowledged} acknowledged writes lost",
        if kill { "killed" } else { "hung" },
        acknowledged - kept,
    );
    assert!(kept * 100 >= acknowledged * 90, "{kept} of {acknowledged}");
}

/// What was acknowledged and not passed on when a master dies is lost: here all that its replica, which was
/// held up, had not read yet. Records are whole or not there.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_replica_has_not_got_is_lost() {
    let Some(cluster) = redis_cluster::private(Options::new().fast()).await else {
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
    let Some(cluster) = redis_cluster::private(Options::new()).await else {
        return;
    };
    let store = open(&cluster.url()).await;
    let (id, _) = create(&store, b"data").await;
    // Each second the file is synced; what was acknowledged before that stays.
    sleep(Duration::from_secs(2)).await;
    for node in cluster.nodes() {
        node.stop().await;
    }
    let begun = Instant::now();
    let error = store.load(id, now()).await.expect_err("nobody is there");
    assert_ne!(error.kind(), StoreErrorKind::Corrupt);
    assert!(begun.elapsed() < crate::LIMIT + crate::SLACK);
    for node in cluster.nodes() {
        node.restart().await;
    }
    cluster.settle().await;
    recovery(&store, FAILOVER).await;
    assert_eq!(data(&store, id).await.as_deref(), Some(&b"data"[..]));
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
            .run(format!("MIGRATE 127.0.0.1 {port} {name} 0 5000"))
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
        match RedisStore::connect(&node.url()).await {
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
        .build()
        .expect("these are URLs");
    let connection = client.get_async_connection().await.expect("connect");
    let own = RedisStore::builder(connection)
        .prefix("own:")
        .connect()
        .await;
    let own = own.expect("the prefix is valid");
    crate::commands::everything(&own).await;
    let (key, _) = create(&own, b"data").await;
    let other = RedisStore::builder(client).prefix("own:").connect().await;
    let other = other.expect("connect");
    assert_eq!(data(&other, key).await.as_deref(), Some(&b"data"[..]));
    other.clear().await.expect("clear");
    assert_eq!(data(&own, key).await, None);
}
