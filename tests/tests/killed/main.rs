//! Kills a process before and after each store call of a request, and checks the state that it leaves: the session from
//! before the request or the one after it, each whole, and no record that never expires.
//!
//! The process is this program, started again for one request ([`child`]). The tests of the stores prove that a single
//! call is atomic.
//!
//! The client of a killed process has no response, and still has the id that it sent. If the request has moved the
//! session to a new id, the old id has ended: the client has no session, and its requests change nothing. After a
//! rotation, the old id resolves to the session.

mod application;
mod child;
mod table;

use std::{path::Path, time::Duration};

use poem_session::{SessionId, SessionsBuilder};
use tempfile::TempDir;

use self::{
    application::{ABSOLUTE, Application, IDLE, LATER, LEASE, Request},
    child::{Ended, Point},
    table::{Data, Row},
};

/// A session of this user with this counter.
const fn session(user: u64, visits: u64) -> Data {
    Data {
        user: Some(user),
        visits,
        notice: None,
    }
}

/// The session before the request.
const BEFORE: Data = session(1, 5);

/// The sessions in a file.
#[derive(Debug, PartialEq, Eq)]
struct Left {
    /// The live sessions.
    sessions: Vec<Data>,
    /// Whether one of them has the id that the client has sent.
    is_its_own: bool,
}

/// One session under the id that the client has sent.
fn its_own(data: Data) -> Left {
    Left {
        sessions: vec![data],
        is_its_own: true,
    }
}

/// One session under another id.
fn another(data: Data) -> Left {
    Left {
        sessions: vec![data],
        is_its_own: false,
    }
}

const NOTHING: Left = Left {
    sessions: Vec::new(),
    is_its_own: false,
};

/// Kills a process at every point of this request. Each time, the file must be in one of `states`, which are in the
/// order of the request. A later point never leaves an earlier state.
async fn kill_everywhere(request: Request, states: &[Left]) {
    let mut state = 0;
    for point in Point::all() {
        let (directory, id) = prepare(request).await;
        let file = directory.path().join("sessions.db");
        let ended = child::run(&file, request, id, point);
        let left = look(&file, id, LATER).await;
        let found = states.iter().position(|state| *state == left);
        let found = found.unwrap_or_else(|| panic!("{request:?} {point:?}: {left:?}"));
        assert!(found >= state, "{request:?} {point:?}: an earlier state");
        state = found;
        if ended == Ended::Completed {
            println!("{request:?}, killed around each call: {}", point.number - 1);
            assert!(point.number > 1, "it makes no store call");
            break;
        }
        go_on(&file, request, id, &left, point).await;
    }
    assert_eq!(state, states.len() - 1, "{request:?} was not completed");
}

/// Makes a file with the session of the client. It is empty if the request creates the session.
async fn prepare(request: Request) -> (TempDir, Option<SessionId>) {
    let directory = tempfile::tempdir().expect("a directory");
    let application =
        Application::open(&directory.path().join("sessions.db"), Duration::ZERO).await;
    let mut id = None;
    if request != Request::Create {
        let reply = application.send(Request::Create, None).await;
        let cookie = reply.cookie().expect("the response sets an id");
        id = Some(cookie.value().parse().expect("an id"));
        let reply = application.send(Request::Prepare, id).await;
        assert_eq!(reply.status, 200);
    }
    application.close().await;
    (directory, id)
}

/// Reads the file, and checks that every record and every lock expires.
async fn look(file: &Path, id: Option<SessionId>, later: Duration) -> Left {
    let (now, rows) = table::read(file).await;
    let now = now.saturating_add(later);
    for row in &rows {
        let longest = if row.is_tombstone_or_forward {
            ABSOLUTE
        } else {
            IDLE
        };
        let latest = now.saturating_add(longest);
        assert!(row.expires_at <= latest, "{row:?} stays for too long");
        let locked_until = row.locked_until.unwrap_or(now);
        let latest = now.saturating_add(LEASE);
        assert!(locked_until <= latest, "{row:?} stays locked for too long");
    }
    let live = || rows.iter().filter(|row| !row.is_tombstone_or_forward);
    Left {
        sessions: live().map(|row| row.data.clone()).collect(),
        is_its_own: id.is_some_and(|id| live().any(|row| row.key == id.public())),
    }
}

/// Sends requests of the same client to a new process.
async fn go_on(file: &Path, request: Request, id: Option<SessionId>, left: &Left, point: Point) {
    let what = format!("{request:?} {point:?}");
    let application = Application::open(file, LATER).await;
    if id.is_none() {
        let reply = application.send(Request::Create, id).await;
        assert!(reply.status == 200 && reply.cookie().is_some());
        return;
    }
    // A lock of the killed process lasts no longer than its lease.
    let locked = table::read(file).await.1.iter().any(Row::is_locked);
    let mut later = LATER;
    if locked {
        let wait = |builder: SessionsBuilder| builder.lock_timeout(Duration::from_millis(100));
        let impatient = Application::build(file, LATER, wait, |store| store).await;
        let reply = impatient.send(Request::Exclusive, id).await;
        assert_eq!(reply.status, 503, "{what}");
        impatient.close().await;
        later += LEASE;
        application.pass(LEASE);
    }
    let reply = application.send(Request::Exclusive, id).await;
    if locked {
        assert_eq!(reply.status, 200, "{what}");
    }
    let read = application.send(Request::Read, id).await;
    assert_eq!(read.status, 200, "{what}");
    let change = application.send(Request::Change, id).await;
    application.close().await;
    let after = look(file, id, later).await.sessions;

    // Only a rotated id resolves to the new one.
    let is_forwarded = request == Request::Rotate;
    if !left.is_its_own && !is_forwarded {
        assert_eq!(read.body, "true", "{what}: not new");
        assert_eq!(reply.status, 409, "{what}");
        assert_eq!(change.status, 409, "{what}");
        for reply in [read, change] {
            assert_eq!(reply.cookie(), None, "{what}");
        }
        assert_eq!(after, left.sessions, "{what}: changed by an ended id");
    } else {
        assert_eq!(read.body, "false", "{what}: new");
        assert_eq!(change.status, 200, "{what}");
        let [session] = &after[..] else {
            panic!("{what}: {after:?}");
        };
        assert_eq!(session.user, Some(2), "{what}");
        let counted = left.sessions[0].visits;
        assert_eq!(session.visits, counted + 2, "{what}");
    }
}

/// Conformance 6.10
#[tokio::test]
async fn killed_at_a_create_leaves_the_whole_session_or_none() {
    kill_everywhere(Request::Create, &[NOTHING, another(session(1, 0))]).await;
}

/// Conformance 6.10
#[tokio::test]
async fn killed_at_a_change_leaves_all_changes_or_none() {
    let states = [BEFORE, session(2, 6)].map(its_own);
    kill_everywhere(Request::Change, &states).await;
}

/// Conformance 6.10
#[tokio::test]
async fn killed_after_an_early_save_leaves_its_changes() {
    let states = [BEFORE, session(2, 5), session(2, 6)].map(its_own);
    kill_everywhere(Request::SaveEarly, &states).await;
}

/// Conformance 1.11
#[tokio::test]
async fn killed_at_a_regenerate_leaves_one_live_id() {
    let states = [its_own(BEFORE), another(BEFORE)];
    kill_everywhere(Request::Regenerate, &states).await;
}

/// Conformance 1.11, 5.2
#[tokio::test]
async fn killed_at_a_sign_in_leaves_one_live_id() {
    let states = [its_own(BEFORE), another(session(7, 5))];
    kill_everywhere(Request::SignIn, &states).await;
}

/// Conformance 2.7
#[tokio::test]
async fn killed_at_a_rotation_leaves_an_old_id_that_resolves() {
    let states = [its_own(BEFORE), another(BEFORE)];
    kill_everywhere(Request::Rotate, &states).await;
}

/// Conformance 1.12
#[tokio::test]
async fn killed_at_a_reset_leaves_the_old_session_or_the_new_one() {
    let states = [its_own(BEFORE), another(Data::default())];
    kill_everywhere(Request::Reset, &states).await;
}

/// Conformance 1.9, 5.4
#[tokio::test]
async fn killed_at_a_sign_out_leaves_the_session_or_none() {
    kill_everywhere(Request::Destroy, &[its_own(BEFORE), NOTHING]).await;
}

/// Conformance 1.10
#[tokio::test]
async fn killed_at_a_sign_out_with_a_notice_leaves_the_session_or_the_notice() {
    let notice = Data {
        notice: Some("Good bye.".into()),
        ..Data::default()
    };
    let states = [its_own(BEFORE), another(notice)];
    kill_everywhere(Request::DestroyWithNotice, &states).await;
}

/// Conformance 6.10
#[tokio::test]
async fn killed_at_a_touch_leaves_the_session_unchanged() {
    kill_everywhere(Request::Read, &[its_own(BEFORE)]).await;
}

/// Conformance 2.6
#[tokio::test]
async fn killed_with_a_lock_leaves_a_lock_that_expires() {
    let states = [BEFORE, session(1, 6)].map(its_own);
    kill_everywhere(Request::Exclusive, &states).await;
}

/// Conformance 1.27
#[tokio::test]
async fn killed_at_a_revoke_leaves_the_session_or_none() {
    kill_everywhere(Request::Revoke, &[its_own(BEFORE), NOTHING]).await;
}
