//! A Cluster that moves a slot, and a node that is not addressed as part of its Cluster.

use poem_session::{
    PublicId,
    store::{LockOwner, Locked, RedisSource, SessionStore, StoreErrorKind},
};
use poem_session_tests::{
    eventually,
    records::{data, key, now, replaced, write},
    servers::{Options, Server, redis_cluster, redis_cluster::Cluster},
};
use redis::{
    cluster::ClusterClient, cluster_read_routing::RandomReplicaStrategy, cluster_routing::Slot,
};

use crate::{builder, name, open, use_all};

/// A slot and the two masters between which it moves.
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
        let command = format!("MIGRATE 127.0.0.1 {} {name} 0 60000", self.to.port());
        let moved = self.from.run(command).await;
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

/// Returns three keys of one slot.
fn same_slot() -> [PublicId; 3] {
    let slot = |key| Slot::for_key(name(key));
    let first = key();
    let mut others = std::iter::repeat_with(key).filter(|other| slot(*other) == slot(first));
    let mut other = || others.next().expect("an endless iterator");
    [first, other(), other()]
}

/// While a slot moves, a key is on the old node or on the new one. A command with one key works.
#[tokio::test(flavor = "multi_thread")]
async fn a_slot_moves_while_it_is_used() {
    let Some(cluster) = redis_cluster::private(Options::new().fast()).await else {
        return;
    };
    let store = open(&cluster.url()).await;
    let [new, not_moved, moved] = same_slot();
    let mut versions = Vec::new();
    for key in [not_moved, moved] {
        store.create(key, write("data"), now()).await.unwrap();
        let stored = store.load(key, now()).await.unwrap();
        versions.push((key, stored.expect("a record").version));
    }
    let slot = Move::begin(&cluster, &name(new)).await;
    slot.migrate(&name(moved)).await;

    store.create(new, write("new"), now()).await.unwrap();
    assert_eq!(data(&store, new).await.as_deref(), Some(&b"new"[..]));
    for (key, version) in versions {
        assert_eq!(data(&store, key).await.as_deref(), Some(&b"data"[..]));
        let (owner, until) = (LockOwner::random(), write("").expires_at);
        let touched = store.touch(key, version, until, now()).await;
        assert!(touched.expect("touch"));
        let locked = store.lock(key, owner, until, now()).await;
        assert_eq!(locked.expect("lock"), Locked::Acquired);
        replaced(store.replace(key, version, write("more"), now()).await);
        assert!(store.unlock(key, owner).await.expect("unlock"));
    }
    slot.migrate(&name(not_moved)).await;
    slot.end().await;
    for key in [not_moved, moved] {
        assert_eq!(data(&store, key).await.as_deref(), Some(&b"more"[..]));
    }
    store.clear().await.expect("clear");
    assert_eq!(data(&store, not_moved).await, None);
}

/// A replica that lags behind would return a session that has ended.
///
/// Conformance 2.3, 5.4
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_reads_from_replicas_loads_sessions_from_primaries() {
    let Some(cluster) = redis_cluster::private(Options::new().fast()).await else {
        return;
    };
    // A client asks any node for the replicas. A node lists a replica when it has heard of data on it.
    let store = open(&cluster.url()).await;
    for node in cluster.nodes() {
        eventually("the node lists all replicas", async || {
            use_all(&store).await;
            let slots = node.run("CLUSTER SLOTS").await;
            (slots.matches("127.0.0.1").count() == 6).then_some(())
        })
        .await;
    }
    let client = ClusterClient::builder(cluster.nodes().iter().map(Server::url))
        .retries(0)
        .read_routing_strategy(RandomReplicaStrategy)
        .build()
        .expect("valid addresses");
    let mut connection = client.get_async_connection().await.expect("a cluster");
    // The application reads from replicas itself.
    for _ in 0..20 {
        let read = redis::cmd("STRLEN").arg("some key").to_owned();
        let read: u64 = read.query_async(&mut connection).await.expect("a reply");
        assert_eq!(read, 0);
    }
    for source in [RedisSource::from(client), RedisSource::from(connection)] {
        let store = builder(source).connect().await.expect("a cluster");
        for _ in 0..20 {
            use_all(&store).await;
        }
    }
    let mut reads = [0; 2];
    for node in cluster.nodes() {
        let is_replica = node.run("ROLE").await.starts_with("slave");
        let commands = node.run("INFO commandstats").await;
        if is_replica {
            reads[0] += usize::from(commands.contains("cmdstat_strlen:"));
            reads[1] += usize::from(commands.contains("cmdstat_getrange:"));
        }
    }
    assert_eq!(reads, [1, 0], "the replicas that were read from");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_url_of_a_single_node_is_misconfigured() {
    let Some(cluster) = redis_cluster::shared().await else {
        return;
    };
    let mut refused = 0;
    for node in cluster.nodes() {
        if let Err(error) = builder(node.url()).connect().await {
            assert_eq!(error.kind(), StoreErrorKind::Misconfigured);
            refused += 1;
        }
    }
    // `connect` reads a key, which one of the nodes owns.
    assert_eq!(refused, 5);
}
