//! 6.1 and 6.3: create where nothing is, replace what one knows.

use super::{Bench, key, millis, stored};
use crate::store::{Created, Replaced, Stored, Version, Write};

/// The version that a write has given.
fn replaced(answer: Replaced) -> Version {
    match answer {
        Replaced::Replaced(version) => version,
        other => panic!("replace of the current version answered {other:?}"),
    }
}

pub(super) async fn create_on_live_changes_nothing(bench: Bench) {
    let (key, written) = bench.create(b"first").await;
    let second = Write::new(&b"second"[..], bench.end().saturating_add(millis(1000)));
    let created = bench.store.create(key, second, bench.now).await;
    assert_eq!(created.expect("create"), Created::Exists, "create on live");
    assert_eq!(bench.load(key).await, Some(written), "the record there");
}

pub(super) async fn create_on_expired_works(bench: Bench) {
    let (key, _) = bench.create(b"first").await;
    let later = bench.end();
    let second = Write::new(&b"second"[..], later.saturating_add(millis(600_000)));
    let created = bench.store.create(key, second.clone(), later).await;
    let Ok(Created::Created(version)) = created else {
        panic!("create on expired answered {created:?}");
    };
    assert_eq!(
        bench.load_at(key, later).await,
        Some(stored(&second, version)),
        "the record created over an expired one"
    );
}

pub(super) async fn replace_wins_once(bench: Bench) {
    let (key, first) = bench.create(b"first").await;
    let second = Write::new(&b"second"[..], bench.end().saturating_add(millis(1000)));
    let answer = bench
        .store
        .replace(key, first.version, second.clone(), bench.now);
    let version = replaced(answer.await.expect("replace"));
    let current = stored(&second, version);
    assert_eq!(bench.load(key).await.as_ref(), Some(&current), "the record");

    let answer = bench
        .store
        .replace(key, first.version, bench.write(b"third"), bench.now);
    assert_eq!(
        answer.await.expect("replace"),
        Replaced::Conflict(current.clone()),
        "a second replace of one version"
    );
    assert_eq!(bench.load(key).await, Some(current), "the record after it");
}

pub(super) async fn replace_moves_the_version_on(bench: Bench) {
    let (key, mut current) = bench.create(b"0").await;
    for data in [&b"1"[..], b"2", b"3", b"3", b"3"] {
        let answer = bench
            .store
            .replace(key, current.version, bench.write(data), bench.now);
        let version = replaced(answer.await.expect("replace"));
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
    let answer = bench.store.replace(
        key,
        first.version,
        Write::new(&b"second"[..], sooner),
        bench.now,
    );
    replaced(answer.await.expect("replace"));
    let loaded = bench.load(key).await.map(|stored| stored.expires_at);
    assert_eq!(loaded, Some(sooner), "the expiry that replace has set");
    assert_eq!(
        bench.load_at(key, sooner).await,
        None,
        "load after the sooner end"
    );
}

pub(super) async fn stale_replace_returns_current(bench: Bench) {
    let (key, current) = bench.create(b"the record").await;
    for stale in [current.version.next(), Version::new(0)] {
        let answer = bench
            .store
            .replace(key, stale, bench.write(b"never"), bench.now);
        assert_eq!(
            answer.await.expect("replace"),
            Replaced::Conflict(current.clone()),
            "replace of {stale:?} where {:?} is",
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
    let (deleted, old) = bench.create(b"the record").await;
    bench
        .store
        .delete(deleted, bench.now)
        .await
        .expect("delete");
    for (key, version) in [(missing, Version::FIRST), (deleted, old.version)] {
        let answer = bench
            .store
            .replace(key, version, bench.write(b"never"), bench.now);
        assert_eq!(
            answer.await.expect("replace"),
            Replaced::Gone,
            "replace of nothing"
        );
        assert_eq!(bench.load(key).await, None, "load after it");
    }
}

pub(super) async fn replace_of_expired_is_gone(bench: Bench) {
    let (key, Stored { version, .. }) = bench.create(b"the record").await;
    let later = bench.end();
    let write = Write::new(&b"never"[..], later.saturating_add(millis(600_000)));
    for expected in [version, version.next()] {
        let answer = bench.store.replace(key, expected, write.clone(), later);
        assert_eq!(
            answer.await.expect("replace"),
            Replaced::Gone,
            "replace of an expired record"
        );
        assert_eq!(bench.load_at(key, later).await, None, "load after it");
    }
}
