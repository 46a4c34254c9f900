//! Ending a session, and sessions that have ended.

use super::*;

#[test]
fn changes_of_an_ended_session_are_refused() {
    type Change = fn(&mut Lifecycle);
    let changes: [Change; 4] = [
        |session| set(session, A, 2),
        |session| session.put(A, None, &rules()).unwrap(),
        |session| session.regenerate(),
        |session| session.reset(),
    ];
    for change in changes {
        for reason in [EndReason::Destroyed, EndReason::Replaced] {
            let (mut session, rules) = (loaded(&[(A, 1)]), rules());
            change(&mut session);
            let merged = save_after(&mut session, &rules, Resolution::Ended(reason));
            assert!(matches!(merged, Err(SaveError::Ended)), "{merged:?}");
            assert_eq!(session.take_update(), None);
            // A later attempt is refused as well: nothing writes over the tombstone.
            let again = session.plan(&rules, NOW, true);
            // There is nothing left to remove.
            let is_removed = matches!(again, Ok(None)) && session.value(A).is_none();
            assert!(
                is_removed || matches!(again, Err(SaveError::Ended)),
                "{again:?}"
            );

            let mut late = load(Resolution::Ended(reason));
            change(&mut late);
            let planned = late.plan(&rules, NOW, true);
            let has_changes = !matches!(planned, Ok(None));
            assert!(!has_changes || matches!(planned, Err(SaveError::Ended)));
        }
    }
}

#[test]
fn a_write_to_a_record_that_is_gone_is_refused() {
    let (mut session, rules) = (loaded(&[]), rules());
    set(&mut session, A, 1);
    let op = plan(&mut session, &rules, NOW).unwrap();
    let applied = session.apply(op, Reply::Gone);
    assert!(matches!(applied, Err(SaveError::Ended)));
}

#[test]
fn an_ended_session_that_was_only_read_is_no_error() {
    for reason in [EndReason::Destroyed, EndReason::Replaced] {
        let mut session = load(Resolution::Ended(reason));
        assert!(plan(&mut session, &rules(), NOW).is_none());
        assert_eq!(session.take_update(), None);
    }
}

#[test]
fn destroy_leaves_a_tombstone_and_clears_the_id() {
    let (mut session, rules) = (loaded(&[(A, 1)]), rules());
    session.destroy();
    assert_eq!(session.value(A), None);
    let op = plan(&mut session, &rules, NOW).unwrap();
    let Call::Replace { key, write, .. } = op.call() else {
        panic!("{op:?}");
    };
    assert_eq!(key, known_key());
    assert!(is_tombstone(&write, EndReason::Destroyed));
    let refused_until = NOW.saturating_add(rules.retired_for);
    assert_eq!(write.expires_at, rules.kept_until(refused_until));
    let transition = session.apply(op, written(2)).unwrap();
    assert!(matches!(transition, Transition::Saved { left: Some(key) } if key == known_key()));
    assert_eq!(session.take_update(), Some(ClientUpdate::ClearId));
    assert!(session.has_signed_out());
    assert_eq!(session.generation(), 1);
}

#[test]
fn a_value_set_after_a_destroy_starts_a_new_session() {
    let (mut session, rules) = (loaded(&[(A, 1)]), rules());
    session.destroy();
    set(&mut session, NOTICE, 5);
    let op = plan(&mut session, &rules, later(5)).unwrap();
    let Call::Move { write, leave, .. } = op.call() else {
        panic!("{op:?}");
    };
    assert_eq!(values(&write), [pair(NOTICE, 5)]);
    assert!(is_tombstone(&leave, EndReason::Destroyed));
    session.apply(op, written(1)).unwrap();
    assert_eq!(session.created_at(), Some(later(5)));
    let update = session.take_update();
    assert!(
        matches!(update, Some(ClientUpdate::SetId { id, refresh: false, .. }) if id != known_id())
    );
}

#[test]
fn a_second_destroy_succeeds_and_leaves_the_client_to_the_first() {
    let (mut session, rules) = (loaded(&[(A, 1)]), rules());
    session.destroy();
    set(&mut session, NOTICE, 5);
    let merged = save_after(
        &mut session,
        &rules,
        Resolution::Ended(EndReason::Destroyed),
    );
    assert!(matches!(merged, Ok(Transition::Saved { left: None })));
    assert_eq!(session.take_update(), None);

    let (mut session, rules) = (loaded(&[(A, 1)]), self::rules());
    session.destroy();
    set(&mut session, A, 5);
    let merged = save_after(
        &mut session,
        &rules,
        Resolution::Ended(EndReason::Destroyed),
    );
    assert!(
        matches!(merged, Err(SaveError::Ended)),
        "data would be lost"
    );
}

#[test]
fn a_destroy_of_a_session_that_another_request_destroyed_succeeds_if_no_data_is_lost() {
    for (reason, value, succeeds) in [
        (EndReason::Destroyed, None, true),
        (EndReason::Destroyed, Some(NOTICE), true),
        (EndReason::Destroyed, Some(A), false),
        (EndReason::Replaced, None, false),
    ] {
        let mut reloaded = loaded(&[(A, 1)]);
        reloaded.reloaded(Resolution::Ended(reason));
        for mut session in [load(Resolution::Ended(reason)), reloaded] {
            session.destroy();
            if let Some(field) = value {
                set(&mut session, field, 5);
            }
            let planned = session.plan(&rules(), NOW, true);
            if succeeds {
                assert!(matches!(planned, Ok(None)), "{reason:?} {value:?}");
            } else {
                assert!(matches!(planned, Err(SaveError::Ended)), "{reason:?}");
            }
            assert_eq!(session.has_signed_out(), succeeds);
            let due = session.due(&rules(), NOW, false);
            assert_eq!(due == Due::Nothing, succeeds);
        }
    }
}

#[test]
fn a_destroy_of_no_session_clears_the_id_that_was_presented() {
    let missing = || load(Resolution::Missing);
    for (mut session, destroys, clears) in [
        (missing(), true, true),
        (missing(), false, false),
        (Lifecycle::default(), true, false),
    ] {
        if destroys {
            session.destroy();
        }
        assert!(plan(&mut session, &rules(), NOW).is_none());
        let cleared = clears.then_some(ClientUpdate::ClearId);
        assert_eq!(session.take_update(), cleared);
        assert_eq!(session.has_signed_out(), clears);
    }
}

#[test]
fn a_destroy_can_keep_the_changes_for_the_next_session() {
    let (mut session, rules) = (loaded(&[(A, 1), (COUNT, 7)]), rules());
    set(&mut session, B, 2);
    add(&mut session, 3);
    session.destroy_keeping_changes();
    rerun(&mut session);
    let op = plan(&mut session, &rules, NOW).unwrap();
    let Call::Move { write, leave, .. } = op.call() else {
        panic!("{op:?}");
    };
    assert_eq!(values(&write), [pair(B, 2), pair(COUNT, 3)]);
    assert!(is_tombstone(&leave, EndReason::Destroyed));
}

#[test]
fn regenerate_keeps_the_data_and_the_creation_under_a_new_id() {
    let (mut session, rules) = (loaded(&[(A, 1)]), rules());
    session.regenerate();
    let op = plan(&mut session, &rules, later(5)).unwrap();
    let Call::Move {
        from,
        to,
        write,
        leave,
        ..
    } = op.call()
    else {
        panic!("{op:?}");
    };
    assert_eq!(from, known_key());
    assert_ne!(to, from);
    assert_eq!(values(&write), [pair(A, 1)]);
    assert!(is_tombstone(&leave, EndReason::Replaced));
    session.apply(op, written(1)).unwrap();
    assert_eq!(session.created_at(), Some(NOW));
    assert_eq!(session.public_id(&rules), to);
    assert_eq!(session.generation(), 0);
}

#[test]
fn each_move_draws_a_new_id() {
    let (mut session, rules) = (loaded(&[(A, 1)]), rules());
    let mut keys = vec![known_key()];
    for version in 1..5 {
        session.regenerate();
        let op = plan(&mut session, &rules, NOW).unwrap();
        let Call::Move { to, .. } = op.call() else {
            panic!("{op:?}");
        };
        assert!(!keys.contains(&to), "the id of move {version} is spent");
        keys.push(to);
        // A move whose reply is lost may have been done, so that its id is spent as well.
        if version % 2 == 0 {
            session.write_failed(op);
            session.settle(Resolution::Missing).unwrap();
        } else {
            session.apply(op, written(version)).unwrap();
        }
    }
}

#[test]
fn reset_starts_an_empty_session_with_a_new_deadline() {
    let (mut session, rules) = (loaded(&[(A, 1)]), rules());
    session.reset();
    assert!(session.is_new());
    let op = plan(&mut session, &rules, later(5)).unwrap();
    let Call::Move { write, leave, .. } = op.call() else {
        panic!("{op:?}");
    };
    assert_eq!(values(&write), []);
    assert!(is_tombstone(&leave, EndReason::Replaced));
    session.apply(op, written(1)).unwrap();
    assert_eq!(session.created_at(), Some(later(5)));
    assert_eq!(session.generation(), 1);
}

#[test]
fn a_record_past_its_absolute_deadline_is_missing() {
    let config = SessionConfig {
        absolute_timeout: Some(Duration::from_hours(1)),
        ..SessionConfig::default()
    };
    let rules = Rules::new(&config, Arc::new(SessionId::random));
    let at = |minutes| {
        let (version, expiry) = (Version::new(1), later(90));
        let loaded = Loaded::new(known_key(), record(&[]), version, expiry, &rules);
        Resolution::Live(loaded).unless_expired(later(minutes))
    };
    assert!(matches!(at(59), Resolution::Live(_)));
    assert!(matches!(at(60), Resolution::Missing));
}

#[test]
fn a_session_that_ended_alone_keeps_the_changes_that_begin_the_next_one() {
    for keeps_changes in [false, true] {
        let (mut session, rules) = (loaded(&[(A, 1)]), rules());
        if keeps_changes {
            set(&mut session, NOTICE, 5);
            session.destroy_keeping_changes();
        } else {
            session.destroy();
            set(&mut session, NOTICE, 5);
        }
        let op = plan(&mut session, &rules, NOW).unwrap();
        // The refusal of the store takes a minute.
        let end = op.end_alone(&rules, later(1));
        let end = end.expect("it destroys the session");
        let Call::Replace { key, write, .. } = end.call() else {
            panic!("{end:?}");
        };
        assert_eq!(key, known_key());
        let tombstone = rules.tombstone(EndReason::Destroyed, None, later(1));
        assert_eq!(write, tombstone);
        session.ended_alone(&end);
        assert_eq!(session.take_update(), Some(ClientUpdate::ClearId));
        assert!(session.has_signed_out());
        assert_eq!(session.generation(), 1);
        // A later attempt begins the next session.
        let op = plan(&mut session, &rules, NOW).expect("the notice");
        let Call::Create { write, .. } = op.call() else {
            panic!("{op:?}");
        };
        assert_eq!(values(&write), [pair(NOTICE, 5)]);
    }
}

#[test]
fn only_a_destroy_ends_a_session_alone() {
    let others: [fn(&mut Lifecycle); 3] = [Lifecycle::regenerate, Lifecycle::reset, |session| {
        set(session, A, 2);
    }];
    for other in others {
        let (mut session, rules) = (loaded(&[(A, 1)]), rules());
        other(&mut session);
        let op = plan(&mut session, &rules, NOW).unwrap();
        assert!(op.end_alone(&rules, NOW).is_none(), "{op:?}");
    }
}
