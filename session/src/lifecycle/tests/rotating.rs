//! Rotation of ids on a schedule.

use super::*;

#[test]
fn an_old_id_is_rotated_and_leaves_a_forward() {
    let (mut session, rules) = (loaded(&[(A, 1)]), rules());
    assert!(!session.wants_rotation(&rules, later(9)));
    assert!(session.wants_rotation(&rules, later(10)));
    let op = plan(&mut session, &rules, later(10)).unwrap();
    let Call::Move {
        to, write, leave, ..
    } = op.call()
    else {
        panic!("{op:?}");
    };
    assert_eq!(values(&write), [pair(A, 1)]);
    let RecordKind::Forward(forward) = RecordKind::parse(leave.data.clone()).unwrap() else {
        panic!("{leave:?}");
    };
    let until = later(10).saturating_add(rules.rotation.unwrap().grace);
    assert_eq!((forward.to, forward.until), (to, until));
    assert_eq!(leave.expires_at, rules.kept_until(until));
    session.apply(op, written(1)).unwrap();
    assert_eq!(forward.id(&known_id()), Some(session.id(&rules)));
    assert!(!session.wants_rotation(&rules, later(19)));
    assert!(session.wants_rotation(&rules, later(20)));
}

#[test]
fn an_id_is_rotated_only_with_a_permit_and_a_client_that_can_be_sent_it() {
    let rules = rules();
    let mut session = loaded(&[(A, 1)]);
    let op = session.plan(&rules, later(10), false).unwrap().unwrap();
    assert!(op.is_touch(), "without a permit");

    let mut session = loaded(&[(A, 1)]);
    session.set_phase(Phase::Answered);
    assert!(!session.wants_rotation(&rules, later(10)));

    let mut session = Lifecycle::default();
    let bearer = Presented::new(known_id(), false, NOW);
    session.loaded(bearer, known_key(), live(&[], 1));
    assert!(!session.wants_rotation(&rules, later(10)));
}

#[test]
fn a_request_that_arrives_by_a_forward_is_sent_the_newest_id() {
    let rules = rules();
    let repeated = |expires_at| ClientUpdate::SetId {
        id: rotated_id(),
        expires_at,
        refresh: false,
    };
    let mut session = load(rotated(&[(A, 1)], Some(rotated_id())));
    assert_eq!(session.id(&rules), rotated_id());
    let unconfirmed = session.unconfirmed().expect("it may be outdated");
    session.confirm(unconfirmed, Some(Version::new(5)));
    assert_eq!(session.take_update(), Some(repeated(later(30))));

    let mut session = load(rotated(&[(A, 1)], Some(rotated_id())));
    session.confirm(unconfirmed, Some(Version::new(6)));
    assert_eq!(
        session.take_update(),
        None,
        "the session has changed meanwhile"
    );

    let mut session = load(rotated(&[(A, 1)], Some(rotated_id())));
    set(&mut session, A, 2);
    let op = plan(&mut session, &rules, later(3)).unwrap();
    assert_eq!(op.key(), Some(rotated_id().public()));
    session.apply(op, written(6)).unwrap();
    assert!(session.unconfirmed().is_some());
    assert_eq!(session.take_update(), Some(repeated(later(33))));
}

#[test]
fn a_request_that_cannot_read_the_newest_id_does_not_send_its_old_one() {
    let rules = rules();
    let mut session = load(rotated(&[(A, 1)], None));
    assert!(!session.wants_rotation(&rules, later(10)));
    set(&mut session, A, 2);
    let op = plan(&mut session, &rules, later(10)).unwrap();
    assert_eq!(op.key(), Some(rotated_id().public()));
    session.apply(op, written(2)).unwrap();
    assert_eq!(session.take_update(), None);
}

#[test]
fn a_regenerated_id_counts_as_rotated() {
    let (mut session, rules) = (loaded(&[(A, 1)]), rules());
    session.regenerate();
    let op = plan(&mut session, &rules, later(9)).unwrap();
    session.apply(op, written(1)).unwrap();
    assert!(!session.wants_rotation(&rules, later(18)));
    assert!(session.wants_rotation(&rules, later(19)));
}

#[test]
fn a_merge_with_a_rotated_session_does_not_send_the_old_id() {
    let (mut session, rules) = (loaded(&[(A, 1)]), rules());
    set(&mut session, A, 2);
    save_after(&mut session, &rules, rotated(&[(A, 1)], None)).unwrap();
    let op = plan(&mut session, &rules, NOW).unwrap();
    assert_eq!(op.key(), Some(rotated_id().public()));
    session.apply(op, written(6)).unwrap();
    assert_eq!(session.take_update(), None);
}

#[test]
fn a_refused_rotation_of_a_session_that_was_only_read_is_no_error() {
    for newer in [
        Resolution::Ended(EndReason::Destroyed),
        Resolution::Ended(EndReason::Replaced),
        Resolution::Missing,
    ] {
        let (mut session, rules) = (loaded(&[(A, 1)]), rules());
        let op = plan(&mut session, &rules, later(10)).unwrap();
        let Transition::Conflict(met) = session.apply(op, conflict()).unwrap() else {
            panic!("not a conflict");
        };
        let merged = session.merge(newer, met.covers);
        assert!(matches!(merged, Ok(Transition::Saved { left: None })));
    }
}

#[test]
fn an_update_that_repeats_an_id_is_dropped_if_the_id_is_soon_due_for_rotation() {
    let set_a: fn(&mut Lifecycle) = |session| set(session, A, 2);
    // The default grace is 30 seconds.
    let before_due = |seconds| later(10).saturating_sub(Duration::from_secs(seconds));
    for (change, now, is_sent) in [
        (set_a, before_due(31), true),
        (set_a, before_due(30), false),
        (set_a, later(10), false),
        (Lifecycle::regenerate, later(10), true),
    ] {
        let mut session = saved(change);
        session.drop_update_of_due_id(&rules(), now);
        assert_eq!(session.take_update().is_some(), is_sent, "{now:?}");
    }
}

#[test]
fn a_rotation_time_is_stored_only_if_ids_are_rotated() {
    let without = Rules::new(&SessionConfig::default(), Arc::new(SessionId::random));
    for (rules, is_stored) in [(rules(), true), (without, false)] {
        let mut session = loaded(&[]);
        session.regenerate();
        let op = plan(&mut session, &rules, NOW).unwrap();
        session.apply(op, written(1)).unwrap();
        let rotated = session.stored_value(record::ROTATED);
        assert_eq!(rotated.is_some(), is_stored);
    }
}

#[test]
fn each_rotation_draws_a_new_id() {
    let (mut session, rules) = (loaded(&[(A, 1)]), rules());
    let mut keys = vec![known_key()];
    for number in 1..4 {
        let op = plan(&mut session, &rules, later(10 * number)).unwrap();
        let Call::Move { to, .. } = op.call() else {
            panic!("{op:?}");
        };
        assert!(!keys.contains(&to), "the id of rotation {number} is spent");
        keys.push(to);
        session.apply(op, written(number)).unwrap();
    }
}

#[test]
fn a_rotation_by_another_request_drops_the_update_of_an_earlier_save() {
    let saved = || {
        let mut session = loaded(&[(A, 1)]);
        set(&mut session, A, 2);
        let op = plan(&mut session, &rules(), NOW).unwrap();
        session.apply(op, written(2)).unwrap();
        session
    };
    let rotated = || rotated(&[(A, 2)], None);
    let mut session = saved();
    set(&mut session, A, 3);
    save_after(&mut session, &rules(), rotated()).unwrap();
    assert_eq!(session.take_update(), None);

    let mut session = saved();
    session.reloaded(rotated());
    assert_eq!(session.take_update(), None);
}
