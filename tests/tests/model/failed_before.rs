//! Histories that failed once, each reduced to the events that it needs.

use std::sync::Arc;

use poem_session::store::MemoryStore;

use crate::{
    Stage,
    history::{
        Cookie::{Current, Old},
        Event::{self, Begin, Fail, Finish, HoldUp, Pass, Step},
        Field::{A, Count, Flash},
        Op::{self, Save, Set},
        Visit,
    },
    play,
};

fn visit<const N: usize>(process: usize, ops: [Op; N]) -> Event {
    Begin(Visit {
        process,
        cookies: vec![Current],
        exclusive: false,
        ops: ops.to_vec(),
        status: 200,
    })
}

fn read(process: usize) -> Event {
    visit(process, [])
}

fn exclusive(process: usize) -> Event {
    match read(process) {
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

/// Plays the events on a store in memory.
macro_rules! play {
    ($($event:expr),* $(,)?) => {{
        let history = [$($event),*];
        let played = play::play(Arc::new(MemoryStore::new()), &history);
        if let Err(why) = Stage::new().block_on(played) {
            panic!("{why}");
        }
    }};
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
