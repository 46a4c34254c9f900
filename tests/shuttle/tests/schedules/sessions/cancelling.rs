//! Requests that are given up half way.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use shuttle::future::spawn;
use tokio::time::NEVER;

use super::world::{World, settings};
use crate::explore::explore;

/// Conformance 1.28, 2.2
#[test]
fn a_save_that_is_given_up_loses_nothing_and_holds_nobody_up() {
    explore(|| async {
        let world = World::new(settings);
        let id = world.begin().await;
        let made = Arc::new(AtomicU32::new(0));
        let given_up = world.process(0).open(&id).await;
        let task = {
            let (session, made) = (given_up.clone(), Arc::clone(&made));
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
        // Over, or given up: then what it made is in the store, or due still.
        drop(task.await);
        given_up.save().await.expect("it was saved");
        let found = world.page(&id).await.expect("it lives");
        assert_eq!(found.count, made.load(Ordering::Relaxed));
    });
}

/// The lease has no end here but that it is given back.
///
/// Conformance 1.28, 2.6
#[test]
fn who_gives_up_waiting_for_a_lock_leaves_it_to_the_next() {
    explore(|| async {
        let world = World::new(|builder| builder.lock_lease(NEVER).lock_timeout(NEVER));
        let id = world.begin().await;
        let lockers = [0, 1, 2].map(|number| {
            let process = world.process(number);
            spawn(async move {
                let session = process.open(&id).await;
                let lock = session.lock().await.expect("it is free in the end");
                session.set_one(1).expect("it fits");
                session.save().await.expect("it was saved");
                drop(lock);
            })
        });
        lockers[0].abort();
        lockers[1].abort();
        for locker in lockers {
            // Done, or given up.
            drop(locker.await);
        }
        let session = world.process(1).open(&id).await;
        drop(session.lock().await.expect("nobody is left who holds it"));
    });
}
