//! Locked sessions.

use std::{sync::Arc, time::Duration};

use poem_session::{
    SaveError, Session, SessionConfig,
    store::{LockOwner, Locked, SessionStore as _},
};
use shuttle::future::spawn;
use tokio::{sync::Notify, time::NEVER};

use super::world::{Page, World, sent};
use crate::explore::{explore, repeat};

const LEASE: Duration = Duration::from_millis(200);

/// Locks with this lease, for which requests wait without a time limit.
fn lease(config: &mut SessionConfig, lease: Duration) {
    config.lock_lease = lease;
    config.lock_timeout = NEVER;
}

/// Each task writes the value that it has read, plus one. No other task may have written in between.
///
/// Conformance 2.6
#[test]
fn critical_sections_do_not_overlap() {
    explore(|| async {
        let world = World::new(|config| lease(config, NEVER));
        let id = world.begin().await;
        let tasks = (0..3).map(|number| {
            let process = world.process(number);
            spawn(async move {
                let session = process.open(&id).await;
                let lock = session.lock().await.expect("the lock becomes free");
                let count = session.count().expect("a number");
                session.set_count(count + 1).expect("it fits");
                session.save().await.expect("it was saved");
                drop(lock);
            })
        });
        for task in tasks.collect::<Vec<_>>() {
            task.await.expect("a task");
        }
        assert_eq!(world.page(&id).await.expect("it is live").count, 3);
    });
}

/// A save in the middle of a section would rotate the id.
///
/// Conformance 2.6, 2.7
#[test]
fn critical_sections_do_not_overlap_while_the_id_is_rotated() {
    const EVERY: Duration = Duration::from_mins(15);
    explore(|| async {
        let world = World::new(|config| {
            lease(config, NEVER);
            config.rotate_every = Some(EVERY);
        });
        let first = world.process(0);
        let sets = |session: &Session<Page>| session.set_three(3).expect("it fits");
        let id = sent(&first.visit(None, sets).await).expect("a new session");
        tokio::time::sleep(EVERY).await;

        let tasks = [0, 1].map(|number| {
            let process = world.process(number);
            spawn(async move {
                let adds_two = |session: Session<Page>| async move {
                    let lock = session.lock().await?;
                    for _ in 0..2 {
                        let count = session.count().expect("a number");
                        session.set_count(count + 1).expect("it fits");
                        session.save().await?;
                    }
                    drop(lock);
                    Ok(())
                };
                process.handle(Some(id), adds_two).await
            })
        });
        for task in tasks {
            assert_eq!(task.await.expect("a task").status, 200);
        }
        let looks = |session: &Session<Page>| {
            assert_eq!(session.count().expect("a number"), 4);
        };
        assert_eq!(first.visit(Some(id), looks).await.status, 200);
    });
}

/// No other request knows the new id.
///
/// Conformance 1.11, 2.6
#[test]
fn a_holder_that_regenerates_goes_on_for_longer_than_the_lease() {
    explore(|| async {
        let world = World::of(1, |config| {
            lease(config, LEASE);
            config.retired_for = LEASE / 10;
        });
        let id = world.begin().await;
        let session = world.process(0).open(&id).await;
        let lock = session.lock().await.expect("nobody holds it");
        session.regenerate();
        match session.save().await {
            Ok(()) => {}
            // The lease has expired by then.
            Err(SaveError::LeaseLost) => return,
            Err(error) => panic!("{error}"),
        }
        tokio::time::sleep(2 * LEASE).await;
        session.set_one(1).expect("it fits");
        session.save().await.expect("it was saved");
        drop(lock);
        let found = world.page(&session.id()).await.expect("it is live");
        assert_eq!(found.one, Some(1));
    });
}

/// Conformance 2.6
#[test]
fn the_lease_of_a_holder_that_crashed_ends() {
    explore(|| async {
        let world = World::of(1, |config| lease(config, LEASE));
        let id = world.begin().await;
        let process = world.process(0);
        let session = process.open(&id).await;
        let now = poem_session::clock::Timestamp::from(session.created_at().expect("it is stored"));
        let until = now.saturating_add(LEASE);
        let owner = LockOwner::random();
        let locked = world.store.lock(id.public(), owner, until, now).await;
        assert_eq!(locked.expect("memory"), Locked::Acquired);
        let lock = session.lock().await.expect("the lock becomes free");
        assert!(tokio::time::Instant::now().since_the_beginning() >= LEASE);
        drop(lock);
    });
}

/// The process of the holder cannot reach the store for longer than the lease.
///
/// Conformance 2.6
#[test]
fn a_holder_whose_lease_has_expired_cannot_write_over_the_next_one() {
    explore(|| async {
        let world = World::of(2, |config| lease(config, LEASE));
        let id = world.begin().await;
        let (one, other) = (world.process(0), world.process(1));
        let session = one.open(&id).await;
        let lock = session.lock().await.expect("nobody holds it");
        let count = session.count().expect("a number");
        one.distance.cut_off(true);

        let next = other.open(&id).await;
        let next_lock = next.lock().await.expect("the lock becomes free");
        next.update_count(|count| *count += 10).expect("a number");
        next.save().await.expect("it was saved");
        drop(next_lock);

        one.distance.cut_off(false);
        // As long as it takes to renew a lease.
        tokio::time::sleep(LEASE / 2).await;
        session.set_count(count + 1).expect("it fits");
        let saved = session.save().await;
        assert!(matches!(saved, Err(SaveError::LeaseLost)), "{saved:?}");
        drop(lock);
        assert_eq!(world.page(&id).await.expect("it is live").count, 10);
    });
}

/// Time may pass at any moment.
///
/// Conformance 2.6
#[test]
fn a_holder_that_saves_after_the_next_one_is_refused() {
    explore(|| async {
        let world = World::new(|config| lease(config, LEASE));
        let id = world.begin().await;
        let session = world.process(0).open(&id).await;
        let lock = session.lock().await.expect("nobody holds it");
        let count = session.count().expect("a number");
        let has_saved = Arc::new(Notify::new());
        let next = {
            let (process, has_saved) = (world.process(1), Arc::clone(&has_saved));
            spawn(async move {
                let session = process.open(&id).await;
                let lock = session.lock().await.expect("the lock becomes free");
                let count = session.count().expect("a number");
                session.set_count(count + 1).expect("it fits");
                let saved = session.save().await.is_ok();
                if saved {
                    has_saved.notify_one();
                }
                drop(lock);
                saved
            })
        };
        // Waits, as a process that is stopped does.
        let waited = tokio::time::timeout(LEASE, has_saved.notified()).await;
        let was_late = waited.is_ok();
        session.set_count(count + 1).expect("it fits");
        let saved = session.save().await;
        drop(lock);
        if was_late {
            assert!(matches!(saved, Err(SaveError::LeaseLost)), "{saved:?}");
        }
        let next_has_saved = next.await.expect("a task");
        let page = world.page(&id).await.expect("it is live");
        // An acknowledged save is not written over.
        let times = u64::from(saved.is_ok()) + u64::from(next_has_saved);
        assert_eq!(u64::from(page.count), times);
    });
}

/// The scheduler decides about locks, merges, ids, time and random numbers, so that a failed schedule can be
/// replayed.
#[test]
fn a_schedule_that_is_replayed_runs_the_same_way() {
    repeat(300, || async {
        let world = World::new(|config| lease(config, LEASE));
        let id = world.begin().await;
        let tasks = (0..3).map(|number| {
            let process = world.process(number);
            spawn(async move {
                let session = process.open(&id).await;
                let lock = session.lock().await.expect("the lock becomes free");
                session.update_count(|count| *count += 1).expect("a number");
                // Saved, or refused because the lease has expired.
                drop(session.save().await);
                drop(lock);
            })
        });
        for task in tasks.collect::<Vec<_>>() {
            task.await.expect("a task");
        }
        assert!(world.lives(&id).await);
    });
}
