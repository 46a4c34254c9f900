//! Concurrent calls.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::task::JoinSet;

use super::{Bench, key, millis, stored};
use crate::store::{Created, LockOwner, Locked, Rename, Replaced, SessionStore, Write};

/// Runs `count` tasks concurrently and returns their results.
async fn concurrently<T: Send + 'static, Fut>(
    count: usize,
    mut task: impl FnMut(usize) -> Fut,
) -> Vec<T>
where
    Fut: Future<Output = T> + Send + 'static,
{
    let mut tasks = JoinSet::new();
    for number in 0..count {
        tasks.spawn(task(number));
    }
    tasks.join_all().await
}

fn numbered(number: usize, bench: &Bench) -> Write {
    Write::new(format!("number {number}"), bench.end())
}

fn count<T>(results: &[T], which: impl Fn(&T) -> bool) -> usize {
    results.iter().filter(|result| which(result)).count()
}

fn is_replaced(result: &Replaced) -> bool {
    matches!(result, Replaced::Replaced(_))
}

pub(super) async fn parallel_replaces_of_one_version(bench: Bench) {
    let (key, first) = bench.create(b"first").await;
    let results = concurrently(200, |number| {
        let (store, now) = (Arc::clone(&bench.store), bench.now);
        let write = numbered(number, &bench);
        async move {
            let result = store.replace(key, first.version, write.clone(), now).await;
            (write, result.expect("replace"))
        }
    })
    .await;
    let successes: Vec<_> = results.iter().filter(|(_, r)| is_replaced(r)).collect();
    assert_eq!(successes.len(), 1, "the successful replaces of one version");
    let current = bench.load(key).await.expect("the record");
    assert_eq!(
        current.data, successes[0].0.data,
        "the data of the successful write"
    );
    for (_, result) in &results {
        match result {
            Replaced::Replaced(version) => {
                assert_eq!(*version, current.version, "the version of the record");
            }
            Replaced::Conflict(seen) => assert_eq!(*seen, current, "the record of a conflict"),
            Replaced::Gone => panic!("a concurrent replace returned Gone"),
        }
    }
}

/// Each of 200 tasks tries until its replace succeeds once. The record is then written 200 times, with 200
/// different versions.
pub(super) async fn wins_are_as_many_as_versions(bench: Bench) {
    const TASKS: usize = 200;
    let (key, first) = bench.create_with(Write::new(vec![0; 8], bench.end())).await;
    let mut versions = concurrently(TASKS, |_| {
        let (store, now, end) = (Arc::clone(&bench.store), bench.now, bench.end());
        let mut known = first.clone();
        async move {
            // A task gets at most one conflict per success of another task.
            for _ in 0..TASKS {
                let sum: [u8; 8] = known.data[..].try_into().expect("the data has eight bytes");
                let sum = u64::from_le_bytes(sum) + 1;
                let write = Write::new(sum.to_le_bytes().to_vec(), end);
                match store.replace(key, known.version, write, now).await {
                    Ok(Replaced::Replaced(version)) => return version,
                    Ok(Replaced::Conflict(current)) => known = current,
                    other => panic!("a concurrent replace returned {other:?}"),
                }
            }
            panic!("a task got more conflicts than other tasks had successes");
        }
    })
    .await;
    versions.sort();
    versions.dedup();
    assert_eq!(versions.len(), TASKS, "the number of different versions");
    let current = bench.load(key).await.expect("the record");
    assert_eq!(
        Some(&current.version),
        versions.last(),
        "the version of the record"
    );
    let sum: [u8; 8] = current.data[..]
        .try_into()
        .expect("the data has eight bytes");
    assert_eq!(u64::from_le_bytes(sum), 200, "the sum of 200 increments");
}

pub(super) async fn parallel_creates(bench: Bench) {
    let key = key();
    let results = concurrently(50, |number| {
        let (store, now) = (Arc::clone(&bench.store), bench.now);
        let write = numbered(number, &bench);
        async move {
            let result = store.create(key, write.clone(), now).await;
            (write, result.expect("create"))
        }
    })
    .await;
    let created = |(_, result): &&(Write, Created)| matches!(result, Created::Created(_));
    let successes: Vec<_> = results.iter().filter(created).collect();
    assert_eq!(successes.len(), 1, "the successful creates under one key");
    let current = bench.load(key).await.expect("the record");
    assert_eq!(
        current.data, successes[0].0.data,
        "the data of the successful write"
    );
}

pub(super) async fn replace_never_undoes_a_clear(bench: Bench) {
    for _ in 0..20 {
        let (key, first) = bench.create(b"first").await;
        concurrently(10, |number| {
            let (store, now, version) = (Arc::clone(&bench.store), bench.now, first.version);
            let write = numbered(number, &bench);
            async move {
                if number == 5 {
                    store.clear().await.expect("clear");
                } else {
                    let result = store.replace(key, version, write, now).await;
                    result.expect("replace");
                }
            }
        })
        .await;
        assert_eq!(bench.load(key).await, None, "a record that was cleared");
    }
}

/// The data, the version and the expiry that a load returns come from one write.
pub(super) async fn loads_see_whole_records(bench: Bench) {
    const WRITES: u64 = 50;
    let (end, now) = (bench.end(), bench.now);
    let nth = |n: u64| Write::new(n.to_le_bytes().repeat(500), end.saturating_add(millis(n)));
    let (key, first) = bench.create_with(nth(0)).await;
    let mut readers = JoinSet::new();
    for _ in 0..4 {
        let store = Arc::clone(&bench.store);
        readers.spawn(async move {
            let mut seen = Vec::new();
            for _ in 0..WRITES {
                seen.push(store.load(key, now).await.expect("load").expect("a record"));
                tokio::task::yield_now().await;
            }
            seen
        });
    }
    let mut written = vec![first];
    for n in 1..=WRITES {
        let current = written.last().expect("the first").version;
        let result = bench.store.replace(key, current, nth(n), now).await;
        let Replaced::Replaced(version) = result.expect("replace") else {
            panic!("the only writer got a conflict");
        };
        written.push(stored(&nth(n), version));
        tokio::task::yield_now().await;
    }
    for loaded in readers.join_all().await.into_iter().flatten() {
        assert!(
            written.contains(&loaded),
            "{loaded:?} mixes different writes"
        );
    }
}

/// In any order of touches and a replace, the replace decides the expiry.
pub(super) async fn touch_never_undoes_a_replace(bench: Bench) {
    let sooner = bench.end().saturating_sub(millis(60_000));
    let later = bench.end().saturating_add(millis(60_000));
    for _ in 0..20 {
        let (key, first) = bench.create(b"first").await;
        concurrently(8, |number| {
            let (store, now, version) = (Arc::clone(&bench.store), bench.now, first.version);
            async move {
                if number == 4 {
                    let write = Write::new("second", sooner);
                    let result = store.replace(key, version, write, now).await;
                    let result = result.expect("replace");
                    assert!(
                        is_replaced(&result),
                        "replace concurrent with touches: {result:?}"
                    );
                } else {
                    let touched = store.touch(key, version, later, now).await;
                    touched.expect("touch");
                }
            }
        })
        .await;
        let current = bench.load(key).await.expect("the record");
        assert_eq!(
            (&current.data[..], current.expires_at),
            (&b"second"[..], sooner),
            "the record that was replaced while it was touched"
        );
    }
}

pub(super) async fn parallel_renames(bench: Bench) {
    for _ in 0..10 {
        let (from, old) = bench.create(b"the record").await;
        let results = concurrently(10, |number| {
            let (store, now, leave) = (Arc::clone(&bench.store), bench.now, bench.write(b"left"));
            let write = numbered(number, &bench);
            async move {
                let to = key();
                let rename = Rename::new(from, old.version, to, write, leave);
                let result = store.rename(rename, now).await;
                (to, result.expect("rename"))
            }
        })
        .await;
        assert_eq!(
            count(&results, |(_, result)| is_replaced(result)),
            1,
            "the successful renames of one version"
        );
        for (to, result) in &results {
            assert_eq!(
                bench.load(*to).await.is_some(),
                is_replaced(result),
                "whether a record exists under the new key of a rename that returned {result:?}"
            );
        }
        let left = bench.load(from).await.map(|stored| stored.data);
        assert_eq!(left, Some("left".into()), "under the old key");
    }
}

/// A record exists under the old key at every moment, and from the moment at which it is the record that was
/// left, a record exists under the new key too.
pub(super) async fn renames_leave_no_gap(bench: Bench) {
    for _ in 0..20 {
        let (from, old) = bench.create(b"the record").await;
        let to = key();
        let (now, write, leave) = (bench.now, bench.write(b"renamed"), bench.write(b"left"));
        let renamed = Arc::new(AtomicBool::new(false));
        let reader = {
            let (store, renamed) = (Arc::clone(&bench.store), Arc::clone(&renamed));
            let first = old.data.clone();
            tokio::spawn(async move {
                loop {
                    let is_last = renamed.load(Ordering::SeqCst);
                    match store.load(from, now).await.expect("load") {
                        None => return Err("the old key had no record during a rename"),
                        Some(stored) if stored.data != first => break,
                        Some(_) if is_last => return Err("the old key kept its record"),
                        Some(_) => tokio::task::yield_now().await,
                    }
                }
                let found = store.load(to, now).await.expect("load");
                found.ok_or("the record that was left was written before the new one")
            })
        };
        let rename = Rename::new(from, old.version, to, write, leave);
        let result = bench.store.rename(rename, now).await.expect("rename");
        assert!(is_replaced(&result), "the only rename returned {result:?}");
        renamed.store(true, Ordering::SeqCst);
        if let Err(gap) = reader.await.expect("the reader ends") {
            panic!("{gap}");
        }
    }
}

pub(super) async fn rename_against_replace(bench: Bench) {
    for _ in 0..20 {
        let (from, old) = bench.create(b"first").await;
        let to = key();
        let results = concurrently(2, |number| {
            let (store, now, leave) = (Arc::clone(&bench.store), bench.now, bench.write(b"left"));
            let write = numbered(number, &bench);
            async move {
                let result = if number == 0 {
                    let rename = Rename::new(from, old.version, to, write, leave);
                    store.rename(rename, now).await
                } else {
                    store.replace(from, old.version, write, now).await
                };
                (number == 0, result.expect("rename and replace"))
            }
        })
        .await;
        let successes: Vec<_> = results.iter().filter(|(_, r)| is_replaced(r)).collect();
        assert_eq!(
            successes.len(),
            1,
            "the successes of a concurrent rename and replace"
        );
        let renamed = successes[0].0;
        assert_eq!(
            bench.load(to).await.is_some(),
            renamed,
            "whether a record exists under the new key"
        );
        let expected = if renamed { "left" } else { "number 1" };
        let under_old = bench.load(from).await.map(|stored| stored.data);
        assert_eq!(under_old, Some(expected.into()), "under the old key");
    }
}

/// A clear may miss the new record of a concurrent rename, but never the old one.
pub(super) async fn rename_against_clear(bench: Bench) {
    for _ in 0..20 {
        let (from, old) = bench.create(b"first").await;
        let to = key();
        let results = concurrently(2, |number| {
            let (store, now, leave) = (Arc::clone(&bench.store), bench.now, bench.write(b"left"));
            let write = numbered(number, &bench);
            async move {
                if number == 0 {
                    let rename = Rename::new(from, old.version, to, write, leave);
                    Some(store.rename(rename, now).await.expect("rename"))
                } else {
                    store.clear().await.expect("clear");
                    None
                }
            }
        })
        .await;
        let renamed = results.iter().flatten().any(is_replaced);
        assert_eq!(bench.load(from).await, None, "under the old key");
        assert!(
            renamed || bench.load(to).await.is_none(),
            "a record exists under the new key of a rename that failed"
        );
    }
}

pub(super) async fn parallel_sweeps(bench: Bench) {
    for _ in 0..60 {
        bench.create_expired().await;
    }
    let now = bench.now;
    let (survivor, written) = bench.create_at(bench.earlier(), bench.write(b"live")).await;
    let removed = concurrently(8, |_| {
        let store: Arc<dyn SessionStore> = Arc::clone(&bench.store);
        async move {
            let mut removed = 0;
            loop {
                let batch = store.delete_expired(7, now).await;
                let batch = batch.expect("delete_expired");
                removed += batch;
                if batch < 7 || removed > 60 {
                    return removed;
                }
            }
        }
    })
    .await;
    // A sweep may skip records that another sweep is about to remove. All are removed by now.
    let removed: usize = removed.into_iter().sum();
    let rest = bench.store.delete_expired(1000, now).await;
    let expected = if bench.expires_by_itself { 0 } else { 60 };
    assert_eq!(
        removed + rest.expect("delete_expired"),
        expected,
        "the records removed by eight sweeps of sixty"
    );
    assert_eq!(bench.load(survivor).await, Some(written), "the live record");
}

pub(super) async fn one_owner_acquires_the_lease(bench: Bench) {
    let (key, _) = bench.create(b"the record").await;
    let until = bench.now.saturating_add(millis(60_000));
    let results = concurrently(50, |_| {
        let (store, now) = (Arc::clone(&bench.store), bench.now);
        async move {
            let locked = store.lock(key, LockOwner::random(), until, now).await;
            locked.expect("lock")
        }
    })
    .await;
    assert_eq!(
        count(&results, |result| *result == Locked::Acquired),
        1,
        "the owners that acquired the lease"
    );
    assert_eq!(
        count(&results, |result| *result == Locked::Held),
        49,
        "the owners that found the lease held"
    );
}
