//! The application under test. The history decides what its handlers do.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use poem_session::{
    GetError, RequestError, Session, SessionConfig, SessionData, TouchPolicy, UpdateError,
    clock::ManualClock, store::SessionStore,
};
use poem_session_tests::{front_end::FrontEnd, watched::Watched};

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

/// The work of one handler.
pub(crate) struct Script {
    pub(crate) board: Arc<Board>,
    pub(crate) actor: Actor,
    pub(crate) process: usize,
    /// The handler saves the session between two parts.
    pub(crate) parts: Vec<Vec<Op>>,
    pub(crate) status: u16,
}

impl Script {
    pub(crate) async fn play(self, session: Session<Data>) -> Result<u16, RequestError> {
        for (number, ops) in self.parts.iter().enumerate() {
            if number > 0 {
                session.save().await?;
            }
            let is_new = session.is_new();
            let read = ops.iter().map(|op| act(&session, *op));
            let read = read.collect::<Result<_, _>>().expect("small numbers");
            let place = Place::Handler(Seen { is_new, read });
            let stopped = self.board.stop(self.actor, self.process, place).await;
            stopped.map_err(poem_session::SaveError::from)?;
        }
        Ok(self.status)
    }
}

/// Carries out one operation and returns the value that it reads.
fn act(session: &Session<Data>, op: Op) -> Result<Option<u64>, UpdateError> {
    let count = |present: bool, value: Result<u64, GetError>| Ok(present.then_some(value?));
    match op {
        Op::Read(Field::A) => return Ok(session.a()?),
        Op::Read(Field::B) => return Ok(session.b()?),
        Op::Read(Field::Count) => return count(session.contains(Data::COUNT), session.count()),
        Op::Read(Field::Flash) => return Ok(session.flash()?),
        Op::Take(Field::A) => return Ok(session.take_a()?),
        Op::Take(Field::B) => return Ok(session.take_b()?),
        Op::Take(Field::Count) => {
            return count(session.contains(Data::COUNT), session.take_count());
        }
        Op::Take(Field::Flash) => return Ok(session.take_flash()?),
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
        Op::Save => unreachable!("the script saves between two parts"),
    }
    Ok(None)
}

/// One process of the application.
pub(crate) struct Process {
    pub(crate) front_end: FrontEnd,
    alive: Arc<AtomicBool>,
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
        let store = Arc::new(Watched::new(store, gates));
        let mut config = SessionConfig::default();
        config.idle_timeout = minutes(rules::IDLE);
        config.flash_timeout = minutes(rules::FLASH_IDLE);
        config.absolute_timeout = Some(minutes(rules::ABSOLUTE));
        config.retired_for = minutes(rules::RETIRED);
        config.max_request_time = minutes(rules::MAX_REQUEST);
        config.rotate_every = Some(minutes(rules::ROTATE_EVERY));
        config.rotation_grace = minutes(rules::GRACE);
        config.lock_lease = minutes(rules::LEASE);
        config.touch = TouchPolicy::AtMostEvery(Duration::ZERO);
        // These two run on Tokio's time, which passes between gates only. Neither should expire.
        config.lock_timeout = Duration::from_hours(1);
        config.store_timeout = Duration::from_hours(1);
        Self {
            front_end: FrontEnd::new(store, Arc::clone(clock) as _, &config),
            alive,
        }
    }

    /// From now on all calls of the store by this process fail.
    pub(crate) fn kill(&self) {
        self.alive.store(false, Ordering::Relaxed);
    }
}
