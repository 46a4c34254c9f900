//! What reaches the server, and what it keeps.

use std::time::{Duration, Instant};

use poem_session::store::{
    LockOwner, Locked, RedisStore, Rename, Replaced, SessionStore, StoreError, StoreErrorKind,
    Version, Write,
};
use poem_session_tests::{
    monitor::{Command, Monitor},
    servers::{Options, Server, redis, redis_cluster},
};

use crate::{PATIENCE, builder, create, data, key, name, now, open, write};

/// Does everything once.
pub(crate) async fn everything(store: &RedisStore) {
    let (key, version) = create(store, b"data").await;
    let owner = LockOwner::random();
    let until = now().saturating_add(Duration::from_secs(10));
    store.lock(key, owner, until, now()).await.expect("lock");
    store.unlock(key, owner).await.expect("unlock");
    let later = now().saturating_add(Duration::from_hours(1));
    store
        .touch(key, version, later, now())
        .await
        .expect("touch");
    store
        .replace(key, version, write("new"), now())
        .await
        .expect("replace");
}

async fn pttl(server: &Server, name: &str) -> u64 {
    let pttl = server.run(format!("PTTL {name}")).await;
    pttl.trim()
        .parse()
        .unwrap_or_else(|_| panic!("{name} does not expire: {pttl}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn each_operation_is_one_command_and_a_rename_two() {
    let Some(server) = redis::private(Options::new()).await else {
        return;
    };
    let store = open(&server.url()).await;
    everything(&store).await;

    let (here, there) = (key(), key());
    let (owner, until) = (LockOwner::random(), write("").expires_at);
    sends(
        &server,
        &["EVALSHA"],
        store.create(here, write("one"), now()),
    )
    .await;
    let stored = sends(&server, &["GETRANGE"], store.load(here, now())).await;
    let version = stored.expect("it was created").version;
    sends(
        &server,
        &["EVALSHA"],
        store.touch(here, version, until, now()),
    )
    .await;
    sends(&server, &["EVALSHA"], store.lock(here, owner, until, now())).await;
    sends(&server, &["EVALSHA"], store.unlock(here, owner)).await;
    let replace = store.replace(here, version, write("two"), now());
    let replaced = sends(&server, &["EVALSHA"], replace).await;
    let Replaced::Replaced(version) = replaced else {
        panic!("replace answered {replaced:?}");
    };
    let stale = store.replace(here, Version::FIRST, write("three"), now());
    let conflict = sends(&server, &["EVALSHA"], stale).await;
    assert!(matches!(conflict, Replaced::Conflict(current) if current.data == "two"));
    let rename = Rename::new(here, version, there, write("three"), write("left"));
    sends(&server, &["EVALSHA"; 2], store.rename(rename, now())).await;
    sends(&server, &[], store.delete_expired(10, now())).await;
}

async fn sends<T>(
    server: &Server,
    commands: &[&str],
    operation: impl Future<Output = Result<T, StoreError>>,
) -> T {
    let monitor = Monitor::start(server).await;
    let answer = operation.await.expect("the server answers");
    let seen: Vec<_> = monitor.finish().await.iter().map(Command::name).collect();
    assert_eq!(seen, commands);
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_forgot_the_scripts_is_sent_them_once() {
    let Some(server) = redis::private(Options::new()).await else {
        return;
    };
    let store = open(&server.url()).await;
    let (key, _) = create(&store, b"data").await;
    server.run("SCRIPT FLUSH").await;
    let monitor = Monitor::start(&server).await;
    for _ in 0..2 {
        let unlocked = store.unlock(crate::key(), LockOwner::random()).await;
        assert!(!unlocked.expect("unlock"));
    }
    let seen: Vec<_> = monitor.finish().await.iter().map(Command::name).collect();
    assert_eq!(seen, ["EVALSHA", "EVAL", "EVALSHA"]);
    assert_eq!(data(&store, key).await.as_deref(), Some(&b"data"[..]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_forgot_the_scripts_is_sent_them() {
    let Some(cluster) = redis_cluster::shared().await else {
        return;
    };
    let store = open(&cluster.url()).await;
    for _ in 0..3 {
        for master in cluster.masters().await {
            master.run("SCRIPT FLUSH").await;
        }
        for _ in 0..10 {
            everything(&store).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_removes_what_has_expired() {
    let Some(server) = redis::private(Options::new()).await else {
        return;
    };
    let store = open(&server.url()).await;
    let begun = Instant::now();
    let lives = |seconds| now().saturating_add(Duration::from_secs(seconds));
    let is = |pttl: u64, seconds: u64| {
        let most = seconds * 1000;
        // No more of it can be over than has passed since the beginning.
        let passed = u64::try_from(begun.elapsed().as_millis()).expect("not so many");
        let least = most.saturating_sub(passed + 2);
        assert!((least..=most).contains(&pttl), "{pttl} for {seconds}s");
    };

    let (key, mut version) = (key(), Version::FIRST);
    let write = |seconds| Write::new("data", lives(seconds));
    store.create(key, write(100), now()).await.expect("create");
    is(pttl(&server, &name(key)).await, 100);
    if let Some(stored) = store.load(key, now()).await.expect("load") {
        version = stored.version;
    }
    store.touch(key, version, lives(200), now()).await.unwrap();
    is(pttl(&server, &name(key)).await, 200);
    // The lease's end is not the record's.
    let owner = LockOwner::random();
    let locked = store.lock(key, owner, lives(10), now()).await.unwrap();
    assert_eq!(locked, Locked::Acquired);
    is(pttl(&server, &name(key)).await, 200);
    assert!(store.unlock(key, owner).await.unwrap());
    is(pttl(&server, &name(key)).await, 200);
    let replaced = store.replace(key, version, write(50), now()).await.unwrap();
    let Replaced::Replaced(version) = replaced else {
        panic!("replace answered {replaced:?}");
    };
    is(pttl(&server, &name(key)).await, 50);

    // A clock that is far ahead of the server's, or behind it, changes nothing in that.
    for now in [
        lives(86_400),
        now().saturating_sub(Duration::from_hours(24)),
    ] {
        let key = crate::key();
        let end = now.saturating_add(Duration::from_secs(40));
        let write = Write::new("data", end);
        store.create(key, write, now).await.expect("create");
        is(pttl(&server, &name(key)).await, 40);
        assert!(store.load(key, now).await.unwrap().is_some());
        assert!(store.load(key, end).await.unwrap().is_none());
    }

    let new = crate::key();
    let rename = Rename::new(key, version, new, write(60), write(30));
    let renamed = store.rename(rename, now()).await;
    assert!(matches!(renamed, Ok(Replaced::Replaced(_))));
    is(pttl(&server, &name(new)).await, 60);
    is(pttl(&server, &name(key)).await, 30);

    let brief = crate::key();
    let write = Write::new("data", now().saturating_add(BRIEF));
    store.create(brief, write, now()).await.expect("create");
    let exists = format!("EXISTS {}", name(brief));
    while server.run(&exists).await.trim() != "0" {
        assert!(begun.elapsed() < PATIENCE, "it stays");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

const BRIEF: Duration = Duration::from_millis(200);

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_a_record_is_an_error_and_stays() {
    let Some(server) = redis::shared().await else {
        return;
    };
    let url = server.new_database().await;
    let store = open(&url).await;
    let database = url.rsplit('/').next().expect("a number").to_owned();
    let run = |command: String| server.run(format!("-n {database} {command}"));

    for (make, show) in [
        ("RPUSH {} a b", "LRANGE {} 0 -1"),
        ("SET {} a-text-that-is-long-enough-for-a-header", "GET {}"),
        ("SET {} short", "GET {}"),
        ("HSET {} field value", "HGETALL {}"),
    ] {
        let id = key();
        run(make.replace("{}", &name(id))).await;
        let before = run(show.replace("{}", &name(id))).await;
        let (owner, until) = (LockOwner::random(), write("").expires_at);
        let version = Version::FIRST;
        let rename = Rename::new(id, version, key(), write("data"), write("left"));
        let errors = [
            store.load(id, now()).await.map(drop),
            store.create(id, write("data"), now()).await.map(drop),
            store
                .replace(id, version, write("data"), now())
                .await
                .map(drop),
            store.touch(id, version, until, now()).await.map(drop),
            store.rename(rename, now()).await.map(drop),
            store.lock(id, owner, until, now()).await.map(drop),
            store.unlock(id, owner).await.map(drop),
        ];
        for (number, error) in errors.into_iter().enumerate() {
            let error = error.expect_err(make);
            assert_eq!(error.kind(), StoreErrorKind::Corrupt, "{make}, {number}");
            assert!(!format!("{error:?}").contains(&id.to_string()));
        }
        assert_eq!(run(show.replace("{}", &name(id))).await, before, "{make}");
    }
    // The failed renames have left nothing behind.
    assert_eq!(run("DBSIZE".into()).await.trim(), "4");
    store.clear().await.expect("clear");
    assert_eq!(run("DBSIZE".into()).await.trim(), "0");
}

/// An empty answer is all that a read of no value gets, too.
#[tokio::test(flavor = "multi_thread")]
async fn an_empty_value_is_read_as_none_and_refused_to_writes() {
    let Some(server) = redis::shared().await else {
        return;
    };
    let url = server.new_database().await;
    let store = open(&url).await;
    let database = url.rsplit('/').next().expect("a number");
    let run = |command: String| server.run(format!("-n {database} {command}"));
    let id = key();
    let set = format!("EVAL return(redis.call('SET',KEYS[1],'')) 1 {}", name(id));
    run(set).await;

    assert_eq!(store.load(id, now()).await.ok(), Some(None));
    for error in [
        store.create(id, write("data"), now()).await.map(drop),
        store
            .replace(id, Version::FIRST, write("data"), now())
            .await
            .map(drop),
    ] {
        let error = error.expect_err("it is no record");
        assert_eq!(error.kind(), StoreErrorKind::Corrupt);
    }
    assert_eq!(run(format!("STRLEN {}", name(id))).await.trim(), "0");
    assert_eq!(run("DBSIZE".into()).await.trim(), "1");
}

/// Conformance 5.13
#[tokio::test(flavor = "multi_thread")]
async fn what_is_larger_than_any_session_is_not_read() {
    const LARGEST: usize = 8 * 1024 * 1024;

    let Some(server) = redis::shared().await else {
        return;
    };
    let url = server.new_database().await;
    let store = open(&url).await;
    let (id, version) = create(&store, &vec![0; LARGEST]).await;
    let (owner, later) = (LockOwner::random(), write("").expires_at);
    // With the lease it is as large as a value may be.
    let locked = store.lock(id, owner, later, now()).await;
    assert!(matches!(locked, Ok(Locked::Acquired)));
    let stored = store.load(id, now()).await.expect("it is no larger");
    assert_eq!(stored.expect("it is there").data.len(), LARGEST);

    let database = url.rsplit('/').next().expect("a number");
    let append = format!("-n {database} APPEND {} x", name(id));
    server.run(append).await;
    let stale = store.replace(id, Version::FIRST, write("data"), now());
    let write = store.replace(id, version, write("data"), now());
    for error in [
        store.load(id, now()).await.map(drop),
        stale.await.map(drop),
        write.await.map(drop),
    ] {
        let error = error.expect_err("it is too large");
        assert_eq!(error.kind(), StoreErrorKind::Corrupt);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clear_takes_a_prefix_literally() {
    let Some(server) = redis::shared().await else {
        return;
    };
    let url = server.new_database().await;
    let with_prefix = async |prefix: &str| {
        let builder = builder(&url).prefix(prefix);
        builder.connect().await.expect("the server answers")
    };
    let odd = with_prefix("a*[b]?\\").await;
    let (mine, _) = create(&odd, b"mine").await;
    let mut others = Vec::new();
    for prefix in ["a*[b]?", "axxb?\\", "ab", "a*[b]?\\:", "*", "?"] {
        let other = with_prefix(prefix).await;
        let (key, _) = create(&other, b"theirs").await;
        others.push((prefix, other, key));
    }
    with_prefix("*").await.clear().await.expect("clear");
    odd.clear().await.expect("clear");
    assert_eq!(data(&odd, mine).await, None);
    for (prefix, other, key) in others {
        assert_eq!(data(&other, key).await.is_some(), prefix != "*", "{prefix}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clear_reaches_every_master() {
    let Some(cluster) = redis_cluster::shared().await else {
        return;
    };
    let builder = builder(cluster.url()).prefix("clear-me:");
    let store = builder.connect().await.expect("connect");
    let mut keys = Vec::new();
    for _ in 0..300 {
        keys.push(create(&store, b"data").await.0);
    }
    let bystander = open(&cluster.url()).await;
    let (spared, _) = create(&bystander, b"data").await;
    store.clear().await.expect("clear");
    for key in keys {
        assert_eq!(data(&store, key).await, None);
    }
    assert!(data(&bystander, spared).await.is_some());
}
