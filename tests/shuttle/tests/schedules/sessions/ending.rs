//! A session that ends while other requests use it.

use std::time::Duration;

use poem_session::{SaveError, Session, SessionId};
use shuttle::{
    future::{JoinHandle, spawn},
    rand::{Rng as _, thread_rng},
};
use tokio::time::NEVER;

use super::world::{Page, World, defaults};
use crate::explore::explore;

type Saved = Result<SessionId, SaveError>;

/// Opens the session, calls `act`, and saves it. Returns the id that its client would be sent.
fn act(world: &World, number: usize, id: SessionId, act: fn(&Session<Page>)) -> JoinHandle<Saved> {
    let process = world.process(number);
    spawn(async move {
        // For a late request it may have ended already.
        let session = process.front_end.manager.open(&id).await;
        let session = session.map_err(|_| SaveError::Ended)?;
        act(&session);
        session.save().await.map(|()| session.id())
    })
}

/// Whether it was saved, rather than refused because the session had ended.
fn is_saved(saved: &Saved) -> bool {
    match saved {
        Ok(_) => true,
        Err(SaveError::Ended) => false,
        Err(error) => panic!("{error}"),
    }
}

/// Conformance 2.5
#[test]
fn of_parallel_regenerates_one_id_is_live_and_no_third_record_is_left() {
    explore(|| async {
        let world = World::new(defaults);
        let id = world.begin().await;
        let tasks = [0, 1, 2].map(|number| act(&world, number, id, Session::regenerate));
        let mut live = Vec::new();
        for task in tasks {
            let saved = task.await.expect("a task");
            if is_saved(&saved) {
                live.extend(saved);
            }
        }
        assert_eq!(live.len(), 1, "regenerates that went through");
        assert_eq!(
            world.page(&live[0]).await.and_then(|page| page.three),
            Some(3)
        );
        assert!(!world.lives(&id).await);
        // The session and a tombstone.
        assert_eq!(world.store.len(), 2);
    });
}

/// Conformance 1.11
#[test]
fn an_end_that_is_requested_during_a_save_is_carried_out() {
    explore(|| async {
        for end in [Session::regenerate, Session::destroy, Session::reset] {
            let world = World::new(defaults);
            let id = world.begin().await;
            let session = world.process(0).open(&id).await;
            session.set_one(1).expect("it fits");
            let (saving, ending) = (session.clone(), session);
            let saving = spawn(async move { saving.save().await });
            end(&ending);
            ending.save().await.expect("nobody else ends it");
            saving.await.expect("a task").expect("nobody else ends it");
            assert!(!world.lives(&id).await);
        }
    });
}

/// Neither at once nor after the tombstone has expired.
///
/// Conformance 2.3, 2.4
#[test]
fn nothing_revives_a_session_that_was_destroyed() {
    const RETIRED: Duration = Duration::from_millis(1);
    explore(|| async {
        let world = World::new(|config| config.retired_for = RETIRED);
        let id = world.begin().await;
        let passing = spawn(async {
            for _ in 0..thread_rng().gen_range(0..2) {
                tokio::time::sleep(2 * RETIRED).await;
            }
        });
        let writers = [
            act(&world, 0, id, |session| {
                session.set_one(1).expect("it fits");
            }),
            act(&world, 1, id, |session| {
                session.update_count(|count| *count += 1).expect("a number");
            }),
        ];
        let destroyer = act(&world, 1, id, Session::destroy);
        assert!(is_saved(&destroyer.await.expect("a task")));
        assert!(!world.lives(&id).await);
        for writer in writers {
            is_saved(&writer.await.expect("a task"));
        }
        passing.await.expect("a task");
        assert!(!world.lives(&id).await);
        assert!(world.store.len() <= 1, "the tombstone");
    });
}

/// Conformance 2.3
#[test]
fn changes_saved_before_a_regenerate_move_to_the_new_id_and_later_ones_are_refused() {
    explore(|| async {
        let world = World::new(defaults);
        let id = world.begin().await;
        let one = act(&world, 0, id, |session| {
            session.set_one(1).expect("it fits");
        });
        let two = act(&world, 1, id, |session| {
            session.update_count(|count| *count += 1).expect("a number");
        });
        let next = act(&world, 1, id, Session::regenerate);
        let next = next.await.expect("a task").expect("nobody else ends it");
        let one = is_saved(&one.await.expect("a task"));
        let two = is_saved(&two.await.expect("a task"));
        let found = world.page(&next).await.expect("it is live");
        assert_eq!((found.one.is_some(), found.count == 1), (one, two));
        assert!(!world.lives(&id).await);
        assert_eq!(world.store.len(), 2);
    });
}

/// Conformance 2.3, 2.5
#[test]
fn of_a_destroy_and_a_regenerate_only_the_first_succeeds() {
    explore(|| async {
        let world = World::new(defaults);
        let id = world.begin().await;
        let end = act(&world, 0, id, Session::destroy);
        let next = act(&world, 1, id, Session::regenerate);
        let end = end.await.expect("a task");
        let next = next.await.expect("a task");
        assert_ne!(is_saved(&end), is_saved(&next));
        if let Ok(next) = next {
            assert!(world.lives(&next).await);
        }
        assert!(!world.lives(&id).await);
    });
}

/// Conformance 2.3
#[test]
fn two_requests_can_destroy_a_session_at_the_same_time() {
    explore(|| async {
        let world = World::new(defaults);
        let id = world.begin().await;
        let one = world.process(0).open(&id).await;
        let other = world.process(1).open(&id).await;
        let tasks = [one, other].map(|session| {
            session.destroy();
            spawn(async move { session.save().await })
        });
        for task in tasks {
            task.await.expect("a task").expect("it has ended");
        }
        assert!(!world.lives(&id).await);
    });
}

/// Conformance 1.27, 2.3
#[test]
fn a_revoke_that_returns_true_has_ended_the_session() {
    explore(|| async {
        let world = World::new(defaults);
        let id = world.begin().await;
        let next = act(&world, 0, id, Session::regenerate);
        let writer = act(&world, 0, id, |session| {
            session.set_one(1).expect("it fits");
        });
        let process = world.process(1);
        let revoking = spawn(async move { process.front_end.manager.revoke(id.public()).await });
        let revoked = revoking
            .await
            .expect("a task")
            .expect("the store is reachable");
        let next = next.await.expect("a task");
        is_saved(&writer.await.expect("a task"));
        is_saved(&next);
        assert!(revoked, "also if the session has another id by then");
        if let Ok(next) = next {
            assert!(!world.lives(&next).await);
        }
        assert!(!world.lives(&id).await);
    });
}

/// The store is never polled here.
///
/// Conformance 1.32, 2.3
#[test]
fn a_task_that_waits_for_the_end_of_a_session_is_woken() {
    explore(|| async {
        let world = World::of(1, |config| config.end_poll_interval = NEVER);
        let id = world.begin().await;
        let session = world.process(0).open(&id).await;
        let waiting = spawn(async move { session.ended().await });
        let ends: [fn(&Session<Page>); 2] = [Session::destroy, Session::regenerate];
        let tasks = [(1, ends[0]), (2, ends[1])].map(|(number, end)| act(&world, number, id, end));
        for task in tasks {
            is_saved(&task.await.expect("a task"));
        }
        waiting.await.expect("a task");
    });
}
