//! A store that is full or nearly full.

use std::sync::Arc;

use poem_session::{
    PublicId,
    store::{
        Created, MemoryStore, OnFull, RecordClass, Rename, Replaced, SessionStore as _,
        StoreErrorKind, Version, Write,
    },
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
                    let write = Write::new("moved", after(60));
                    let leave = Write::new("left", after(60)).with_class(RecordClass::Retired);
                    let (from, to) = (Key::A.id(), Key::B.id());
                    let rename = Rename::new(from, Version::FIRST, to, write, leave);
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

#[test]
fn a_clear_gives_every_place_back() {
    explore(|| async {
        let store = store(3, OnFull::Refuse);
        assert!(create(&store, Key::A).await);
        let clearing = store.clone();
        let clearing = spawn(async move { clearing.clear().await });
        create_all(&store, &[Key::BesideA, Key::B]).await;
        clearing.await.expect("a task").expect("memory");
        assert!(!is_there(&store, Key::A).await);
        is_counted(&store).await;
    });
}

/// The store is full of two sessions. One moves and the other ends, while a visitor begins a third one. The move
/// and the end need no place of a session, and the end frees one.
///
/// Conformance 5.14
#[test]
fn moves_and_ends_in_a_full_store_succeed_beside_a_new_session() {
    explore(|| async {
        let store = store(2, OnFull::Refuse);
        assert!(create(&store, Key::A).await);
        assert!(create(&store, Key::BesideA).await);
        let (one, two) = (store.clone(), store.clone());
        let left = || Write::new("left", after(60)).with_class(RecordClass::Retired);
        let to = PublicId::from_bytes([5; 32]);
        let moving = spawn(async move {
            let write = Write::new("moved", after(60));
            let rename = Rename::new(Key::A.id(), Version::FIRST, to, write, left());
            one.rename(rename, NOW).await
        });
        let ending = spawn(async move {
            let key = Key::BesideA.id();
            two.replace(key, Version::FIRST, left(), NOW).await
        });
        let created = create(&store, Key::B).await;
        for done in [moving, ending] {
            let done = done.await.expect("a task");
            assert!(matches!(done, Ok(Replaced::Replaced(_))), "{done:?}");
        }
        let moved = store.load(to, NOW).await.expect("memory");
        assert_eq!(
            moved.map(|stored| stored.data).as_deref(),
            Some(&b"moved"[..])
        );
        assert_eq!(is_there(&store, Key::B).await, created);
        // One of the two tombstones has given way to the other.
        let left = [
            is_there(&store, Key::A).await,
            is_there(&store, Key::BesideA).await,
        ];
        assert_ne!(left[0], left[1]);
        assert_eq!(store.len(), 2 + usize::from(created));
    });
}

/// Two visitors begin a session at once in a store of two sessions, one of which is established.
///
/// Conformance 5.16
#[test]
fn new_anonymous_sessions_never_evict_established_ones() {
    explore(|| async {
        let store = store(2, OnFull::EvictSoonest);
        assert!(create(&store, Key::A).await);
        let tasks = [Key::BesideA, Key::B].map(|key| {
            let store = store.clone();
            spawn(async move {
                let write = Write::new("record", after(90)).with_class(RecordClass::Anonymous);
                store.create(key.id(), write, NOW).await
            })
        });
        for task in tasks {
            let created = task.await.expect("a task");
            assert!(matches!(created, Ok(Created::Created(_))), "{created:?}");
        }
        assert!(is_there(&store, Key::A).await);
        is_counted(&store).await;
    });
}

/// The bytes suffice for two records of the three.
///
/// Conformance 5.16
#[test]
fn of_three_new_records_two_fit_into_the_bytes() {
    explore(|| async {
        let builder = MemoryStore::builder().max_bytes(2 * 206);
        let store = Arc::new(builder.build());
        assert_eq!(create_all(&store, &Key::ALL).await, 2);
        assert_eq!(store.bytes(), 2 * 206);
        is_counted(&store).await;
    });
}
