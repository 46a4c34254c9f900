//! Creating, changing and discarding.

use super::*;

#[test]
fn a_visitor_who_changes_nothing_is_not_stored() {
    let mut session = Lifecycle::default();
    assert!(!session.needs_save(&rules(), NOW));
    assert!(plan(&mut session, &rules(), NOW).is_none());
    assert_eq!(session.take_update(), None);
    assert!(session.is_new());
}

#[test]
fn an_id_that_exists_already_is_replaced() {
    let (mut session, rules) = (Lifecycle::default(), rules());
    set(&mut session, A, 1);
    let first = session.id(&rules);
    let op = plan(&mut session, &rules, NOW).unwrap();
    let transition = session.apply(op, Reply::Exists).unwrap();
    assert!(matches!(transition, Transition::Retry));
    assert_ne!(session.id(&rules), first);
}

#[test]
fn a_change_back_to_the_stored_value_is_not_written() {
    let mut session = loaded(&[(A, 1)]);
    set(&mut session, A, 2);
    assert!(session.needs_save(&rules(), NOW));
    set(&mut session, A, 1);
    assert!(plan(&mut session, &rules(), NOW).is_none());
    assert!(!session.needs_save(&rules(), NOW));
}

#[test]
fn a_write_names_the_version_that_it_was_made_from() {
    let (mut session, rules) = (loaded(&[]), rules());
    for version in 1..4 {
        set(&mut session, A, u8::try_from(version).unwrap());
        let op = plan(&mut session, &rules, NOW).unwrap();
        let named = |call| matches!(call, Call::Replace { version: v, .. } if v.get() == version);
        assert!(named(op.call()), "{op:?}");
        session.apply(op, written(version + 1)).unwrap();
    }
}

#[test]
fn changes_made_during_a_save_stay_pending() {
    let (mut session, rules) = (loaded(&[(A, 1)]), rules());
    set(&mut session, A, 2);
    let op = plan(&mut session, &rules, NOW).unwrap();
    set(&mut session, B, 3);
    set(&mut session, A, 1);
    session.apply(op, written(2)).unwrap();
    let op = plan(&mut session, &rules, NOW).unwrap();
    let mut next = replaced(&op);
    next.sort();
    assert_eq!(next, [pair(A, 1), pair(B, 3)]);
}

#[test]
fn an_intent_declared_during_a_save_stays_pending() {
    let (mut session, rules) = (loaded(&[]), rules());
    set(&mut session, A, 2);
    let op = plan(&mut session, &rules, NOW).unwrap();
    session.destroy();
    session.apply(op, written(2)).unwrap();
    let op = plan(&mut session, &rules, NOW).unwrap();
    assert!(matches!(op.kind, op::OpKind::End { .. }));
}

#[test]
fn discarded_changes_are_reported_once() {
    let mut session = loaded(&[(A, 1)]);
    session.discard();
    assert!(!session.take_discarded(), "there were no changes");
    set(&mut session, A, 2);
    session.regenerate();
    session.abandon();
    assert!(!session.needs_save(&rules(), NOW));
    assert!(session.take_discarded());
    assert!(!session.take_discarded());
}

#[test]
fn a_session_is_new_unless_a_live_one_was_presented_and_kept() {
    assert!(load(Resolution::Missing).is_new());
    assert!(load(Resolution::Ended(EndReason::Destroyed)).is_new());
    let mut session = loaded(&[]);
    assert!(!session.is_new());
    session.regenerate();
    assert!(!session.is_new());
    session.destroy();
    assert!(session.is_new());
}
