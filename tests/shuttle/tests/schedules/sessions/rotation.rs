//! Id rotation during parallel requests.

use std::time::Duration;

use poem_session::{Session, SessionConfig, SessionId};
use shuttle::future::spawn;

use super::world::{Page, World, page, sent};
use crate::explore::explore;

/// The work of a handler.
type Act = fn(&Session<Page>);

const EVERY: Duration = Duration::from_mins(15);

fn rotating(config: &mut SessionConfig) {
    config.rotate_every = Some(EVERY);
}

/// A new session whose id is due for rotation.
async fn due(world: &World) -> SessionId {
    let sets = |session: &Session<Page>| session.set_three(3).expect("it fits");
    let response = world.process(0).visit(None, sets).await;
    tokio::time::sleep(EVERY).await;
    sent(&response).expect("a new session")
}

/// Conformance 2.7
#[test]
fn a_rotation_during_parallel_requests_signs_nobody_out_and_loses_nothing() {
    explore(|| async {
        let world = World::new(rotating);
        let first = world.process(0);
        let id = due(&world).await;

        let acts: [Act; 3] = [
            |session| session.set_one(1).expect("it fits"),
            |session| session.update_count(|count| *count += 1).expect("a number"),
            |session| {
                session.set_two(2).expect("it fits");
                session.update_count(|count| *count += 1).expect("a number");
            },
        ];
        let tasks = (0..).zip(acts).map(|(number, act)| {
            let process = world.process(number);
            spawn(async move { process.visit(Some(id), act).await })
        });
        let mut ids = Vec::new();
        for task in tasks.collect::<Vec<_>>() {
            let response = task.await.expect("a task");
            assert_eq!(response.status, 200);
            ids.extend(sent(&response));
        }
        // There is one rotation. A request that finds the forward sends the new id again.
        ids.dedup();
        assert_eq!(ids.len(), 1);
        assert_ne!(ids[0], id);

        let expected = Page {
            one: Some(1),
            two: Some(2),
            three: Some(3),
            count: 2,
        };
        for id in [ids[0], id] {
            let expected = expected.clone();
            let looks = move |session: &Session<Page>| {
                assert_eq!(page(session), expected);
            };
            assert_eq!(first.visit(Some(id), looks).await.status, 200);
        }
        assert_eq!(world.store.len(), 2, "the session and the forward to it");
    });
}

/// Conformance 2.3, 2.7
#[test]
fn a_rotation_cannot_undo_a_sign_out() {
    explore(|| async {
        let world = World::new(rotating);
        let first = world.process(0);
        let id = due(&world).await;

        let acts: [Act; 2] = [
            |session| session.set_one(1).expect("it fits"),
            Session::destroy,
        ];
        let tasks = (0..).zip(acts).map(|(number, act)| {
            let process = world.process(number);
            spawn(async move { process.visit(Some(id), act).await })
        });
        let mut ids = vec![id];
        for task in tasks.collect::<Vec<_>>() {
            let response = task.await.expect("a task");
            ids.extend(sent(&response));
        }
        for id in ids {
            let looks = |session: &Session<Page>| {
                assert!(session.is_new());
            };
            assert_eq!(first.visit(Some(id), looks).await.status, 200);
        }
    });
}
