//! Sweeps at the moment at which a record expires.

use std::{future::Future, sync::Arc};

use poem_session::{
    PublicId,
    clock::Timestamp,
    store::{Created, MemoryStore, Replaced, SessionStore as _, Version, Write},
};
use shuttle::future::spawn;

use super::{
    call::{Key, NOW, PAST, after},
    is_counted,
};
use crate::explore::explore;

/// The last moment before the record expires.
const JUST_BEFORE: Timestamp = Timestamp::from_millis(NOW.as_millis() - 1);

/// Runs `call` on a record that expires right now, in parallel with a sweep and with the creation of another
/// record, which sweeps a few slots. A record that `call` reports as kept must be stored afterwards.
fn keeps<F, Fut>(call: F)
where
    F: Fn(Arc<MemoryStore>, PublicId) -> Fut + Send + Sync + Copy + 'static,
    Fut: Future<Output = bool> + Send + 'static,
{
    explore(move || async move {
        let store = Arc::new(MemoryStore::new());
        let write = Write::new("first", NOW);
        let created = store.create(Key::A.id(), write, PAST).await;
        assert_eq!(
            created.expect("the store has space"),
            Created::Created(Version::FIRST)
        );
        let (one, two) = (store.clone(), store.clone());
        let keeping = spawn(call(store.clone(), Key::A.id()));
        let sweeping = spawn(async move { one.delete_expired(usize::MAX, NOW).await });
        let creating = spawn(async move {
            let write = Write::new("other", after(60));
            two.create(Key::BesideA.id(), write, NOW).await
        });
        let kept = keeping.await.expect("a task");
        sweeping.await.expect("a task").expect("memory");
        creating
            .await
            .expect("a task")
            .expect("the store has space");
        let loaded = store.load(Key::A.id(), NOW).await.expect("memory");
        assert_eq!(loaded.is_some(), kept, "{loaded:?}");
        is_counted(&store).await;
    });
}

/// Conformance 6.4, 6.6
#[test]
fn a_record_that_was_touched_in_time_stays() {
    keeps(|store, key| async move {
        let touched = store.touch(key, Version::FIRST, after(60), JUST_BEFORE);
        touched.await.expect("memory")
    });
}

/// Conformance 6.3, 6.6
#[test]
fn a_record_that_was_replaced_in_time_stays() {
    keeps(|store, key| async move {
        let write = Write::new("second", after(60));
        let replaced = store.replace(key, Version::FIRST, write, JUST_BEFORE).await;
        matches!(replaced, Ok(Replaced::Replaced(_)))
    });
}

/// Conformance 6.1, 6.6
#[test]
fn a_record_that_was_created_over_an_expired_one_stays() {
    keeps(|store, key| async move {
        let write = Write::new("second", after(60));
        let created = store.create(key, write, NOW).await;
        matches!(created, Ok(Created::Created(_)))
    });
}

/// Conformance 6.6
#[test]
fn two_sweeps_remove_as_many_records_as_they_report() {
    explore(|| async {
        let store = Arc::new(MemoryStore::new());
        for key in Key::ALL {
            let write = Write::new("expired", NOW);
            store
                .create(key.id(), write, PAST)
                .await
                .expect("the store has space");
        }
        let sweeps = [(); 2].map(|()| {
            let store = store.clone();
            spawn(async move { store.delete_expired(1, NOW).await })
        });
        for sweep in sweeps {
            assert_eq!(sweep.await.expect("a task").expect("memory"), 1);
        }
        assert_eq!(store.len(), 1);
        is_counted(&store).await;
    });
}
