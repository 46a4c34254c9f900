//! A process that is killed while it serves a request: before or after any call of the store. What it leaves
//! behind is the session as it was or as it was to be, whole, and nothing that stays for ever.
//!
//! The process is this program, run once more for a single request ([`child`]). Its file is then opened
//! by this one. That a call itself is done or not done is shown elsewhere, with the stores.
//!
//! The client of a killed process has no answer, and still holds the id it came with. Where the request was
//! to give it another one and was done with that, the old one is dead all the same: that is what a new
//! id at sign-in is for. The client is then a stranger, its session ends unused, and nothing that it
//! does with the old id has an effect. After a renewal on schedule the old id leads on.

mod application;
mod child;
mod table;

use std::{path::Path, time::Duration};

use poem::http::StatusCode;
use poem_session::SessionId;
use tempfile::TempDir;

use self::{
    application::{ABSOLUTE, Application, IDLE, LATER, LEASE, Request},
    child::{Ended, Point},
    table::{Data, Row},
};

/// What the session of a client is before it sends the request.
fn before() -> Data {
    Data::from([("app.name", 1), ("app.count", 5)])
}

/// What a file holds, as far as a request that was killed is concerned.
#[derive(Debug, PartialEq, Eq)]
struct Left {
    /// The live sessions.
    sessions: Vec<Data>,
    /// Whether one of them is of the id that the client came with.
    is_its_own: bool,
}

/// A session under the id that the client came with.
fn its_own(data: Data) -> Left {
    Left {
        sessions: vec![data],
        is_its_own: true,
    }
}

/// A session under another id.
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

/// Kills a process at every point of this request. The file is in one of these states then, from the one
/// before the request to the one after it, and never in an earlier one than at an earlier point.
async fn kill_everywhere(request: Request, states: &[Left]) {
    let mut state = 0;
    for point in Point::all() {
        let (directory, id) = prepare(request).await;
        let file = directory.path().join("sessions.db");
        let ended = child::run(&file, request, id, point);
        let left = look(&file, id, LATER).await;
        let found = states.iter().position(|state| *state == left);
        let found = found.unwrap_or_else(|| panic!("{request:?} {point:?}: {left:?}"));
        assert!(
            found >= state,
            "{request:?} {point:?}: what was done is undone"
        );
        state = found;
        if ended == Ended::Completed {
            println!("{request:?}, killed around each call: {}", point.number - 1);
            assert!(point.number > 1, "it calls no store");
            break;
        }
        go_on(&file, request, id, &left, point).await;
    }
    assert_eq!(state, states.len() - 1, "{request:?} was not completed");
}

/// A file with the client's session, or none where the request begins it.
async fn prepare(request: Request) -> (TempDir, Option<SessionId>) {
    let directory = tempfile::tempdir().expect("a directory");
    let application =
        Application::open(&directory.path().join("sessions.db"), Duration::ZERO).await;
    let mut id = None;
    if request != Request::Create {
        let reply = application.send(Request::Create, None).await;
        id = reply.id;
        let reply = application.send(Request::Prepare, id).await;
        assert_eq!(reply.status, StatusCode::OK);
        assert!(id.is_some(), "it was given one");
    }
    application.close().await;
    (directory, id)
}

/// What is there, every record of which has to end.
async fn look(file: &Path, id: Option<SessionId>, later: Duration) -> Left {
    let (now, rows) = table::read(file).await;
    let now = now.saturating_add(later);
    for row in &rows {
        let longest = if row.is_mark() { ABSOLUTE } else { IDLE };
        let latest = now.saturating_add(longest);
        assert!(row.expires_at <= latest, "{row:?} stays for too long");
        let locked_until = row.locked_until.unwrap_or(now);
        let latest = now.saturating_add(LEASE);
        assert!(locked_until <= latest, "{row:?} stays locked for too long");
    }
    let live = || rows.iter().filter(|row| !row.is_mark());
    Left {
        sessions: live().map(|row| row.data.clone()).collect(),
        is_its_own: id.is_some_and(|id| live().any(|row| row.key == id.public())),
    }
}

/// The client that had no answer tries again, at a process that takes the place of the dead one.
async fn go_on(file: &Path, request: Request, id: Option<SessionId>, left: &Left, point: Point) {
    let what = format!("{request:?} {point:?}");
    let application = Application::open(file, LATER).await;
    let Some(id) = id else {
        let reply = application.send(Request::Create, None).await;
        assert!(reply.status == StatusCode::OK && reply.id.is_some());
        return;
    };
    // Nobody is locked out for longer than a lease.
    let locked = table::read(file).await.1.iter().any(Row::is_locked);
    let mut later = LATER;
    if locked {
        let impatient = Application::impatient(file, LATER).await;
        let reply = impatient.send(Request::Exclusive, Some(id)).await;
        assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE, "{what}");
        impatient.close().await;
        later += LEASE;
        application.pass(LEASE);
    }
    let reply = application.send(Request::Exclusive, Some(id)).await;
    if locked {
        assert_eq!(reply.status, StatusCode::OK, "{what}");
    }
    let read = application.send(Request::Read, Some(id)).await;
    assert_eq!(read.status, StatusCode::OK, "{what}");
    let change = application.send(Request::Change, Some(id)).await;
    application.close().await;
    let after = look(file, Some(id), later).await.sessions;

    // An id that was renewed on schedule leads on; any other one that is dead leads nowhere.
    let leads_on = request == Request::Rotate;
    if !left.is_its_own && !leads_on {
        assert_eq!(read.body, "stranger", "{what}");
        assert_eq!(reply.status, StatusCode::CONFLICT, "{what}");
        assert_eq!(change.status, StatusCode::CONFLICT, "{what}");
        assert!(read.id.is_none() && change.id.is_none(), "{what}");
        assert_eq!(after, left.sessions, "{what}: an old id has changed it");
    } else {
        assert_ne!(read.body, "stranger", "{what}");
        assert_eq!(change.status, StatusCode::OK, "{what}");
        let [session] = &after[..] else {
            panic!("{what}: {after:?}");
        };
        assert_eq!(session["app.name"], 2, "{what}");
        let counted = left.sessions[0]["app.count"];
        assert_eq!(session["app.count"], counted + 2, "{what}");
    }
}

/// Conformance 6.10
#[tokio::test]
async fn a_session_that_is_created_by_a_process_that_is_killed_is_there_whole_or_not_at_all() {
    let created = Data::from([("app.name", 1)]);
    kill_everywhere(Request::Create, &[NOTHING, another(created)]).await;
}

/// Conformance 6.10
#[tokio::test]
async fn a_change_by_a_process_that_is_killed_is_there_whole_or_not_at_all() {
    let changed = Data::from([("app.name", 2), ("app.count", 6)]);
    kill_everywhere(Request::Change, &[its_own(before()), its_own(changed)]).await;
}

/// Conformance 6.10
#[tokio::test]
async fn what_was_saved_early_stays_when_the_process_is_killed_before_the_end() {
    let early = Data::from([("app.name", 2), ("app.count", 5)]);
    let done = Data::from([("app.name", 2), ("app.count", 6)]);
    let states = [before(), early, done].map(its_own);
    kill_everywhere(Request::SaveEarly, &states).await;
}

/// Conformance 1.11
#[tokio::test]
async fn one_id_is_live_whenever_a_process_is_killed_that_regenerates() {
    let states = [its_own(before()), another(before())];
    kill_everywhere(Request::Regenerate, &states).await;
}

/// Conformance 1.11, 5.2
#[tokio::test]
async fn one_id_is_live_whenever_a_process_is_killed_at_a_sign_in() {
    let mut signed_in = before();
    signed_in.insert("app.user", 7);
    let states = [its_own(before()), another(signed_in)];
    kill_everywhere(Request::SignIn, &states).await;
}

/// Conformance 2.7
#[tokio::test]
async fn the_old_id_leads_to_the_session_whenever_a_process_is_killed_that_renews_it() {
    let states = [its_own(before()), another(before())];
    kill_everywhere(Request::Rotate, &states).await;
}

/// Conformance 1.12
#[tokio::test]
async fn the_old_session_or_the_new_one_is_there_when_a_process_is_killed_at_a_reset() {
    let states = [its_own(before()), another(Data::new())];
    kill_everywhere(Request::Reset, &states).await;
}

/// Conformance 1.9, 5.4
#[tokio::test]
async fn a_session_lives_or_has_ended_when_a_process_is_killed_at_a_sign_out() {
    kill_everywhere(Request::Destroy, &[its_own(before()), NOTHING]).await;
}

/// Conformance 1.10
#[tokio::test]
async fn a_notice_of_a_sign_out_is_there_with_it_or_neither_is() {
    let notice = Data::from([("app.notice", 1)]);
    let states = [its_own(before()), another(notice)];
    kill_everywhere(Request::DestroyWithNotice, &states).await;
}

/// Conformance 6.10
#[tokio::test]
async fn a_session_is_as_it_was_when_a_process_is_killed_that_notes_its_use() {
    kill_everywhere(Request::Read, &[its_own(before())]).await;
}

/// Conformance 2.6
#[tokio::test]
async fn the_lock_of_a_process_that_is_killed_ends_by_time() {
    let changed = Data::from([("app.name", 1), ("app.count", 6)]);
    kill_everywhere(Request::Exclusive, &[its_own(before()), its_own(changed)]).await;
}

/// Conformance 1.27
#[tokio::test]
async fn a_session_lives_or_has_ended_when_a_process_is_killed_that_revokes_it() {
    kill_everywhere(Request::Revoke, &[its_own(before()), NOTHING]).await;
}
