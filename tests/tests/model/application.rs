//! The application under test. The history decides what its handlers do.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use poem_session::{
    GetError, LoadError, LockError, RequestError, SaveError, Session, SessionConfig, SessionData,
    SessionLock, TouchPolicy, UpdateError, clock::Clock,
};
use poem_session_tests::{front_end::FrontEnd, watched::Watched};

use crate::{
    board::{Actor, Board, Gates, Place, Seen},
    full::Bounded,
    history::{Begins, Field, Op, Part},
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
    pub(crate) parts: Vec<Part>,
    /// The handler repeats an early save for which the store has returned an error.
    pub(crate) repeats: bool,
    pub(crate) status: u16,
}

/// The error of an early save or of a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The store has returned an error.
    Store,
    /// The session has ended, or its lock is lost.
    Refused,
    /// It is unknown whether the updates of an earlier save were stored.
    InDoubt,
}

impl Failure {
    fn of(error: &RequestError) -> Self {
        match error {
            RequestError::Save(SaveError::Store(_))
            | RequestError::Lock(LockError::Load(LoadError::Store(_))) => Self::Store,
            RequestError::Save(SaveError::Ended | SaveError::LeaseLost)
            | RequestError::Lock(LockError::Ended) => Self::Refused,
            RequestError::Save(SaveError::InDoubt) => Self::InDoubt,
            error => panic!("no handler expects {error:?}"),
        }
    }
}

impl Script {
    pub(crate) async fn play(self, session: Session<Data>) -> Result<u16, RequestError> {
        let mut lock = None;
        for part in &self.parts {
            self.begin(part.begins, &session, &mut lock).await?;
            let is_new = session.is_new();
            let mut read = Vec::new();
            for op in &part.ops {
                if *op == Op::Unlock {
                    lock = None;
                }
                read.push(act(&session, *op).expect("small numbers"));
            }
            self.stop(Place::Handler(Seen { is_new, read })).await?;
        }
        Ok(self.status)
    }

    async fn begin(
        &self,
        begins: Begins,
        session: &Session<Data>,
        lock: &mut Option<SessionLock>,
    ) -> Result<(), RequestError> {
        let mut may_repeat = self.repeats && begins == Begins::BySaving;
        loop {
            let begun: Result<(), RequestError> = match begins {
                Begins::Handler => Ok(()),
                Begins::BySaving => session.save().await.map_err(RequestError::from),
                Begins::ByLocking => {
                    *lock = None;
                    let locked = session.lock().await;
                    locked
                        .map(|locked| *lock = Some(locked))
                        .map_err(RequestError::from)
                }
            };
            let Err(error) = begun else {
                return Ok(());
            };
            let failure = Failure::of(&error);
            let repeats = failure == Failure::Store && std::mem::take(&mut may_repeat);
            self.stop(Place::Failed { failure, repeats }).await?;
            if !repeats {
                return Err(error);
            }
        }
    }

    async fn stop(&self, place: Place) -> Result<(), RequestError> {
        let stopped = self.board.stop(self.actor, self.process, place).await;
        Ok(stopped.map_err(SaveError::from)?)
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
        Op::Unlock => {}
        Op::Save | Op::Lock => unreachable!("a part begins with it"),
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
        store: Bounded,
        board: &Arc<Board>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let alive = Arc::new(AtomicBool::new(true));
        let gates = Gates {
            board: Arc::clone(board),
            process: number,
            alive: Arc::clone(&alive),
        };
        let store = Arc::new(Watched::new(Arc::new(store), gates));
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
            front_end: FrontEnd::new(store, clock, &config),
            alive,
        }
    }

    /// From now on all calls of the store by this process fail.
    pub(crate) fn kill(&self) {
        self.alive.store(false, Ordering::Relaxed);
    }
}
