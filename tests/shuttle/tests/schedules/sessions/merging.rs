//! Requests that change one session at the same time.

use poem_session::Session;
use shuttle::future::spawn;

use super::world::{Page, World, defaults, page};
use crate::explore::explore;

/// Conformance 2.1
#[test]
fn changes_of_different_fields_all_survive() {
    explore(|| async {
        let world = World::new(defaults);
        let id = world.begin().await;
        let changes: [fn(&Session<Page>); 3] = [
            |session| session.set_one(1).expect("it fits"),
            |session| session.set_two(2).expect("it fits"),
            |session| session.remove_three(),
        ];
        let tasks = (0..).zip(changes).map(|(number, change)| {
            let process = world.process(number);
            spawn(async move {
                let session = process.open(&id).await;
                change(&session);
                session.save().await
            })
        });
        for task in tasks.collect::<Vec<_>>() {
            task.await.expect("a task").expect("it was saved");
        }
        let found = Page {
            one: Some(1),
            two: Some(2),
            three: None,
            count: 0,
        };
        assert_eq!(world.page(&id).await, Some(found));
    });
}

/// Conformance 2.2
#[test]
fn no_increment_is_lost() {
    explore(|| async {
        let world = World::new(defaults);
        let id = world.begin().await;
        let tasks = (0..3).map(|number| {
            let process = world.process(number);
            spawn(async move {
                let session = process.open(&id).await;
                for _ in 0..2 {
                    session.update_count(|count| *count += 1).expect("a number");
                    session.save().await.expect("it was saved");
                }
            })
        });
        for task in tasks.collect::<Vec<_>>() {
            task.await.expect("a task");
        }
        assert_eq!(world.page(&id).await.expect("it is live").count, 6);
    });
}

/// Another request changes the session at the same time.
///
/// Conformance 2.1, 2.2
#[test]
fn changes_of_two_tasks_with_one_handle_are_stored_when_their_saves_return() {
    explore(|| async {
        let world = World::new(defaults);
        let id = world.begin().await;
        let session = world.process(0).open(&id).await;
        let set: [fn(&Session<Page>); 2] = [
            |session| session.set_one(1).expect("it fits"),
            |session| session.set_two(2).expect("it fits"),
        ];
        let stored: [fn(&Page) -> bool; 2] = [|page| page.one.is_some(), |page| page.two.is_some()];
        let tasks = set.into_iter().zip(stored).map(|(set, stored)| {
            let (session, process) = (session.clone(), world.process(1));
            spawn(async move {
                set(&session);
                session.update_count(|count| *count += 1).expect("a number");
                session.save().await.expect("it was saved");
                let found = page(&process.open(&id).await);
                assert!(stored(&found) && found.count > 0, "{found:?}");
            })
        });
        let mut tasks: Vec<_> = tasks.collect();
        let process = world.process(1);
        tasks.push(spawn(async move {
            let session = process.open(&id).await;
            session.update_count(|count| *count += 1).expect("a number");
            session.save().await.expect("it was saved");
        }));
        for task in tasks {
            task.await.expect("a task");
        }
        assert_eq!(world.page(&id).await.expect("it is live").count, 3);
    });
}

/// Conformance 2.2
#[test]
fn a_reload_during_a_save_loses_nothing() {
    explore(|| async {
        let world = World::new(defaults);
        let id = world.begin().await;
        let session = world.process(0).open(&id).await;
        let (again, process) = (session.clone(), world.process(1));
        let reading = spawn(async move {
            again.update_count(|count| *count += 1).expect("a number");
            again.reload().await.expect("the store is reachable");
            again.update_count(|count| *count += 10).expect("a number");
        });
        let writing = spawn(async move {
            let session = process.open(&id).await;
            session
                .update_count(|count| *count += 100)
                .expect("a number");
            session.save().await
        });
        session
            .update_count(|count| *count += 1000)
            .expect("a number");
        session.save().await.expect("it was saved");
        reading.await.expect("a task");
        writing.await.expect("a task").expect("it was saved");
        session.save().await.expect("it was saved");
        assert_eq!(world.page(&id).await.expect("it is live").count, 1111);
    });
}

/// One task sets a field back to the stored value while another task saves it.
///
/// Conformance 2.1
#[test]
fn of_two_changes_through_one_handle_the_later_one_is_stored() {
    explore(|| async {
        let world = World::new(defaults);
        let id = world.begin().await;
        let session = world.process(0).open(&id).await;
        session.set_one(1).expect("it fits");
        let (first, second) = (session.clone(), session);
        let first = spawn(async move { first.save().await });
        let second = spawn(async move {
            second.remove_one();
            second.set_two(2).expect("it fits");
            second.save().await
        });
        for task in [first, second] {
            task.await.expect("a task").expect("it was saved");
        }
        let found = world.page(&id).await.expect("it is live");
        assert_eq!((found.one, found.two), (None, Some(2)));
    });
}
