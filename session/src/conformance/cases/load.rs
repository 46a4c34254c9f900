//! 6.1 and 6.2: what is loaded, and what is nothing.

use super::{Bench, key};

pub(super) async fn create_then_load(bench: Bench) {
    let (key, written) = bench.create(b"the record").await;
    assert_eq!(
        bench.load(key).await.as_ref(),
        Some(&written),
        "load after create"
    );
    let loaded = bench.load(key).await.expect("loading takes nothing away");
    assert_eq!(loaded.data, written.data, "the bytes loaded");
}

pub(super) async fn empty_record(bench: Bench) {
    let (key, written) = bench.create(b"").await;
    assert_eq!(bench.load(key).await, Some(written), "an empty record");
}

pub(super) async fn missing_is_nothing(bench: Bench) {
    assert_eq!(bench.load(key()).await, None, "a key never written");
    bench.create(b"another").await;
    assert_eq!(bench.load(key()).await, None, "a key never written");
}

pub(super) async fn deleted_is_nothing(bench: Bench) {
    let (key, _) = bench.create(b"the record").await;
    let (other, kept) = bench.create(b"another").await;
    let deleted = bench.store.delete(key, bench.now).await.expect("delete");
    assert!(deleted, "delete did not see the record it was to end");
    assert_eq!(bench.load(key).await, None, "load after delete");
    assert_eq!(bench.load(other).await, Some(kept), "the record beside it");
}

pub(super) async fn delete_twice_is_fine(bench: Bench) {
    let (first, _) = bench.create(b"the record").await;
    assert!(bench.store.delete(first, bench.now).await.expect("delete"));
    for (key, what) in [(first, "deleted"), (key(), "never written")] {
        let deleted = bench.store.delete(key, bench.now).await.expect("delete");
        assert!(!deleted, "delete saw a record under a key {what}");
    }
}

pub(super) async fn delete_ignores_the_version(bench: Bench) {
    let (key, written) = bench.create(b"first").await;
    bench
        .store
        .replace(key, written.version, bench.write(b"second"), bench.now)
        .await
        .expect("replace");
    assert!(bench.store.delete(key, bench.now).await.expect("delete"));
    assert_eq!(bench.load(key).await, None, "load after delete");
}

pub(super) async fn expired_is_nothing(bench: Bench) {
    let (key, _) = bench.create(b"the record").await;
    let later = bench.end();
    assert_eq!(bench.load_at(key, later).await, None, "load after its end");
    let deleted = bench.store.delete(key, later).await.expect("delete");
    assert!(!deleted, "delete took an expired record for a live one");
}
