mod full;

use std::{sync::Arc, time::Duration};

use super::{table::CLASSES, *};
use crate::{
    id::SessionId,
    store::{
        Created, LockOwner, RecordClass, Rename, Replaced, SessionStore as _, StoreErrorKind,
        Version, Write,
    },
};

const NOW: Timestamp = Timestamp::from_millis(1_000_000);

fn after(seconds: u64) -> Timestamp {
    NOW.saturating_add(Duration::from_secs(seconds))
}

fn key() -> PublicId {
    SessionId::random().public()
}

async fn create(store: &MemoryStore, end: Timestamp, now: Timestamp) -> PublicId {
    let key = key();
    let created = store.create(key, Write::new("record", end), now).await;
    assert_eq!(
        created.expect("the store has a free slot"),
        Created::Created(Version::FIRST)
    );
    key
}

async fn is_there(store: &MemoryStore, key: PublicId, now: Timestamp) -> bool {
    store.load(key, now).await.expect("memory").is_some()
}

#[tokio::test]
async fn a_full_store_refuses_a_new_record_until_one_expires() {
    let store = MemoryStore::builder().capacity(3).build();
    let first = create(&store, after(60), NOW).await;
    for _ in 0..2 {
        create(&store, after(60), NOW).await;
    }
    let refused = store.create(key(), Write::new("one more", after(60)), NOW);
    let refused = refused.await.expect_err("the store is full");
    assert_eq!(refused.kind(), StoreErrorKind::Full);
    assert_eq!(store.len(), 3);

    let shortened = store.replace(first, Version::FIRST, Write::new("short", after(10)), NOW);
    assert!(matches!(shortened.await, Ok(Replaced::Replaced(_))));
    create(&store, after(60), after(10)).await;
    assert_eq!(store.len(), 3);
}

#[tokio::test]
async fn a_full_store_removes_expired_records_first() {
    for on_full in [OnFull::Refuse, OnFull::EvictSoonest] {
        let store = MemoryStore::builder().capacity(50).on_full(on_full).build();
        let mut living = Vec::new();
        for n in 0..50 {
            if n % 2 == 0 {
                create(&store, after(10), NOW).await;
            } else {
                living.push(create(&store, after(1000), NOW).await);
            }
        }
        for _ in 0..25 {
            living.push(create(&store, after(1000), after(10)).await);
        }
        assert_eq!(store.len(), 50);
        for key in living {
            assert!(is_there(&store, key, after(10)).await, "{on_full:?}");
        }
    }
}

#[tokio::test]
async fn a_create_reuses_the_slot_of_an_expired_record_under_its_key() {
    let store = MemoryStore::builder().capacity(1).build();
    let key = create(&store, after(10), NOW).await;
    let again = store.create(key, Write::new("again", after(60)), after(10));
    assert!(matches!(again.await, Ok(Created::Created(_))));
    assert_eq!(store.len(), 1);
}

#[tokio::test]
async fn a_full_store_evicts_records_that_expire_soon() {
    let store = MemoryStore::builder()
        .capacity(1000)
        .on_full(OnFull::EvictSoonest)
        .build();
    let mut keys = Vec::new();
    for n in 0..1000 {
        keys.push(create(&store, after(1000 + n), NOW).await);
    }
    for _ in 0..500 {
        create(&store, after(100_000), NOW).await;
    }
    assert_eq!(store.len(), 1000);
    let mut survivors = Vec::new();
    for (index, key) in keys.iter().enumerate() {
        if is_there(&store, *key, NOW).await {
            survivors.push(index);
        }
    }
    let late = survivors.iter().filter(|index| **index >= 500).count();
    assert!(
        late * 10 > survivors.len() * 7,
        "of {} remaining records only {late} are in the half that expires last",
        survivors.len()
    );
}

/// No sweeper runs, and no key is used twice.
#[tokio::test]
async fn expired_records_do_not_pile_up() {
    let store = MemoryStore::new();
    let mut most = 0;
    for second in 0..600 {
        for _ in 0..100 {
            create(&store, after(second + 10), after(second)).await;
        }
        most = most.max(store.len());
    }
    // A thousand records are live at any time, about four per table.
    assert!(most < 3000, "{most} records were held at once");
}

#[tokio::test]
async fn sweeps_and_clears_release_every_slot() {
    let store = MemoryStore::builder().capacity(10_000).build();
    for n in 0..10_000 {
        create(&store, after(n % 100 + 1), NOW).await;
    }
    let swept = store.delete_expired(usize::MAX, after(50)).await;
    assert_eq!(swept.expect("memory"), 5000);
    assert_eq!(store.len(), 5000);
    store.clear().await.expect("memory");
    assert!(store.is_empty());
    for _ in 0..10_000 {
        create(&store, after(1), NOW).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_count_is_correct_after_concurrent_calls() {
    let store = Arc::new(
        MemoryStore::builder()
            .capacity(500)
            .on_full(OnFull::EvictSoonest)
            .build(),
    );
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..8_u64 {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            let mut own = Vec::new();
            for n in 0..2000_u64 {
                let now = after(n / 10);
                own.push(create(&store, after(n / 10 + task + 1), now).await);
                let some = own[usize::try_from(n * 7 % 13).unwrap_or(0) % own.len()];
                match n % 5 {
                    0 | 1 => {
                        let class = CLASSES[usize::try_from(n % 3).unwrap_or(0)];
                        let write = Write::new("renamed", after(n / 10 + 3)).with_class(class);
                        let leave = Write::new("left", after(n)).with_class(RecordClass::Retired);
                        let rename = Rename::new(some, Version::FIRST, key(), write, leave);
                        drop(store.rename(rename, now).await);
                    }
                    2 => drop(store.delete_expired(5, now).await),
                    3 => drop(store.lock(some, LockOwner::random(), after(n), now).await),
                    _ => drop(store.load(some, now).await),
                }
            }
        });
    }
    tasks.join_all().await;
    let most = 500 + 500 / 8;
    assert!(store.len() <= most, "{} of {most}", store.len());
    let held = store.shards.iter().map(|shard| {
        let table = shard.lock();
        let each = CLASSES.map(|class| (table.of(class).len(), table.of(class).bytes()));
        each.into_iter()
            .fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    });
    let held = held.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    assert_eq!((store.len(), store.bytes()), held);
}

/// The futures are ready when they are created, so they need neither a runtime nor a task.
#[test]
fn needs_no_runtime() {
    use std::{
        pin::pin,
        task::{Context, Poll, Waker},
    };
    let store = MemoryStore::new();
    let load = pin!(store.load(key(), NOW));
    let mut context = Context::from_waker(Waker::noop());
    assert!(matches!(load.poll(&mut context), Poll::Ready(Ok(None))));
}

#[tokio::test]
async fn loading_shares_the_bytes() {
    let store = MemoryStore::new();
    let data = bytes::Bytes::from(vec![7; 100]);
    let key = key();
    let write = Write::new(data.clone(), after(60));
    store.create(key, write, NOW).await.expect("memory");
    let loaded = store.load(key, NOW).await.expect("memory");
    assert_eq!(
        loaded.map(|stored| stored.data.as_ptr()),
        Some(data.as_ptr())
    );
}

#[test]
fn debug_shows_no_record() {
    let text = format!("{:?}", MemoryStore::new());
    assert_eq!(
        text,
        "MemoryStore { len: 0, capacity: 1048576, bytes: 0, max_bytes: 536870912, on_full: Refuse, .. }"
    );
}
