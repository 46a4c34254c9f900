//! Sessions that are locked.

use std::{sync::Arc, time::Duration};

use poem_session::{
    SaveError, Session, SessionsBuilder,
    store::{LockOwner, Locked, SessionStore as _},
};
use shuttle::future::spawn;
use tokio::{sync::Notify, time::NEVER};

use super::world::{Page, World};
use crate::explore::{explore, repeat};

const LEASE: Duration = Duration::from_millis(200);

/// Each writes what it read, plus one: nobody else may have written in between.
///
/// Conformance 2.6
#[test]
fn critical_sections_do_not_overlap() {
    explore(|| async {
        let world = World::new(|builder| builder.lock_lease(NEVER).lock_timeout(NEVER));
        let id = world.begin().await;
        let tasks = (0..3).map(|number| {
            let process = world.process(number);
            spawn(async move {
                let session = process.open(&id).await;
                let lock = session.lock().await.expect("it is free in the end");
                let count = session.count().expect("a number");
                session.set_count(count + 1).expect("it fits");
                session.save().await.expect("it was saved");
                drop(lock);
            })
        });
        for task in tasks.collect::<Vec<_>>() {
            task.await.expect("a task");
        }
        assert_eq!(world.page(&id).await.expect("it lives").count, 3);
    });
}

/// It is saved, and so renewed, in the middle of a section.
///
/// Conformance 2.6, 2.7
#[test]
fn critical_sections_do_not_overlap_while_the_id_is_renewed() {
    const EVERY: Duration = Duration::from_mins(15);
    explore(|| async {
        let configure = |builder: SessionsBuilder| {
            let builder = builder.lock_lease(NEVER).lock_timeout(NEVER);
            builder.rotate_every(EVERY)
        };
        let world = World::new(configure);
        let first = world.process(0);
        let reply = first.visit(None, |session| Ok(session.set_three(3)?)).await;
        let cookie = reply.cookie().expect("a new session");
        tokio::time::sleep(EVERY).await;

        let tasks = [0, 1].map(|number| {
            let (process, cookie) = (world.process(number), cookie.clone());
            spawn(async move {
                let adds_two = |session: Session<Page>| async move {
                    let lock = session.lock().await?;
                    for _ in 0..2 {
                        let count = session.count()?;
                        session.set_count(count + 1)?;
                        session.save().await?;
                    }
                    drop(lock);
                    Ok(())
                };
                process.handle(Some(&cookie), adds_two).await
            })
        });
        for task in tasks {
            assert_eq!(task.await.expect("a task").status(), 200);
        }
        let looks = |session: &Session<Page>| {
            assert_eq!(session.count()?, 4);
            Ok(())
        };
        assert_eq!(first.visit(Some(&cookie), looks).await.status(), 200);
    });
}

/// Nobody else knows of the session under its new id.
///
/// Conformance 1.11, 2.6
#[test]
fn a_holder_that_regenerates_goes_on_for_longer_than_the_lease() {
    explore(|| async {
        let configure = |builder: SessionsBuilder| {
            let builder = builder.lock_lease(LEASE).lock_timeout(NEVER);
            builder.retired_for(LEASE / 10)
        };
        let world = World::of(1, configure);
        let id = world.begin().await;
        let session = world.process(0).open(&id).await;
        let lock = session.lock().await.expect("nobody holds it");
        session.regenerate();
        match session.save().await {
            Ok(()) => {}
            // Time passed that fast.
            Err(SaveError::LeaseLost) => return,
            Err(error) => panic!("{error}"),
        }
        tokio::time::sleep(2 * LEASE).await;
        session.set_one(1).expect("it fits");
        session.save().await.expect("it was saved");
        drop(lock);
        let found = world.page(&session.id()).await.expect("it lives");
        assert_eq!(found.one, Some(1));
    });
}

/// Conformance 2.6
#[test]
fn the_lease_of_a_holder_that_crashed_ends() {
    explore(|| async {
        let world = World::of(1, |builder| builder.lock_lease(LEASE).lock_timeout(NEVER));
        let id = world.begin().await;
        let process = world.process(0);
        let session = process.open(&id).await;
        let now = poem_session::clock::Timestamp::from(session.created_at().expect("it is stored"));
        let until = now.saturating_add(LEASE);
        let owner = LockOwner::random();
        let locked = world.store.lock(id.public(), owner, until, now).await;
        assert_eq!(locked.expect("memory"), Locked::Acquired);
        let lock = session.lock().await.expect("it is free in the end");
        assert!(tokio::time::Instant::now().since_the_beginning() >= LEASE);
        drop(lock);
    });
}

/// The holder's process does not reach the store for longer than the lease.
///
/// Conformance 2.6
#[test]
fn a_holder_whose_lease_ran_out_cannot_write_over_the_next_one() {
    explore(|| async {
        let world = World::of(2, |builder| builder.lock_lease(LEASE).lock_timeout(NEVER));
        let id = world.begin().await;
        let (one, other) = (world.process(0), world.process(1));
        let session = one.open(&id).await;
        let lock = session.lock().await.expect("nobody holds it");
        let count = session.count().expect("a number");
        one.way.cut_off(true);

        let next = other.open(&id).await;
        let next_lock = next.lock().await.expect("it is free in the end");
        next.update_count(|count| *count += 10).expect("a number");
        next.save().await.expect("it was saved");
        drop(next_lock);

        one.way.cut_off(false);
        // As long as it takes to renew a lease.
        tokio::time::sleep(LEASE / 2).await;
        session.set_count(count + 1).expect("it fits");
        let saved = session.save().await;
        assert!(matches!(saved, Err(SaveError::LeaseLost)), "{saved:?}");
        drop(lock);
        assert_eq!(world.page(&id).await.expect("it lives").count, 10);
    });
}

/// Time passes whenever it is least welcome.
///
/// Conformance 2.6
#[test]
fn a_holder_who_saves_after_the_next_one_has_is_refused() {
    explore(|| async {
        let world = World::new(|builder| builder.lock_lease(LEASE).lock_timeout(NEVER));
        let id = world.begin().await;
        let session = world.process(0).open(&id).await;
        let lock = session.lock().await.expect("nobody holds it");
        let count = session.count().expect("a number");
        let has_saved = Arc::new(Notify::new());
        let next = {
            let (process, has_saved) = (world.process(1), Arc::clone(&has_saved));
            spawn(async move {
                let session = process.open(&id).await;
                let lock = session.lock().await.expect("it is free in the end");
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
        // Stands still for a while, as a process does that is stopped.
        let stands_still = tokio::time::timeout(LEASE, has_saved.notified()).await;
        let was_late = stands_still.is_ok();
        session.set_count(count + 1).expect("it fits");
        let saved = session.save().await;
        drop(lock);
        if was_late {
            assert!(matches!(saved, Err(SaveError::LeaseLost)), "{saved:?}");
        }
        let next_has_saved = next.await.expect("a task");
        let page = world.page(&id).await.expect("it lives");
        // Whoever was told that it was saved has not been written over.
        let times = u64::from(saved.is_ok()) + u64::from(next_has_saved);
        assert_eq!(u64::from(page.count), times);
    });
}

/// Locks, merges, ids, time and chance: all of it is the scheduler's choice, and so a failure can be looked
/// at again.
#[test]
fn a_schedule_that_is_run_again_goes_the_same_way() {
    repeat(300, || async {
        let world = World::new(|builder| builder.lock_lease(LEASE).lock_timeout(NEVER));
        let id = world.begin().await;
        let tasks = (0..3).map(|number| {
            let process = world.process(number);
            spawn(async move {
                let session = process.open(&id).await;
                let lock = session.lock().await.expect("it is free in the end");
                session.update_count(|count| *count += 1).expect("a number");
                // Saved, or refused where time has passed too fast.
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
