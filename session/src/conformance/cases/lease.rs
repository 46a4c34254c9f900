//! 6.9: the lease beside a record.

use super::{Bench, key, millis};
use crate::{
    clock::Timestamp,
    id::PublicId,
    store::{LockOwner, Locked, Replaced, Write},
};

const OURS: LockOwner = LockOwner::new(1);
/// Differs in one bit only, far from those that a smaller number has.
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
        "unlock by the owner did nothing"
    );
    assert_eq!(
        lock(&bench, key, THEIRS, until, now).await,
        Locked::Acquired,
        "a lease given back"
    );
}

pub(super) async fn runs_out(bench: Bench) {
    let (key, _) = bench.create(b"the record").await;
    let until = in_a_minute(&bench);
    let after = until.saturating_add(millis(60_000));
    lock(&bench, key, OURS, until, bench.now).await;
    let just_before = until.saturating_sub(millis(1));
    assert_eq!(
        lock(&bench, key, THEIRS, after, just_before).await,
        Locked::Held,
        "1 ms before the lease runs out"
    );
    assert_eq!(
        lock(&bench, key, THEIRS, after, until).await,
        Locked::Acquired,
        "at the moment the lease runs out"
    );
    assert_eq!(
        lock(&bench, key, OURS, after, until).await,
        Locked::Held,
        "the lease of a holder that came too late"
    );
}

/// What the owner of a lease that ran out has sent may arrive when another has the lease already.
pub(super) async fn fences_off_the_owner_before(bench: Bench) {
    let (key, written) = bench.create(b"the record").await;
    let until = in_a_minute(&bench);
    lock(&bench, key, OURS, until, bench.now).await;
    // Given up, but not given back.
    lock(&bench, key, OURS, bench.now, bench.now).await;
    assert_eq!(
        bench.load(key).await.as_ref(),
        Some(&written),
        "the record whose lease has run out"
    );
    assert_eq!(
        lock(&bench, key, THEIRS, until, bench.now).await,
        Locked::Acquired,
        "a lease whose owner set its end to now"
    );
    let found = bench.load(key).await.expect("the record is there");
    assert_eq!(
        (&found.data, found.expires_at),
        (&written.data, written.expires_at),
        "the record whose lease was taken over"
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
        "what the owner before had sent"
    );
    let ours = bench
        .store
        .replace(key, found.version, bench.write(b"ours"), bench.now);
    assert!(
        matches!(ours.await, Ok(Replaced::Replaced(_))),
        "what the owner writes"
    );
}

pub(super) async fn is_prolonged_by_its_owner(bench: Bench) {
    let (key, _) = bench.create(b"the record").await;
    let until = in_a_minute(&bench);
    let longer = until.saturating_add(millis(60_000));
    lock(&bench, key, OURS, until, bench.now).await;
    assert_eq!(
        lock(&bench, key, OURS, longer, bench.now).await,
        Locked::Acquired,
        "a lease asked for by its owner"
    );
    assert_eq!(
        lock(&bench, key, THEIRS, longer, until).await,
        Locked::Held,
        "a lease prolonged"
    );
}

pub(super) async fn is_given_back_by_its_owner_only(bench: Bench) {
    let (key, _) = bench.create(b"the record").await;
    let until = in_a_minute(&bench);
    assert!(
        !unlock(&bench, key, OURS).await,
        "unlock found a lease that nobody took"
    );
    lock(&bench, key, OURS, until, bench.now).await;
    assert!(
        !unlock(&bench, key, THEIRS).await,
        "unlock by another than the owner"
    );
    assert_eq!(
        lock(&bench, key, THEIRS, until, bench.now).await,
        Locked::Held,
        "the lease after it"
    );
    assert!(
        unlock(&bench, key, OURS).await,
        "unlock by the owner did nothing"
    );
    assert!(
        !unlock(&bench, key, OURS).await,
        "a second unlock found the lease again"
    );
}

pub(super) async fn needs_a_live_record(bench: Bench) {
    let until = bench.end().saturating_add(millis(60_000));
    let missing = key();
    assert_eq!(
        lock(&bench, missing, OURS, until, bench.now).await,
        Locked::Gone,
        "the lease of nothing"
    );
    assert_eq!(bench.load(missing).await, None, "load after it");
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
        "the record under a lease"
    );
    let answer = bench
        .store
        .replace(key, written.version, bench.write(b"next"), bench.now);
    let Replaced::Replaced(version) = answer.await.expect("replace") else {
        panic!("a lease stood in the way of a replace");
    };
    let until_then = bench.end().saturating_add(millis(1000));
    let touched = bench.store.touch(key, version, until_then, bench.now);
    assert!(
        touched.await.expect("touch"),
        "a lease stood in the way of a touch"
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
    bench.store.delete(key, bench.now).await.expect("delete");
    assert!(
        !unlock(&bench, key, OURS).await,
        "unlock after the record was deleted"
    );
    for (key, now) in [(key, bench.now), (expired, bench.end())] {
        let created = bench.store.create(key, Write::new("new", until), now);
        created.await.expect("create");
        assert_eq!(
            lock(&bench, key, THEIRS, until, now).await,
            Locked::Acquired,
            "the lease of a new record under a key whose old one was under a lease"
        );
    }
}

pub(super) async fn ends_with_a_rename(bench: Bench) {
    let until = in_a_minute(&bench);
    for leave in [None, Some(bench.write(b"left"))] {
        let (from, old) = bench.create(b"the record").await;
        let to = key();
        let left = leave.is_some();
        lock(&bench, from, OURS, until, bench.now).await;
        let write = bench.write(b"moved");
        let renamed = bench
            .store
            .rename(from, old.version, to, write, leave, bench.now);
        renamed.await.expect("rename");
        assert_eq!(
            lock(&bench, to, THEIRS, until, bench.now).await,
            Locked::Acquired,
            "the lease under the new key"
        );
        let expected = if left { Locked::Acquired } else { Locked::Gone };
        assert_eq!(
            lock(&bench, from, THEIRS, until, bench.now).await,
            expected,
            "the lease under the old key"
        );
    }
}
