//! A lost reply: the server executes a write, the connection breaks before its reply arrives, and the store sends
//! the command again.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use poem_session::{
    PublicId,
    store::{
        Created, LockOwner, Locked, RedisStore, Rename, Replaced, SessionStore, StoreErrorKind,
        Version,
    },
};
use poem_session_tests::{
    eventually,
    servers::{Options, Server, redis, redis_cluster},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{Notify, Semaphore},
};

use crate::{Counter, create, data, key, name, now, open, replaced, use_all, write};

/// A proxy that drops one reply to a script, together with its connection.
struct Thief {
    address: SocketAddr,
    state: Arc<State>,
}

struct State {
    /// The number of replies until the dropped one. Zero if no reply is to be dropped.
    countdown: AtomicUsize,
    /// Notified when a reply was dropped.
    done: Notify,
    /// A permit for each connection that may be opened.
    doors: Semaphore,
}

impl Thief {
    async fn start(server: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            countdown: AtomicUsize::new(0),
            done: Notify::new(),
            doors: Semaphore::new(1000),
        });
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                tokio::spawn(forward(client, server, Arc::clone(&shared)));
            }
        });
        Self { address, state }
    }

    /// Drops the next reply.
    fn arm(&self) {
        self.arm_for(1);
    }

    /// Drops the reply with this number, counted from now.
    fn arm_for(&self, number: usize) {
        self.state.countdown.store(number, Ordering::SeqCst);
    }

    /// Drops the next reply, and accepts no connection until `open_doors`.
    fn arm_and_shut_doors(&self) {
        self.state.doors.forget_permits(usize::MAX);
        self.arm();
    }

    fn open_doors(&self) {
        self.state.doors.add_permits(1000);
    }

    fn has_struck(&self) -> bool {
        self.state.countdown.load(Ordering::SeqCst) == 0
    }
}

impl State {
    fn is_wanted(&self) -> bool {
        let less = |left: usize| left.checked_sub(1);
        let order = Ordering::SeqCst;
        self.countdown.fetch_update(order, order, less) == Ok(1)
    }
}

async fn forward(mut client: TcpStream, server: SocketAddr, state: Arc<State>) {
    let Ok(permit) = state.doors.acquire().await else {
        return;
    };
    permit.forget();
    let Ok(mut server) = TcpStream::connect(server).await else {
        return;
    };
    let (mut request, mut reply) = (vec![0; 65_536], vec![0; 65_536]);
    // The nodes of a Cluster send each other other commands through this proxy.
    let mut is_script = false;
    loop {
        tokio::select! {
            read = client.read(&mut request) => match read {
                Ok(read @ 1..) => {
                    is_script = request[..read].windows(7).any(|word| word == b"EVALSHA");
                    server.write_all(&request[..read]).await.unwrap();
                }
                _ => return,
            },
            read = server.read(&mut reply) => match read {
                Ok(1..) if is_script && state.is_wanted() => return state.done.notify_one(),
                Ok(read @ 1..) => client.write_all(&reply[..read]).await.unwrap(),
                _ => return,
            },
        }
    }
}

/// Returns the proxy, a store that uses it, and a store that does not.
async fn start() -> Option<(Thief, RedisStore, RedisStore)> {
    let server = redis::shared().await?;
    let thief = Thief::start(server.address()).await;
    let store = open(&format!("redis://{}", thief.address)).await;
    let direct = open(&server.url()).await;
    // The server must have the scripts, because it replies to an unknown one with an error.
    use_all(&direct).await;
    Some((thief, store, direct))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_is_not_executed_twice() {
    let Some((thief, store, direct)) = start().await else {
        return;
    };
    let key = key();
    thief.arm();
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
        thief.arm();
        counter.add(&store).await.expect("the command is repeated");
        assert_eq!(counter.stored(&direct).await, Some(step));
    }

    thief.arm();
    let owner = LockOwner::random();
    let until = write("").expires_at;
    let locked = store.lock(key, owner, until, now()).await.unwrap();
    assert_eq!(locked, Locked::Acquired);
    assert!(thief.has_struck());
    thief.arm();
    replaced(store.replace(key, version, write("two"), now()).await);
    assert_eq!(data(&direct, key).await.as_deref(), Some(&b"two"[..]));

    thief.arm();
    assert!(
        store.unlock(key, owner).await.unwrap(),
        "the lease was held"
    );
    assert!(!store.unlock(key, owner).await.unwrap());
}

/// The store cannot distinguish a write that was overwritten from one that lost. If it returned a conflict, the caller
/// would make the same change again.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_may_be_overwritten_is_an_error() {
    let Some((thief, store, direct)) = start().await else {
        return;
    };
    overwritten(&thief, &store, &direct, create(&store, b"one").await).await;
}

async fn overwritten(
    thief: &Thief,
    store: &RedisStore,
    other: &RedisStore,
    (key, version): (PublicId, Version),
) {
    thief.arm_and_shut_doors();
    let replace = store.replace(key, version, write("two"), now());
    let interfere = async {
        thief.state.done.notified().await;
        let current = other.load(key, now()).await.unwrap().unwrap();
        assert_eq!(current.data, "two");
        let three = other.replace(key, current.version, write("three"), now());
        replaced(three.await);
        thief.open_doors();
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
async fn in_front_of(nodes: &[Server]) -> Vec<Thief> {
    let mut thieves = Vec::new();
    for node in nodes {
        let thief = Thief::start(node.address()).await;
        let port = thief.address.port();
        node.run(format!("CONFIG SET cluster-announce-port {port}"))
            .await;
        thieves.push(thief);
    }
    for node in nodes {
        eventually("the node has the announced ports", async || {
            let slots = node.run("CLUSTER SLOTS").await;
            let is_known = |thief: &Thief| slots.contains(&thief.address.port().to_string());
            thieves.iter().all(is_known).then_some(())
        })
        .await;
    }
    thieves
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
    let thieves = in_front_of(cluster.nodes()).await;
    let url = format!("redis+cluster://{}", thieves[0].address);
    let (store, other) = (open(&url).await, open(&url).await);
    use_all(&store).await;
    let record = create(&store, b"one").await;
    let owner = cluster.owner(&name(record.0)).await;
    let is_owner = |node: &Server| node.port() == owner.port();
    let position = cluster.nodes().iter().position(is_owner);
    let thief = &thieves[position.expect("a node of the cluster")];

    thief.arm();
    let version = replaced(store.replace(record.0, record.1, write("one"), now()).await);
    thief.state.done.notified().await;
    overwritten(thief, &store, &other, (record.0, version)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rename_is_not_executed_twice() {
    let Some((thief, store, direct)) = start().await else {
        return;
    };
    // A rename is two commands. Either reply may be lost.
    for number in [1, 2] {
        let (from, version) = create(&store, b"one").await;
        let to = key();
        thief.arm_for(number);
        let rename = Rename::new(from, version, to, write("two"), write("left"));
        replaced(store.rename(rename, now()).await);
        assert!(thief.has_struck());
        assert_eq!(data(&direct, to).await.as_deref(), Some(&b"two"[..]));
        assert_eq!(data(&direct, from).await.as_deref(), Some(&b"left"[..]));
    }
}

/// A failover can lose acknowledged writes. A request that has read such a write must not overwrite the writes that
/// followed the failover.
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
