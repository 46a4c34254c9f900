//! A lost reply: the server executes a write, the connection breaks before its reply arrives, and the store
//! sends the command again.

use poem_session::{
    PublicId,
    store::{
        Created, LockOwner, Locked, RedisStore, Rename, Replaced, SessionStore, StoreErrorKind,
        Version,
    },
};
use poem_session_tests::{
    eventually,
    load::Counter,
    proxy::Proxy,
    records::{create, data, key, now, replaced, write},
    servers::{Options, Server, redis, redis_cluster},
};

use crate::{name, open, use_all};

/// Returns the proxy, a store that uses it, and a store that does not.
async fn start() -> Option<(Proxy, RedisStore, RedisStore)> {
    let server = redis::shared().await?;
    let proxy = Proxy::start(server.address()).await;
    let store = open(&proxy.url(&server.url())).await;
    let direct = open(&server.url()).await;
    // The server must have the scripts, because it replies to an unknown one with an error.
    use_all(&direct).await;
    Some((proxy, store, direct))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_is_not_executed_twice() {
    let Some((proxy, store, direct)) = start().await else {
        return;
    };
    let key = key();
    proxy.lose_reply(1);
    let created = store.create(key, write("one"), now()).await.unwrap();
    let Created::Created(version) = created else {
        panic!("create returned {created:?}");
    };
    assert_eq!(
        direct.load(key, now()).await.unwrap().unwrap().version,
        version
    );

    let mut counter = Counter::create(&store).await;
    for step in 1..=10 {
        proxy.lose_reply(1);
        counter.add(&store).await.expect("the command is repeated");
        assert_eq!(counter.stored(&direct).await, Some(step));
    }

    proxy.lose_reply(1);
    let owner = LockOwner::random();
    let until = write("").expires_at;
    let locked = store.lock(key, owner, until, now()).await.unwrap();
    assert_eq!(locked, Locked::Acquired);
    proxy.reply_is_lost().await;
    proxy.lose_reply(1);
    replaced(store.replace(key, version, write("two"), now()).await);
    assert_eq!(data(&direct, key).await.as_deref(), Some(&b"two"[..]));

    proxy.lose_reply(1);
    assert!(
        store.unlock(key, owner).await.unwrap(),
        "the lease was held"
    );
    assert!(!store.unlock(key, owner).await.unwrap());
}

/// The store cannot distinguish a write that was overwritten from one that lost. If it returned a conflict,
/// the caller would make the same change again.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_may_be_overwritten_is_an_error() {
    let Some((proxy, store, direct)) = start().await else {
        return;
    };
    overwritten(&proxy, &store, &direct, create(&store, b"one").await).await;
}

async fn overwritten(
    proxy: &Proxy,
    store: &RedisStore,
    other: &RedisStore,
    (key, version): (PublicId, Version),
) {
    proxy.hold().await;
    proxy.lose_reply(1);
    let replace = store.replace(key, version, write("two"), now());
    let interfere = async {
        proxy.reply_is_lost().await;
        let current = other.load(key, now()).await.unwrap().unwrap();
        assert_eq!(current.data, "two");
        let three = other.replace(key, current.version, write("three"), now());
        replaced(three.await);
        proxy.pass().await;
    };
    let (result, ()) = tokio::join!(replace, interfere);
    let error = result.expect_err("the store does not know whether it wrote");
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    // The store has a new connection.
    for store in [other, store] {
        assert_eq!(data(store, key).await.as_deref(), Some(&b"three"[..]));
    }

    // A write that certainly lost is a conflict.
    let stale = store.replace(key, version, write("four"), now()).await;
    assert!(matches!(stale, Ok(Replaced::Conflict(current)) if current.data == "three"));
}

/// Starts a proxy for each node. The node announces the address of the proxy to the others and to clients.
async fn in_front_of(nodes: &[Server]) -> Vec<Proxy> {
    let mut proxies = Vec::new();
    for node in nodes {
        let proxy = Proxy::start(node.address()).await;
        let port = proxy.address().port();
        node.run(format!("CONFIG SET cluster-announce-port {port}"))
            .await;
        proxies.push(proxy);
    }
    for node in nodes {
        eventually("the node has the announced ports", async || {
            let slots = node.run("CLUSTER SLOTS").await;
            let is_known = |proxy: &Proxy| slots.contains(&proxy.address().port().to_string());
            proxies.iter().all(is_known).then_some(())
        })
        .await;
    }
    proxies
}

/// The store disables the repetitions of the client for a Cluster, which it could not notice.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_to_a_cluster_is_not_executed_twice() {
    let Some(cluster) = redis_cluster::private(Options::new().fast()).await else {
        return;
    };
    let about = cluster.nodes()[0].run("INFO server").await;
    if about.contains("redis_version:6.") {
        eprintln!("not run: Redis 6 cannot change the announced port of a running server");
        return;
    }
    let proxies = in_front_of(cluster.nodes()).await;
    let url = format!("redis+cluster://{}", proxies[0].address());
    let (store, other) = (open(&url).await, open(&url).await);
    use_all(&store).await;
    let record = create(&store, b"one").await;
    let owner = cluster.owner(&name(record.0)).await;
    let is_owner = |node: &Server| node.port() == owner.port();
    let position = cluster.nodes().iter().position(is_owner);
    let proxy = &proxies[position.expect("a node of the cluster")];

    proxy.lose_reply(1);
    let version = replaced(store.replace(record.0, record.1, write("one"), now()).await);
    proxy.reply_is_lost().await;
    overwritten(proxy, &store, &other, (record.0, version)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rename_is_not_executed_twice() {
    let Some((proxy, store, direct)) = start().await else {
        return;
    };
    // A rename is two commands. Either reply may be lost.
    for number in [1, 2] {
        let (from, version) = create(&store, b"one").await;
        let to = key();
        proxy.lose_reply(number);
        let rename = Rename::new(from, version, to, write("two"), write("left"));
        replaced(store.rename(rename, now()).await);
        proxy.reply_is_lost().await;
        assert_eq!(data(&direct, to).await.as_deref(), Some(&b"two"[..]));
        assert_eq!(data(&direct, from).await.as_deref(), Some(&b"left"[..]));
    }
}

/// A failover can lose acknowledged writes. A request that has read such a write must not overwrite the
/// writes that followed the failover.
#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_a_failover_lost_is_a_conflict() {
    let Some(server) = redis::private(Options::new().fast()).await else {
        return;
    };
    let store = open(&server.url()).await;
    let (key, first) = create(&store, b"one").await;
    let name = name(key);
    server.run(format!("COPY {name} as-replicated")).await;
    let lost = replaced(store.replace(key, first, write("lost"), now()).await);
    server
        .run(format!("COPY as-replicated {name} REPLACE"))
        .await;

    let late = store.replace(key, lost, write("late"), now()).await;
    assert!(matches!(late, Ok(Replaced::Conflict(current)) if current.version == first));
    replaced(store.replace(key, first, write("other"), now()).await);
    let late = store.replace(key, lost, write("late"), now()).await;
    assert!(matches!(late, Ok(Replaced::Conflict(current)) if current.data == "other"));
}
