//! 6.7: two namespaces of one backend.

use super::{Bench, millis};
use crate::store::{Created, LockOwner, Locked, Replaced};

pub(super) async fn keys_do_not_meet(bench: Bench) {
    let other = bench.open_another().await;
    let (key, written) = bench.create(b"here").await;
    assert_eq!(
        other.load(key, bench.now).await.expect("load"),
        None,
        "the other namespace loads it"
    );
    let answer = other.replace(key, written.version, bench.write(b"there"), bench.now);
    assert_eq!(
        answer.await.expect("replace"),
        Replaced::Gone,
        "the other namespace replaces it"
    );
    let touched = other.touch(key, written.version, bench.end(), bench.now);
    assert!(
        !touched.await.expect("touch"),
        "the other namespace touches it"
    );
    let locked = other.lock(key, LockOwner::new(1), bench.end(), bench.now);
    assert_eq!(
        locked.await.expect("lock"),
        Locked::Gone,
        "the other namespace locks it"
    );
    assert!(
        !other.delete(key, bench.now).await.expect("delete"),
        "the other namespace deletes it"
    );
    assert_eq!(
        bench.load(key).await.as_ref(),
        Some(&written),
        "the record here"
    );

    let created = other.create(key, bench.write(b"there"), bench.now);
    assert!(
        matches!(created.await.expect("create"), Created::Created(_)),
        "a record under a key that only the other namespace has"
    );
    assert_eq!(
        bench.load(key).await.as_ref(),
        Some(&written),
        "the record here"
    );
    let there = other.load(key, bench.now).await.expect("load");
    assert_eq!(
        there.map(|stored| stored.data),
        Some("there".into()),
        "the record there"
    );
    assert!(other.delete(key, bench.now).await.expect("delete"));
    assert_eq!(bench.load(key).await, Some(written), "the record here");
}

pub(super) async fn clear_keeps_to_its_own(bench: Bench) {
    let other = bench.open_another().await;
    let mut written = Vec::new();
    for _ in 0..50 {
        let (key, stored) = bench.create(b"here").await;
        other
            .create(key, bench.write(b"there"), bench.now)
            .await
            .expect("create");
        written.push((key, stored));
    }
    other.clear().await.expect("clear");
    for (key, stored) in &written {
        assert_eq!(
            other.load(*key, bench.now).await.expect("load"),
            None,
            "a record of the namespace that was cleared"
        );
        assert_eq!(
            bench.load(*key).await.as_ref(),
            Some(stored),
            "a record of the namespace beside it"
        );
    }
    let swept = other
        .delete_expired(1000, bench.end().saturating_add(millis(1)))
        .await;
    assert_eq!(
        swept.expect("delete_expired"),
        0,
        "swept where all was cleared"
    );

    other.clear().await.expect("clear of an empty namespace");
    let (key, _) = &written[0];
    let again = other.create(*key, bench.write(b"again"), bench.now).await;
    assert!(
        matches!(again.expect("create"), Created::Created(_)),
        "a record created after a clear"
    );
}
