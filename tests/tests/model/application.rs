//! The application under test: what its handlers do is what the history says.

use std::{
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use poem::{
    EndpointExt, Response,
    endpoint::BoxEndpoint,
    handler,
    http::{StatusCode, header},
    web::Data as AppData,
};
use poem_session::{
    Session, SessionData, Sessions, TouchPolicy, clock::ManualClock, session, store::SessionStore,
};
use poem_session_tests::watched::Watched;

use crate::{
    board::{Actor, Board, Gates, Place, Seen},
    history::{Field, Op},
    rules,
};

#[derive(SessionData)]
#[session(namespace = "model")]
pub(crate) struct Data {
    a: Option<u64>,
    b: Option<u64>,
    #[session(default)]
    count: u64,
    #[session(flash)]
    flash: Option<u64>,
}

/// What the handler of one request is to do.
#[derive(Clone)]
pub(crate) struct Script {
    pub(crate) board: Arc<Board>,
    pub(crate) actor: Actor,
    pub(crate) process: usize,
    /// Between two of them the session is saved.
    pub(crate) parts: Arc<Vec<Vec<Op>>>,
    pub(crate) status: u16,
}

impl Script {
    async fn play(&self, session: &Session<Data>) -> poem::Result<StatusCode> {
        for (number, ops) in self.parts.iter().enumerate() {
            if number > 0 {
                session.save().await?;
            }
            let fresh = session.is_new();
            let read = ops
                .iter()
                .map(|op| act(session, *op))
                .collect::<poem::Result<_>>()?;
            let place = Place::Handler(Seen { fresh, read });
            self.board.stop(self.actor, self.process, place).await?;
        }
        Ok(StatusCode::from_u16(self.status).expect("a status"))
    }
}

#[handler]
async fn open(script: AppData<&Script>, session: Session<Data>) -> poem::Result<StatusCode> {
    script.play(&session).await
}

#[session(exclusive)]
async fn exclusive(script: AppData<&Script>, session: Session<Data>) -> poem::Result<StatusCode> {
    script.play(&session).await
}

/// Does one thing, and answers what it reads.
fn act(session: &Session<Data>, op: Op) -> poem::Result<Option<u64>> {
    let count = |present: bool, value: u64| present.then_some(value);
    Ok(match op {
        Op::Read(Field::A) => session.a()?,
        Op::Read(Field::B) => session.b()?,
        Op::Read(Field::Count) => count(session.contains(Data::COUNT), session.count()?),
        Op::Read(Field::Flash) => session.flash()?,
        Op::Take(Field::A) => session.take_a()?,
        Op::Take(Field::B) => session.take_b()?,
        Op::Take(Field::Count) => count(session.contains(Data::COUNT), session.take_count()?),
        Op::Take(Field::Flash) => session.take_flash()?,
        op => {
            match op {
                Op::Set(Field::A, value) => session.set_a(value)?,
                Op::Set(Field::B, value) => session.set_b(value)?,
                Op::Set(Field::Count, value) => session.set_count(value)?,
                Op::Set(Field::Flash, value) => session.set_flash(value)?,
                Op::Add(n) => session.update_count(move |count| *count += n)?,
                Op::Remove(Field::A) => session.remove_a(),
                Op::Remove(Field::B) => session.remove_b(),
                Op::Remove(Field::Count) => session.remove_count(),
                Op::Remove(Field::Flash) => session.remove_flash(),
                Op::Regenerate => session.regenerate(),
                Op::Reset => session.reset(),
                Op::Destroy => session.destroy(),
                Op::Read(_) | Op::Take(_) | Op::Save => unreachable!("done elsewhere"),
            }
            None
        }
    })
}

/// One process of the application.
pub(crate) struct Process {
    pub(crate) sessions: Sessions,
    pub(crate) open: Arc<BoxEndpoint<'static, Response>>,
    pub(crate) exclusive: Arc<BoxEndpoint<'static, Response>>,
    pub(crate) alive: Arc<AtomicBool>,
}

pub(crate) fn minutes(n: u64) -> Duration {
    Duration::from_secs(60 * n)
}

impl Process {
    pub(crate) fn start(
        number: usize,
        store: Arc<dyn SessionStore>,
        board: &Arc<Board>,
        clock: &Arc<ManualClock>,
    ) -> Self {
        let alive = Arc::new(AtomicBool::new(true));
        let gates = Gates {
            board: Arc::clone(board),
            process: number,
            alive: Arc::clone(&alive),
        };
        let sessions = Sessions::builder(Watched::new(store, gates))
            .idle_timeout(minutes(rules::IDLE))
            .absolute_timeout(minutes(rules::ABSOLUTE))
            .retired_for(minutes(rules::RETIRED))
            .rotate_every(minutes(rules::ROTATE_EVERY))
            .rotation_grace(minutes(rules::GRACE))
            .lock_lease(minutes(rules::LEASE))
            .touch(TouchPolicy::AtMostEvery(Duration::ZERO))
            // Of Tokio's time, which passes between gates only: none of them is to run out.
            .lock_timeout(Duration::from_hours(1))
            .store_timeout(Duration::from_hours(1))
            .clock(Arc::clone(clock))
            .build()
            .expect("settings that go together");
        Self {
            open: Arc::new(open.with(sessions.clone()).boxed()),
            exclusive: Arc::new(exclusive.with(sessions.clone()).boxed()),
            sessions,
            alive,
        }
    }
}

/// The value of a response's session cookie: empty where it is withdrawn.
pub(crate) fn cookie(response: &Response) -> Result<Option<String>, String> {
    let cookies: Vec<_> = response
        .headers()
        .get_all(header::SET_COOKIE)
        .iter()
        .collect();
    match cookies[..] {
        [] => Ok(None),
        [cookie] => {
            let cookie = cookie.to_str().map_err(|error| error.to_string())?;
            let value = cookie
                .strip_prefix("__Host-id=")
                .and_then(|rest| rest.split(';').next())
                .ok_or_else(|| format!("a strange cookie: {cookie}"))?;
            Ok(Some(value.to_owned()))
        }
        _ => Err(format!("{} cookies at once", cookies.len())),
    }
}
