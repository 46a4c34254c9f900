//! What holds when many ask at once.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::task::JoinSet;

use super::{Bench, key, millis, stored};
use crate::store::{Created, LockOwner, Locked, Replaced, SessionStore, Write};

/// Runs `count` of these at once, and answers what they did.
async fn all_at_once<T: Send + 'static, Fut>(
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

fn count<T>(answers: &[T], which: impl Fn(&T) -> bool) -> usize {
    answers.iter().filter(|answer| which(answer)).count()
}

fn is_replaced(answer: &Replaced) -> bool {
    matches!(answer, Replaced::Replaced(_))
}

pub(super) async fn parallel_replaces_of_one_version(bench: Bench) {
    let (key, first) = bench.create(b"first").await;
    let answers = all_at_once(200, |number| {
        let (store, now) = (Arc::clone(&bench.store), bench.now);
        let write = numbered(number, &bench);
        async move {
            let answer = store.replace(key, first.version, write.clone(), now).await;
            (write, answer.expect("replace"))
        }
    })
    .await;
    let winners: Vec<_> = answers.iter().filter(|(_, a)| is_replaced(a)).collect();
    assert_eq!(winners.len(), 1, "replaces of one version that won");
    let current = bench.load(key).await.expect("the record");
    assert_eq!(current.data, winners[0].0.data, "what the winner wrote");
    for (_, answer) in &answers {
        match answer {
            Replaced::Replaced(version) => assert_eq!(*version, current.version, "its version"),
            Replaced::Conflict(seen) => assert_eq!(*seen, current, "what a loser was shown"),
            Replaced::Gone => panic!("a parallel replace found nothing"),
        }
    }
}

/// Each of two hundred goes on until it has won once: then the record was written two hundred times,
/// by a chain of versions that none has skipped or shared.
pub(super) async fn wins_are_as_many_as_versions(bench: Bench) {
    const TASKS: usize = 200;
    let (key, first) = bench.create_with(Write::new(vec![0; 8], bench.end())).await;
    let mut versions = all_at_once(TASKS, |_| {
        let (store, now, end) = (Arc::clone(&bench.store), bench.now, bench.end());
        let mut known = first.clone();
        async move {
            // Each loses at most as often as others win.
            for _ in 0..TASKS {
                let sum: [u8; 8] = known.data[..].try_into().expect("eight bytes");
                let sum = u64::from_le_bytes(sum) + 1;
                let write = Write::new(sum.to_le_bytes().to_vec(), end);
                match store.replace(key, known.version, write, now).await {
                    Ok(Replaced::Replaced(version)) => return version,
                    Ok(Replaced::Conflict(current)) => known = current,
                    other => panic!("a parallel replace answered {other:?}"),
                }
            }
            panic!("a replace lost more often than others have won");
        }
    })
    .await;
    versions.sort();
    versions.dedup();
    assert_eq!(versions.len(), TASKS, "different versions given to winners");
    let current = bench.load(key).await.expect("the record");
    assert_eq!(Some(&current.version), versions.last(), "its version");
    let sum: [u8; 8] = current.data[..].try_into().expect("eight bytes");
    assert_eq!(u64::from_le_bytes(sum), 200, "the sum of 200 increments");
}

pub(super) async fn parallel_creates(bench: Bench) {
    let key = key();
    let answers = all_at_once(50, |number| {
        let (store, now) = (Arc::clone(&bench.store), bench.now);
        let write = numbered(number, &bench);
        async move {
            let answer = store.create(key, write.clone(), now).await;
            (write, answer.expect("create"))
        }
    })
    .await;
    let created = |(_, answer): &&(Write, Created)| matches!(answer, Created::Created(_));
    let winners: Vec<_> = answers.iter().filter(created).collect();
    assert_eq!(winners.len(), 1, "creates under one key that won");
    let current = bench.load(key).await.expect("the record");
    assert_eq!(current.data, winners[0].0.data, "what the winner wrote");
}

pub(super) async fn replace_never_undoes_a_delete(bench: Bench) {
    for _ in 0..20 {
        let (key, first) = bench.create(b"first").await;
        all_at_once(10, |number| {
            let (store, now, version) = (Arc::clone(&bench.store), bench.now, first.version);
            let write = numbered(number, &bench);
            async move {
                if number == 5 {
                    store.delete(key, now).await.expect("delete");
                } else {
                    let answer = store.replace(key, version, write, now).await;
                    answer.expect("replace");
                }
            }
        })
        .await;
        assert_eq!(bench.load(key).await, None, "a record that was deleted");
    }
}

/// The bytes, the version and the expiry that one load returns belong together.
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
        let answer = bench.store.replace(key, current, nth(n), now).await;
        let Replaced::Replaced(version) = answer.expect("replace") else {
            panic!("the only writer did not win");
        };
        written.push(stored(&nth(n), version));
        tokio::task::yield_now().await;
    }
    for loaded in readers.join_all().await.into_iter().flatten() {
        assert!(
            written.contains(&loaded),
            "{loaded:?} has parts of different writes"
        );
    }
}

/// However touches and a replace come to lie, the expiry that stands is the replace's.
pub(super) async fn touch_never_undoes_a_replace(bench: Bench) {
    let sooner = bench.end().saturating_sub(millis(60_000));
    let later = bench.end().saturating_add(millis(60_000));
    for _ in 0..20 {
        let (key, first) = bench.create(b"first").await;
        all_at_once(8, |number| {
            let (store, now, version) = (Arc::clone(&bench.store), bench.now, first.version);
            async move {
                if number == 4 {
                    let write = Write::new("second", sooner);
                    let answer = store.replace(key, version, write, now).await;
                    let answer = answer.expect("replace");
                    assert!(is_replaced(&answer), "replace beside touches: {answer:?}");
                } else {
                    // Before the replace it finds its version, after it not.
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

async fn renames(bench: &Bench, leave: Option<Write>) {
    for _ in 0..10 {
        let (from, old) = bench.create(b"the record").await;
        let answers = all_at_once(10, |number| {
            let (store, now, leave) = (Arc::clone(&bench.store), bench.now, leave.clone());
            let write = numbered(number, bench);
            async move {
                let to = key();
                let answer = store.rename(from, old.version, to, write, leave, now).await;
                (to, answer.expect("rename"))
            }
        })
        .await;
        assert_eq!(
            count(&answers, |(_, answer)| is_replaced(answer)),
            1,
            "parallel renames of one version that won"
        );
        let mut live = 0;
        for (to, answer) in &answers {
            let there = bench.load(*to).await.is_some();
            assert_eq!(
                there,
                is_replaced(answer),
                "whether a record is under the new key of a rename that answered {answer:?}"
            );
            live += usize::from(there);
        }
        assert_eq!(live, 1, "records under new keys");
        let left = bench.load(from).await.map(|stored| stored.data);
        let expected = leave.as_ref().map(|leave| leave.data.clone());
        assert_eq!(left, expected, "under the old key");
    }
}

pub(super) async fn parallel_renames(bench: Bench) {
    renames(&bench, None).await;
}

pub(super) async fn parallel_renames_that_leave(bench: Bench) {
    renames(&bench, Some(bench.write(b"left"))).await;
}

/// Who finds nothing under the old key any more finds the record under the new one.
pub(super) async fn renames_leave_no_gap(bench: Bench) {
    for _ in 0..20 {
        let (from, old) = bench.create(b"the record").await;
        let to = key();
        let (now, write) = (bench.now, bench.write(b"moved"));
        let renamed = Arc::new(AtomicBool::new(false));
        let reader = {
            let (store, renamed) = (Arc::clone(&bench.store), Arc::clone(&renamed));
            tokio::spawn(async move {
                loop {
                    let last = renamed.load(Ordering::SeqCst);
                    if store.load(from, now).await.expect("load").is_none() || last {
                        return store.load(to, now).await.expect("load");
                    }
                    tokio::task::yield_now().await;
                }
            })
        };
        let store = &bench.store;
        let answer = store.rename(from, old.version, to, write, None, now).await;
        assert!(is_replaced(&answer.expect("rename")), "the only rename");
        renamed.store(true, Ordering::SeqCst);
        let found = reader.await.expect("a reader that ends");
        assert!(
            found.is_some(),
            "a moment at which neither key has the record"
        );
    }
}

pub(super) async fn rename_against_replace(bench: Bench) {
    for round in 0..20 {
        let leave = (round % 2 == 1).then(|| bench.write(b"left"));
        let (from, old) = bench.create(b"first").await;
        let to = key();
        let answers = all_at_once(2, |number| {
            let (store, now, leave) = (Arc::clone(&bench.store), bench.now, leave.clone());
            let write = numbered(number, &bench);
            async move {
                let answer = if number == 0 {
                    store.rename(from, old.version, to, write, leave, now).await
                } else {
                    store.replace(from, old.version, write, now).await
                };
                (number == 0, answer.expect("rename and replace"))
            }
        })
        .await;
        let winners: Vec<_> = answers.iter().filter(|(_, a)| is_replaced(a)).collect();
        assert_eq!(
            winners.len(),
            1,
            "of a rename and a replace, those that won"
        );
        let renamed = winners[0].0;
        assert_eq!(
            bench.load(to).await.is_some(),
            renamed,
            "whether anything is under the new key"
        );
        let expected = match (renamed, leave) {
            (true, leave) => leave.map(|leave| leave.data),
            (false, _) => Some("number 1".into()),
        };
        let under_old = bench.load(from).await.map(|stored| stored.data);
        assert_eq!(under_old, expected, "under the old key");
    }
}

pub(super) async fn rename_against_delete(bench: Bench) {
    for _ in 0..20 {
        let (from, old) = bench.create(b"first").await;
        let to = key();
        let answers = all_at_once(2, |number| {
            let (store, now) = (Arc::clone(&bench.store), bench.now);
            let write = numbered(number, &bench);
            async move {
                if number == 0 {
                    let answer = store.rename(from, old.version, to, write, None, now).await;
                    (true, is_replaced(&answer.expect("rename")))
                } else {
                    (false, store.delete(from, now).await.expect("delete"))
                }
            }
        })
        .await;
        let did = |rename: bool| answers.contains(&(rename, true));
        assert!(
            did(true) != did(false),
            "a rename and a delete of one record: the one won {}, the other {}",
            did(true),
            did(false)
        );
        assert_eq!(bench.load(from).await, None, "under the old key");
        assert_eq!(
            bench.load(to).await.is_some(),
            did(true),
            "whether anything is under the new key"
        );
    }
}

pub(super) async fn parallel_sweeps(bench: Bench) {
    for _ in 0..60 {
        bench.create(b"dead").await;
    }
    let later = bench.end();
    let living = Write::new("living", later.saturating_add(millis(60_000)));
    let (survivor, written) = bench.create_with(living).await;
    let removed = all_at_once(8, |_| {
        let store: Arc<dyn SessionStore> = Arc::clone(&bench.store);
        async move {
            let mut removed = 0;
            loop {
                let batch = store.delete_expired(7, later).await;
                let batch = batch.expect("delete_expired");
                removed += batch;
                if batch < 7 || removed > 60 {
                    return removed;
                }
            }
        }
    })
    .await;
    // Each may have left to another what that one was about to remove; all of it is gone by now.
    let removed: usize = removed.into_iter().sum();
    let rest = bench.store.delete_expired(1000, later).await;
    let expected = if bench.expires_by_itself { 0 } else { 60 };
    assert_eq!(
        removed + rest.expect("delete_expired"),
        expected,
        "removed by eight sweeps of sixty records"
    );
    assert_eq!(
        bench.load_at(survivor, later).await,
        Some(written),
        "the record that has not expired"
    );
}

pub(super) async fn one_of_many_gets_the_lease(bench: Bench) {
    let (key, _) = bench.create(b"the record").await;
    let until = bench.now.saturating_add(millis(60_000));
    let answers = all_at_once(50, |_| {
        let (store, now) = (Arc::clone(&bench.store), bench.now);
        async move {
            let locked = store.lock(key, LockOwner::random(), until, now).await;
            locked.expect("lock")
        }
    })
    .await;
    assert_eq!(
        count(&answers, |answer| *answer == Locked::Acquired),
        1,
        "owners that have got one lease"
    );
    assert_eq!(
        count(&answers, |answer| *answer == Locked::Held),
        49,
        "owners that were told it is held"
    );
}
