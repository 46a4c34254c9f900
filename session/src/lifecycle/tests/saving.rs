//! Creating, changing and discarding.

use super::*;

#[test]
fn a_visitor_who_changes_nothing_is_not_stored() {
    let mut session = Lifecycle::default();
    assert_eq!(session.due(&rules(), NOW, false), Due::Nothing);
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
    assert_eq!(session.due(&rules(), NOW, false), Due::Save);
    set(&mut session, A, 1);
    assert!(plan(&mut session, &rules(), NOW).is_none());
    assert_eq!(session.due(&rules(), NOW, false), Due::Nothing);
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
    assert_eq!(session.due(&rules(), NOW, false), Due::Nothing);
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
    assert!(saved(Lifecycle::destroy).is_new());
}

#[test]
fn an_unchanged_session_is_touched_or_rotated_when_that_is_due() {
    let due = |last_use: u64, now| {
        let used = Loaded {
            expires_at: later(last_use + 30),
            ..stored(&record(&[]), 1)
        };
        load(Resolution::Live(used)).due(&rules(), later(now), false)
    };
    assert_eq!(due(0, 2), Due::Nothing);
    assert_eq!(due(0, 3), Due::Touch(known_key()));
    assert_eq!(due(9, 9), Due::Nothing);
    assert_eq!(due(9, 10), Due::Save, "a rotation");
}

#[test]
fn a_change_without_effect_is_saved_if_another_save_may_give_it_one() {
    for now in [NOW, later(5)] {
        let mut session = loaded(&[(A, 1)]);
        set(&mut session, A, 1);
        assert_eq!(session.due(&rules(), now, true), Due::Save);
        assert_ne!(session.due(&rules(), now, false), Due::Save);
        assert!(
            session.changes.is_empty(),
            "it comes before the changes of others"
        );
    }
}

#[test]
fn flash_values_that_were_read_can_be_restored() {
    let mut session = loaded(&[(NOTICE, 1)]);
    session.take(NOTICE);
    set(&mut session, A, 2);
    session.restore_flash();
    assert_eq!(session.value(NOTICE), Some(bytes(1)));
    assert_eq!(session.value(A), Some(bytes(2)));
}

#[test]
fn a_value_over_a_limit_is_refused_and_changes_nothing() {
    let config = SessionConfig {
        max_value_size: 1,
        ..SessionConfig::default()
    };
    let rules = Rules::new(&config, Arc::new(SessionId::random));
    let mut session = loaded(&[(A, 1)]);
    let (seen, large) = (session.value(A), Some(Bytes::from_static(b"xy")));
    let updater: Updater = Box::new(|value| Ok(value.cloned()));
    let put = session.put(A, large.clone(), &rules);
    let edit = session.edit(A, large.clone(), seen.clone(), &rules);
    let update = session.update(A, seen.as_ref(), large, updater, &rules);
    for refused in [put, edit, update.map(drop)] {
        let is_too_large = matches!(refused, Err(SetError::ValueTooLarge { key: "ns.a", .. }));
        assert!(is_too_large, "{refused:?}");
    }
    assert_eq!(session.due(&rules, NOW, false), Due::Nothing);
}

#[test]
fn a_write_names_its_kind() {
    type Change = fn(&mut Lifecycle);
    let set_a: Change = |session| set(session, A, 2);
    let kinds: [(Lifecycle, Change, &str, bool, bool); 5] = [
        (Lifecycle::default(), set_a, "creating", false, false),
        (loaded(&[]), set_a, "saving", false, false),
        (loaded(&[]), |_| (), "touching", true, false),
        (loaded(&[]), Lifecycle::regenerate, "moving", false, true),
        (loaded(&[]), Lifecycle::destroy, "ending", false, false),
    ];
    for (mut session, change, action, is_touch, is_move) in kinds {
        change(&mut session);
        let op = plan(&mut session, &rules(), later(3)).unwrap();
        assert!(op.action().starts_with(action), "{}", op.action());
        assert_eq!((op.is_touch(), op.is_move()), (is_touch, is_move));
    }
}

/// Rules with a shorter idle timeout than the default, and a session that was last used at `NOW` under the default.
fn used_under_a_longer_timeout() -> (Rules, Lifecycle) {
    let config = SessionConfig {
        idle_timeout: Duration::from_mins(20),
        ..SessionConfig::default()
    };
    let rules = Rules::new(&config, Arc::new(SessionId::random));
    let (record, version) = (record(&[(A, 1)]), Version::new(1));
    let stored = Loaded::new(known_key(), record, version, later(30), &rules);
    (rules, load(Resolution::Live(stored)))
}

#[test]
fn a_use_under_another_idle_timeout_stores_the_timeout_with_the_expiry() {
    let (rules, mut session) = used_under_a_longer_timeout();
    assert!(plan(&mut session, &rules, later(1)).is_none());
    let op = plan(&mut session, &rules, later(2)).expect("a touch is due");
    assert!(op.is_touch(), "a request that only reads must not fail");
    let Call::Replace { write, .. } = op.call() else {
        panic!("{op:?}");
    };
    assert_eq!(write.expires_at, later(22));
    let Ok(RecordKind::Live(record)) = RecordKind::parse(write.data) else {
        panic!("not a live record");
    };
    assert_eq!(record.timeout(), Duration::from_mins(20));
    session.apply(op, written(2)).unwrap();
    let id = session.id(&rules);
    let refresh = ClientUpdate::SetId {
        id,
        expires_at: later(22),
        refresh: true,
    };
    assert_eq!(session.take_update(), Some(refresh));
    let op = plan(&mut session, &rules, later(4)).expect("a touch is due");
    assert!(matches!(op.call(), Call::Touch { .. }));
}

#[test]
fn a_use_under_another_idle_timeout_is_not_stored_over_a_newer_record() {
    for reply in [Reply::Gone, conflict()] {
        let (rules, mut session) = used_under_a_longer_timeout();
        let op = plan(&mut session, &rules, later(2)).expect("a touch is due");
        let saved = session.apply(op, reply).unwrap();
        assert!(matches!(saved, Transition::Saved { left: None }));
        assert_eq!(session.take_update(), None);
    }
}
