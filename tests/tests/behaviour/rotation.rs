//! Ids that are renewed on a schedule.

use std::time::Duration;

use poem::{Route, get, http::Method};
use poem_session::{IdSource, OpenError, Session, SessionsBuilder, session};

use crate::support::{App, Browser, Op, Scripted, Shop, request};

const EVERY: Duration = Duration::from_mins(15);
const GRACE: Duration = Duration::from_secs(30);

fn rotating(builder: SessionsBuilder) -> SessionsBuilder {
    builder.rotate_every(EVERY).rotation_grace(GRACE)
}

/// A visitor whose id is due.
async fn due(app: &App) -> Browser {
    let alice = app.browser();
    alice.act(|s| Ok(s.set_user(7)?)).await;
    app.pass(EVERY);
    alice
}

async fn user(visitor: &Browser) -> Option<u64> {
    visitor.ask(|s| Ok(s.user()?)).await
}

/// Conformance 5.2
#[tokio::test]
async fn an_id_is_renewed_when_it_is_due_and_not_before() {
    let app = App::with(rotating);
    let alice = app.browser();
    alice.act(|s| Ok(s.set_user(7)?)).await;
    let first = alice.signed_id();
    app.pass(EVERY - Duration::from_millis(1));
    assert_eq!(user(&alice).await, Some(7));
    assert_eq!(alice.signed_id(), first);
    app.pass(Duration::from_millis(1));
    assert_eq!(user(&alice).await, Some(7));
    let second = alice.signed_id();
    assert_ne!(second, first);
    assert_eq!(user(&alice).await, Some(7));
    assert_eq!(alice.signed_id(), second, "once, until it is due again");
    app.pass(EVERY);
    assert_eq!(user(&alice).await, Some(7));
    assert_ne!(alice.signed_id(), second);
    assert_eq!(app.store.sessions(app.now()).await.len(), 1);
}

/// Conformance 5.2
#[tokio::test]
async fn without_a_schedule_no_id_is_renewed() {
    let app = App::with(|builder| builder.idle_timeout(Duration::from_hours(2)));
    let alice = app.browser();
    alice.act(|s| Ok(s.set_user(7)?)).await;
    let first = alice.signed_id();
    for _ in 0..24 {
        app.pass(Duration::from_hours(1));
        assert_eq!(user(&alice).await, Some(7));
    }
    assert_eq!(alice.signed_id(), first);
}

/// Conformance 5.2
#[tokio::test]
async fn the_old_id_leads_to_the_session_for_its_grace_and_no_longer() {
    let app = App::with(rotating);
    let alice = due(&app).await;
    let old = alice.fork();
    user(&alice).await;
    app.pass(GRACE - Duration::from_millis(1));
    let reply = old.act(|s| Ok(s.set_visits(5)?)).await;
    assert_eq!((reply.status.as_u16(), reply.cookie()), (200, None));
    assert_eq!(alice.ask(|s| Ok(s.visits()?)).await, 5);
    app.pass(Duration::from_millis(1));
    assert_eq!(user(&old).await, None);
    assert_eq!(user(&alice).await, Some(7));
}

/// Conformance 2.7
#[tokio::test]
async fn requests_under_way_during_a_renewal_go_on_and_sign_nobody_out() {
    let app = App::with(rotating);
    let alice = due(&app).await;
    let mut under_way = Vec::new();
    for n in 0..10 {
        let request = alice
            .start(move |session| {
                session.update_visits(|visits| *visits += 1)?;
                Ok(session.update_cart(move |cart| cart.push(n.to_string()))?)
            })
            .await;
        under_way.push(request);
    }
    let mut cookies = 0;
    for request in under_way {
        let reply = request.finish().await;
        assert_eq!(reply.status, 200);
        cookies += reply.cookies().len();
    }
    assert_eq!(cookies, 1, "one renewal, and one word on it");
    app.pass(GRACE);
    let found = alice
        .ask(|s| Ok((s.user()?, s.visits()?, s.cart()?.len())))
        .await;
    assert_eq!(found, (Some(7), 10, 10));
    assert_eq!(app.store.sessions(app.now()).await.len(), 1);
}

/// Conformance 2.7
#[tokio::test(start_paused = true)]
async fn two_requests_that_are_to_renew_an_id_renew_it_once() {
    let app = App::with(rotating);
    let other = app.redeployed(rotating);
    let alice = due(&app).await;
    let old = alice.signed_id();
    let mut rename = app.store.pause(Op::Rename);
    let first = alice.start(|s| Ok(format!("{:?}", s.user()?))).await;
    let first = first.release();
    rename.arrived().await;
    // The second one leaves it to the first, in this process and in another.
    for app in [&app, &other] {
        assert_eq!(user(&alice.at(app)).await, Some(7));
        assert_eq!(alice.signed_id(), old);
    }
    rename.release();
    let reply = first.await.expect("no panic");
    assert_eq!(
        (reply.status.as_u16(), reply.body.as_str()),
        (200, "Some(7)")
    );
    assert_ne!(alice.signed_id(), old);
    app.pass(GRACE);
    assert_eq!(user(&alice).await, Some(7));
    assert_eq!(app.store.sessions(app.now()).await.len(), 1);
}

/// Conformance 2.3, 2.7
#[tokio::test]
async fn an_end_by_the_new_id_ends_the_session_for_the_old_one_too() {
    let app = App::with(rotating);
    let alice = due(&app).await;
    let old = alice.fork();
    user(&alice).await;
    let late = old.start(|s| Ok(s.set_visits(1)?)).await;
    alice.does(Session::destroy).await;
    let reply = late.finish().await;
    assert_eq!((reply.status.as_u16(), reply.cookie()), (409, None));
    assert_eq!(user(&old).await, None);
    assert!(app.store.sessions(app.now()).await.is_empty());
}

/// Conformance 1.9, 2.7
#[tokio::test]
async fn an_end_by_the_old_id_ends_the_session() {
    let app = App::with(rotating);
    let alice = due(&app).await;
    let old = alice.fork();
    user(&alice).await;
    let reply = old.does(Session::destroy).await;
    assert_eq!(reply.status, 200);
    assert_eq!(user(&alice).await, None);
}

/// Conformance 1.27, 5.5
#[tokio::test]
async fn revoking_by_the_old_id_ends_the_session() {
    let app = App::with(rotating);
    let alice = due(&app).await;
    let old = alice.signed_id();
    user(&alice).await;
    assert_ne!(alice.signed_id(), old);
    assert_eq!(app.sessions.revoke(old).await.ok(), Some(true));
    assert_eq!(user(&alice).await, None);
}

/// Conformance 2.4
#[tokio::test]
async fn a_slow_read_with_an_id_that_is_due_is_no_conflict_when_its_session_has_ended() {
    let ends: [fn(&Session<Shop>); 3] = [Session::regenerate, Session::reset, Session::destroy];
    for end in ends {
        let app = App::with(rotating);
        let alice = app.browser();
        alice.act(|s| Ok(s.set_user(7)?)).await;
        let slow = alice.start(|s| Ok(format!("{:?}", s.user()?))).await;
        alice.does(end).await;
        app.pass(EVERY);
        let reply = slow.finish().await;
        let found = (reply.status.as_u16(), reply.body.as_str(), reply.cookie());
        assert_eq!(found, (200, "Some(7)", None));
    }
}

/// Conformance 1.6, 2.4
#[tokio::test]
async fn a_slow_read_with_an_id_that_is_due_is_no_conflict_when_its_session_has_expired() {
    let app = App::with(rotating);
    let alice = due(&app).await;
    let slow = alice.start(|s| Ok(format!("{:?}", s.user()?))).await;
    app.pass(Duration::from_mins(30));
    let reply = slow.finish().await;
    let found = (reply.status.as_u16(), reply.body.as_str(), reply.cookie());
    assert_eq!(found, (200, "Some(7)", None));
}

/// Conformance 1.9, 2.7
#[tokio::test]
async fn a_second_sign_out_succeeds_also_where_the_id_was_renewed_before_the_first() {
    let app = App::with(rotating);
    let alice = due(&app).await;
    let slow = alice.fork().start_does(Session::destroy).await;
    user(&alice).await;
    alice.does(Session::destroy).await;
    let reply = slow.finish().await;
    assert_eq!((reply.status.as_u16(), reply.cookie()), (200, None));
    assert!(app.store.sessions(app.now()).await.is_empty());
}

/// Conformance 2.6, 5.2
#[tokio::test(start_paused = true)]
async fn a_session_that_is_locked_keeps_its_id_until_it_is_free() {
    let app = App::with(rotating);
    let other = app.redeployed(rotating);
    let alice = due(&app).await;
    let old = alice.signed_id();
    let holder = app.sessions.open::<Shop>(&old).await.expect("it lives");
    let lock = holder.lock().await.expect("nobody holds it");
    for app in [&app, &other] {
        assert_eq!(user(&alice.at(app)).await, Some(7));
        assert_eq!(alice.signed_id(), old, "its lock would end with it");
    }
    let session = other.sessions.open::<Shop>(&old).await.expect("it lives");
    let waiting = tokio::spawn(async move { session.lock().await.map(drop) });
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!waiting.is_finished(), "somebody holds it");
    drop(lock);
    waiting.await.expect("no panic").expect("it is free");
    assert_eq!(user(&alice).await, Some(7));
    assert_ne!(alice.signed_id(), old);
}

/// The new id may reach the client first: the old one after it would sign it out once the grace is over.
///
/// Conformance 2.7
#[tokio::test(start_paused = true)]
async fn an_id_that_somebody_else_is_about_to_renew_is_not_told_again() {
    let app = App::with(rotating);
    let alice = due(&app).await;
    let holder = app.sessions.open::<Shop>(&alice.signed_id()).await;
    let holder = holder.expect("it lives");
    let lock = holder.lock().await.expect("nobody holds it");
    let reply = alice.act(|s| Ok(s.set_visits(1)?)).await;
    assert_eq!((reply.status.as_u16(), reply.cookie()), (200, None));
    drop(lock);
    assert_eq!(alice.ask(|s| Ok(s.visits()?)).await, 1);
}

#[session(exclusive)]
async fn save_early(shop: Session<Shop>) -> poem::Result<String> {
    let before = shop.public_id();
    shop.set_visits(1)?;
    shop.save().await?;
    assert_eq!(shop.public_id(), before, "the lock is of this id");
    Ok(before.to_string())
}

/// Conformance 2.6, 5.2
#[tokio::test]
async fn a_handler_that_has_the_session_to_itself_renews_the_id_when_it_is_done() {
    let routes = Route::new().at("/", Scripted).at("/early", get(save_early));
    let app = App::serving(routes, rotating);
    let alice = due(&app).await;
    let old = alice.signed_id();
    let reply = alice.get("/early").await;
    assert_eq!(reply.body, old.public().to_string());
    assert_ne!(alice.signed_id(), old);
    assert_eq!(
        alice.ask(|s| Ok((s.user()?, s.visits()?))).await,
        (Some(7), 1)
    );
}

/// Conformance 2.6
#[tokio::test(start_paused = true)]
async fn whoever_renews_an_id_leaves_no_lock_behind() {
    let app = App::with(rotating);
    let alice = due(&app).await;
    app.store.calls();
    user(&alice).await;
    tokio::task::yield_now().await;
    assert_eq!(app.store.calls(), [Op::Load, Op::Lock, Op::Rename]);

    // Not renewed after all: another process was faster.
    app.pass(EVERY);
    let mut lock = app.store.pause(Op::Lock);
    let slow = alice.fork().start(|s| Ok(s.set_visits(1)?)).await.release();
    lock.arrived().await;
    let other = app.redeployed(rotating);
    user(&alice.at(&other)).await;
    lock.release();
    assert_eq!(slow.await.expect("no panic").status, 200);
    let session = app.sessions.open::<Shop>(&alice.signed_id()).await;
    let session = session.expect("it lives");
    session.lock().await.map(drop).expect("nobody holds it");
    assert_eq!(session.visits(), Ok(1));
}

/// Conformance 1.26
#[tokio::test]
async fn opening_by_the_old_id_finds_the_session_within_its_grace() {
    let app = App::with(rotating);
    let alice = due(&app).await;
    let old = alice.signed_id();
    user(&alice).await;
    let session = app.sessions.open::<Shop>(&old).await.expect("it lives");
    assert_eq!(session.user(), Ok(Some(7)));
    assert_eq!(session.public_id(), alice.signed_id().public());
    app.pass(GRACE);
    let opened = app.sessions.open::<Shop>(&old).await.map(drop);
    assert!(matches!(opened, Err(OpenError::NotFound)));
}

/// Conformance 1.11, 5.2
#[tokio::test]
async fn a_sign_in_by_the_old_id_ends_both_older_ids() {
    let app = App::with(rotating);
    let alice = due(&app).await;
    let old = alice.fork();
    user(&alice).await;
    let renewed = alice.fork();
    let reply = old
        .act(|session| {
            session.regenerate();
            Ok(session.set_user(8)?)
        })
        .await;
    assert_eq!(reply.status, 200);
    assert_eq!(user(&old).await, Some(8));
    assert_eq!(user(&renewed).await, None);
    assert_eq!(user(&alice).await, None);
}

/// Conformance 5.2
#[tokio::test]
async fn a_client_that_cannot_be_told_keeps_its_id() {
    let app = App::with(|builder| rotating(builder).id_source(IdSource::Query("sid".into())));
    let session = app.sessions.create::<Shop>().expect("no key clashes");
    session.set_user(7).expect("it fits");
    session.save().await.expect("the store works");
    let path = format!("/?sid={}", session.id().expose());
    for _ in 0..3 {
        app.pass(EVERY);
        let reply = app
            .browser()
            .visit_by(
                request(Method::GET, &path),
                |session: Session<Shop>| async move { Ok(format!("{:?}", session.user()?)) },
            )
            .await;
        assert_eq!(reply.body, "Some(7)");
    }
}

/// Conformance 1.11, 5.11
#[tokio::test]
async fn a_renewal_that_cannot_be_written_leaves_the_old_id() {
    let app = App::with(rotating);
    let alice = due(&app).await;
    let old = alice.signed_id();
    app.store.fail(&[Op::Rename]);
    assert_eq!(alice.act(|_| Ok(())).await.cookie(), None);
    app.store.heal();
    assert_eq!(alice.signed_id(), old);
    assert_eq!(user(&alice).await, Some(7));
}

/// Conformance 2.6, 5.2
#[tokio::test(start_paused = true)]
async fn a_renewal_that_failed_is_tried_again_by_the_next_save_under_a_lock_of_its_own() {
    let app = App::with(rotating);
    let alice = due(&app).await;
    let old = alice.signed_id();
    let store = app.store.clone();
    let reply = alice
        .visit(|session| async move {
            store.fail(&[Op::Rename]);
            session.save().await.expect_err("the store refuses");
            store.heal();
            // The first lock is given back meanwhile.
            tokio::time::sleep(Duration::from_secs(1)).await;
            store.calls();
            session.save().await?;
            let calls = store.calls();
            assert_eq!(calls.first(), Some(&Op::Lock), "{calls:?}");
            assert_eq!(calls.last(), Some(&Op::Rename), "{calls:?}");
            Ok(())
        })
        .await;
    assert_eq!(reply.status, 200);
    assert_ne!(alice.signed_id(), old);
    assert_eq!(user(&alice).await, Some(7));
}

/// Conformance 1.6
#[tokio::test]
async fn renewals_do_not_extend_the_absolute_timeout() {
    let app = App::with(|builder| {
        rotating(builder)
            .idle_timeout(Duration::from_hours(1))
            .absolute_timeout(Duration::from_hours(1))
    });
    let alice = app.browser();
    alice.act(|s| Ok(s.set_user(7)?)).await;
    for _ in 0..3 {
        app.pass(EVERY);
        assert_eq!(user(&alice).await, Some(7));
    }
    app.pass(EVERY);
    assert_eq!(user(&alice).await, None);
}

/// Conformance 1.32, 2.7
#[tokio::test(start_paused = true)]
async fn who_waits_for_the_end_of_a_session_does_not_take_its_renewal_for_one() {
    let app = App::with(rotating);
    let alice = due(&app).await;
    let session = app
        .sessions
        .open::<Shop>(&alice.signed_id())
        .await
        .expect("it lives");
    let waiting = tokio::spawn(async move { session.ended().await });
    // Looks of the waiting one before the renewal, during its grace, after it, and for hours of renewals.
    let steps = [Duration::ZERO, GRACE / 2, GRACE];
    for step in steps.into_iter().chain([Duration::from_mins(10); 18]) {
        app.pass(step);
        assert_eq!(user(&alice).await, Some(7));
        tokio::time::sleep(Duration::from_mins(1)).await;
        assert!(!waiting.is_finished(), "{step:?} later");
    }
    alice.does(Session::destroy).await;
    waiting.await.expect("no panic");
}

/// Conformance 1.32, 2.7
#[tokio::test]
async fn a_stream_that_outlives_the_grace_of_a_renewal_can_still_save() {
    let app = App::with(rotating);
    let alice = due(&app).await;
    let stream = app
        .sessions
        .open::<Shop>(&alice.signed_id())
        .await
        .expect("it lives");
    assert_eq!(user(&alice).await, Some(7));
    stream.set_visits(1).expect("it fits");
    stream.save().await.expect("within the grace");
    app.pass(GRACE * 2);
    stream.set_visits(2).expect("it fits");
    stream.save().await.expect("it knows the new key by now");
    stream.reload().await.expect("the store works");
    assert_eq!(stream.visits(), Ok(2));
    assert_eq!(stream.user(), Ok(Some(7)), "it has not ended");
    assert_eq!(alice.ask(|s| Ok(s.visits()?)).await, 2);
}

/// Conformance 1.11, 2.7, 5.2
#[tokio::test]
async fn what_was_asked_for_while_another_request_renewed_the_id_is_done() {
    let plans: [fn(&Session<Shop>); 3] = [Session::destroy, Session::regenerate, Session::reset];
    for (plan, user_after) in plans.into_iter().zip([None, Some(7), None]) {
        let app = App::with(rotating);
        let alice = due(&app).await;
        let late = alice.fork();
        let under_way = late.start_does(plan).await;
        assert_eq!(user(&alice).await, Some(7));
        let reply = under_way.finish().await;
        assert_eq!(reply.status, 200);
        assert_eq!(user(&late).await, user_after);
        assert_eq!(user(&alice).await, None, "by the id of the renewal");
    }
}

/// Conformance 1.11, 5.2
#[tokio::test]
async fn an_end_that_is_asked_for_when_the_id_is_due_leaves_no_grace() {
    let plans: [fn(&Session<Shop>); 3] = [Session::destroy, Session::regenerate, Session::reset];
    for (plan, user_after) in plans.into_iter().zip([None, Some(7), None]) {
        let app = App::with(rotating);
        let alice = due(&app).await;
        let thief = alice.fork();
        let reply = alice.does(plan).await;
        assert!(reply.cookie().is_some());
        assert_eq!(user(&thief).await, None, "by the old id");
        assert_eq!(user(&alice).await, user_after);
    }
}

/// Conformance 2.7
#[tokio::test]
async fn a_request_that_outlives_the_grace_of_a_renewal_loses_nothing() {
    let app = App::with(rotating);
    let alice = due(&app).await;
    let slow = alice.fork().start(|s| Ok(s.set_visits(5)?)).await;
    assert_eq!(user(&alice).await, Some(7));
    app.pass(GRACE * 2);
    let reply = slow.finish().await;
    assert_eq!((reply.status.as_u16(), reply.cookie()), (200, None));
    assert_eq!(alice.ask(|s| Ok(s.visits()?)).await, 5);
}

/// Conformance 2.4, 5.2
#[tokio::test]
async fn a_request_that_came_by_the_old_id_renews_nothing() {
    let app = App::with(rotating);
    let alice = due(&app).await;
    let old = alice.fork();
    assert_eq!(user(&alice).await, Some(7));
    let slow = old.start(|s| Ok(s.set_visits(5)?)).await;
    app.pass(EVERY);
    let reply = slow.finish().await;
    assert_eq!((reply.status.as_u16(), reply.cookie()), (200, None));
    assert_eq!(user(&alice).await, Some(7));
}

/// Conformance 1.32, 5.2
#[tokio::test]
async fn when_the_response_has_left_no_id_is_renewed_and_changes_are_saved() {
    let app = App::with(rotating);
    let alice = due(&app).await;
    assert_eq!(user(&alice).await, Some(7));
    let (tell, told) = tokio::sync::oneshot::channel();
    alice
        .act(|session| {
            let _ = tell.send(session.clone());
            Ok(())
        })
        .await;
    let session = told.await.expect("the handler ran");
    app.pass(EVERY);
    session.set_visits(5).expect("it fits");
    session.save().await.expect("under the id it has");
    assert_eq!(alice.ask(|s| Ok(s.visits()?)).await, 5);
}

/// Conformance 1.11, 5.2
#[tokio::test]
async fn a_request_that_goes_on_until_an_id_of_its_own_is_due_gets_another() {
    let app = App::with(rotating);
    let alice = app.browser();
    alice.act(|s| Ok(s.set_user(7)?)).await;
    let clock = app.clock.clone();
    let reply = alice
        .visit(|session| async move {
            session.regenerate();
            session.save().await?;
            let first = session.id();
            clock.advance(EVERY);
            session.save().await?;
            assert_ne!(session.id(), first);
            Ok(())
        })
        .await;
    assert_eq!(reply.status, 200);
    assert_eq!(user(&alice).await, Some(7));
}

/// Conformance 1.9, 2.7
#[tokio::test]
async fn a_sign_out_by_the_old_id_of_a_session_that_has_long_ended_is_no_error() {
    let retired = GRACE / 3;
    let app = App::with(|builder| rotating(builder).retired_for(retired));
    let alice = due(&app).await;
    let old = alice.fork();
    assert_eq!(user(&alice).await, Some(7));
    alice.does(Session::destroy).await;
    // What was left of it is gone, and the way there is still open.
    app.pass(retired);
    let reply = old.does(Session::destroy).await;
    assert_eq!((reply.status.as_u16(), reply.cookie()), (200, None));
}
