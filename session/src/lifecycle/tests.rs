//! The state machine without a store: each test plays the part of the store, or of another request.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use proptest::prelude::*;

use super::{
    op::{Call, Reply},
    *,
};
use crate::{config::SessionConfig, error::SaveError, record::RecordKind, store::Stored};

const A: Field = Field::new("ns.a");
const B: Field = Field::new("ns.b");
const COUNT: Field = Field::new("ns.count");
const NOTICE: Field = Field::new("ns.notice").with_flash();

const NOW: Timestamp = Timestamp::from_millis(1_000_000);

fn later(minutes: u64) -> Timestamp {
    NOW.saturating_add(Duration::from_mins(minutes))
}

/// The default rules, with ids that rotate after ten minutes, and that are numbered.
fn rules() -> Rules {
    let config = SessionConfig {
        rotate_every: Some(Duration::from_mins(10)),
        ..SessionConfig::default()
    };
    let number = AtomicU64::new(0);
    let new_id = move || id(number.fetch_add(1, Ordering::Relaxed));
    Rules::new(&config, Arc::new(new_id))
}

fn id(number: u64) -> SessionId {
    SessionId::parse(format!("{number:032}")).unwrap()
}

fn bytes(n: u8) -> Bytes {
    Bytes::from(vec![n])
}

/// A record that was created at `NOW`.
fn record(values: &[(Field, u8)]) -> Record {
    let created = record::number(NOW.as_millis());
    let values: Vec<_> = values.iter().map(|(f, n)| (*f, bytes(*n))).collect();
    let values = values.iter().map(|(field, value)| (*field, Some(value)));
    Record::empty().with(values.chain([(record::CREATED, Some(&created))]))
}

fn stored(record: &Record, version: u64) -> Loaded {
    Loaded {
        key: known_key(),
        record: record.clone(),
        version: Version::new(version),
        expires_at: later(30),
    }
}

fn live(values: &[(Field, u8)], version: u64) -> Resolution {
    Resolution::Live(stored(&record(values), version))
}

/// The id under which the tests load a session.
fn known_id() -> SessionId {
    id(100)
}

fn known_key() -> PublicId {
    known_id().public()
}

fn cookie() -> Presented {
    Presented {
        id: known_id(),
        replaceable: true,
    }
}

fn load(resolution: Resolution) -> Lifecycle {
    let mut session = Lifecycle::default();
    session.loaded(cookie(), known_key(), resolution);
    session
}

fn loaded(values: &[(Field, u8)]) -> Lifecycle {
    load(live(values, 1))
}

fn set(session: &mut Lifecycle, field: Field, n: u8) {
    session.put(field, Some(bytes(n)), &rules()).unwrap();
}

fn add(session: &mut Lifecycle, n: u8) {
    let mut updater: Updater =
        Box::new(move |value| Ok(Some(bytes(value.map_or(0, |v| v[0]) + n))));
    let before = session.value(COUNT);
    let after = updater(before.as_ref()).unwrap();
    let updated = session.update(COUNT, before.as_ref(), after, updater, &rules());
    assert!(updated.unwrap().is_none());
}

fn rerun(session: &mut Lifecycle) {
    while let Some((field, mut updaters, start)) = session.take_stale() {
        let value = updaters
            .iter_mut()
            .try_fold(start, |value, (_, updater)| updater(value.as_ref()))
            .unwrap();
        session.put_back(field, updaters, Some(value));
    }
}

fn plan(session: &mut Lifecycle, rules: &Rules, now: Timestamp) -> Option<WriteOp> {
    session.plan(rules, now, true).unwrap()
}

fn written(version: u64) -> Reply {
    Reply::Written(Version::new(version))
}

fn conflict() -> Reply {
    Reply::Conflict(Stored {
        data: Bytes::new(),
        version: Version::new(9),
        expires_at: later(30),
    })
}

/// The values of a write.
fn values(write: &crate::store::Write) -> Vec<(String, u8)> {
    match RecordKind::parse(write.data.clone()).unwrap() {
        RecordKind::Live(record) => record
            .data()
            .map(|entry| {
                (
                    String::from_utf8(entry.key.to_vec()).unwrap(),
                    entry.value[0],
                )
            })
            .collect(),
        other => panic!("not a session: {other:?}"),
    }
}

fn replaced(op: &WriteOp) -> Vec<(String, u8)> {
    match op.call() {
        Call::Replace { write, .. } => values(&write),
        call => panic!("not a replace: {call:?}"),
    }
}

fn is_tombstone(write: &crate::store::Write, reason: EndReason) -> bool {
    let parsed = RecordKind::parse(write.data.clone()).unwrap();
    matches!(parsed, RecordKind::Ended(found) if found == reason)
}

fn pair(field: Field, n: u8) -> (String, u8) {
    (field.name().to_owned(), n)
}

/// Saves the planned write after another request has stored `newer` first.
fn save_after(
    session: &mut Lifecycle,
    rules: &Rules,
    newer: Resolution,
) -> Result<Transition, SaveError> {
    let op = plan(session, rules, NOW).expect("something to save");
    match session.apply(op, conflict())? {
        Transition::Conflict { covers, .. } => session.merge(newer, covers),
        other => panic!("not a conflict: {other:?}"),
    }
}

#[test]
fn a_visitor_who_changes_nothing_is_not_stored() {
    let mut session = Lifecycle::default();
    assert!(!session.needs_save(&rules(), NOW));
    assert!(plan(&mut session, &rules(), NOW).is_none());
    assert_eq!(session.take_update(), None);
    assert!(session.is_new());
}

#[test]
fn a_new_session_is_created_under_the_id_that_was_announced() {
    let (mut session, rules) = (Lifecycle::default(), rules());
    set(&mut session, A, 1);
    let id = session.id(&rules);
    let op = plan(&mut session, &rules, NOW).unwrap();
    let Call::Create { key, write } = op.call() else {
        panic!("{op:?}");
    };
    assert_eq!(key, id.public());
    assert_eq!(values(&write), [pair(A, 1)]);
    assert_eq!(write.expires_at, later(30));
    session.apply(op, written(1)).unwrap();
    let expected = ClientUpdate::SetId {
        id,
        expires_at: later(30),
        refresh: false,
    };
    assert_eq!(session.take_update(), Some(expected));
    assert!(!session.needs_save(&rules, NOW));
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
    assert!(!session.needs_save(&rules(), NOW));
}

#[test]
fn a_merge_keeps_the_fields_of_both_requests() {
    let (mut session, rules) = (loaded(&[(A, 1)]), rules());
    set(&mut session, A, 2);
    let merged = save_after(&mut session, &rules, live(&[(A, 1), (B, 7)], 2));
    assert!(matches!(merged, Ok(Transition::Retry)));
    let op = plan(&mut session, &rules, NOW).unwrap();
    let mut merged = replaced(&op);
    merged.sort();
    assert_eq!(merged, [pair(A, 2), pair(B, 7)]);
    assert!(matches!(op.call(), Call::Replace { version, .. } if version == Version::new(2)));
}

#[test]
fn updates_run_again_on_the_newer_value() {
    let (mut session, rules) = (loaded(&[(COUNT, 1)]), rules());
    add(&mut session, 1);
    add(&mut session, 2);
    let merged = save_after(&mut session, &rules, live(&[(COUNT, 10)], 2));
    assert!(matches!(merged, Ok(Transition::Retry)));
    rerun(&mut session);
    let op = plan(&mut session, &rules, NOW).unwrap();
    assert_eq!(replaced(&op), [pair(COUNT, 13)]);
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
            assert!(matches!(again, Err(SaveError::Ended)), "{again:?}");

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
    assert_eq!(write.expires_at, NOW.saturating_add(rules.retired_for));
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
            session.write_failed(&op);
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
    let forward = RecordKind::parse(leave.data.clone()).unwrap();
    let grace = rules.rotation.unwrap().grace;
    let expected = later(10).saturating_add(grace);
    assert!(
        matches!(forward, RecordKind::Forward { to: key, until } if key == to && until == expected)
    );
    assert_eq!(
        leave.expires_at, write.expires_at,
        "kept as long as the session"
    );
    session.apply(op, written(1)).unwrap();
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
    let bearer = Presented {
        replaceable: false,
        ..cookie()
    };
    session.loaded(bearer, known_key(), live(&[], 1));
    assert!(!session.wants_rotation(&rules, later(10)));
}

#[test]
fn a_request_that_arrives_by_a_forward_does_not_send_its_old_id() {
    let rules = rules();
    let mut session = Lifecycle::default();
    session.loaded(cookie(), known_key(), {
        let mut newer = stored(&record(&[(A, 1)]), 1);
        newer.key = id(200).public();
        Resolution::Live(newer)
    });
    assert!(!session.wants_rotation(&rules, later(10)));
    set(&mut session, A, 2);
    let op = plan(&mut session, &rules, later(10)).unwrap();
    assert_eq!(op.key(), Some(id(200).public()));
    session.apply(op, written(2)).unwrap();
    assert_eq!(session.take_update(), None);
}

#[test]
fn a_merge_with_a_rotated_session_does_not_send_the_old_id() {
    let (mut session, rules) = (loaded(&[(A, 1)]), rules());
    set(&mut session, A, 2);
    let mut newer = stored(&record(&[(A, 1)]), 5);
    newer.key = id(200).public();
    save_after(&mut session, &rules, Resolution::Live(newer)).unwrap();
    let op = plan(&mut session, &rules, NOW).unwrap();
    assert_eq!(op.key(), Some(id(200).public()));
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
        let Transition::Conflict { covers, .. } = session.apply(op, conflict()).unwrap() else {
            panic!("not a conflict");
        };
        let merged = session.merge(newer, covers);
        assert!(matches!(merged, Ok(Transition::Saved { left: None })));
    }
}

#[test]
fn a_touch_moves_the_expiry_and_refreshes_the_id() {
    let (mut session, rules) = (loaded(&[(A, 1)]), rules());
    assert!(plan(&mut session, &rules, later(2)).is_none());
    let op = plan(&mut session, &rules, later(3)).unwrap();
    assert!(op.is_touch());
    session.apply(op, written(1)).unwrap();
    let expected = ClientUpdate::SetId {
        id: known_id(),
        expires_at: later(33),
        refresh: true,
    };
    assert_eq!(session.take_update(), Some(expected));

    let mut session = loaded(&[(A, 1)]);
    let op = plan(&mut session, &rules, later(3)).unwrap();
    session.apply(op, Reply::Gone).unwrap();
    assert_eq!(session.take_update(), None, "another request wrote first");
}

#[test]
fn a_refresh_of_an_earlier_save_is_dropped_if_the_record_has_changed() {
    for (version, is_sent) in [(Some(2), true), (Some(3), false), (None, false)] {
        let (mut session, rules) = (loaded(&[(A, 1)]), rules());
        set(&mut session, A, 2);
        let op = plan(&mut session, &rules, NOW).unwrap();
        session.apply(op, written(2)).unwrap();
        let unconfirmed = session.unconfirmed().expect("a refresh is pending");
        session.confirm(unconfirmed, version.map(Version::new));
        assert_eq!(session.take_update().is_some(), is_sent, "{version:?}");
    }
}

#[test]
fn a_refresh_of_an_id_that_is_due_for_rotation_is_dropped() {
    let (mut session, rules) = (loaded(&[(A, 1)]), rules());
    set(&mut session, A, 2);
    let op = plan(&mut session, &rules, later(9)).unwrap();
    session.apply(op, written(2)).unwrap();
    session.drop_refresh_of_due_id(&rules, later(10));
    assert_eq!(session.take_update(), None);
}

#[test]
fn after_the_response_no_write_may_need_a_new_id() {
    type Change = fn(&mut Lifecycle);
    let changes: [Change; 3] = [
        |session| session.regenerate(),
        |session| session.reset(),
        |session| {
            session.destroy();
            set(session, A, 1);
        },
    ];
    for change in changes {
        let mut session = loaded(&[(A, 1)]);
        session.set_phase(Phase::Answered);
        change(&mut session);
        let planned = session.plan(&rules(), NOW, true);
        assert!(matches!(planned, Err(SaveError::ResponseSent)));
    }
    let mut session = loaded(&[(A, 1)]);
    session.set_phase(Phase::Answered);
    set(&mut session, A, 2);
    assert!(plan(&mut session, &rules(), NOW).is_some());
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
fn a_record_past_its_absolute_deadline_is_missing() {
    let config = SessionConfig {
        absolute_timeout: Some(Duration::from_mins(60)),
        ..SessionConfig::default()
    };
    let rules = Rules::new(&config, Arc::new(SessionId::random));
    let at = |minutes| live(&[], 1).within_deadline(&rules, later(minutes));
    assert!(matches!(at(59), Resolution::Live(_)));
    assert!(matches!(at(60), Resolution::Missing));
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

/// A change of one request.
#[derive(Debug, Clone, Copy)]
enum Step {
    Set(Field, u8),
    Remove(Field),
    Add(u8),
}

fn step() -> impl Strategy<Value = Step> {
    let field = prop_oneof![Just(A), Just(B)];
    prop_oneof![
        (field.clone(), 1..9u8).prop_map(|(field, n)| Step::Set(field, n)),
        field.prop_map(Step::Remove),
        (1..4u8).prop_map(Step::Add),
    ]
}

fn perform(session: &mut Lifecycle, steps: &[Step]) {
    for step in steps {
        match *step {
            Step::Set(field, n) => set(session, field, n),
            Step::Remove(field) => session.put(field, None, &rules()).unwrap(),
            Step::Add(n) => add(session, n),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        rng_seed: proptest::test_runner::RngSeed::Fixed(1),
        ..ProptestConfig::default()
    })]

    /// Two requests load the same record, and the second saves after the first. Each field that only one of them
    /// has changed has the value of that one, a field that the second has set has its value, and the counter
    /// has the increments of both.
    #[test]
    fn the_changes_of_two_requests_are_merged(
        first in proptest::collection::vec(step(), 0..6),
        second in proptest::collection::vec(step(), 0..6),
    ) {
        let rules = rules();
        let start = record(&[(A, 20), (COUNT, 1)]);
        let resolution = |record: &Record, version| Resolution::Live(stored(record, version));
        let mut other = load(resolution(&start, 1));
        perform(&mut other, &first);
        let newer = start.with(other.changes.values());

        let mut session = load(resolution(&start, 1));
        perform(&mut session, &second);
        let own: Vec<(Field, Option<Bytes>)> = session
            .changes
            .values()
            .map(|(field, value)| (field, value.cloned()))
            .collect();
        if let Some(op) = session.plan(&rules, NOW, false).unwrap() {
            let applied = session.apply(op, conflict()).unwrap();
            let Transition::Conflict { covers, .. } = applied else {
                panic!("not a conflict");
            };
            session.merge(resolution(&newer, 2), covers).unwrap();
            rerun(&mut session);
        }
        let merged = newer.with(session.changes.values());
        for field in [A, B] {
            let expected = match own.iter().find(|(changed, _)| *changed == field) {
                Some((_, value)) => value.clone(),
                None => newer.get(field),
            };
            prop_assert_eq!(merged.get(field), expected, "{}", field.name());
        }
        let added = |steps: &[Step]| -> u8 {
            let amounts = steps.iter().map(|step| match step {
                Step::Add(n) => *n,
                Step::Set(..) | Step::Remove(_) => 0,
            });
            amounts.sum()
        };
        let count = 1 + added(&first) + added(&second);
        prop_assert_eq!(merged.get(COUNT), Some(bytes(count)));
    }
}
