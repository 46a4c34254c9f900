//! A store that is full, in sessions or in bytes.

use super::*;
use crate::store::memory::budget::OVERHEAD;

/// A tombstone.
fn tombstone(end: Timestamp) -> Write {
    Write::new("left", end).with_class(RecordClass::Retired)
}

fn anonymous(end: Timestamp) -> Write {
    Write::new("record", end).with_class(RecordClass::Anonymous)
}

/// Creates a record. Returns its key if the store has accepted it.
async fn add(store: &MemoryStore, write: Write) -> Option<PublicId> {
    let key = key();
    match store.create(key, write, NOW).await {
        Ok(created) => {
            assert_eq!(created, Created::Created(Version::FIRST));
            Some(key)
        }
        Err(error) => {
            assert_eq!(error.kind(), StoreErrorKind::Full);
            None
        }
    }
}

/// Replaces the first version of a record. Returns whether the store has accepted it.
async fn replaces(store: &MemoryStore, key: PublicId, write: Write) -> bool {
    match store.replace(key, Version::FIRST, write, NOW).await {
        Ok(replaced) => {
            assert_eq!(replaced, Replaced::Replaced(Version::FIRST.next()));
            true
        }
        Err(error) => {
            assert_eq!(error.kind(), StoreErrorKind::Full);
            false
        }
    }
}

/// Moves the first version of a record to a new key. Returns the key if the store has accepted it.
async fn moves(
    store: &MemoryStore,
    from: PublicId,
    write: Write,
    leave: Write,
) -> Option<PublicId> {
    let to = key();
    let rename = Rename::new(from, Version::FIRST, to, write, leave);
    match store.rename(rename, NOW).await {
        Ok(replaced) => {
            assert_eq!(replaced, Replaced::Replaced(Version::FIRST));
            Some(to)
        }
        Err(error) => {
            assert_eq!(error.kind(), StoreErrorKind::Full);
            None
        }
    }
}

/// How many of the keys are stored.
async fn stored(store: &MemoryStore, keys: &[PublicId]) -> usize {
    let mut count = 0;
    for key in keys {
        count += usize::from(is_there(store, *key, NOW).await);
    }
    count
}

/// A store of `capacity` sessions, and its sessions.
async fn full(capacity: usize, on_full: OnFull, write: Write) -> (MemoryStore, Vec<PublicId>) {
    let builder = MemoryStore::builder().capacity(capacity);
    let store = builder.on_full(on_full).build();
    let mut keys = Vec::new();
    for _ in 0..capacity {
        keys.extend(add(&store, write.clone()).await);
    }
    assert_eq!(keys.len(), capacity);
    (store, keys)
}

/// Conformance 5.14
#[tokio::test]
async fn a_session_in_a_full_store_moves_to_a_new_key_and_leaves_a_tombstone() {
    for on_full in [OnFull::Refuse, OnFull::EvictSoonest] {
        let (store, mut keys) = full(3, on_full, Write::new("record", after(60))).await;
        for _ in 0..100 {
            let from = keys.remove(0);
            let to = moves(
                &store,
                from,
                Write::new("moved", after(60)),
                tombstone(after(10)),
            );
            keys.push(to.await.expect("a move needs no place of a session"));
            assert!(is_there(&store, from, NOW).await, "the tombstone");
            assert_eq!(stored(&store, &keys).await, 3, "the sessions");
            assert_eq!(store.len(), 4, "the sessions, and one tombstone");
        }
    }
}

/// Conformance 5.14
#[tokio::test]
async fn a_session_that_ends_in_a_full_store_frees_its_place_and_leaves_a_tombstone() {
    let (store, keys) = full(3, OnFull::Refuse, Write::new("record", after(60))).await;
    assert_eq!(add(&store, anonymous(after(60))).await, None);
    assert!(replaces(&store, keys[0], tombstone(after(10))).await);
    assert!(add(&store, anonymous(after(60))).await.is_some());
    assert_eq!(
        stored(&store, &keys).await,
        3,
        "two sessions and a tombstone"
    );
    // Each further tombstone takes the place of one that expires soon, and of no session.
    for key in &keys[1..] {
        assert!(replaces(&store, *key, tombstone(after(10))).await);
        assert!(is_there(&store, *key, NOW).await);
        assert!(add(&store, anonymous(after(60))).await.is_some());
        assert_eq!(store.len(), 4);
    }
}

/// Conformance 5.14
#[tokio::test]
async fn a_tombstone_gives_way_to_a_newer_one_that_expires_later() {
    let store = MemoryStore::builder().capacity(800).build();
    let mut keys = Vec::new();
    for n in 0..200 {
        let key = add(&store, anonymous(after(1000))).await.expect("a place");
        assert!(replaces(&store, key, tombstone(after(10 + n))).await);
        keys.push(key);
    }
    // One eighth of the capacity.
    assert_eq!(store.len(), 100);
    let newest = stored(&store, &keys[100..]).await;
    assert!(newest > 80, "only {newest} of the 100 newest are left");
}

/// Conformance 5.16
#[tokio::test]
async fn the_bytes_of_all_sessions_are_limited() {
    let each = OVERHEAD + 100;
    let builder = MemoryStore::builder().max_bytes(10 * each);
    let store = builder.build();
    let record = |size| Write::new(vec![7; size], after(60));
    let mut keys = Vec::new();
    while let Some(key) = add(&store, record(100)).await {
        keys.push(key);
    }
    assert_eq!((keys.len(), store.bytes()), (10, 10 * each));

    assert!(!replaces(&store, keys[0], record(101)).await, "it grows");
    assert!(
        replaces(&store, keys[1], record(100)).await,
        "it stays as it is"
    );
    assert!(replaces(&store, keys[2], record(50)).await, "it shrinks");
    assert_eq!(store.bytes(), 10 * each - 50);
    assert!(
        replaces(&store, keys[3], record(150)).await,
        "the space of the other"
    );
    assert_eq!(add(&store, record(0)).await, None);
    assert!(replaces(&store, keys[4], tombstone(after(60))).await);
    assert!(add(&store, record(100)).await.is_some());
    assert_eq!(add(&store, record(0)).await, None);
}

/// Conformance 5.14, 5.16
#[tokio::test]
async fn a_session_may_grow_as_it_moves_up_to_an_eighth_of_all_bytes() {
    let each = OVERHEAD + 100;
    let store = MemoryStore::builder().max_bytes(16 * each).build();
    let record = |size| Write::new(vec![7; size], after(60));
    let mut keys = Vec::new();
    while let Some(key) = add(&store, record(100)).await {
        keys.push(key);
    }
    assert_eq!(keys.len(), 16);
    for key in &keys[..2] {
        let moved = moves(&store, *key, record(100 + each), tombstone(after(60))).await;
        assert!(moved.is_some());
    }
    let grown = moves(&store, keys[2], record(101), tombstone(after(60))).await;
    assert_eq!(grown, None);
    let moved = moves(&store, keys[2], record(100), tombstone(after(60))).await;
    assert!(moved.is_some());
}

/// Conformance 5.16
#[tokio::test]
async fn a_record_larger_than_the_store_is_refused_and_evicts_nothing() {
    let builder = MemoryStore::builder().max_bytes(2000);
    let store = builder.on_full(OnFull::EvictSoonest).build();
    let large = || Write::new(vec![7; 2001 - OVERHEAD], after(60));
    let keys = [
        add(&store, anonymous(after(60))).await.expect("space"),
        add(&store, Write::new("record", after(60)))
            .await
            .expect("space"),
    ];
    assert_eq!(add(&store, large()).await, None);
    assert!(!replaces(&store, keys[0], large()).await);
    assert!(!replaces(&store, keys[1], large().with_class(RecordClass::Anonymous)).await);
    assert_eq!(stored(&store, &keys).await, 2);
}

/// Conformance 5.16
#[tokio::test]
async fn anonymous_sessions_are_evicted_first_and_never_evict_established_ones() {
    let builder = MemoryStore::builder().capacity(300);
    let store = builder.on_full(OnFull::EvictSoonest).build();
    let mut established = Vec::new();
    for n in 0..300 {
        let end = after(1000 + n);
        if n % 3 == 0 {
            // They expire first.
            let write = Write::new("record", after(10));
            established.extend(add(&store, write).await);
        } else {
            add(&store, anonymous(end)).await;
        }
    }
    for _ in 0..1000 {
        assert!(add(&store, anonymous(after(1000))).await.is_some());
    }
    assert_eq!(stored(&store, &established).await, 100);
    // Users who sign in take the places of the anonymous visitors.
    for _ in 0..200 {
        established.extend(add(&store, Write::new("record", after(1000))).await);
    }
    assert_eq!(stored(&store, &established).await, 300);
    for _ in 0..10 {
        assert_eq!(add(&store, anonymous(after(1000))).await, None);
    }
    assert_eq!(stored(&store, &established).await, 300);
    // There are no others: the one that expires soonest gives way.
    assert!(
        add(&store, Write::new("record", after(1000)))
            .await
            .is_some()
    );
    assert_eq!(stored(&store, &established[..100]).await, 99);
    assert_eq!(store.len(), 300);
}

/// Conformance 5.16
#[tokio::test]
async fn a_session_that_grows_evicts_others_and_not_itself() {
    let each = OVERHEAD + 6;
    let builder = MemoryStore::builder().max_bytes(8 * each);
    let store = builder.on_full(OnFull::EvictSoonest).build();
    let mut keys = Vec::new();
    for n in 0..8 {
        // The session that grows expires first.
        keys.extend(add(&store, anonymous(after(10 + n))).await);
    }
    let grown = Write::new(vec![7; 6 + 3 * each], after(10)).with_class(RecordClass::Anonymous);
    assert!(replaces(&store, keys[0], grown).await);
    assert!(is_there(&store, keys[0], NOW).await);
    assert_eq!(stored(&store, &keys).await, 5);
}

/// Conformance 5.16
#[tokio::test]
async fn a_full_store_removes_expired_records_before_it_refuses_bytes() {
    let each = OVERHEAD + 6;
    let store = MemoryStore::builder().max_bytes(20 * each).build();
    for n in 0..20 {
        let end = if n % 2 == 0 { after(10) } else { after(1000) };
        assert!(add(&store, anonymous(end)).await.is_some());
    }
    let large = Write::new(vec![7; 6 + 9 * each], after(1000));
    let created = store.create(key(), large, after(10)).await;
    assert!(matches!(created, Ok(Created::Created(_))), "{created:?}");
    assert_eq!(store.bytes(), 20 * each);
}
