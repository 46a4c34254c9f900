//! 6.5: a record moves to another key.

use super::{Bench, key, millis, stored};
use crate::{
    clock::Timestamp,
    id::PublicId,
    store::{Replaced, Version, Write},
};

async fn rename(
    bench: &Bench,
    (from, expected): (PublicId, Version),
    to: PublicId,
    leave: Option<Write>,
    now: Timestamp,
) -> Replaced {
    let write = Write::new(&b"moved"[..], now.saturating_add(millis(900_000)));
    let renamed = bench
        .store
        .rename(from, expected, to, write, leave, now)
        .await;
    renamed.expect("rename")
}

pub(super) async fn moves_the_record(bench: Bench) {
    let (from, old) = bench.create(b"the record").await;
    let (other, kept) = bench.create(b"another").await;
    let to = key();
    let write = bench.write(b"moved");
    let renamed = bench
        .store
        .rename(from, old.version, to, write.clone(), None, bench.now);
    let renamed = renamed.await.expect("rename");
    let Replaced::Replaced(version) = renamed else {
        panic!("rename of the current version answered {renamed:?}");
    };
    let moved = stored(&write, version);
    assert_eq!(
        bench.load(to).await.as_ref(),
        Some(&moved),
        "under the new key"
    );
    assert_eq!(bench.load(from).await, None, "under the old key");
    assert_eq!(bench.load(other).await, Some(kept), "the record beside it");

    let late = bench
        .store
        .replace(from, old.version, bench.write(b"late"), bench.now);
    assert_eq!(
        late.await.expect("replace"),
        Replaced::Gone,
        "replace under the old key"
    );
    let next = bench
        .store
        .replace(to, version, bench.write(b"next"), bench.now);
    let next = next.await.expect("replace");
    assert!(
        matches!(next, Replaced::Replaced(_)),
        "replace of the version that rename gave answered {next:?}"
    );
}

pub(super) async fn leaves_what_it_is_given(bench: Bench) {
    let (from, old) = bench.create(b"the record").await;
    let to = key();
    let leave = Write::new(&b"left"[..], bench.now.saturating_add(millis(1_200_000)));
    let renamed = rename(
        &bench,
        (from, old.version),
        to,
        Some(leave.clone()),
        bench.now,
    )
    .await;
    let Replaced::Replaced(version) = renamed else {
        panic!("rename of the current version answered {renamed:?}");
    };
    let moved = bench.load(to).await.expect("a record under the new key");
    assert_eq!(
        (&moved.data[..], moved.version),
        (&b"moved"[..], version),
        "new key"
    );
    let left = bench
        .load(from)
        .await
        .expect("what was left under the old key");
    assert_eq!(left, stored(&leave, left.version), "what was left");
    assert_ne!(left.version, old.version, "the version of what was left");

    let late = bench
        .store
        .replace(from, old.version, bench.write(b"late"), bench.now);
    assert_eq!(
        late.await.expect("replace"),
        Replaced::Conflict(left.clone()),
        "a replace that knew the record before it moved"
    );
    let next = bench
        .store
        .replace(from, left.version, bench.write(b"next"), bench.now);
    let next = next.await.expect("replace");
    assert!(
        matches!(next, Replaced::Replaced(_)),
        "replace of what was left answered {next:?}"
    );
}

pub(super) async fn stale_changes_nothing(bench: Bench) {
    let (from, current) = bench.create(b"the record").await;
    for leave in [None, Some(bench.write(b"left"))] {
        let to = key();
        let stale = current.version.next();
        assert_eq!(
            rename(&bench, (from, stale), to, leave, bench.now).await,
            Replaced::Conflict(current.clone()),
            "rename of {stale:?} where {:?} is",
            current.version
        );
        assert_eq!(bench.load(to).await, None, "under the new key");
        assert_eq!(
            bench.load(from).await.as_ref(),
            Some(&current),
            "under the old key"
        );
    }
}

pub(super) async fn of_missing_changes_nothing(bench: Bench) {
    for leave in [None, Some(bench.write(b"left"))] {
        let (from, to) = (key(), key());
        assert_eq!(
            rename(&bench, (from, Version::FIRST), to, leave, bench.now).await,
            Replaced::Gone,
            "rename of nothing"
        );
        assert_eq!(bench.load(to).await, None, "under the new key");
        assert_eq!(bench.load(from).await, None, "under the old key");
    }
}

pub(super) async fn of_expired_is_gone(bench: Bench) {
    let later = bench.end();
    let left = Write::new(&b"left"[..], later.saturating_add(millis(600_000)));
    for leave in [None, Some(left)] {
        let (from, old) = bench.create(b"the record").await;
        let to = key();
        assert_eq!(
            rename(&bench, (from, old.version), to, leave, later).await,
            Replaced::Gone,
            "rename of an expired record"
        );
        assert_eq!(bench.load_at(to, later).await, None, "under the new key");
        assert_eq!(bench.load_at(from, later).await, None, "under the old key");
    }
}

pub(super) async fn onto_expired_works(bench: Bench) {
    let later = bench.end();
    let living = later.saturating_add(millis(600_000));
    for leave in [None, Some(Write::new(&b"left"[..], living))] {
        let (to, _) = bench.create(b"dead").await;
        let (from, old) = bench.create_with(Write::new(&b"living"[..], living)).await;
        let left = leave.is_some();
        let renamed = rename(&bench, (from, old.version), to, leave, later).await;
        let Replaced::Replaced(version) = renamed else {
            panic!("rename onto an expired record answered {renamed:?}");
        };
        let moved = bench.load_at(to, later).await;
        let moved = moved.map(|stored| (stored.data, stored.version));
        assert_eq!(moved, Some(("moved".into(), version)), "under the new key");
        assert_eq!(
            bench.load_at(from, later).await.is_some(),
            left,
            "whether anything is under the old key"
        );
    }
}

pub(super) async fn onto_live_is_refused(bench: Bench) {
    for leave in [None, Some(bench.write(b"left"))] {
        let (from, old) = bench.create(b"the record").await;
        let (to, kept) = bench.create(b"another").await;
        let write = bench.write(b"moved");
        let renamed = bench
            .store
            .rename(from, old.version, to, write, leave, bench.now)
            .await;
        assert!(
            renamed.is_err(),
            "rename onto a live record answered {renamed:?}"
        );
        assert_eq!(bench.load(to).await, Some(kept), "the record there");
        assert_eq!(bench.load(from).await, Some(old), "under the old key");
    }
}
