//! 6.5: a record moves to another key and leaves a record under the old one.

use super::{Bench, key, millis, stored};
use crate::{
    clock::Timestamp,
    id::PublicId,
    store::{Rename, Replaced, StoreErrorKind, Version, Write},
};

/// Renames with records that are live at `now`.
async fn rename(
    bench: &Bench,
    (from, expected): (PublicId, Version),
    to: PublicId,
    now: Timestamp,
) -> Replaced {
    let live = |data: &'static [u8]| Write::new(data, now.saturating_add(millis(900_000)));
    let rename = Rename::new(from, expected, to, live(b"renamed"), live(b"left"));
    bench.store.rename(rename, now).await.expect("rename")
}

pub(super) async fn moves_the_record(bench: Bench) {
    let (from, old) = bench.create(b"the record").await;
    let (other, kept) = bench.create(b"another").await;
    let to = key();
    let write = bench.write(b"renamed");
    let rename = Rename::new(from, old.version, to, write.clone(), bench.write(b"left"));
    let renamed = bench.store.rename(rename, bench.now).await;
    let renamed = renamed.expect("rename");
    let Replaced::Replaced(version) = renamed else {
        panic!("rename of the current version returned {renamed:?}");
    };
    assert_eq!(
        bench.load(to).await,
        Some(stored(&write, version)),
        "under the new key"
    );
    assert_ne!(
        bench.load(from).await.map(|stored| stored.data),
        Some(old.data),
        "under the old key"
    );
    assert_eq!(bench.load(other).await, Some(kept), "the other record");

    let next = bench
        .store
        .replace(to, version, bench.write(b"next"), bench.now);
    let next = next.await.expect("replace");
    assert!(
        matches!(next, Replaced::Replaced(_)),
        "replace of the version that rename assigned returned {next:?}"
    );
}

pub(super) async fn leaves_a_record(bench: Bench) {
    let (from, old) = bench.create(b"the record").await;
    let to = key();
    let leave = Write::new(&b"left"[..], bench.now.saturating_add(millis(1_200_000)));
    let write = bench.write(b"renamed");
    let rename = Rename::new(from, old.version, to, write, leave.clone());
    let renamed = bench.store.rename(rename, bench.now).await;
    let renamed = renamed.expect("rename");
    assert!(
        matches!(renamed, Replaced::Replaced(_)),
        "rename of the current version returned {renamed:?}"
    );
    let left = bench.load(from).await.expect("the record that was left");
    assert_eq!(
        left,
        stored(&leave, left.version),
        "the record that was left"
    );
    assert_ne!(left.version, old.version, "its version");

    let late = bench
        .store
        .replace(from, old.version, bench.write(b"late"), bench.now);
    assert_eq!(
        late.await.expect("replace"),
        Replaced::Conflict(left.clone()),
        "a replace of the version before the rename"
    );
    let next = bench
        .store
        .replace(from, left.version, bench.write(b"next"), bench.now);
    let next = next.await.expect("replace");
    assert!(
        matches!(next, Replaced::Replaced(_)),
        "replace of the record that was left returned {next:?}"
    );
}

pub(super) async fn stale_changes_nothing(bench: Bench) {
    let (from, current) = bench.create(b"the record").await;
    let (to, stale) = (key(), current.version.next());
    assert_eq!(
        rename(&bench, (from, stale), to, bench.now).await,
        Replaced::Conflict(current.clone()),
        "rename of {stale:?} if the version is {:?}",
        current.version
    );
    assert_eq!(bench.load(to).await, None, "under the new key");
    assert_eq!(bench.load(from).await, Some(current), "under the old key");
}

pub(super) async fn of_missing_changes_nothing(bench: Bench) {
    let (from, to) = (key(), key());
    assert_eq!(
        rename(&bench, (from, Version::FIRST), to, bench.now).await,
        Replaced::Gone,
        "rename of a missing record"
    );
    assert_eq!(bench.load(to).await, None, "under the new key");
    assert_eq!(bench.load(from).await, None, "under the old key");
}

pub(super) async fn of_expired_is_gone(bench: Bench) {
    let later = bench.end();
    let (from, old) = bench.create(b"the record").await;
    let to = key();
    assert_eq!(
        rename(&bench, (from, old.version), to, later).await,
        Replaced::Gone,
        "rename of an expired record"
    );
    assert_eq!(bench.load_at(to, later).await, None, "under the new key");
    assert_eq!(bench.load_at(from, later).await, None, "under the old key");
}

pub(super) async fn onto_expired_works(bench: Bench) {
    let later = bench.end();
    let (to, _) = bench.create(b"expired").await;
    let live = Write::new(&b"live"[..], later.saturating_add(millis(600_000)));
    let (from, old) = bench.create_with(live).await;
    let renamed = rename(&bench, (from, old.version), to, later).await;
    let Replaced::Replaced(version) = renamed else {
        panic!("rename onto an expired record returned {renamed:?}");
    };
    let found = bench.load_at(to, later).await;
    let found = found.map(|stored| (stored.data, stored.version));
    assert_eq!(
        found,
        Some(("renamed".into(), version)),
        "under the new key"
    );
    let left = bench.load_at(from, later).await.map(|stored| stored.data);
    assert_eq!(left, Some("left".into()), "under the old key");
}

pub(super) async fn onto_live_is_refused(bench: Bench) {
    let (from, old) = bench.create(b"the record").await;
    let (to, kept) = bench.create(b"another").await;
    let (write, leave) = (bench.write(b"renamed"), bench.write(b"left"));
    let rename = Rename::new(from, old.version, to, write, leave);
    let renamed = bench.store.rename(rename, bench.now).await;
    let Err(error) = renamed else {
        panic!("rename onto a live record returned {renamed:?}");
    };
    assert_eq!(
        error.kind(),
        StoreErrorKind::Corrupt,
        "the kind of the error"
    );
    assert_eq!(bench.load(to).await, Some(kept), "under the new key");
    assert_eq!(bench.load(from).await, Some(old), "under the old key");
}
