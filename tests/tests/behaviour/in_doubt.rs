//! Saves that are repeated after one whose outcome is unknown.

use poem_session::{SaveError, Session};

use poem_session_tests::application::Probe;

use crate::support::{App, Op, Shop, count};

/// Counts, and saves early without a reply of the store. The write is executed or not.
async fn count_in_doubt(session: &Session<Shop>, store: &Probe, is_executed: bool) {
    count(session);
    if is_executed {
        store.lose_reply(&[Op::Replace]);
    } else {
        store.fail(&[Op::Replace]);
    }
    session.save().await.expect_err("no reply");
    store.heal();
}

/// Conformance 2.11
#[tokio::test]
async fn an_update_is_not_made_twice_whether_its_write_was_executed_or_not() {
    for is_executed in [true, false] {
        for reloads in [true, false] {
            let app = App::new();
            let alice = app.sign_in().await;
            let store = app.store.clone();
            let reply = alice
                .visit(move |session| async move {
                    count_in_doubt(&session, &store, is_executed).await;
                    if reloads {
                        session.reload().await?;
                    }
                    let repeated = session.save().await;
                    let is_in_doubt = matches!(repeated, Err(SaveError::InDoubt));
                    assert_eq!(is_in_doubt, is_executed, "{repeated:?}");
                    assert_eq!(
                        session.visits()?,
                        1,
                        "the session has the value of the store"
                    );
                    count(&session);
                    Ok(())
                })
                .await;
            assert_eq!(reply.status, 200);
            assert_eq!(alice.visits().await, 2);
        }
    }
}

/// Conformance 2.11, 5.4
#[tokio::test]
async fn a_user_can_sign_out_after_a_save_whose_outcome_is_unknown() {
    for is_executed in [true, false] {
        let app = App::new();
        let alice = app.sign_in().await;
        let store = app.store.clone();
        let reply = alice
            .visit(move |session| async move {
                count_in_doubt(&session, &store, is_executed).await;
                session.destroy();
                Ok(())
            })
            .await;
        assert_eq!((reply.status.as_u16(), alice.id()), (200, None));
        assert!(app.store.sessions(app.now()).await.is_empty());
    }
}

/// Conformance 2.11, 1.11
#[tokio::test]
async fn a_save_under_a_new_id_is_repeated_whether_it_was_executed_or_not() {
    for is_executed in [true, false] {
        for (op, begin) in [
            (Op::Create, None),
            (Op::Rename, Some(Session::regenerate as fn(&Session<Shop>))),
        ] {
            let app = App::new();
            let alice = match begin {
                Some(_) => app.sign_in().await,
                None => app.browser(),
            };
            let store = app.store.clone();
            let reply = alice
                .visit(move |session| async move {
                    begin.inspect(|begin| begin(&session));
                    count(&session);
                    if is_executed {
                        store.lose_reply(&[op]);
                    } else {
                        store.fail(&[op]);
                    }
                    session.save().await.expect_err("no reply");
                    store.heal();
                    Ok(session.save().await?)
                })
                .await;
            assert_eq!(reply.status, 200, "{op:?}");
            assert_eq!(alice.visits().await, 1, "{op:?}");
            assert_eq!(app.store.sessions(app.now()).await.len(), 1, "{op:?}");
        }
    }
}
