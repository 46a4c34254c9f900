//! The board: requests and jobs stop at gates until the history releases them.
//!
//! There is a gate before and after each call of the store, and one after each part of a handler's work. One
//! thread runs everything, and one request or job is released at a time, so that a history runs the same way
//! each time.

use std::{
    any::Any,
    collections::{BTreeMap, BTreeSet, HashMap},
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use parking_lot::Mutex;
use poem_session::{
    PublicId, SaveError,
    store::{Locked, StoreError, StoreErrorKind},
};
use poem_session_tests::{
    front_end::Response,
    watched::{Call, Watch},
};
use tokio::{
    sync::{Notify, oneshot},
    task,
};

use crate::{application::Failure, history::PROCESSES};

/// The number of a request or job.
pub(crate) type Actor = usize;

/// The values that a handler has read in one part of its work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) is_new: bool,
    pub(crate) read: Vec<Option<u64>>,
}

/// The reply of the store to a call, as far as the record does not show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reply {
    Done,
    /// The lock is not granted.
    Refused,
    /// The store has no space.
    Full,
}

impl Reply {
    fn of<T: Any>(reply: &Result<T, StoreError>) -> Self {
        match reply {
            Ok(reply) => match (reply as &dyn Any).downcast_ref() {
                Some(Locked::Held | Locked::Gone) => Self::Refused,
                _ => Self::Done,
            },
            Err(error) if error.kind() == StoreErrorKind::Full => Self::Full,
            Err(_) => Self::Done,
        }
    }
}

/// A gate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    Before(Call),
    After(Call, Reply),
    /// The handler has done a part of its work.
    Handler(Seen),
    /// A part of the handler's work could not begin.
    Failed {
        failure: Failure,
        /// Whether the handler tries again.
        repeats: bool,
    },
}

/// The end of a request or job.
#[derive(Debug)]
pub(crate) enum End {
    Responded(Response),
    Revoked(Result<bool, SaveError>),
}

#[derive(Debug)]
struct Waiting {
    place: Place,
    process: usize,
    /// The time of its arrival, by the clock of its process.
    minute: u64,
    /// Releases it: with `false`, its call fails.
    go: oneshot::Sender<bool>,
}

#[derive(Debug, Default)]
pub(crate) struct Board {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// The time by the clock of each process.
    minutes: [u64; PROCESSES],
    actors: Actor,
    tasks: HashMap<task::Id, Actor>,
    waiting: BTreeMap<Actor, Waiting>,
    arrived: Vec<Actor>,
    ended: Vec<(Actor, End)>,
    keys: BTreeSet<PublicId>,
}

impl Board {
    /// Spawns a task as a new actor.
    pub(crate) fn spawn<F: Future<Output = End> + Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(Actor) -> F,
    ) -> (Actor, task::AbortHandle) {
        let actor = self.state.lock().new_actor();
        let (board, work) = (Arc::clone(self), work(actor));
        let task = tokio::spawn(async move {
            let end = work.await;
            board.state.lock().ended.push((actor, end));
        });
        self.state.lock().tasks.insert(task.id(), actor);
        (actor, task.abort_handle())
    }

    /// Stops at a gate until [`release`](Self::release).
    pub(crate) async fn stop(
        &self,
        actor: Actor,
        process: usize,
        place: Place,
    ) -> Result<(), StoreError> {
        let (go, may_go) = oneshot::channel();
        {
            let mut state = self.state.lock();
            let minute = state.minutes[process];
            let waiting = Waiting {
                place,
                process,
                minute,
                go,
            };
            state.waiting.insert(actor, waiting);
            state.arrived.push(actor);
        }
        self.changed.notify_one();
        let standing = Standing { board: self, actor };
        let may_go = may_go.await.unwrap_or(false);
        drop(standing);
        // A save whose client has disconnected goes on in another task.
        self.state.lock().tasks.insert(task::id(), actor);
        if may_go { Ok(()) } else { Err(refusal()) }
    }

    /// Lets an actor go on, or has its call fail.
    pub(crate) fn release(&self, actor: Actor, may_go: bool) {
        if let Some(waiting) = self.state.lock().waiting.remove(&actor) {
            let _ = waiting.go.send(may_go);
        }
    }

    /// Has the calls of all actors of a process fail.
    pub(crate) fn kill(&self, process: usize) {
        let of_it = |waiting: &Waiting| waiting.process == process;
        for (actor, _) in self.waiting(of_it) {
            self.release(actor, false);
        }
    }

    /// All actors at gates, in the order of their numbers.
    pub(crate) fn everybody(&self) -> Vec<(Actor, Place)> {
        self.waiting(|_| true)
    }

    fn waiting(&self, which: impl Fn(&Waiting) -> bool) -> Vec<(Actor, Place)> {
        let state = self.state.lock();
        let chosen = state.waiting.iter().filter(|(_, waiting)| which(waiting));
        chosen
            .map(|(actor, waiting)| (*actor, waiting.place.clone()))
            .collect()
    }

    /// The gate of an actor, and the time of its arrival by the clock of its process.
    pub(crate) fn place(&self, actor: Actor) -> Option<(Place, u64)> {
        let state = self.state.lock();
        let waiting = state.waiting.get(&actor)?;
        Some((waiting.place.clone(), waiting.minute))
    }

    /// The actors that have arrived at a gate since the last call.
    pub(crate) fn arrived(&self) -> Vec<Actor> {
        std::mem::take(&mut self.state.lock().arrived)
    }

    /// The actors that have ended since the last call.
    pub(crate) fn ended(&self) -> Vec<(Actor, End)> {
        std::mem::take(&mut self.state.lock().ended)
    }

    /// Waits until an actor arrives at a gate.
    pub(crate) fn changed(&self) -> impl Future<Output = ()> {
        self.changed.notified()
    }

    pub(crate) fn set_minutes(&self, minutes: [u64; PROCESSES]) {
        self.state.lock().minutes = minutes;
    }

    /// Every key that a request has tried to store a session under.
    pub(crate) fn keys(&self) -> BTreeSet<PublicId> {
        self.state.lock().keys.clone()
    }

    /// The actor of the current task: a new one for a task that the library has spawned.
    fn caller(&self) -> Actor {
        let mut state = self.state.lock();
        let id = task::id();
        if let Some(actor) = state.tasks.get(&id) {
            return *actor;
        }
        let actor = state.new_actor();
        state.tasks.insert(id, actor);
        actor
    }
}

impl State {
    fn new_actor(&mut self) -> Actor {
        self.actors += 1;
        self.actors
    }
}

/// Removes the actor from the board when it is dropped at a gate.
struct Standing<'a> {
    board: &'a Board,
    actor: Actor,
}

impl Drop for Standing<'_> {
    fn drop(&mut self) {
        let mut state = self.board.state.lock();
        state.waiting.remove(&self.actor);
        state.arrived.retain(|actor| *actor != self.actor);
    }
}

fn refusal() -> StoreError {
    StoreError::new(StoreErrorKind::Unavailable, "asking a store under test")
}

/// The gates around the store of one process.
#[derive(Debug)]
pub(crate) struct Gates {
    pub(crate) board: Arc<Board>,
    pub(crate) process: usize,
    pub(crate) alive: Arc<AtomicBool>,
}

impl Gates {
    async fn stop(&self, actor: Actor, place: Place) -> Result<(), StoreError> {
        if !self.alive.load(Ordering::Relaxed) {
            return Err(refusal());
        }
        self.board.stop(actor, self.process, place).await
    }
}

impl Watch for Gates {
    async fn around<T: Send + 'static>(
        &self,
        call: Call,
        work: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        if let Call::Create(key) | Call::Rename(_, key) = call {
            self.board.state.lock().keys.insert(key);
        }
        let actor = self.board.caller();
        self.stop(actor, Place::Before(call)).await?;
        let reply = work.await;
        let place = Place::After(call, Reply::of(&reply));
        self.stop(actor, place).await?;
        reply
    }
}
