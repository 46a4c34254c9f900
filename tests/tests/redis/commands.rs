//! The commands that reach the server, and the values that it stores.

use std::time::{Duration, Instant};

use poem_session::store::{
    LockOwner, Locked, RedisStore, Rename, Replaced, SessionStore, StoreErrorKind, Version, Write,
};
use poem_session_tests::{
    eventually,
    monitor::sends,
    records::{self, call_all, create, data, key, now, replaced, write},
    servers::{Options, redis, redis_cluster},
};

use crate::{Database, builder, name, open, use_all};

#[tokio::test(flavor = "multi_thread")]
async fn each_call_is_one_command_and_a_rename_two() {
    const SCRIPT: &[&str] = &["EVALSHA"];

    let Some(server) = redis::private(Options::new()).await else {
        return;
    };
    let server = &server;
    let store = open(&server.url()).await;
    use_all(&store).await;

    let (here, there) = (key(), key());
    let (owner, until) = (LockOwner::random(), write("").expires_at);
    sends(server, SCRIPT, store.create(here, write("one"), now())).await;
    let stored = sends(server, &["GETRANGE"], store.load(here, now())).await;
    let version = stored.expect("a record").version;
    sends(server, SCRIPT, store.touch(here, version, until, now())).await;
    sends(server, SCRIPT, store.lock(here, owner, until, now())).await;
    sends(server, SCRIPT, store.unlock(here, owner)).await;
    let replace = store.replace(here, version, write("two"), now());
    let version = replaced(Ok(sends(server, SCRIPT, replace).await));
    let stale = store.replace(here, Version::FIRST, write("three"), now());
    let conflict = sends(server, SCRIPT, stale).await;
    assert!(matches!(conflict, Replaced::Conflict(current) if current.data == "two"));
    let rename = Rename::new(here, version, there, write("three"), write("left"));
    sends(server, &["EVALSHA"; 2], store.rename(rename, now())).await;
    sends(server, &[], store.delete_expired(10, now())).await;

    // A server that has lost its scripts gets them again, once.
    server.run("SCRIPT FLUSH").await;
    let unlock = store.unlock(here, owner);
    sends(server, &["EVALSHA", "EVAL"], unlock).await;
    sends(server, SCRIPT, store.unlock(here, owner)).await;
    assert_eq!(data(&store, here).await.as_deref(), Some(&b"left"[..]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_has_lost_its_scripts_gets_them_again() {
    let Some(cluster) = redis_cluster::shared().await else {
        return;
    };
    let store = open(&cluster.url()).await;
    for _ in 0..3 {
        for master in cluster.masters().await {
            master.run("SCRIPT FLUSH").await;
        }
        for _ in 0..10 {
            use_all(&store).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_expires_on_the_server() {
    let Some(database) = Database::new().await else {
        return;
    };
    let store = open(&database.url).await;
    let begun = Instant::now();
    let after = |seconds| now().saturating_add(Duration::from_secs(seconds));
    let lives = async |key, seconds: u64| {
        let pttl = database.run(format!("PTTL {}", name(key))).await;
        let pttl: u64 = pttl.parse().expect("a record that expires");
        let most = seconds * 1000;
        // The record has been there for no longer than the test has run.
        let passed = u64::try_from(begun.elapsed().as_millis()).expect("not so long");
        let least = most.saturating_sub(passed + 2);
        assert!((least..=most).contains(&pttl), "{pttl} ms of {seconds} s");
    };
    let write = |seconds| Write::new("data", after(seconds));

    let key = key();
    store.create(key, write(100), now()).await.unwrap();
    lives(key, 100).await;
    let stored = store.load(key, now()).await.unwrap();
    let version = stored.expect("a record").version;
    store.touch(key, version, after(200), now()).await.unwrap();
    lives(key, 200).await;
    // A lease does not change the expiry of its record.
    let owner = LockOwner::random();
    let locked = store.lock(key, owner, after(10), now()).await.unwrap();
    assert_eq!(locked, Locked::Acquired);
    lives(key, 200).await;
    assert!(store.unlock(key, owner).await.unwrap());
    lives(key, 200).await;
    let version = replaced(store.replace(key, version, write(50), now()).await);
    lives(key, 50).await;
    let new = records::key();
    let rename = Rename::new(key, version, new, write(60), write(30));
    replaced(store.rename(rename, now()).await);
    lives(new, 60).await;
    lives(key, 30).await;

    // The clocks of the application and the server may differ by a day.
    let a_day_ago = now().saturating_sub(Duration::from_hours(24));
    for now in [after(86_400), a_day_ago] {
        let key = records::key();
        let end = now.saturating_add(Duration::from_secs(40));
        let write = Write::new("data", end);
        store.create(key, write, now).await.unwrap();
        lives(key, 40).await;
        assert!(store.load(key, now).await.unwrap().is_some());
        assert!(store.load(key, end).await.unwrap().is_none());
    }

    let brief = records::key();
    let end = now().saturating_add(Duration::from_millis(200));
    let write = Write::new("data", end);
    store.create(brief, write, now()).await.unwrap();
    let exists = format!("EXISTS {}", name(brief));
    eventually("the server removes the record", async || {
        (database.run(&exists).await == "0").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_is_not_a_record_is_an_error_and_stays() {
    let Some(database) = Database::new().await else {
        return;
    };
    let store = open(&database.url).await;
    for (create, show) in [
        ("RPUSH {} a b", "LRANGE {} 0 -1"),
        ("SET {} a-text-that-is-long-enough-for-a-header", "GET {}"),
        ("SET {} short", "GET {}"),
        ("HSET {} field value", "HGETALL {}"),
        (
            "EVAL return(redis.call('SET',KEYS[1],'')) 1 {}",
            "STRLEN {}",
        ),
    ] {
        let id = key();
        let show = show.replace("{}", &name(id));
        database.run(create.replace("{}", &name(id))).await;
        let before = database.run(&show).await;
        // A read cannot distinguish an empty value from a missing key.
        let is_empty = create.starts_with("EVAL");
        assert_eq!(store.load(id, now()).await.is_ok(), is_empty, "{create}");
        let results = call_all(&store, id, Version::FIRST, "data").await;
        for (number, result) in results.into_iter().enumerate().skip(usize::from(is_empty)) {
            let error = result.expect_err(create);
            assert_eq!(error.kind(), StoreErrorKind::Corrupt, "{create}, {number}");
            assert!(!format!("{error:?}").contains(&id.to_string()));
        }
        assert_eq!(database.run(&show).await, before, "{create}");
    }
    // A failed rename does not leave a new record.
    assert_eq!(database.run("DBSIZE").await, "5");
    store.clear().await.expect("clear");
    assert_eq!(database.run("DBSIZE").await, "0");
}

/// Conformance 5.13
#[tokio::test(flavor = "multi_thread")]
async fn a_record_above_the_maximum_size_is_not_read() {
    const MAXIMUM: usize = 8 * 1024 * 1024;

    let Some(database) = Database::new().await else {
        return;
    };
    let store = open(&database.url).await;
    let (id, version) = create(&store, vec![0; MAXIMUM]).await;
    let (owner, later) = (LockOwner::random(), write("").expires_at);
    // A lease is part of the value.
    let locked = store.lock(id, owner, later, now()).await;
    assert!(matches!(locked, Ok(Locked::Acquired)));
    let data = data(&store, id)
        .await
        .expect("a record of the maximum size");
    assert_eq!(data.len(), MAXIMUM);

    database.run(format!("APPEND {} x", name(id))).await;
    let stale = store.replace(id, Version::FIRST, write("data"), now());
    let current = store.replace(id, version, write("data"), now());
    for error in [
        store.load(id, now()).await.map(drop),
        stale.await.map(drop),
        current.await.map(drop),
    ] {
        let error = error.expect_err("the record is too large");
        assert_eq!(error.kind(), StoreErrorKind::Corrupt);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clear_does_not_treat_a_prefix_as_a_pattern() {
    let Some(database) = Database::new().await else {
        return;
    };
    let with_prefix = async |prefix: &str| -> RedisStore {
        let builder = builder(&database.url).prefix(prefix);
        builder.connect().await.expect("the server is ready")
    };
    let odd = with_prefix("a*[b]?\\").await;
    let (own, _) = create(&odd, b"own").await;
    let mut others = Vec::new();
    for prefix in ["a*[b]?", "axxb?\\", "ab", "a*[b]?\\:", "*", "?"] {
        let other = with_prefix(prefix).await;
        let (key, _) = create(&other, b"theirs").await;
        others.push((prefix, other, key));
    }
    with_prefix("*").await.clear().await.expect("clear");
    odd.clear().await.expect("clear");
    assert_eq!(data(&odd, own).await, None);
    for (prefix, other, key) in others {
        assert_eq!(data(&other, key).await.is_some(), prefix != "*", "{prefix}");
    }
}
