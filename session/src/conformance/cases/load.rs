//! 6.1 and 6.2: loads of existing and missing records.

use super::{Bench, key};
use crate::store::Created;

pub(super) async fn create_then_load(bench: Bench) {
    let (key, written) = bench.create(b"the record").await;
    assert_eq!(
        bench.load(key).await.as_ref(),
        Some(&written),
        "load after create"
    );
    let loaded = bench.load(key).await.expect("a second load");
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

pub(super) async fn cleared_is_nothing(bench: Bench) {
    let (first, written) = bench.create(b"the record").await;
    let (second, _) = bench.create(b"another").await;
    let replaced = bench
        .store
        .replace(first, written.version, bench.write(b"newer"), bench.now);
    replaced.await.expect("replace");
    bench.store.clear().await.expect("clear");
    for key in [first, second] {
        assert_eq!(bench.load(key).await, None, "load after clear");
    }
    let created = bench.store.create(first, bench.write(b"new"), bench.now);
    let created = created.await.expect("create");
    assert!(
        matches!(created, Created::Created(_)),
        "create under a cleared key returned {created:?}"
    );
}

pub(super) async fn expired_is_nothing(bench: Bench) {
    let (key, _) = bench.create(b"the record").await;
    let later = bench.end();
    assert_eq!(bench.load_at(key, later).await, None, "load after expiry");
}
