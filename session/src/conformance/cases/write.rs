//! 6.1 and 6.3: create and replace.

use super::{Bench, key, millis, stored};
use crate::store::{Created, Replaced, Stored, Version, Write};

/// Returns the version that a replace has assigned.
fn replaced(result: Replaced) -> Version {
    match result {
        Replaced::Replaced(version) => version,
        other => panic!("replace of the current version returned {other:?}"),
    }
}

pub(super) async fn create_on_live_changes_nothing(bench: Bench) {
    let (key, written) = bench.create(b"first").await;
    let second = Write::new(&b"second"[..], bench.end().saturating_add(millis(1000)));
    let created = bench.store.create(key, second, bench.now).await;
    assert_eq!(
        created.expect("create"),
        Created::Exists,
        "create under a key with a live record"
    );
    assert_eq!(bench.load(key).await, Some(written), "the live record");
}

pub(super) async fn create_on_expired_works(bench: Bench) {
    let (key, _) = bench.create(b"first").await;
    let later = bench.end();
    let second = Write::new(&b"second"[..], later.saturating_add(millis(600_000)));
    let created = bench.store.create(key, second.clone(), later).await;
    let Ok(Created::Created(version)) = created else {
        panic!("create under a key with an expired record returned {created:?}");
    };
    assert_eq!(
        bench.load_at(key, later).await,
        Some(stored(&second, version)),
        "the record that replaced an expired one"
    );
}

pub(super) async fn replace_wins_once(bench: Bench) {
    let (key, first) = bench.create(b"first").await;
    let second = Write::new(&b"second"[..], bench.end().saturating_add(millis(1000)));
    let result = bench
        .store
        .replace(key, first.version, second.clone(), bench.now);
    let version = replaced(result.await.expect("replace"));
    let current = stored(&second, version);
    assert_eq!(bench.load(key).await.as_ref(), Some(&current), "the record");

    let result = bench
        .store
        .replace(key, first.version, bench.write(b"third"), bench.now);
    assert_eq!(
        result.await.expect("replace"),
        Replaced::Conflict(current.clone()),
        "a second replace of the same version"
    );
    assert_eq!(bench.load(key).await, Some(current), "the record after it");
}

pub(super) async fn replace_moves_the_version_on(bench: Bench) {
    let (key, mut current) = bench.create(b"0").await;
    for data in [&b"1"[..], b"2", b"3", b"3", b"3"] {
        let result = bench
            .store
            .replace(key, current.version, bench.write(data), bench.now);
        let version = replaced(result.await.expect("replace"));
        assert!(
            version > current.version,
            "{version:?} after {:?}",
            current.version
        );
        current = stored(&bench.write(data), version);
        assert_eq!(bench.load(key).await.as_ref(), Some(&current), "the record");
    }
}

pub(super) async fn replace_may_shorten(bench: Bench) {
    let (key, first) = bench.create(b"first").await;
    let sooner = bench.end().saturating_sub(millis(600_000));
    let result = bench.store.replace(
        key,
        first.version,
        Write::new(&b"second"[..], sooner),
        bench.now,
    );
    replaced(result.await.expect("replace"));
    let loaded = bench.load(key).await.map(|stored| stored.expires_at);
    assert_eq!(loaded, Some(sooner), "the expiry after replace");
    assert_eq!(
        bench.load_at(key, sooner).await,
        None,
        "load after the new expiry"
    );
}

pub(super) async fn stale_replace_returns_current(bench: Bench) {
    let (key, current) = bench.create(b"the record").await;
    for stale in [current.version.next(), Version::new(0)] {
        let result = bench
            .store
            .replace(key, stale, bench.write(b"never"), bench.now);
        assert_eq!(
            result.await.expect("replace"),
            Replaced::Conflict(current.clone()),
            "replace of {stale:?} if the version is {:?}",
            current.version
        );
        assert_eq!(
            bench.load(key).await,
            Some(current.clone()),
            "the record after it"
        );
    }
}

pub(super) async fn replace_of_missing_creates_nothing(bench: Bench) {
    let missing = key();
    let (cleared, old) = bench.create(b"the record").await;
    bench.store.clear().await.expect("clear");
    for (key, version) in [(missing, Version::FIRST), (cleared, old.version)] {
        let result = bench
            .store
            .replace(key, version, bench.write(b"never"), bench.now);
        assert_eq!(
            result.await.expect("replace"),
            Replaced::Gone,
            "replace of a missing record"
        );
        assert_eq!(bench.load(key).await, None, "load after the replace");
    }
}

pub(super) async fn replace_of_expired_is_gone(bench: Bench) {
    let (key, Stored { version, .. }) = bench.create(b"the record").await;
    let later = bench.end();
    let write = Write::new(&b"never"[..], later.saturating_add(millis(600_000)));
    for expected in [version, version.next()] {
        let result = bench.store.replace(key, expected, write.clone(), later);
        assert_eq!(
            result.await.expect("replace"),
            Replaced::Gone,
            "replace of an expired record"
        );
        assert_eq!(
            bench.load_at(key, later).await,
            None,
            "load after the replace"
        );
    }
}
