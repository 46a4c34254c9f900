//! The update that the client is sent.

use super::*;

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
    assert_eq!(session.due(&rules, NOW, false), Due::Nothing);
}

#[test]
fn a_refresh_of_an_earlier_save_is_dropped_if_the_record_has_changed() {
    for (version, is_sent) in [(Some(2), true), (Some(3), false), (None, false)] {
        let (mut session, rules) = (loaded(&[(A, 1)]), rules());
        set(&mut session, A, 2);
        let op = plan(&mut session, &rules, later(3)).unwrap();
        session.apply(op, written(2)).unwrap();
        let unconfirmed = session.unconfirmed().expect("a refresh is pending");
        session.confirm(unconfirmed, version.map(Version::new));
        assert_eq!(session.take_update().is_some(), is_sent, "{version:?}");
    }
}

#[test]
fn an_id_that_the_client_has_not_been_sent_needs_no_confirmation() {
    for session in [loaded(&[]), saved(Lifecycle::regenerate)] {
        assert_eq!(session.unconfirmed(), None);
    }
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
fn a_touch_moves_the_expiry_and_refreshes_the_id() {
    let (mut session, rules) = (loaded(&[(A, 1)]), rules());
    assert!(plan(&mut session, &rules, later(2)).is_none());
    let op = plan(&mut session, &rules, later(3)).unwrap();
    assert!(op.is_touch());
    session.apply(op, written(1)).unwrap();
    assert!(plan(&mut session, &rules, later(3)).is_none());
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
fn a_refused_write_drops_the_update_of_an_earlier_save() {
    for newer in [
        Resolution::Ended(EndReason::Destroyed),
        Resolution::Ended(EndReason::Replaced),
        Resolution::Missing,
    ] {
        let (mut session, rules) = (loaded(&[(A, 1)]), rules());
        set(&mut session, A, 2);
        let op = plan(&mut session, &rules, NOW).unwrap();
        session.apply(op, written(2)).unwrap();
        set(&mut session, A, 3);
        let merged = save_after(&mut session, &rules, newer);
        assert!(matches!(merged, Err(SaveError::Ended)));
        assert_eq!(session.take_update(), None);
    }
}
