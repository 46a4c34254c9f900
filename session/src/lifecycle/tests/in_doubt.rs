//! Saves that are repeated after one that failed, and whose write may have been executed.

use super::*;

/// The session that a failed write has stored.
fn written_by(op: &WriteOp, id: SessionId) -> Resolution {
    let (Call::Create { write, .. } | Call::Move { write, .. }) = op.call() else {
        panic!("no new record: {op:?}");
    };
    let RecordKind::Live(record) = RecordKind::parse(write.data).unwrap() else {
        panic!("not a session");
    };
    let (key, version) = (id.public(), Version::new(7));
    Resolution::Live(Loaded::new(
        key,
        record,
        version,
        write.expires_at,
        &rules(),
    ))
}

#[test]
fn a_new_record_that_was_stored_is_not_stored_again() {
    type Begin = fn() -> Lifecycle;
    let begins: [Begin; 2] = [Lifecycle::default, || {
        let mut session = loaded(&[(A, 1)]);
        session.regenerate();
        session
    }];
    for begin in begins {
        let (mut session, rules) = (begin(), rules());
        add(&mut session, 1);
        let op = plan(&mut session, &rules, NOW).unwrap();
        let id = session.id(&rules);
        let found = written_by(&op, id);
        session.write_failed(op);
        assert_eq!(session.key_in_doubt(), Some(id.public()));
        session.settle(found).unwrap();
        assert!(plan(&mut session, &rules, NOW).is_none());
        assert_eq!(session.value(COUNT), Some(bytes(1)));
        assert!(
            matches!(session.take_update(), Some(ClientUpdate::SetId { id: sent, .. }) if sent == id)
        );
    }
}

#[test]
fn a_new_record_that_was_stored_and_ended_is_not_stored_again() {
    let (mut session, rules) = (loaded(&[(A, 1)]), rules());
    session.regenerate();
    let op = plan(&mut session, &rules, NOW).unwrap();
    session.write_failed(op);
    let settled = session.settle(Resolution::Ended(EndReason::Destroyed));
    assert!(matches!(settled, Err(SaveError::Ended)));
    assert_eq!(session.take_update(), None);
}

#[test]
fn updates_are_not_repeated_on_a_record_that_may_contain_them() {
    let (mut session, rules) = (loaded(&[(COUNT, 1)]), rules());
    add(&mut session, 1);
    let op = plan(&mut session, &rules, NOW).unwrap();
    session.write_failed(op);
    add(&mut session, 10);
    let merged = save_after(&mut session, &rules, live(&[(COUNT, 2)], 2));
    assert!(matches!(merged, Ok(Transition::Retry)));
    rerun(&mut session);
    let refused = session.plan(&rules, NOW, false);
    assert!(matches!(refused, Err(SaveError::InDoubt)), "{refused:?}");
    // The update that was made after the failed save is not in doubt.
    rerun(&mut session);
    let op = plan(&mut session, &rules, NOW).unwrap();
    assert_eq!(replaced(&op), [pair(COUNT, 12)]);
}

#[test]
fn a_save_is_repeated_on_the_record_that_it_was_made_from() {
    let (mut session, rules) = (loaded(&[(COUNT, 1)]), rules());
    add(&mut session, 1);
    let op = plan(&mut session, &rules, NOW).unwrap();
    session.write_failed(op);
    let op = plan(&mut session, &rules, NOW).unwrap();
    assert_eq!(replaced(&op), [pair(COUNT, 2)]);
    session.apply(op, written(2)).unwrap();
    assert!(plan(&mut session, &rules, NOW).is_none());
}

#[test]
fn a_value_that_was_set_is_set_again() {
    let (mut session, rules) = (loaded(&[(A, 1)]), rules());
    set(&mut session, A, 2);
    let op = plan(&mut session, &rules, NOW).unwrap();
    session.write_failed(op);
    let merged = save_after(&mut session, &rules, live(&[(A, 2)], 2));
    assert!(matches!(merged, Ok(Transition::Retry)));
    assert!(plan(&mut session, &rules, NOW).is_none());
}

#[test]
fn a_session_can_be_ended_although_an_earlier_save_is_in_doubt() {
    let (mut session, rules) = (loaded(&[(COUNT, 1)]), rules());
    add(&mut session, 1);
    let op = plan(&mut session, &rules, NOW).unwrap();
    session.write_failed(op);
    session.destroy();
    let merged = save_after(&mut session, &rules, live(&[(COUNT, 2)], 2));
    assert!(matches!(merged, Ok(Transition::Retry)), "{merged:?}");
    let op = plan(&mut session, &rules, NOW).unwrap();
    assert!(matches!(op.kind, op::OpKind::End { .. }));
}

#[test]
fn updates_are_not_repeated_after_a_reload_either() {
    let (mut session, rules) = (loaded(&[(COUNT, 1)]), rules());
    add(&mut session, 1);
    let op = plan(&mut session, &rules, NOW).unwrap();
    session.write_failed(op);
    session.reloaded(live(&[(COUNT, 2)], 2));
    rerun(&mut session);
    let refused = session.plan(&rules, NOW, false);
    assert!(matches!(refused, Err(SaveError::InDoubt)), "{refused:?}");
    assert_eq!(
        session.value(COUNT),
        Some(bytes(2)),
        "the value of the store"
    );
    assert!(plan(&mut session, &rules, NOW).is_none());
}
