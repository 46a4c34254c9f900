//! Reading the state of a session.

use super::*;

#[test]
fn a_stored_session_has_the_id_and_the_key_under_which_it_was_found() {
    let newer = rotated_id();
    for (resolution, id, key) in [
        (live(&[], 1), known_id(), known_key()),
        (rotated(&[], None), known_id(), newer.public()),
        (rotated(&[], Some(newer)), newer, newer.public()),
    ] {
        let mut session = load(resolution);
        assert_eq!(session.id(&rules()), id);
        assert_eq!(session.public_id(&rules()), key);
        assert_eq!(session.stored_key(), Some(key));
    }
}

#[test]
fn a_session_has_moved_if_this_request_gave_it_a_new_id_or_ended_it() {
    for (session, has_moved) in [
        (loaded(&[]), false),
        (load(rotated(&[], None)), false),
        (load(Resolution::Ended(EndReason::Replaced)), false),
        (saved(Lifecycle::regenerate), true),
        (saved(Lifecycle::destroy), true),
    ] {
        assert_eq!(session.has_moved_from(known_key()), has_moved);
    }
}

#[test]
fn a_session_that_another_request_ended_has_ended() {
    for (session, has_ended) in [
        (Lifecycle::default(), false),
        (loaded(&[]), false),
        (saved(Lifecycle::destroy), false),
        (load(Resolution::Ended(EndReason::Replaced)), true),
        (
            saved(|session| session.found_ended(EndReason::Destroyed)),
            true,
        ),
    ] {
        assert_eq!(session.has_ended(), has_ended);
    }
}

#[test]
fn a_request_has_presented_a_live_session_if_its_id_was_found() {
    for (session, has_presented) in [
        (Lifecycle::default(), false),
        (load(Resolution::Missing), false),
        (load(Resolution::Ended(EndReason::Destroyed)), false),
        (loaded(&[]), true),
        (saved(Lifecycle::destroy), true),
    ] {
        assert_eq!(session.has_presented_live(), has_presented);
    }
}

#[test]
fn a_request_is_in_the_phase_that_was_set_last() {
    let mut session = Lifecycle::default();
    assert_eq!(session.phase(), Phase::Handling);
    for phase in [Phase::Finishing, Phase::Answered] {
        session.set_phase(phase);
        assert_eq!(session.phase(), phase);
    }
}

/// Conformance 1.5
#[test]
fn the_expiry_counts_the_changes_and_the_use_so_far() {
    type Change = fn(&mut Lifecycle);
    fn set_idle(session: &mut Lifecycle, minutes: u64) {
        let timeout = Duration::from_mins(minutes);
        session.set_idle_timeout(timeout, &rules()).unwrap();
    }
    let second = Duration::from_secs(1);
    let changes: [(Change, Timestamp, Timestamp); 8] = [
        (|_| (), later(2), later(30)),
        (|_| (), later(3), later(33)),
        (|session| set(session, A, 1), later(2), later(30)),
        (|session| set(session, A, 2), later(2), later(30)),
        (|session| set(session, A, 2), later(3), later(33)),
        (Lifecycle::regenerate, later(2), later(32)),
        (
            |session| set_idle(session, 0),
            later(2),
            later(2).saturating_add(second),
        ),
        (|session| set_idle(session, 60), later(2), later(62)),
    ];
    for (case, (change, now, expected)) in changes.into_iter().enumerate() {
        let mut session = loaded(&[(A, 1)]);
        change(&mut session);
        let expires_at = session.expires_at(&rules(), now);
        assert_eq!(expires_at, Some(expected), "case {case}");
    }
    assert_eq!(Lifecycle::default().expires_at(&rules(), NOW), None);
}
