//! A server, or the way to it, that fails.

use std::time::{Duration, Instant};

use ::redis::aio::ConnectionManagerConfig;
use poem_session::store::{
    RedisStore, Rename, SessionStore, StoreError,
    StoreErrorKind::{self, Full, Misconfigured, TimedOut, Unavailable},
};
use poem_session_tests::{
    proxy::Proxy,
    servers::{Options, Server, redis, redis_cluster, redis_sentinel},
};
use tokio::time::{sleep, timeout};

use crate::{
    Counter, LIMIT, PATIENCE, builder, create, data, key, load::Load, now, open, open_within, write,
};

/// Asks until it is answered.
pub(crate) async fn recovery(store: &RedisStore) {
    let begun = Instant::now();
    while let Err(error) = store.load(key(), now()).await {
        assert!(begun.elapsed() < PATIENCE, "still {error:?}");
        sleep(Duration::from_millis(10)).await;
    }
}

async fn fails(store: &RedisStore) -> StoreErrorKind {
    let load = timeout(PATIENCE, store.load(key(), now())).await;
    let error = load.expect("a call that ends");
    error.expect_err("nobody is there").kind()
}

/// How a step fails that the server refuses. One that reached the time limit instead, because the machine is
/// busy, is tried again.
async fn refusal(counter: &mut Counter, store: &RedisStore) -> StoreErrorKind {
    let begun = Instant::now();
    loop {
        let error = counter.add(store).await.expect_err("a refusal");
        if error.kind() != TimedOut || begun.elapsed() > PATIENCE {
            return error.kind();
        }
    }
}

/// Conformance 5.11, 6.10
#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_killed_under_load_and_started_again() {
    let options = Options::new().arguments(["--appendfsync", "always"]);
    let Some(server) = redis::private(options).await else {
        return;
    };
    let store = open(&server.url()).await;
    let load = Load::begin(8, &store, &server.url()).await;

    load.adds(200).await;
    server.kill().await;
    load.fails().await;
    server.restart().await;
    recovery(&store).await;
    load.adds(200).await;

    for each in load.end().await {
        let (counter, added, failures) = (each.counter, each.acknowledged, each.failures);
        assert!(
            failures.iter().all(|kind| *kind == Unavailable),
            "{failures:?}"
        );
        let stored = counter.stored(&store).await.expect("it was not deleted");
        // Each failure may have been a write whose answer was lost.
        let most = added + failures.len() as u64;
        assert!(
            (added..=most).contains(&stored),
            "{added} {stored} {failures:?}"
        );
    }
}

/// Conformance 5.11, 6.10
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stalls_is_an_error_in_time() {
    let Some(server) = redis::private(Options::new().fast()).await else {
        return;
    };
    let store = open_within(LIMIT, &server.url()).await;
    let patient = open(&server.url()).await;
    let (key, _) = create(&patient, b"data").await;
    server.pause();
    let waiting: Vec<_> = (0..20)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move { fails(&store).await })
        })
        .collect();
    for waiting in waiting {
        assert_eq!(waiting.await.unwrap(), TimedOut);
    }
    assert_eq!(fails(&store).await, TimedOut);
    server.resume();
    recovery(&store).await;
    assert_eq!(data(&patient, key).await.as_deref(), Some(&b"data"[..]));
}

/// Cuts the connections, and waits until they are.
async fn cut(proxy: &Proxy) {
    proxy.cut();
    while proxy.open() > 0 {
        sleep(Duration::from_millis(1)).await;
    }
}

/// Conformance 5.11, 6.10
#[tokio::test(flavor = "multi_thread")]
async fn connections_that_are_cut_are_made_anew_without_an_error() {
    let Some(server) = redis::shared().await else {
        return;
    };
    let proxy = Proxy::start(server.address()).await;
    let store = open(&proxy.url(&server.url())).await;
    let brief = open_within(LIMIT, &proxy.url(&server.url())).await;
    let mut counter = Counter::create(&store).await;
    for step in 1..=20 {
        cut(&proxy).await;
        counter.add(&store).await.expect("it is sent again");
        assert_eq!(counter.stored(&store).await, Some(step));
    }

    proxy.refuse().await;
    cut(&proxy).await;
    // A refusal is known at once: it does not become a time limit, which this store reaches much later.
    assert_eq!(fails(&store).await, Unavailable);
    proxy.pass().await;
    recovery(&store).await;
    recovery(&brief).await;

    // A network that swallows everything: the connection is as good as dead, and nobody says so.
    proxy.stall().await;
    assert_eq!(fails(&brief).await, TimedOut);
    proxy.pass().await;
    recovery(&brief).await;
    assert_eq!(counter.stored(&store).await, Some(20));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_takes_no_more_connections_is_waited_for() {
    let Some(server) = redis::private(Options::new().fast()).await else {
        return;
    };
    let proxy = Proxy::start(server.address()).await;
    let store = open(&proxy.url(&server.url())).await;
    let holder = tokio::net::TcpStream::connect(server.address()).await;
    server.run("CONFIG SET maxclients 1").await;
    cut(&proxy).await;
    assert_eq!(fails(&store).await, Unavailable);
    drop(holder);
    recovery(&store).await;
}

/// Conformance 5.11, 6.10
#[tokio::test(flavor = "multi_thread")]
async fn a_full_server_refuses_writes_and_serves_reads() {
    let options = Options::new().fast();
    let options = options.arguments(["--maxmemory", "4mb", "--maxmemory-policy", "noeviction"]);
    let Some(server) = redis::private(options).await else {
        return;
    };
    let store = open(&server.url()).await;
    let mut keys = Vec::new();
    let error = loop {
        let key = key();
        match store.create(key, write(vec![7; 50_000]), now()).await {
            Ok(_) => keys.push(key),
            Err(error) => break error,
        }
        assert!(keys.len() < 200, "4 MB hold no 10 MB");
    };
    assert_eq!(error.kind(), Full);
    for key in &keys {
        assert_eq!(data(&store, *key).await, Some(vec![7; 50_000]));
    }
    store.clear().await.expect("a removal needs no memory");
    create(&store, b"data").await;
}

/// Conformance 5.11, 6.10
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_may_not_write_is_an_error_until_it_may() {
    let Some(server) = redis::private(Options::new().fast()).await else {
        return;
    };
    let store = open(&server.url()).await;
    // It waits for a server that may write, until the time limit.
    let brief = open_within(LIMIT, &server.url()).await;
    let mut counter = Counter::create(&store).await;
    server.run("REPLICAOF 127.0.0.1 1").await;
    assert_eq!(refusal(&mut counter, &brief).await, Unavailable);
    server.run("REPLICAOF NO ONE").await;
    counter.add(&store).await.expect("it is a master");

    server.run("CONFIG SET min-replicas-to-write 1").await;
    assert_eq!(refusal(&mut counter, &brief).await, Unavailable);
    assert_eq!(counter.stored(&store).await, Some(1));
}

/// Conformance 5.11, 6.10
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_writes() {
    let options = Options::new().arguments(["--appendfsync", "always"]);
    let Some(server) = redis::private(options.file_limit(200_000)).await else {
        return;
    };
    let store = open(&server.url()).await;
    let mut written = Vec::new();
    let error = loop {
        let key = key();
        match store.create(key, write(vec![7; 10_000]), now()).await {
            Ok(_) => written.push(key),
            Err(error) => break error,
        }
        assert!(written.len() < 100, "200 kB hold no 1 MB");
    };
    assert_eq!(error.kind(), Unavailable);
}

fn assert_is_silent(error: &StoreError, words: &[&str]) {
    let text = format!("{error} {error:?} {:?}", std::error::Error::source(error));
    for word in words {
        assert!(!text.contains(word), "{text}");
    }
}

/// Conformance 5.10
#[tokio::test(flavor = "multi_thread")]
async fn credentials_that_are_wrong_are_named_and_not_shown() {
    let Some(server) = redis::private(Options::new().fast()).await else {
        return;
    };
    server.run("ACL SETUSER app on >open-sesame ~* +@all").await;
    let port = server.port();
    let url = |login: &str| format!("redis://{login}127.0.0.1:{port}");
    let store = open(&url("app:open-sesame@")).await;
    create(&store, b"data").await;

    for login in [
        "app:wrong-secret@",
        "nobody:wrong-secret@",
        ":wrong-secret@",
    ] {
        let error = builder(url(login)).connect().await.expect_err(login);
        assert_eq!(error.kind(), Misconfigured, "{login} {error:?}");
        assert_is_silent(&error, &["wrong-secret", &port.to_string(), "nobody"]);
    }
    // The password changes while the application runs: it goes on when it is changed back.
    server.run("ACL SETUSER app resetpass >changed").await;
    server.run("CLIENT KILL TYPE normal").await;
    let error = store
        .load(key(), now())
        .await
        .expect_err("the password is wrong");
    assert_eq!(error.kind(), Misconfigured);
    server.run("ACL SETUSER app resetpass >open-sesame").await;
    recovery(&store).await;

    server.run("CONFIG SET requirepass open-sesame").await;
    let error = builder(url("")).connect().await.expect_err("no password");
    assert_eq!(error.kind(), Misconfigured);
    open(&url(":open-sesame@")).await;
    let debug = format!("{store:?}");
    assert!(
        !debug.contains("sesame") && !debug.contains("127.0.0.1"),
        "{debug}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_there_and_no_such_database() {
    let Some(server) = redis::shared().await else {
        return;
    };
    let connect = async |url: &str| builder(url).connect().await.map(drop);
    let url = format!("{}/9999", server.url());
    assert_eq!(connect(&url).await.unwrap_err().kind(), Misconfigured);
    let url = server.url().replace("redis://", "redis+cluster://");
    assert_eq!(connect(&url).await.unwrap_err().kind(), Misconfigured);
    for url in [
        "redis://127.0.0.1:1",
        "redis://no-such-host.invalid",
        "redis+cluster://127.0.0.1:1,127.0.0.1:2",
        "redis+sentinel://127.0.0.1:1,127.0.0.1:2/primary",
    ] {
        let error = connect(url).await.expect_err(url);
        assert_eq!(error.kind(), Unavailable, "{url}");
        assert_is_silent(&error, &["127.0.0.1", "no-such-host"]);
    }
}

/// The rights that the documentation names.
const RIGHTS: &str =
    "~poem-session:* +get +getrange +set +setrange +pexpire +unlink +scan +eval +evalsha";

async fn add_user(server: &Server, more: &str) {
    let made = server
        .run(format!("ACL SETUSER app on >pw {RIGHTS} {more}"))
        .await;
    assert_eq!(made.trim(), "OK");
}

/// A store of that user does all that a store does.
async fn works(url: &str) {
    let url = url.replace("://", "://app:pw@");
    let builder = builder(&url).prefix("poem-session:rights:");
    let store = builder.connect().await.expect("the server answers");
    crate::commands::everything(&store).await;
    let (id, version) = create(&store, b"data").await;
    let rename = Rename::new(id, version, key(), write("new"), write("left"));
    assert!(store.rename(rename, now()).await.is_ok());
    store.clear().await.expect("clear");

    let builder = crate::builder(&url).prefix("other:");
    let error = builder.connect().await.expect_err("not its keys");
    assert_eq!(error.kind(), Misconfigured);
}

#[tokio::test(flavor = "multi_thread")]
async fn few_rights_are_enough() {
    let Some(server) = redis::private(Options::new().fast()).await else {
        return;
    };
    add_user(&server, "").await;
    works(&server.url()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn few_rights_are_enough_on_a_cluster() {
    let Some(cluster) = redis_cluster::shared().await else {
        return;
    };
    for node in cluster.nodes() {
        add_user(node, "+ping +asking +cluster|slots").await;
    }
    works(&cluster.url()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn few_rights_are_enough_through_sentinel() {
    let Some(sentinel) = redis_sentinel::shared().await else {
        return;
    };
    for server in sentinel.servers() {
        add_user(server, "+role").await;
    }
    works(&sentinel.url()).await;
}

/// A connection of the application's own.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_of_the_applications() {
    let Some(server) = redis::shared().await else {
        return;
    };
    let client = ::redis::Client::open(server.new_database().await).expect("it is a URL");
    let config = ConnectionManagerConfig::new()
        .set_connection_timeout(Some(PATIENCE))
        .set_response_timeout(Some(PATIENCE));
    let connection = client.get_connection_manager_with_config(config).await;
    let connection = connection.expect("connect");
    let own = builder(connection).prefix("own:").connect().await;
    let own = own.expect("the prefix is valid");
    crate::commands::everything(&own).await;
    let (key, _) = create(&own, b"data").await;
    let other = builder(client).prefix("own:").connect().await;
    let other = other.expect("connect");
    assert_eq!(data(&other, key).await.as_deref(), Some(&b"data"[..]));
    other.clear().await.expect("clear");
    assert_eq!(data(&own, key).await, None);

    for prefix in ["", "a{b", "}"] {
        let builder = builder(server.url()).prefix(prefix);
        let refused = builder.connect().await;
        assert_eq!(refused.unwrap_err().kind(), Misconfigured, "{prefix:?}");
    }
}
