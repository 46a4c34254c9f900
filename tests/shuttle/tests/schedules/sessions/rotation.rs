//! An id that is renewed on schedule while requests are under way.

use std::time::Duration;

use poem_session::{Session, SessionsBuilder};
use shuttle::future::spawn;

use super::world::{Page, World, page};
use crate::explore::explore;

/// What a handler does.
type Act = fn(&Session<Page>) -> poem::Result<()>;

const EVERY: Duration = Duration::from_mins(15);

fn rotating(builder: SessionsBuilder) -> SessionsBuilder {
    builder.rotate_every(EVERY)
}

/// Conformance 2.7
#[test]
fn a_renewal_during_parallel_requests_signs_nobody_out_and_loses_nothing() {
    explore(|| async {
        let world = World::new(rotating);
        let first = world.process(0);
        let reply = first.visit(None, |session| Ok(session.set_three(3)?)).await;
        let cookie = reply.cookie().expect("a new session");
        tokio::time::sleep(EVERY).await;

        let acts: [Act; 3] = [
            |session| Ok(session.set_one(1)?),
            |session| Ok(session.update_count(|count| *count += 1)?),
            |session| {
                session.set_two(2)?;
                Ok(session.update_count(|count| *count += 1)?)
            },
        ];
        let tasks = (0..).zip(acts).map(|(number, act)| {
            let (process, cookie) = (world.process(number), cookie.clone());
            spawn(async move { process.visit(Some(&cookie), act).await })
        });
        let mut told = Vec::new();
        for task in tasks.collect::<Vec<_>>() {
            let reply = task.await.expect("a task");
            assert_eq!(reply.status(), 200);
            told.extend(reply.cookie());
        }
        assert_eq!(told.len(), 1, "one renewal, of which one request tells");
        assert_ne!(told[0], cookie);

        let expected = Page {
            one: Some(1),
            two: Some(2),
            three: Some(3),
            count: 2,
        };
        for cookie in [told.remove(0), cookie] {
            let expected = expected.clone();
            let looks = move |session: &Session<Page>| {
                assert_eq!(page(session), expected);
                Ok(())
            };
            let reply = first.visit(Some(&cookie), looks).await;
            assert_eq!(reply.status(), 200);
        }
        assert_eq!(world.store.len(), 2, "the session, and the way to it");
    });
}

/// Conformance 2.3, 2.7
#[test]
fn a_renewal_cannot_undo_a_sign_out() {
    explore(|| async {
        let world = World::new(rotating);
        let first = world.process(0);
        let reply = first.visit(None, |session| Ok(session.set_three(3)?)).await;
        let cookie = reply.cookie().expect("a new session");
        tokio::time::sleep(EVERY).await;

        let acts: [Act; 2] = [
            |session| Ok(session.set_one(1)?),
            |session| {
                session.destroy();
                Ok(())
            },
        ];
        let tasks = (0..).zip(acts).map(|(number, act)| {
            let (process, cookie) = (world.process(number), cookie.clone());
            spawn(async move { process.visit(Some(&cookie), act).await })
        });
        let mut cookies = vec![cookie.clone()];
        for task in tasks.collect::<Vec<_>>() {
            let reply = task.await.expect("a task");
            cookies.extend(reply.cookie());
        }
        for cookie in cookies {
            let looks = |session: &Session<Page>| {
                assert!(session.is_new());
                Ok(())
            };
            assert_eq!(first.visit(Some(&cookie), looks).await.status(), 200);
        }
    });
}
