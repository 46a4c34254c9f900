//! An answer that gets lost: the write was done, the connection broke before anybody heard of it, and
//! the store sends the command again.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use poem_session::{
    PublicId,
    store::{
        Created, LockOwner, Locked, RedisStore, Rename, Replaced, SessionStore, StoreErrorKind,
        Version,
    },
};
use poem_session_tests::servers::{Options, Server, redis, redis_cluster};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{Notify, Semaphore},
};

use crate::{Counter, PATIENCE, create, data, key, name, now, open, write};

/// Passes everything on, but for one answer to a script, which it swallows together with the connection.
struct Thief {
    address: SocketAddr,
    state: Arc<State>,
}

struct State {
    /// Swallow the answer when this has come down from one.
    countdown: AtomicUsize,
    /// An answer was swallowed.
    done: Notify,
    /// A permit for each connection that may be made.
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
                tokio::spawn(pass_on(client, server, Arc::clone(&shared)));
            }
        });
        Self { address, state }
    }

    async fn store(&self) -> RedisStore {
        open(&format!("redis://{}", self.address)).await
    }

    /// The next answer is swallowed.
    fn arm(&self) {
        self.arm_for(1);
    }

    /// The answer of this number, counted from now, is swallowed.
    fn arm_for(&self, number: usize) {
        self.state.countdown.store(number, Ordering::SeqCst);
    }

    async fn is_known_to(&self, node: &Server) -> bool {
        let port = self.address.port().to_string();
        node.run("CLUSTER SLOTS").await.contains(&port)
    }

    fn has_struck(&self) -> bool {
        self.state.countdown.load(Ordering::SeqCst) == 0
    }

    /// The same, and nobody gets a new connection until `open_doors`.
    fn arm_and_shut_doors(&self) {
        self.state.doors.forget_permits(usize::MAX);
        self.arm();
    }

    fn open_doors(&self) {
        self.state.doors.add_permits(1000);
    }
}

impl State {
    fn is_wanted(&self) -> bool {
        let less = |left: usize| left.checked_sub(1);
        let order = Ordering::SeqCst;
        self.countdown.fetch_update(order, order, less) == Ok(1)
    }
}

async fn pass_on(mut client: TcpStream, server: SocketAddr, state: Arc<State>) {
    let Ok(permit) = state.doors.acquire().await else {
        return;
    };
    permit.forget();
    let Ok(mut server) = TcpStream::connect(server).await else {
        return;
    };
    let (mut ask, mut answer) = (vec![0; 65_536], vec![0; 65_536]);
    // Nodes of a Cluster come through here too, for other things.
    let mut is_script = false;
    loop {
        tokio::select! {
            read = client.read(&mut ask) => match read {
                Ok(read @ 1..) => {
                    is_script = ask[..read].windows(7).any(|word| word == b"EVALSHA");
                    server.write_all(&ask[..read]).await.unwrap();
                }
                _ => return,
            },
            read = server.read(&mut answer) => match read {
                Ok(1..) if is_script && state.is_wanted() => return state.done.notify_one(),
                Ok(read @ 1..) => client.write_all(&answer[..read]).await.unwrap(),
                _ => return,
            },
        }
    }
}

async fn start() -> Option<(Server, Thief, RedisStore, RedisStore)> {
    let server = redis::shared().await?;
    let thief = Thief::start(server.address()).await;
    let (store, direct) = (thief.store().await, open(&server.url()).await);
    // The server is to know the scripts: a refusal is an answer too.
    crate::commands::everything(&direct).await;
    Some((server, thief, store, direct))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_was_done_is_not_done_twice() {
    let Some((_server, thief, store, direct)) = start().await else {
        return;
    };
    let key = key();
    thief.arm();
    let created = store.create(key, write("one"), now()).await.unwrap();
    let Created::Created(version) = created else {
        panic!("its own record stood in the way: {created:?}");
    };
    assert_eq!(
        direct.load(key, now()).await.unwrap().unwrap().version,
        version
    );

    let mut counter = Counter::create(&store).await;
    for step in 1..=10 {
        thief.arm();
        counter
            .add(&store)
            .await
            .expect("the command is sent again");
        assert_eq!(counter.stored(&direct).await, Some(step));
    }

    thief.arm();
    let owner = LockOwner::random();
    let until = write("").expires_at;
    let locked = store.lock(key, owner, until, now()).await.unwrap();
    assert_eq!(locked, Locked::Acquired);
    assert!(thief.has_struck());
    // It knows itself under a lease too.
    thief.arm();
    let replaced = store.replace(key, version, write("two"), now()).await;
    assert!(matches!(replaced, Ok(Replaced::Replaced(_))));
    assert_eq!(data(&direct, key).await.as_deref(), Some(&b"two"[..]));

    thief.arm();
    assert!(store.unlock(key, owner).await.unwrap(), "it was there");
    assert!(!store.unlock(key, owner).await.unwrap());
}

/// What was written and overwritten since cannot be told from what lost. Were that a conflict, its
/// caller would make the same change once more.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_may_have_been_overwritten_is_an_error() {
    let Some((_server, thief, store, direct)) = start().await else {
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
        let replaced = other.replace(key, current.version, write("three"), now());
        assert!(matches!(replaced.await, Ok(Replaced::Replaced(_))));
        thief.open_doors();
    };
    let (replaced, ()) = tokio::join!(replace, interfere);
    let error = replaced.expect_err("nobody knows whether it was written");
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    // Also the store itself, which has a connection again then.
    for store in [other, store] {
        assert_eq!(data(store, key).await.as_deref(), Some(&b"three"[..]));
    }

    // What lost for certain stays a conflict.
    let stale = store.replace(key, version, write("four"), now()).await;
    assert!(matches!(stale, Ok(Replaced::Conflict(current)) if current.data == "three"));
}

/// A thief for each node, by whose address the node is known to the others and to clients.
async fn in_front_of(nodes: &[Server]) -> Vec<Thief> {
    let mut thieves = Vec::new();
    for node in nodes {
        let thief = Thief::start(node.address()).await;
        let port = thief.address.port();
        node.run(format!("CONFIG SET cluster-announce-port {port}"))
            .await;
        thieves.push(thief);
    }
    let begun = Instant::now();
    for node in nodes {
        for thief in &thieves {
            while !thief.is_known_to(node).await {
                assert!(begun.elapsed() < PATIENCE, "{node:?} is not told");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    thieves
}

/// The client for a Cluster would repeat commands by itself, and not say so.
#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_is_no_different() {
    let Some(cluster) = redis_cluster::private(Options::new().fast()).await else {
        return;
    };
    let about = cluster.nodes()[0].run("INFO server").await;
    if about.contains("redis_version:6.") {
        eprintln!("not run: Redis 6 does not change the port that it announces while it runs");
        return;
    }
    let thieves = in_front_of(cluster.nodes()).await;
    let url = format!("redis+cluster://{}", thieves[0].address);
    let (store, other) = (open(&url).await, open(&url).await);
    crate::commands::everything(&store).await;
    let record = create(&store, b"one").await;
    let owner = cluster.owner(&name(record.0)).await;
    let is_owner = |node: &Server| node.port() == owner.port();
    let thief = &thieves[cluster
        .nodes()
        .iter()
        .position(is_owner)
        .expect("it is one")];

    thief.arm();
    let replaced = store.replace(record.0, record.1, write("one"), now()).await;
    let Ok(Replaced::Replaced(version)) = replaced else {
        panic!("replace answered {replaced:?}");
    };
    thief.state.done.notified().await;
    overwritten(thief, &store, &other, (record.0, version)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rename_ends_with_one_record() {
    let Some((_server, thief, store, direct)) = start().await else {
        return;
    };
    // The reply to the first command is lost, then that to the second.
    for number in [1, 2] {
        let (from, version) = create(&store, b"one").await;
        let to = key();
        thief.arm_for(number);
        let rename = Rename::new(from, version, to, write("two"), write("left"));
        let renamed = store.rename(rename, now()).await;
        assert!(matches!(renamed, Ok(Replaced::Replaced(_))));
        assert!(thief.has_struck());
        assert_eq!(data(&direct, to).await.as_deref(), Some(&b"two"[..]));
        assert_eq!(data(&direct, from).await.as_deref(), Some(&b"left"[..]));
    }
}

/// A failover can lose writes that were acknowledged. Whoever has seen one of those must not overwrite
/// what others have made of the record since.
#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_a_failover_lost_is_a_conflict() {
    let Some(server) = redis::private(Options::new().fast()).await else {
        return;
    };
    let store = open(&server.url()).await;
    let (key, first) = create(&store, b"one").await;
    let name = name(key);
    server.run(format!("COPY {name} as-replicated")).await;
    let lost = store.replace(key, first, write("lost"), now()).await;
    let Ok(Replaced::Replaced(lost)) = lost else {
        panic!("replace answered {lost:?}");
    };
    server
        .run(format!("COPY as-replicated {name} REPLACE"))
        .await;

    let late = store.replace(key, lost, write("late"), now()).await;
    assert!(matches!(late, Ok(Replaced::Conflict(current)) if current.version == first));
    let other = store.replace(key, first, write("other"), now()).await;
    assert!(matches!(other, Ok(Replaced::Replaced(_))));
    let late = store.replace(key, lost, write("late"), now()).await;
    assert!(matches!(late, Ok(Replaced::Conflict(current)) if current.data == "other"));
}
