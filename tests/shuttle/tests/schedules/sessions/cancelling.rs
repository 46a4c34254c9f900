//! Requests that are cancelled half way.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use shuttle::future::spawn;
use tokio::time::NEVER;

use super::world::{World, defaults};
use crate::explore::explore;

/// Conformance 1.28, 2.2
#[test]
fn a_cancelled_save_loses_nothing_and_blocks_nobody() {
    explore(|| async {
        let world = World::new(defaults);
        let id = world.begin().await;
        let made = Arc::new(AtomicU32::new(0));
        let cancelled = world.process(0).open(&id).await;
        let task = {
            let (session, made) = (cancelled.clone(), Arc::clone(&made));
            spawn(async move {
                for more in [1, 10] {
                    session
                        .update_count(move |count| *count += more)
                        .expect("a number");
                    made.fetch_add(more, Ordering::Relaxed);
                    session.save().await.expect("it was saved");
                }
            })
        };
        let others = [(0, 100), (1, 1000)].map(|(number, more)| {
            let (process, made) = (world.process(number), Arc::clone(&made));
            spawn(async move {
                let session = process.open(&id).await;
                let update = session.update_count(move |count| *count += more);
                update.expect("a number");
                made.fetch_add(more, Ordering::Relaxed);
                session.save().await
            })
        });
        task.abort();
        for other in others {
            other.await.expect("a task").expect("it was saved");
        }
        // If the task was cancelled, its changes are in the store or still pending.
        drop(task.await);
        cancelled.save().await.expect("it was saved");
        let found = world.page(&id).await.expect("it lives");
        assert_eq!(found.count, made.load(Ordering::Relaxed));
    });
}

/// The lease never expires here, so it must be released.
///
/// Conformance 1.28, 2.6
#[test]
fn a_request_that_is_cancelled_while_it_waits_for_a_lock_leaves_the_lock_free() {
    explore(|| async {
        let world = World::new(|config| (config.lock_lease, config.lock_timeout) = (NEVER, NEVER));
        let id = world.begin().await;
        let lockers = [0, 1, 2].map(|number| {
            let process = world.process(number);
            spawn(async move {
                let session = process.open(&id).await;
                let lock = session.lock().await.expect("the lock becomes free");
                session.set_one(1).expect("it fits");
                session.save().await.expect("it was saved");
                drop(lock);
            })
        });
        lockers[0].abort();
        lockers[1].abort();
        for locker in lockers {
            // Finished or cancelled.
            drop(locker.await);
        }
        let session = world.process(1).open(&id).await;
        drop(session.lock().await.expect("nobody holds it any more"));
    });
}
