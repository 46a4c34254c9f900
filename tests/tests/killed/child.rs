//! The process that kills itself at a given point.

use std::{
    env,
    future::Future,
    path::Path,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use nix::sys::signal::{Signal, raise};
use poem_session::{SessionId, SessionsBuilder, store::StoreError};
use poem_session_tests::watched::{Call, Watch, Watched};

use crate::application::{Application, LATER, Request};

const FILE: &str = "POEM_SESSION_KILLED_FILE";
const REQUEST: &str = "POEM_SESSION_KILLED_REQUEST";
const ID: &str = "POEM_SESSION_KILLED_ID";
const NUMBER: &str = "POEM_SESSION_KILLED_NUMBER";
const AFTER: &str = "POEM_SESSION_KILLED_AFTER";

/// A point of a request, before or after a store call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Point {
    /// The number of the store call, counted from one.
    pub(crate) number: u32,
    /// Whether the call is executed.
    after: bool,
}

impl Point {
    /// All points in their order. No request makes so many calls.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        (1..20).flat_map(|number| [false, true].map(|after| Self { number, after }))
    }
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    Killed,
    /// The request was completed without reaching the point.
    Completed,
}

/// Starts this program again for one request, and kills it at this point.
pub(crate) fn run(file: &Path, request: Request, id: Option<SessionId>, point: Point) -> Ended {
    let output = Command::new(env::current_exe().expect("this program"))
        .args(["--exact", "child::the_process", "--ignored", "--nocapture"])
        .env(FILE, file)
        .env(REQUEST, format!("{request:?}"))
        .env(ID, id.map_or(String::new(), |id| id.expose().to_owned()))
        .env(NUMBER, point.number.to_string())
        .env(AFTER, point.after.to_string())
        .stdin(Stdio::null())
        .output()
        .expect("this program starts");
    match output.status.code() {
        None => Ended::Killed,
        Some(0) => Ended::Completed,
        Some(_) => panic!(
            "{request:?} {point:?} failed: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        ),
    }
}

/// Counts the store calls, and kills the process at the point.
#[derive(Debug)]
struct Killer {
    calls: AtomicU32,
    point: Point,
}

impl Killer {
    fn pass(&self, number: u32, after: bool) {
        if (number, after) == (self.point.number, self.point.after) {
            raise(Signal::SIGKILL).expect("the signal is sent");
        }
    }
}

impl Watch for Killer {
    async fn around<T: Send>(
        &self,
        _call: Call,
        work: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        let number = self.calls.fetch_add(1, Ordering::Relaxed) + 1;
        self.pass(number, false);
        let result = work.await;
        self.pass(number, true);
        result
    }
}

fn argument<T: std::str::FromStr>(variable: &str) -> T {
    let text = env::var(variable).expect("set by the other tests");
    text.parse().ok().expect("a valid argument")
}

#[tokio::test]
#[ignore = "the child process of the other tests"]
async fn the_process() {
    let request = argument::<String>(REQUEST).into();
    let request = serde_json::from_value(request).expect("the name of a request");
    let id: String = argument(ID);
    let id = (!id.is_empty()).then(|| SessionId::parse(id).expect("an id"));
    let point = Point {
        number: argument(NUMBER),
        after: argument(AFTER),
    };
    let killer = Killer {
        calls: AtomicU32::new(0),
        point,
    };
    let file: String = argument(FILE);
    let configure = |builder: SessionsBuilder| match request {
        Request::Rotate => builder.rotate_every(Duration::from_mins(15)),
        _ => builder,
    };
    let application = Application::build(file.as_ref(), LATER, configure, |store| {
        Arc::new(Watched::new(store, killer))
    });
    let application = application.await;
    if let (Request::Revoke, Some(id)) = (request, id) {
        let revoked = application.sessions().revoke(id).await;
        revoked.expect("the store works");
    } else {
        let reply = application.send(request, id).await;
        assert_eq!(reply.status, 200);
    }
    application.finish().await;
}
