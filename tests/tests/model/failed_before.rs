//! Histories that failed once, each as short as it still failed.

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

fn visit<const N: usize>(process: usize, cookie: crate::history::Cookie, ops: [Op; N]) -> Visit {
    Visit {
        process,
        cookie,
        exclusive: false,
        ops: ops.to_vec(),
        status: 200,
    }
}

impl Visit {
    fn exclusive(self) -> Self {
        Self {
            exclusive: true,
            ..self
        }
    }
}

/// Plays one history on a store in memory.
fn plays(history: &[Event]) {
    let played = play::play(Arc::new(MemoryStore::new()), history);
    if let Err(why) = Stage::new().block_on(played) {
        panic!("the model cannot explain it:\n{why}");
    }
}

/// The renewal of an id reached the store after its lease had run out. It was tried again on the newer version,
/// without a lock, and moved the session away from a request that had locked it.
#[test]
fn a_late_renewal_is_not_repeated_without_its_lock() {
    plays(&[
        Begin(visit(0, Current, [Set(A, 1)])),
        Finish(0),
        Begin(visit(0, Current, [])),
        Begin(visit(0, Current, [])),
        Finish(0),
        Begin(visit(0, Current, [])),
        Pass(3),
        Finish(0),
        Begin(visit(1, Current, [])),
        Step(0),
        Step(1),
        Pass(1),
        Step(1),
        Step(0),
        Step(1),
        Begin(visit(0, Current, []).exclusive()),
        Step(1),
        Step(1),
        Step(2),
        Step(0),
        HoldUp(1),
        Begin(visit(0, Current, [])),
        Begin(visit(1, Current, []).exclusive()),
        Step(3),
        Begin(visit(0, Current, [])),
        Step(3),
        Begin(visit(0, Current, [])),
        Finish(0),
        Finish(2),
    ]);
}

/// A request that only read lost its lock, and its renewal of the id found that the session had ended. It
/// succeeds.
#[test]
fn a_read_learns_of_the_end_of_its_session_before_it_looks_at_its_lock() {
    plays(&[
        Begin(visit(0, Current, [Set(A, 1)])),
        Step(0),
        Begin(visit(0, Current, [])),
        Finish(0),
        Pass(3),
        Begin(visit(1, Current, []).exclusive()),
        Begin(visit(0, Current, [])),
        Step(1),
        Finish(0),
        Finish(1),
        Step(0),
        Step(0),
        Step(0),
        Begin(visit(0, Current, [])),
        Step(0),
        Begin(visit(1, Current, []).exclusive()),
        Begin(visit(0, Current, [])),
        Pass(2),
        Step(0),
        Step(1),
        Begin(visit(0, Current, [])),
        Step(0),
        Pass(6),
        Begin(visit(0, Current, [])),
        Pass(1),
        Pass(7),
        Finish(3),
        Pass(26),
    ]);
}

/// A request saved early and lost its lock. At its end its own unlock was still under way, so it could not lock
/// the session to renew the id.
#[test]
fn a_renewal_is_left_to_another_request_while_the_own_lock_is_given_back() {
    plays(&[
        Begin(visit(0, Current, [Set(A, 1)])),
        Step(0),
        Step(0),
        Step(0),
        Begin(visit(0, Current, [Save])),
        HoldUp(0),
        Step(0),
        Step(0),
        HoldUp(0),
        Step(0),
        Step(0),
        Step(0),
        Step(0),
    ]);
}

/// A renewal met the renewal by another request, and the load of the newer record failed. The response is a 503
/// without a cookie: the cookie of the request that was first is the newer one.
#[test]
fn a_renewal_that_cannot_load_the_newer_record_fails_without_a_cookie() {
    plays(&[
        Begin(visit(0, Current, [])),
        Begin(visit(0, Current, [])),
        Begin(visit(0, Current, [])),
        Begin(visit(0, Current, [Set(Count, 2)])),
        Step(0),
        Finish(0),
        Step(0),
        Begin(visit(0, Current, [])),
        Begin(visit(0, Old(0), [])),
        Step(0),
        Finish(0),
        Begin(visit(0, Current, [])),
        Finish(0),
        Begin(visit(0, Current, [Set(Flash, 1), Save])),
        Step(1),
        Begin(visit(0, Current, [])),
        Finish(0),
        Step(0),
        Step(0),
        Step(0),
        Pass(5),
        Step(0),
        Finish(1),
        Step(0),
        Begin(visit(0, Current, []).exclusive()),
        Begin(visit(0, Current, [])),
        Fail(2),
        Finish(1),
        Step(0),
        Step(0),
        Step(0),
        Step(1),
        Step(1),
        Begin(visit(0, Current, [])),
        Fail(1),
        Step(0),
        Step(0),
        Begin(visit(0, Current, [])),
        Fail(0),
    ]);
}
