//! Plays a history against the real thing, side by side with the model.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use poem::{
    Endpoint, EndpointExt, IntoResponse, Request, Response, Route, get, handler,
    http::{StatusCode, header},
    web::Data as AppData,
};
use poem_session::{
    OpenError, Session, SessionData, SessionId, Sessions, Touch, clock::ManualClock,
    store::SessionStore,
};
use tokio::{sync::oneshot, task::JoinHandle};

use crate::{
    history::{Event, Field, Op},
    world::{self, Told, World},
};

#[derive(SessionData)]
#[session(namespace = "model")]
struct Data {
    a: Option<u64>,
    b: Option<u64>,
    #[session(default)]
    count: u64,
    #[session(flash)]
    flash: Option<u64>,
}

/// What a handler is to do next, and how it and the test meet at the gate.
struct Script {
    ops: Vec<Op>,
    seen: oneshot::Sender<Seen>,
    gate: oneshot::Receiver<u16>,
}

type Next = Arc<Mutex<Option<Script>>>;

/// What a handler found.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    fresh: bool,
    read: Vec<Option<u64>>,
}

/// A request that stands at the gate.
struct Waiting {
    model: world::Request,
    open: oneshot::Sender<u16>,
    task: JoinHandle<Response>,
}

#[handler]
async fn act(next: AppData<&Next>, session: Session<Data>) -> poem::Result<StatusCode> {
    let script = next.lock().take().expect("a script for each request");
    let fresh = session.is_fresh();
    let read = script
        .ops
        .iter()
        .map(|op| do_op(&session, *op))
        .collect::<poem::Result<_>>()?;
    let _ = script.seen.send(Seen { fresh, read });
    let status = script.gate.await.expect("the gate is opened");
    Ok(StatusCode::from_u16(status).expect("a status"))
}

fn do_op(session: &Session<Data>, op: Op) -> poem::Result<Option<u64>> {
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
                Op::Read(_) | Op::Take(_) => unreachable!("done above"),
            }
            None
        }
    })
}

fn minutes(n: u64) -> Duration {
    Duration::from_secs(60 * n)
}

/// The application, its browser, and the model of both.
struct Play<E> {
    app: Arc<E>,
    sessions: Sessions,
    clock: Arc<ManualClock>,
    next: Next,
    world: World,
    waiting: Vec<Waiting>,
    /// The ids that the client was given, by the model's number of the session.
    ids: Vec<SessionId>,
}

/// Answers what the model cannot explain, if anything.
pub(crate) async fn play(store: Arc<dyn SessionStore>, history: &[Event]) -> Result<(), String> {
    let clock = Arc::new(ManualClock::new());
    let sessions = Sessions::builder(store)
        .idle_timeout(minutes(world::IDLE))
        .absolute_timeout(minutes(world::ABSOLUTE))
        .retired_for(minutes(world::RETIRED))
        .touch(Touch::Every(Duration::ZERO))
        .clock(Arc::clone(&clock))
        .build()
        .expect("settings that go together");
    let next = Next::default();
    let app = Route::new()
        .at("/", get(act))
        .data(Arc::clone(&next))
        .with(sessions.clone());
    let mut play = Play {
        app: Arc::new(app),
        sessions,
        clock,
        next,
        world: World::default(),
        waiting: Vec::new(),
        ids: Vec::new(),
    };
    for event in history {
        play.step(event).await?;
    }
    while !play.waiting.is_empty() {
        play.step(&Event::Finish(0, 200)).await?;
    }
    play.check_stored().await
}

impl<E: Endpoint + 'static> Play<E> {
    async fn step(&mut self, event: &Event) -> Result<(), String> {
        match event {
            Event::Begin(ops) => self.begin(ops).await,
            Event::Finish(which, status) => match self.pick(*which) {
                Some(waiting) => self.finish(waiting, *status).await,
                None => Ok(()),
            },
            Event::Drop(which) => {
                if let Some(waiting) = self.pick(*which) {
                    waiting.task.abort();
                    let _ = waiting.task.await;
                }
                Ok(())
            }
            Event::Revoke => {
                let expected = self.world.revoke();
                let Some(number) = self.world.browser else {
                    return Ok(());
                };
                let revoked = self.sessions.revoke(&self.ids[number]).await;
                same(
                    "revoked",
                    &revoked.map_err(|error| error.to_string())?,
                    &expected,
                )
            }
            Event::Pass(n) => {
                self.clock.advance(minutes(*n));
                self.world.now += n;
                Ok(())
            }
        }
    }

    fn pick(&mut self, which: usize) -> Option<Waiting> {
        let count = self.waiting.len();
        (count > 0).then(|| self.waiting.remove(which % count))
    }

    async fn begin(&mut self, ops: &[Op]) -> Result<(), String> {
        let mut model = self.world.begin();
        let expected = Seen {
            fresh: model.is_fresh(),
            read: ops.iter().map(|op| model.act(*op)).collect(),
        };
        let (seen, found) = oneshot::channel();
        let (open, gate) = oneshot::channel();
        *self.next.lock() = Some(Script {
            ops: ops.to_vec(),
            seen,
            gate,
        });
        let mut request = Request::builder();
        if let Some(number) = self.world.browser {
            let cookie = format!("__Host-id={}", self.ids[number].expose());
            request = request.header(header::COOKIE, cookie);
        }
        let (app, request) = (Arc::clone(&self.app), request.finish());
        let task = tokio::spawn(async move {
            app.call(request)
                .await
                .map_or_else(poem::Error::into_response, IntoResponse::into_response)
        });
        let found = found.await.map_err(|_| "the handler failed".to_owned())?;
        self.waiting.push(Waiting { model, open, task });
        same("seen by the handler", &found, &expected)
    }

    async fn finish(&mut self, waiting: Waiting, status: u16) -> Result<(), String> {
        let expected = if status < 500 {
            self.world.finish(&waiting.model)
        } else {
            Told::Nothing
        };
        let _ = waiting.open.send(status);
        let response = waiting.task.await.map_err(|error| error.to_string())?;
        let expected_status = match expected {
            Told::Refused => 409,
            _ => status,
        };
        same("status", &response.status().as_u16(), &expected_status)?;
        let told = self.told(&response, &expected)?;
        same("told", &told, &expected)
    }

    /// What a response tells the client, in the model's terms.
    fn told(&mut self, response: &Response, expected: &Told) -> Result<Told, String> {
        if response.status() == StatusCode::CONFLICT {
            return Ok(Told::Refused);
        }
        let Some(cookie) = response.headers().get(header::SET_COOKIE) else {
            return Ok(Told::Nothing);
        };
        let cookie = cookie.to_str().map_err(|error| error.to_string())?;
        let value = cookie
            .strip_prefix("__Host-id=")
            .and_then(|rest| rest.split(';').next())
            .ok_or("a strange cookie")?;
        if value.is_empty() {
            return Ok(Told::Withdrawn);
        }
        let id = SessionId::parse(value).map_err(|error| error.to_string())?;
        if let Some(number) = self.ids.iter().position(|known| *known == id) {
            return Ok(Told::Id(number));
        }
        self.ids.push(id);
        let number = self.ids.len() - 1;
        if *expected == Told::Id(number) {
            return Ok(Told::Id(number));
        }
        Err(format!("a new id, where the model expects {expected:?}"))
    }

    /// Whether each session that ever was is stored as the model has it, or not at all.
    async fn check_stored(&self) -> Result<(), String> {
        for (number, id) in self.ids.iter().enumerate() {
            let expected = self.world.data(number).cloned();
            let stored = match self.sessions.open::<Data>(id).await {
                Ok(session) => {
                    let mut data = std::collections::BTreeMap::new();
                    for field in [Field::A, Field::B, Field::Count, Field::Flash] {
                        let value = do_op(&session, Op::Read(field)).map_err(|e| e.to_string())?;
                        data.extend(value.map(|value| (field, value)));
                    }
                    Some(data)
                }
                Err(OpenError::NotFound) => None,
                Err(error) => return Err(error.to_string()),
            };
            same("stored", &stored, &expected)?;
        }
        Ok(())
    }
}

fn same<T: std::fmt::Debug + PartialEq>(what: &str, found: &T, expected: &T) -> Result<(), String> {
    if found == expected {
        Ok(())
    } else {
        Err(format!(
            "{what}: found {found:?}, the model expects {expected:?}"
        ))
    }
}
