//! 6.9: leases.

use super::{Bench, key, millis};
use crate::{
    clock::Timestamp,
    id::PublicId,
    store::{LockOwner, Locked, Rename, Replaced, Write},
};

const OURS: LockOwner = LockOwner::new(1);
/// An owner that differs from `OURS` only in the highest bit, which a smaller number would lose.
const THEIRS: LockOwner = LockOwner::new(1 | 1 << 127);

async fn lock(
    bench: &Bench,
    key: PublicId,
    owner: LockOwner,
    until: Timestamp,
    now: Timestamp,
) -> Locked {
    bench
        .store
        .lock(key, owner, until, now)
        .await
        .expect("lock")
}

async fn unlock(bench: &Bench, key: PublicId, owner: LockOwner) -> bool {
    bench.store.unlock(key, owner).await.expect("unlock")
}

fn in_a_minute(bench: &Bench) -> Timestamp {
    bench.now.saturating_add(millis(60_000))
}

pub(super) async fn is_exclusive(bench: Bench) {
    let (key, _) = bench.create(b"the record").await;
    let (other, _) = bench.create(b"another").await;
    let until = in_a_minute(&bench);
    let now = bench.now;
    assert_eq!(
        lock(&bench, key, OURS, until, now).await,
        Locked::Acquired,
        "a free lease"
    );
    assert_eq!(
        lock(&bench, key, THEIRS, until, now).await,
        Locked::Held,
        "a lease that is held"
    );
    assert_eq!(
        lock(&bench, other, THEIRS, until, now).await,
        Locked::Acquired,
        "the lease of another record"
    );
    assert!(
        unlock(&bench, key, OURS).await,
        "unlock by the owner returned false"
    );
    assert_eq!(
        lock(&bench, key, THEIRS, until, now).await,
        Locked::Acquired,
        "a released lease"
    );
}

pub(super) async fn expires(bench: Bench) {
    let (key, _) = bench.create(b"the record").await;
    let until = in_a_minute(&bench);
    let after = until.saturating_add(millis(60_000));
    lock(&bench, key, OURS, until, bench.now).await;
    let just_before = until.saturating_sub(millis(1));
    assert_eq!(
        lock(&bench, key, THEIRS, after, just_before).await,
        Locked::Held,
        "1 ms before the lease expires"
    );
    assert_eq!(
        lock(&bench, key, THEIRS, after, until).await,
        Locked::Acquired,
        "at the time at which the lease expires"
    );
    assert_eq!(
        lock(&bench, key, OURS, after, until).await,
        Locked::Held,
        "the lease after another owner has acquired it"
    );
}

/// A write of the previous owner may arrive after another owner has acquired the lease.
pub(super) async fn fences_the_previous_owner(bench: Bench) {
    let (key, written) = bench.create(b"the record").await;
    let until = in_a_minute(&bench);
    lock(&bench, key, OURS, until, bench.now).await;
    // The lease expires but is not released.
    lock(&bench, key, OURS, bench.now, bench.now).await;
    assert_eq!(
        bench.load(key).await.as_ref(),
        Some(&written),
        "the record after its lease has expired"
    );
    assert_eq!(
        lock(&bench, key, THEIRS, until, bench.now).await,
        Locked::Acquired,
        "an expired lease"
    );
    let found = bench.load(key).await.expect("the record");
    assert_eq!(
        (&found.data, found.expires_at),
        (&written.data, written.expires_at),
        "the record after its lease was taken over"
    );
    assert!(
        found.version > written.version,
        "the version after the lease was taken over"
    );
    lock(&bench, key, THEIRS, until, bench.now).await;
    let late = bench
        .store
        .replace(key, written.version, bench.write(b"late"), bench.now);
    assert_eq!(
        late.await.expect("replace"),
        Replaced::Conflict(found.clone()),
        "a late write of the previous owner"
    );
    let ours = bench
        .store
        .replace(key, found.version, bench.write(b"ours"), bench.now);
    assert!(
        matches!(ours.await, Ok(Replaced::Replaced(_))),
        "a write of the current owner"
    );
}

pub(super) async fn is_extended_by_its_owner(bench: Bench) {
    let (key, _) = bench.create(b"the record").await;
    let until = in_a_minute(&bench);
    let longer = until.saturating_add(millis(60_000));
    lock(&bench, key, OURS, until, bench.now).await;
    assert_eq!(
        lock(&bench, key, OURS, longer, bench.now).await,
        Locked::Acquired,
        "a lease requested again by its owner"
    );
    assert_eq!(
        lock(&bench, key, THEIRS, longer, until).await,
        Locked::Held,
        "an extended lease"
    );
}

pub(super) async fn is_released_by_its_owner_only(bench: Bench) {
    let (key, _) = bench.create(b"the record").await;
    let until = in_a_minute(&bench);
    assert!(
        !unlock(&bench, key, OURS).await,
        "unlock released a lease that nobody holds"
    );
    lock(&bench, key, OURS, until, bench.now).await;
    assert!(
        !unlock(&bench, key, THEIRS).await,
        "unlock by another owner returned true"
    );
    assert_eq!(
        lock(&bench, key, THEIRS, until, bench.now).await,
        Locked::Held,
        "the lease after unlock by another owner"
    );
    assert!(
        unlock(&bench, key, OURS).await,
        "unlock by the owner returned false"
    );
    assert!(
        !unlock(&bench, key, OURS).await,
        "a second unlock returned true"
    );
}

pub(super) async fn needs_a_live_record(bench: Bench) {
    let until = bench.end().saturating_add(millis(60_000));
    let missing = key();
    assert_eq!(
        lock(&bench, missing, OURS, until, bench.now).await,
        Locked::Gone,
        "the lease of a missing record"
    );
    assert_eq!(bench.load(missing).await, None, "load after the lock");
    let (expired, _) = bench.create(b"the record").await;
    assert_eq!(
        lock(&bench, expired, OURS, until, bench.end()).await,
        Locked::Gone,
        "the lease of an expired record"
    );
}

pub(super) async fn is_beside_the_record(bench: Bench) {
    let (key, written) = bench.create(b"the record").await;
    let until = in_a_minute(&bench);
    lock(&bench, key, OURS, until, bench.now).await;
    assert_eq!(
        bench.load(key).await.as_ref(),
        Some(&written),
        "the record with a lease"
    );
    let replaced = bench
        .store
        .replace(key, written.version, bench.write(b"next"), bench.now);
    let Replaced::Replaced(version) = replaced.await.expect("replace") else {
        panic!("a replace of a record with a lease failed");
    };
    let until_then = bench.end().saturating_add(millis(1000));
    let touched = bench.store.touch(key, version, until_then, bench.now);
    assert!(
        touched.await.expect("touch"),
        "a touch of a record with a lease failed"
    );
    assert_eq!(
        lock(&bench, key, THEIRS, until, bench.now).await,
        Locked::Held,
        "the lease after two writes"
    );
    let current = bench.load(key).await;
    assert!(unlock(&bench, key, OURS).await, "unlock after two writes");
    assert_eq!(bench.load(key).await, current, "the record after unlock");
}

pub(super) async fn ends_with_the_record(bench: Bench) {
    let (key, _) = bench.create(b"the record").await;
    let (expired, _) = bench.create(b"another").await;
    let until = bench.end().saturating_add(millis(60_000));
    for key in [key, expired] {
        lock(&bench, key, OURS, until, bench.now).await;
    }
    let created = bench
        .store
        .create(expired, Write::new("new", until), bench.end());
    created.await.expect("create");
    assert_eq!(
        lock(&bench, expired, THEIRS, until, bench.end()).await,
        Locked::Acquired,
        "the lease of a record that replaced an expired one with a lease"
    );
    bench.store.clear().await.expect("clear");
    assert!(
        !unlock(&bench, key, OURS).await,
        "unlock after the record was cleared"
    );
    for (key, now) in [(key, bench.now), (expired, bench.end())] {
        let created = bench.store.create(key, Write::new("new", until), now);
        created.await.expect("create");
        assert_eq!(
            lock(&bench, key, THEIRS, until, now).await,
            Locked::Acquired,
            "the lease of a new record whose key had a record with a lease"
        );
    }
}

pub(super) async fn ends_with_a_rename(bench: Bench) {
    let until = in_a_minute(&bench);
    let (from, old) = bench.create(b"the record").await;
    let to = key();
    lock(&bench, from, OURS, until, bench.now).await;
    let (write, leave) = (bench.write(b"renamed"), bench.write(b"left"));
    let rename = Rename::new(from, old.version, to, write, leave);
    bench.store.rename(rename, bench.now).await.expect("rename");
    for (key, name) in [(to, "new"), (from, "old")] {
        assert_eq!(
            lock(&bench, key, THEIRS, until, bench.now).await,
            Locked::Acquired,
            "the lease under the {name} key"
        );
    }
}
