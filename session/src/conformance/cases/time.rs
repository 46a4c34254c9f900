//! 6.4 and 6.6: touch, expiry and sweeps.

use super::{Bench, HOUR, key, millis};
use crate::{
    clock::Timestamp,
    id::PublicId,
    store::{Stored, Version, Write},
};

async fn touch(bench: &Bench, key: PublicId, version: Version, until: Timestamp) -> bool {
    let touched = bench.store.touch(key, version, until, bench.now).await;
    touched.expect("touch")
}

pub(super) async fn touch_moves_expiry_only(bench: Bench) {
    let (key, written) = bench.create(b"the record").await;
    let (other, kept) = bench.create(b"another").await;
    let until = bench.end().saturating_add(millis(600_000));
    assert!(
        touch(&bench, key, written.version, until).await,
        "touch did not find the record"
    );
    let moved = Stored {
        expires_at: until,
        ..written
    };
    assert_eq!(
        bench.load(key).await.as_ref(),
        Some(&moved),
        "the touched record"
    );
    assert_eq!(
        bench.load_at(key, bench.end()).await,
        Some(moved),
        "the record at its earlier expiry"
    );
    assert_eq!(bench.load(other).await, Some(kept), "the other record");
}

pub(super) async fn touch_of_missing_creates_nothing(bench: Bench) {
    let missing = key();
    let (cleared, old) = bench.create(b"the record").await;
    bench.store.clear().await.expect("clear");
    let until = bench.end().saturating_add(millis(600_000));
    for (key, version) in [(missing, Version::FIRST), (cleared, old.version)] {
        assert!(
            !touch(&bench, key, version, until).await,
            "touch found a missing record"
        );
        assert_eq!(
            bench.load(key).await,
            None,
            "load after touching a missing record"
        );
    }
}

pub(super) async fn touch_of_expired_revives_nothing(bench: Bench) {
    let (key, written) = bench.create(b"the record").await;
    let later = bench.end();
    let until = later.saturating_add(millis(600_000));
    let touched = bench.store.touch(key, written.version, until, later).await;
    assert!(!touched.expect("touch"), "touch found an expired record");
    assert_eq!(
        bench.load_at(key, later).await,
        None,
        "load after the touch"
    );
}

pub(super) async fn touch_never_shortens(bench: Bench) {
    let (key, written) = bench.create(b"the record").await;
    for sooner in [
        bench.end().saturating_sub(millis(1)),
        bench.end().saturating_sub(millis(600_000)),
        bench.now,
    ] {
        assert!(
            touch(&bench, key, written.version, sooner).await,
            "touch did not find the record"
        );
        assert_eq!(
            bench.load(key).await.as_ref(),
            Some(&written),
            "the record after a touch with an earlier expiry"
        );
    }
}

pub(super) async fn stale_touch_changes_nothing(bench: Bench) {
    let (key, written) = bench.create(b"first").await;
    let sooner = Write::new(&b"second"[..], bench.end().saturating_sub(millis(600_000)));
    let replaced = bench
        .store
        .replace(key, written.version, sooner, bench.now)
        .await;
    replaced.expect("replace");
    let current = bench.load(key).await.expect("the replaced record");
    let until = bench.end().saturating_add(millis(600_000));
    for stale in [written.version, current.version.next()] {
        assert!(
            !touch(&bench, key, stale, until).await,
            "a stale touch found its version"
        );
        assert_eq!(
            bench.load(key).await.as_ref(),
            Some(&current),
            "the record after a stale touch"
        );
    }
}

pub(super) async fn boundary_to_the_millisecond(bench: Bench) {
    let (key, written) = bench.create(b"the record").await;
    let just_before = bench.end().saturating_sub(millis(1));
    assert_eq!(
        bench.load_at(key, just_before).await,
        Some(written),
        "1 ms before its expiry"
    );
    for after in [0, 1] {
        let later = bench.end().saturating_add(millis(after));
        assert_eq!(
            bench.load_at(key, later).await,
            None,
            "{after} ms after its expiry"
        );
    }
}

/// Sweeps until no expired record is left, and returns how many records were removed.
async fn sweep(bench: &Bench, limit: usize, now: Timestamp) -> usize {
    let mut removed = 0;
    loop {
        let batch = bench.store.delete_expired(limit, now).await;
        let batch = batch.expect("delete_expired");
        assert!(batch <= limit, "delete_expired({limit}) returned {batch}");
        removed += batch;
        assert!(removed <= 1000, "more records were removed than created");
        if batch < limit {
            return removed;
        }
    }
}

pub(super) async fn delete_expired_respects_its_limit(bench: Bench) {
    for _ in 0..7 {
        bench.create_expired().await;
    }
    let first = bench.store.delete_expired(3, bench.now).await;
    let first = first.expect("delete_expired");
    let rest = sweep(&bench, 3, bench.now).await;
    if bench.expires_by_itself {
        assert_eq!(
            (first, rest),
            (0, 0),
            "the records removed by a store that expires them by itself"
        );
    } else {
        assert_eq!(
            first, 3,
            "the records removed of seven, with a limit of three"
        );
        assert_eq!(rest, 4, "the records removed of the remaining four");
    }
    assert_eq!(
        sweep(&bench, 100, bench.now).await,
        0,
        "the records removed after all were removed"
    );
}

pub(super) async fn delete_expired_keeps_live_records(bench: Bench) {
    // A backend that removes expired records by itself must not do so before the end of the case.
    let soon = if bench.expires_by_itself {
        bench.end()
    } else {
        bench.now
    };
    let mut live = Vec::new();
    for n in 0..20 {
        bench.create_expired().await;
        let end = soon.saturating_add(millis(1 + n));
        let write = Write::new(&b"live"[..], end);
        live.push(bench.create_at(bench.earlier(), write).await);
    }
    let removed = sweep(&bench, 100, bench.now).await;
    let expired = if bench.expires_by_itself { 0 } else { 20 };
    assert_eq!(
        removed, expired,
        "the records removed of twenty expired ones"
    );
    for (key, written) in live {
        assert_eq!(
            bench.load(key).await,
            Some(written),
            "a live record after a sweep"
        );
    }
}

/// The clock of one machine is a day ahead.
pub(super) async fn delete_expired_checks_its_own_clock(bench: Bench) {
    if bench.in_one_process {
        return;
    }
    let (key, written) = bench.create(b"live").await;
    bench.create_expired().await;
    let ahead = bench.now.saturating_add(24 * HOUR);
    let removed = sweep(&bench, 100, ahead).await;
    assert_eq!(
        removed,
        usize::from(!bench.expires_by_itself),
        "the records removed of one expired and one live one"
    );
    assert_eq!(
        bench.load(key).await,
        Some(written),
        "a live record after a sweep by a clock that is ahead"
    );
}
