//! Saves that are repeated after one whose outcome is unknown.

use poem_session::{SaveError, Session};

use crate::support::{App, Op, Shop, count};

/// Conformance 2.11
#[tokio::test]
async fn an_update_whose_write_was_executed_is_not_made_twice() {
    let app = App::new();
    let alice = app.sign_in().await;
    let store = app.store.clone();
    let reply = alice
        .visit(|session| async move {
            count(&session);
            store.lose_reply(&[Op::Replace]);
            session.save().await.expect_err("the reply is lost");
            store.heal();
            let error = session.save().await.expect_err("it may be stored");
            assert!(matches!(error, SaveError::InDoubt), "{error}");
            assert_eq!(
                session.visits()?,
                1,
                "the session has the values of the store"
            );
            count(&session);
            Ok(())
        })
        .await;
    assert_eq!(reply.status, 200);
    assert_eq!(alice.visits().await, 2);
}

/// Conformance 2.11
#[tokio::test]
async fn an_update_whose_write_was_not_executed_is_made_once() {
    let app = App::new();
    let alice = app.sign_in().await;
    let store = app.store.clone();
    let reply = alice
        .visit(|session| async move {
            count(&session);
            store.fail(&[Op::Replace]);
            session.save().await.expect_err("the store fails");
            store.heal();
            Ok(session.save().await?)
        })
        .await;
    assert_eq!(reply.status, 200);
    assert_eq!(alice.visits().await, 1);
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
