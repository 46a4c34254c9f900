//! A store that is full or nearly full.

use std::sync::Arc;

use poem_session::store::{
    Created, MemoryStore, OnFull, Rename, SessionStore as _, StoreErrorKind, Version, Write,
};
use shuttle::future::spawn;

use super::{
    call::{Key, NOW, PAST, after},
    is_counted,
};
use crate::explore::explore;

fn store(capacity: usize, on_full: OnFull) -> Arc<MemoryStore> {
    let builder = MemoryStore::builder().capacity(capacity).on_full(on_full);
    Arc::new(builder.build())
}

/// Creates a record. Returns whether the store had space.
async fn create(store: &MemoryStore, key: Key) -> bool {
    let write = Write::new("record", after(60));
    match store.create(key.id(), write, NOW).await {
        Ok(created) => created != Created::Exists,
        Err(error) => {
            assert_eq!(error.kind(), StoreErrorKind::Full);
            false
        }
    }
}

async fn is_there(store: &MemoryStore, key: Key) -> bool {
    let loaded = store.load(key.id(), NOW).await;
    loaded.expect("memory").is_some()
}

/// Creates a record under each of the keys at once. Returns the number of those that fitted.
async fn create_all(store: &Arc<MemoryStore>, keys: &[Key]) -> usize {
    let tasks = keys.iter().map(|key| {
        let (store, key) = (Arc::clone(store), *key);
        spawn(async move {
            let created = create(&store, key).await;
            assert!(store.len() <= store.capacity(), "{store:?}");
            created
        })
    });
    let mut created = 0;
    for task in tasks.collect::<Vec<_>>() {
        created += usize::from(task.await.expect("a task"));
    }
    created
}

#[test]
fn of_three_new_records_a_store_of_two_places_takes_two() {
    explore(|| async {
        let store = store(2, OnFull::Refuse);
        assert_eq!(create_all(&store, &Key::ALL).await, 2);
        assert_eq!(store.len(), 2);
        is_counted(&store).await;
    });
}

#[test]
fn expired_records_make_space_and_live_records_stay() {
    explore(|| async {
        let store = store(2, OnFull::Refuse);
        assert!(create(&store, Key::A).await);
        let expired = Write::new("expired", NOW);
        let created = store.create(Key::B.id(), expired, PAST).await;
        created.expect("the store has space");
        let created = create_all(&store, &[Key::BesideA, Key::B]).await;
        assert_eq!(created, 1);
        assert!(is_there(&store, Key::A).await);
        is_counted(&store).await;
    });
}

#[test]
fn eviction_makes_space_for_each_record_and_keeps_to_the_capacity() {
    explore(|| async {
        for capacity in [1, 2] {
            let store = store(capacity, OnFull::EvictSoonest);
            assert_eq!(create_all(&store, &Key::ALL).await, 3);
            assert_eq!(store.len(), capacity);
            is_counted(&store).await;
        }
    });
}

/// Calls everything that takes or frees a place.
#[test]
fn the_count_is_the_number_of_records() {
    explore(|| async {
        for on_full in [OnFull::Refuse, OnFull::EvictSoonest] {
            let store = store(2, on_full);
            assert!(create(&store, Key::A).await);
            let (one, two, three) = (store.clone(), store.clone(), store.clone());
            let tasks = [
                spawn(async move {
                    let write = || Write::new("moved", after(60));
                    let (from, to) = (Key::A.id(), Key::B.id());
                    let rename = Rename::new(from, Version::FIRST, to, write(), write());
                    // Every result is possible, also that a record exists under `to` or the store is full.
                    let _any = one.rename(rename, NOW).await;
                }),
                spawn(async move {
                    create(&two, Key::BesideA).await;
                    two.clear().await.expect("memory");
                    create(&two, Key::B).await;
                }),
                spawn(async move {
                    create(&three, Key::B).await;
                    three.delete_expired(1, after(60)).await.expect("memory");
                }),
            ];
            for task in tasks {
                task.await.expect("a task");
            }
            is_counted(&store).await;
        }
    });
}
