//! Changes that meet the changes of another request.

use proptest::prelude::*;

use super::*;

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
fn a_set_to_the_loaded_value_replaces_the_change_of_another_request() {
    let (mut session, rules) = (loaded(&[(A, 7)]), rules());
    set(&mut session, A, 7);
    set(&mut session, B, 1);
    let merged = save_after(&mut session, &rules, live(&[(A, 8)], 2));
    assert!(matches!(merged, Ok(Transition::Retry)));
    let op = plan(&mut session, &rules, NOW).unwrap();
    let mut merged = replaced(&op);
    merged.sort();
    assert_eq!(merged, [pair(A, 7), pair(B, 1)]);
}

#[test]
fn a_take_removes_the_value_and_keeps_a_newer_one() {
    for newer in [1, 2] {
        let (mut session, rules) = (loaded(&[(A, 1)]), rules());
        session.take(A);
        assert_eq!(session.value(A), None);
        save_after(&mut session, &rules, live(&[(A, newer)], 2)).unwrap();
        rerun(&mut session);
        let kept = (newer != 1).then(|| bytes(newer));
        assert_eq!(session.value(A), kept);
    }
}

#[test]
fn an_edit_of_a_field_that_another_request_has_changed_is_refused() {
    let (mut session, rules) = (loaded(&[(A, 1)]), rules());
    let seen = session.stored_value(A);
    session.edit(A, Some(bytes(2)), seen, &rules).unwrap();
    let other_field = save_after(&mut session, &rules, live(&[(A, 1), (B, 7)], 2));
    assert!(matches!(other_field, Ok(Transition::Retry)));
    let same_field = save_after(&mut session, &rules, live(&[(A, 3)], 3));
    assert!(matches!(same_field, Ok(Transition::Retry)));
    let refused = session.plan(&rules, NOW, false).unwrap_err();
    assert!(matches!(refused, SaveError::Conflict { key: "ns.a" }));
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
        let op = session.plan(&rules, NOW, false).unwrap();
        let own: Vec<(Field, Option<Bytes>)> = session
            .changes
            .values()
            .map(|(field, value)| (field, value.cloned()))
            .collect();
        if let Some(op) = op {
            let applied = session.apply(op, conflict()).unwrap();
            let Transition::Conflict(conflict) = applied else {
                panic!("not a conflict");
            };
            session.merge(resolution(&newer, 2), conflict.covers).unwrap();
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
