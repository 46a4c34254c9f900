//! The standing of a session: the class of its writes, and the timeout of a session of flash values alone.

use super::*;
use crate::store::{RecordClass, Write};

/// The write of the next save. Applies it.
fn saved(session: &mut Lifecycle) -> Write {
    let op = plan(session, &rules(), NOW).expect("something to save");
    let write = match op.call() {
        Call::Create { write, .. } | Call::Replace { write, .. } | Call::Move { write, .. } => {
            write
        }
        call @ Call::Touch { .. } => panic!("{call:?}"),
    };
    session.apply(op, written(1)).expect("it is applied");
    write
}

/// The class of a write, and the minutes until it expires.
fn of(write: &Write) -> (RecordClass, u64) {
    let millis = write.expires_at.saturating_since(NOW).as_millis();
    (write.class, u64::try_from(millis).unwrap() / 60_000)
}

use RecordClass::{Anonymous, Established, Retired};

#[test]
fn a_session_of_flash_values_alone_expires_early_until_it_has_held_another_value() {
    let mut session = Lifecycle::default();
    set(&mut session, NOTICE, 1);
    assert_eq!(of(&saved(&mut session)), (Anonymous, 5));
    session.take(NOTICE);
    assert_eq!(session.expires_at(&rules(), NOW), Some(later(5)));
    assert_eq!(of(&saved(&mut session)), (Anonymous, 5));
    set(&mut session, NOTICE, 2);
    session.regenerate();
    assert_eq!(of(&saved(&mut session)), (Anonymous, 5), "a failed sign-in");

    set(&mut session, A, 1);
    assert_eq!(session.expires_at(&rules(), NOW), Some(later(30)));
    assert_eq!(of(&saved(&mut session)), (Anonymous, 30));
    session.put(A, None, &rules()).unwrap();
    set(&mut session, NOTICE, 3);
    assert_eq!(of(&saved(&mut session)), (Anonymous, 30));
}

#[test]
fn a_session_of_flash_values_alone_is_touched_by_its_own_timeout() {
    let mut session = Lifecycle::default();
    set(&mut session, NOTICE, 1);
    saved(&mut session);
    assert!(plan(&mut session, &rules(), NOW).is_none());
    let op = plan(&mut session, &rules(), later(1)).expect("a tenth of it has passed");
    let Call::Touch { expires_at, .. } = op.call() else {
        panic!("{op:?}");
    };
    assert_eq!(expires_at, later(6));
}

#[test]
fn an_idle_timeout_of_its_own_does_not_prolong_a_session_of_flash_values_alone() {
    for (minutes, expected) in [(1, 1), (120, 5)] {
        let mut session = Lifecycle::default();
        set(&mut session, NOTICE, 1);
        let timeout = Duration::from_mins(minutes);
        session.set_idle_timeout(timeout, &rules()).unwrap();
        assert_eq!(of(&saved(&mut session)), (Anonymous, expected));
        set(&mut session, A, 1);
        assert_eq!(of(&saved(&mut session)), (Anonymous, minutes));
    }
}

#[test]
fn a_session_is_established_by_a_new_id_that_its_handler_asks_for() {
    let asks: [fn(&mut Lifecycle); 2] = [Lifecycle::regenerate, |session| {
        session.reset();
        set(session, A, 1);
    }];
    for ask in asks {
        let mut session = loaded(&[(A, 1)]);
        set(&mut session, B, 1);
        assert_eq!(of(&saved(&mut session)), (Anonymous, 30));
        ask(&mut session);
        assert_eq!(of(&saved(&mut session)), (Established, 30));
        set(&mut session, B, 2);
        assert_eq!(of(&saved(&mut session)), (Established, 30), "it stays so");
        session.put(A, None, &rules()).unwrap();
        session.put(B, None, &rules()).unwrap();
        assert_eq!(of(&saved(&mut session)), (Established, 30));
    }
    // The first request of a visitor signs in.
    let mut session = Lifecycle::default();
    set(&mut session, A, 1);
    session.regenerate();
    assert_eq!(of(&saved(&mut session)), (Established, 30));
}

#[test]
fn a_new_id_without_data_or_by_the_schedule_establishes_no_session() {
    let mut session = Lifecycle::default();
    session.reset();
    assert_eq!(of(&saved(&mut session)), (Anonymous, 30));
    session.regenerate();
    assert_eq!(of(&saved(&mut session)), (Anonymous, 30));

    let mut session = loaded(&[(A, 1)]);
    let op = plan(&mut session, &rules(), later(10)).expect("the id is due");
    let Call::Move { write, leave, .. } = op.call() else {
        panic!("{op:?}");
    };
    assert_eq!((write.class, leave.class), (Anonymous, Retired));
}

#[test]
fn a_session_that_begins_after_a_sign_out_is_a_new_one() {
    let mut session = loaded(&[(A, 1)]);
    session.regenerate();
    assert_eq!(of(&saved(&mut session)), (Established, 30));
    session.destroy();
    set(&mut session, NOTICE, 1);
    assert_eq!(of(&saved(&mut session)), (Anonymous, 5));
    session.destroy();
    set(&mut session, A, 1);
    assert_eq!(of(&saved(&mut session)), (Anonymous, 30));
}

#[test]
fn tombstones_are_retired_records() {
    for end in [Lifecycle::destroy, Lifecycle::regenerate] {
        let mut session = loaded(&[(A, 1)]);
        end(&mut session);
        let op = plan(&mut session, &rules(), NOW).unwrap();
        let tombstone = match op.call() {
            Call::Replace { write, .. } => write,
            Call::Move { leave, .. } => leave,
            call => panic!("{call:?}"),
        };
        assert_eq!(tombstone.class, Retired);
    }
}
