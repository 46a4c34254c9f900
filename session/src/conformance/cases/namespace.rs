//! 6.7: two namespaces of one backend.

use super::{Bench, HOUR, key};
use crate::store::{Created, LockOwner, Locked, Rename, Replaced, Write};

pub(super) async fn keys_are_separate(bench: Bench) {
    let other = bench.open_another().await;
    let (here, written) = bench.create(b"here").await;
    assert_eq!(
        other.load(here, bench.now).await.expect("load"),
        None,
        "load in the other namespace"
    );
    let replaced = other.replace(here, written.version, bench.write(b"there"), bench.now);
    assert_eq!(
        replaced.await.expect("replace"),
        Replaced::Gone,
        "replace in the other namespace"
    );
    let touched = other.touch(here, written.version, bench.end(), bench.now);
    assert!(
        !touched.await.expect("touch"),
        "touch in the other namespace found the record"
    );
    let locked = other.lock(here, LockOwner::new(1), bench.end(), bench.now);
    assert_eq!(
        locked.await.expect("lock"),
        Locked::Gone,
        "lock in the other namespace"
    );
    let (write, leave) = (bench.write(b"renamed"), bench.write(b"left"));
    let rename = Rename::new(here, written.version, key(), write, leave);
    assert_eq!(
        other.rename(rename, bench.now).await.expect("rename"),
        Replaced::Gone,
        "rename in the other namespace"
    );
    assert_eq!(
        bench.load(here).await.as_ref(),
        Some(&written),
        "the record in its namespace"
    );

    let created = other.create(here, bench.write(b"there"), bench.now);
    assert!(
        matches!(created.await.expect("create"), Created::Created(_)),
        "create under a key that exists only in the first namespace"
    );
    assert_eq!(
        bench.load(here).await,
        Some(written),
        "the record in the first namespace"
    );
    let there = other.load(here, bench.now).await.expect("load");
    assert_eq!(
        there.map(|stored| stored.data),
        Some("there".into()),
        "the record in the other namespace"
    );
}

pub(super) async fn clear_is_limited_to_it(bench: Bench) {
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
    let write = Write::new(&b"expired"[..], bench.now.saturating_sub(HOUR));
    let created = other.create(key(), write, bench.earlier()).await;
    created.expect("create");
    other.clear().await.expect("clear");
    for (key, stored) in &written {
        assert_eq!(
            other.load(*key, bench.now).await.expect("load"),
            None,
            "a record of the cleared namespace"
        );
        assert_eq!(
            bench.load(*key).await.as_ref(),
            Some(stored),
            "a record of the other namespace"
        );
    }
    let swept = other.delete_expired(1000, bench.now).await;
    assert_eq!(
        swept.expect("delete_expired"),
        0,
        "the number of records swept after clear"
    );

    other.clear().await.expect("clear of an empty namespace");
    let (key, _) = &written[0];
    let again = other.create(*key, bench.write(b"again"), bench.now).await;
    assert!(
        matches!(again.expect("create"), Created::Created(_)),
        "create after clear"
    );
}
