//! Histories that failed once, each reduced to the events that it needs.

use std::sync::Arc;

use poem_session::store::MemoryStore;

use crate::{
    Stage,
    history::{
        Cookie::{Current, Old},
        Event::{self, Begin, Fail, Finish, HoldUp, Pass, Step},
        Field::{A, Count, Flash},
        History,
        Op::{self, Add, Lock, Save, Set, Take, Unlock},
        Visit,
    },
    play,
};

fn visit<const N: usize>(process: usize, ops: [Op; N]) -> Event {
    Begin(Visit {
        process,
        cookies: vec![Current],
        exclusive: false,
        repeats: false,
        ops: ops.to_vec(),
        status: 200,
    })
}

fn read(process: usize) -> Event {
    visit(process, [])
}

fn exclusive(process: usize) -> Event {
    exclusive_visit(process, [])
}

fn exclusive_visit<const N: usize>(process: usize, ops: [Op; N]) -> Event {
    match visit(process, ops) {
        Begin(visit) => Begin(Visit {
            exclusive: true,
            ..visit
        }),
        event => event,
    }
}

fn read_with_old_id(process: usize, cookie: usize) -> Event {
    match read(process) {
        Begin(visit) => Begin(Visit {
            cookies: vec![Old(cookie)],
            ..visit
        }),
        event => event,
    }
}

/// Plays the events on a store in memory. The clocks of the processes may be ahead.
macro_rules! play {
    (ahead: $ahead:expr; $($event:expr),* $(,)?) => {{
        let events = vec![$($event),*];
        let history = History { ahead: $ahead, events };
        let played = play::play(Arc::new(MemoryStore::new()), &history);
        if let Err(why) = Stage::new().block_on(played) {
            panic!("{why}");
        }
    }};
    ($($event:expr),* $(,)?) => {
        play! { ahead: [0, 0]; $($event),* }
    };
}

/// The rotation of an id reached the store after its lease had expired. The request repeated it on the newer
/// version, without a lock, and moved the session away from a request that had locked it.
#[test]
fn a_late_rotation_is_not_repeated_without_its_lock() {
    play! {
        visit(0, [Set(A, 1)]), Finish(0), read(0), read(0), Finish(0), read(0), Pass(3), Finish(0), read(1),
        Step(0), Step(1), Pass(1), Step(1), Step(0), Step(1), exclusive(0), Step(1), Step(1), Step(2), Step(0),
        HoldUp(1), read(0), exclusive(1), Step(3), read(0), Step(3), read(0), Finish(0), Finish(2),
    }
}

/// A request that only read lost its lock, and its rotation of the id found that the session had ended. It
/// succeeds.
#[test]
fn a_read_learns_of_the_end_of_its_session_before_it_checks_its_lock() {
    play! {
        visit(0, [Set(A, 1)]), Step(0), read(0), Finish(0), Pass(3), exclusive(1), read(0), Step(1), Finish(0),
        Finish(1), Step(0), Step(0), Step(0), read(0), Step(0), exclusive(1), read(0), Pass(2), Step(0), Step(1),
        read(0), Step(0), Pass(6), read(0), Pass(1), Pass(7), Finish(3), Pass(26),
    }
}

/// A request saved early and lost its lock. At its end its own unlock was still in progress, so it could not
/// lock the session to rotate the id.
#[test]
fn a_rotation_is_left_to_another_request_while_the_own_lock_is_released() {
    play! {
        visit(0, [Set(A, 1)]), Step(0), Step(0), Step(0), visit(0, [Save]), HoldUp(0), Step(0), Step(0),
        HoldUp(0), Step(0), Step(0), Step(0), Step(0),
    }
}

/// A rotation met the rotation by another request, and the load of the newer record failed. The response is a
/// 503 without a cookie, because the other request has sent the newer id.
#[test]
fn a_rotation_that_cannot_load_the_newer_record_fails_without_a_cookie() {
    play! {
        read(0), read(0), read(0), visit(0, [Set(Count, 2)]), Step(0), Finish(0), Step(0), read(0),
        read_with_old_id(0, 0), Step(0), Finish(0), read(0), Finish(0), visit(0, [Set(Flash, 1), Save]), Step(1),
        read(0), Finish(0), Step(0), Step(0), Step(0), Pass(5), Step(0), Finish(1), Step(0), exclusive(0),
        read(0), Fail(2), Finish(1), Step(0), Step(0), Step(0), Step(1), Step(1), read(0), Fail(1), Step(0),
        Step(0), read(0), Fail(0),
    }
}

/// A request saved early, and another one rotated the id. The last save of the first request learned of the
/// rotation, and its response sent the older id again.
#[test]
fn an_early_save_does_not_send_the_id_that_another_request_has_rotated() {
    play! {
        visit(0, [Set(A, 1)]), Finish(0), visit(0, [Set(A, 2), Save]), Step(0), Step(0), Step(0), HoldUp(0),
        read(0), Finish(1), Finish(0),
    }
}

/// The same, and a save in between was the one that learned of the rotation.
#[test]
fn a_later_save_does_not_confirm_the_id_that_another_request_has_rotated() {
    play! {
        visit(0, [Set(A, 1)]), Finish(0), visit(0, [Set(A, 2), Save, Save]), Step(0), Step(0), read(1), Step(0),
        Step(0), Pass(5), Finish(1), Finish(0),
    }
}

/// An exclusive request has only read the session, and is to rotate its id. Its lock was taken over, and the store fails
/// when it asks whether it still holds the lock.
#[test]
fn a_request_that_has_only_read_a_session_does_not_fail_with_its_lock() {
    play! {
        visit(0, [Set(A, 1)]), Finish(0), exclusive(0), exclusive(1), HoldUp(1), Step(0), HoldUp(0), Step(0), Fail(0),
    }
}

/// An exclusive request changed a value to the loaded one, and was to rotate the id. It had lost its lock, and met
/// a newer record. It was acknowledged, although its change was not made to the newer value.
#[test]
fn a_change_to_the_loaded_value_is_refused_when_the_lock_is_lost() {
    play! {
        visit(0, [Add(1)]), Finish(0), Pass(4),
        exclusive_visit(0, [Take(Count), Add(1)]), Step(0), Step(0), Step(0), Step(0), Step(0), Step(0),
        visit(0, [Set(Count, 2)]), Finish(1), Step(0), HoldUp(0),
    }
}

/// A handler dropped its lock before it had saved its changes, and the lease expired. Then it could not lock the
/// session again: its own lock was in the way.
#[test]
fn a_request_locks_its_session_again_after_its_lock_has_expired() {
    play! {
        visit(0, [Set(A, 1)]), Finish(0), visit(0, [Lock, Set(A, 2), Unlock, Lock]), Step(0), Step(0), Step(0),
        Step(0), Step(0), Step(0), Step(0), Pass(8), Finish(0),
    }
}

/// A handler dropped its lock after the lease had expired, and then saved its changes.
#[test]
fn changes_made_with_a_lock_that_has_expired_are_refused() {
    play! {
        visit(0, [Set(A, 1)]), Finish(0), visit(0, [Lock, Set(A, 2)]), Step(0), Step(0), Step(0),
        Step(0), Step(0), Step(0), Step(0), visit(1, [Lock, Set(A, 3)]), HoldUp(1), Finish(0),
    }
}

/// A request locked the session to rotate its id. The clock of another process was ahead, so that an exclusive
/// request took over the lease. The rotation met a newer version, was repeated on it, and moved the session away.
#[test]
fn a_rotation_is_not_repeated_after_another_clock_has_ended_its_lock() {
    play! {
        ahead: [0, 6];
        visit(0, [Set(A, 1)]), Finish(0), Pass(4), read(0), Step(0), Step(0), Step(0), Step(0), Step(0), Pass(3),
        exclusive(1), Step(1), Step(1), Step(1), Step(1), Step(1), Step(1), Finish(0), Finish(0),
    }
}
