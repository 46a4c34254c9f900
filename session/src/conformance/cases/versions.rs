//! 6.3: versions.

use super::{Bench, key, millis};
use crate::{
    id::PublicId,
    store::{Created, LockOwner, Locked, Rename, Replaced, Version},
};

/// The writes before a clear stand for the writes that a failover loses. A request that has read one of them still
/// knows its version.
pub(super) async fn are_never_used_again(bench: Bench) {
    if bench.in_one_process {
        return;
    }
    let key = key();
    let mut versions = Vec::new();
    for _ in 0..3 {
        versions.extend(every_write(&bench, key).await);
        bench.store.clear().await.expect("clear");
    }
    let count = versions.len();
    versions.sort();
    versions.dedup();
    assert_eq!(
        versions.len(),
        count,
        "the different versions of the writes of one key"
    );
}

/// Writes under a key in every way, and returns the versions.
async fn every_write(bench: &Bench, key: PublicId) -> [Version; 4] {
    let (store, now) = (&bench.store, bench.now);
    let created = store.create(key, bench.write(b"first"), now).await;
    let Ok(Created::Created(first)) = created else {
        panic!("create returned {created:?}");
    };
    let replaced = store.replace(key, first, bench.write(b"second"), now);
    let Ok(Replaced::Replaced(second)) = replaced.await else {
        panic!("replace of the current version failed");
    };
    // The lease of the first owner expires, and the other takes it over.
    let later = now.saturating_add(millis(60_000));
    for (owner, until) in [(1, now), (2, later)] {
        let locked = store.lock(key, LockOwner::new(owner), until, now).await;
        assert_eq!(locked.expect("lock"), Locked::Acquired, "a free lease");
    }
    let third = bench.load(key).await.expect("the record").version;
    let (write, leave) = (bench.write(b"renamed"), bench.write(b"left"));
    let rename = Rename::new(key, third, super::key(), write, leave);
    let renamed = store.rename(rename, now).await.expect("rename");
    assert!(
        matches!(renamed, Replaced::Replaced(_)),
        "rename of the current version returned {renamed:?}"
    );
    let left = bench.load(key).await.expect("the record that was left");
    [first, second, third, left.version]
}
