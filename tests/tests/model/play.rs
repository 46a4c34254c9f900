//! Plays a history on the library, and has each step checked.

use std::{collections::BTreeMap, fmt::Display, sync::Arc, time::Duration};

use parking_lot::Mutex;
use poem_session::{__private::front_end::ClientUpdate, SessionId, store::SessionStore};
use poem_session_tests::{front_end, watched::Call};
use tokio::task::AbortHandle;

use crate::{
    application::{Process, Script},
    board::{Actor, Board, End, Place},
    clocks::Clocks,
    full::{Bounded, Space},
    history::{Cookie, Event, History, PROCESSES, Visit},
    ledger::Ledger,
    request::Request,
    rules, save,
};

/// The application, its clients, and the journals of their requests.
pub(crate) struct Play {
    store: Arc<dyn SessionStore>,
    space: Arc<Mutex<Space>>,
    pub(crate) clocks: Clocks,
    pub(crate) board: Arc<Board>,
    processes: Vec<Process>,
    pub(crate) ledger: Ledger,
    pub(crate) actors: BTreeMap<Actor, Known>,
    browser: Option<SessionId>,
    /// The ids that clients were sent.
    sent: Vec<SessionId>,
    log: Vec<String>,
}

/// A request or a job of the history.
pub(crate) struct Known {
    pub(crate) process: usize,
    task: AbortHandle,
    pub(crate) role: Role,
    pub(crate) request: Request,
}

impl Known {
    fn has_locked(&self) -> bool {
        self.request.lock.is_some()
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// A request. The browser receives the response, or somebody else who has presented an old id.
    Visit {
        of_browser: bool,
    },
    /// A request whose client has disconnected while it was being saved.
    Orphan,
    Revoke,
}

/// Plays a history. An error says which property does not hold.
pub(crate) async fn play(store: Arc<dyn SessionStore>, history: &History) -> Result<(), String> {
    let mut play = Play::new(store, history.ahead);
    let outcome = play.play(&history.events).await;
    outcome.map_err(|why| format!("{}\n{why}", play.log.join("\n")))
}

impl Play {
    fn new(store: Arc<dyn SessionStore>, ahead: [u64; PROCESSES]) -> Self {
        let clocks = Clocks::new(ahead);
        let board = Arc::new(Board::default());
        board.set_minutes(clocks.minutes());
        let space = Arc::new(Mutex::new(Space::Free));
        let start = |number| {
            let store = Bounded::new(Arc::clone(&store), Arc::clone(&space));
            Process::start(number, store, &board, clocks.of(number))
        };
        let processes = (0..PROCESSES).map(start).collect();
        Self {
            ledger: Ledger::new(Arc::clone(&store), clocks.time()),
            store,
            space,
            clocks,
            board,
            processes,
            actors: BTreeMap::new(),
            browser: None,
            sent: Vec::new(),
            log: Vec::new(),
        }
    }

    async fn play(&mut self, history: &[Event]) -> Result<(), String> {
        for event in history {
            self.happen(event).await?;
        }
        self.finish_all().await?;
        let now = self.clocks.latest();
        self.ledger.check_all(self.board.keys(), now).await
    }

    async fn happen(&mut self, event: &Event) -> Result<(), String> {
        let any = |_: &Place| true;
        match event {
            Event::Begin(visit) => self.begin(visit).await,
            Event::Revoke { process, which } => self.revoke(*process, *which).await,
            Event::Step(which) => match self.pick(*which, any) {
                Some(actor) => self.step(actor, true).await,
                None => Ok(()),
            },
            Event::Finish(which) => match self.pick(*which, any) {
                Some(actor) => self.finish(actor).await,
                None => Ok(()),
            },
            Event::Reach(which) => match self.pick(*which, any) {
                Some(actor) => {
                    self.step(actor, true).await?;
                    self.go_on(actor, runs).await
                }
                None => Ok(()),
            },
            Event::Overtake(which) => match self.pick(*which, any) {
                Some(actor) => self.overtake(actor).await,
                None => Ok(()),
            },
            Event::HoldUp(which) => {
                let calls = |place: &Place| matches!(place, Place::Before(_));
                match self.pick(*which, calls) {
                    Some(actor) => self.hold_up(actor, rules::LEASE).await,
                    None => Ok(()),
                }
            }
            Event::HoldUpHolder(which) => match self.pick_holder(*which) {
                Some(actor) => {
                    let rest = rules::LEASE - self.clocks.skew();
                    self.hold_up(actor, rest).await
                }
                None => Ok(()),
            },
            Event::Fail(which) => {
                let calls = |place: &Place| matches!(place, Place::Before(_) | Place::After(..));
                match self.pick(*which, calls) {
                    Some(actor) => self.step(actor, false).await,
                    None => Ok(()),
                }
            }
            Event::LoseReply(which) => {
                let writes =
                    |place: &Place| matches!(place, Place::Before(call) if save::is_write(*call));
                match self.pick(*which, writes) {
                    Some(actor) => {
                        self.step(actor, true).await?;
                        self.step(actor, false).await
                    }
                    None => Ok(()),
                }
            }
            Event::Leave(which) => match self.pick(*which, any) {
                Some(actor) => self.leave(actor).await,
                None => Ok(()),
            },
            Event::Crash(process) => self.crash(*process).await,
            Event::Pass(n) => {
                self.pass(*n);
                Ok(())
            }
            Event::Sweep(process) => {
                let now = self.clocks.of(*process).now();
                let swept = self.store.delete_expired(1000, now).await;
                swept.map(drop).map_err(|error| error.to_string())
            }
            Event::Fill(space) => {
                self.note(format_args!("the store is {space:?}"));
                *self.space.lock() = *space;
                Ok(())
            }
            Event::Clear => {
                let cleared = self.store.clear().await;
                cleared.map_err(|error| error.to_string())?;
                self.note("all sessions are removed");
                self.ledger.cleared();
                Ok(())
            }
        }
    }

    fn note(&mut self, what: impl Display) {
        let [one, other] = self.clocks.minutes();
        self.log.push(format!("{one:>3}m {other:>3}m  {what}"));
    }

    fn pass(&mut self, n: u64) {
        self.clocks.pass(n);
        self.board.set_minutes(self.clocks.minutes());
    }

    /// The minutes since the history began, by the clock of a process.
    fn minute(&self, process: usize) -> u64 {
        self.clocks.minutes()[process]
    }

    fn pick(&self, which: usize, at: impl Fn(&Place) -> bool) -> Option<Actor> {
        let mut standing = self.board.everybody();
        standing.retain(|(_, place)| at(place));
        let count = standing.len();
        (count > 0).then(|| standing[which % count].0)
    }

    /// One of the requests that have locked the session, and are about to call the store.
    fn pick_holder(&self, which: usize) -> Option<Actor> {
        let mut standing = self.board.everybody();
        standing.retain(|(actor, place)| match place {
            Place::Before(Call::Rename(..)) => true,
            Place::Before(_) => self.actors.get(actor).is_some_and(Known::has_locked),
            _ => false,
        });
        let count = standing.len();
        (count > 0).then(|| standing[which % count].0)
    }

    async fn begin(&mut self, visit: &Visit) -> Result<(), String> {
        let of_browser = visit.cookies.contains(&Cookie::Current);
        let ids: Vec<_> = visit.cookies.iter().filter_map(|id| self.id(*id)).collect();
        if ids.is_empty() && !of_browser {
            return Ok(());
        }
        let front_end = self.processes[visit.process].front_end.clone();
        let board = Arc::clone(&self.board);
        let (actor, task) = self.board.spawn(|actor| {
            let script = Script {
                board,
                actor,
                process: visit.process,
                parts: visit.parts(),
                repeats: visit.repeats,
                status: visit.status,
            };
            let (ids, exclusive) = (ids.clone(), visit.exclusive);
            async move {
                let request = front_end::Request { ids, exclusive };
                End::Responded(
                    front_end
                        .serve(request, |session| script.play(session))
                        .await,
                )
            }
        });
        let known = Known {
            process: visit.process,
            task,
            role: Role::Visit { of_browser },
            request: Request::new(&ids, visit, self.minute(visit.process)),
        };
        self.actors.insert(actor, known);
        let number = |id| self.sent.iter().position(|sent| sent == id);
        let numbers: Vec<_> = ids.iter().map(number).collect();
        self.note(format_args!(
            "{actor} begins with ids {numbers:?}: {visit:?}"
        ));
        self.settle().await
    }

    fn id(&self, cookie: Cookie) -> Option<SessionId> {
        match cookie {
            Cookie::Current => self.browser,
            Cookie::Old(_) if self.sent.is_empty() => None,
            Cookie::Old(which) => Some(self.sent[which % self.sent.len()]),
            Cookie::Unknown => Some(SessionId::random()),
        }
    }

    async fn revoke(&mut self, process: usize, which: usize) -> Result<(), String> {
        if self.sent.is_empty() {
            return Ok(());
        }
        let number = which % self.sent.len();
        let id = self.sent[number];
        let manager = Arc::clone(&self.processes[process].front_end.manager);
        let revoke = async move { End::Revoked(manager.revoke(id.public()).await) };
        let (actor, task) = self.board.spawn(|_| revoke);
        let known = Known {
            process,
            task,
            role: Role::Revoke,
            request: Request::revoke(id, self.minute(process)),
        };
        self.actors.insert(actor, known);
        self.note(format_args!("{actor} revokes id {number}"));
        self.settle().await
    }

    /// Lets an actor pass a gate, or has its call fail.
    async fn step(&mut self, actor: Actor, may_go: bool) -> Result<(), String> {
        let Some((place, since)) = self.board.place(actor) else {
            return Ok(());
        };
        let verb = if may_go { "goes on" } else { "fails" };
        self.note(format_args!("{actor} {verb}, {place:?}"));
        self.board.release(actor, may_go);
        if let (Place::Before(call), true) = (&place, may_go) {
            // The store takes the time that it takes.
            let reply = loop {
                if let Some((Place::After(_, reply), _)) = self.board.place(actor) {
                    break reply;
                }
                self.board.changed().await;
            };
            self.board.arrived();
            let effect = self
                .ledger
                .observe(*call, since, self.clocks.latest())
                .await;
            let effect = effect.map_err(|why| format!("{actor}: {call:?}: {why}"))?;
            let checked = self.carried_out(actor, *call, reply, effect, since);
            return checked.map_err(|why| format!("{actor}: {call:?}: {why}"));
        }
        if let Some(known) = self.actors.get_mut(&actor) {
            match place {
                Place::After(call, reply) if may_go => known.request.receives(call, reply),
                Place::Before(call) => known.request.fails(call, false),
                Place::After(call, _) => known.request.fails(call, true),
                Place::Handler(_) => known.request.goes_on(),
                Place::Failed { failure, repeats } => {
                    known.request.goes_on_after(failure, repeats);
                }
            }
        }
        self.settle().await
    }

    /// Lets an actor go on to its end, or until it waits for another.
    async fn finish(&mut self, actor: Actor) -> Result<(), String> {
        self.go_on(actor, |_| false).await
    }

    /// Lets an actor go on until `is_there` says so of its gate, or until it waits for another.
    async fn go_on(
        &mut self,
        actor: Actor,
        is_there: impl Fn(&Place) -> bool,
    ) -> Result<(), String> {
        let mut locks = 0;
        while let Some((place, _)) = self.board.place(actor)
            && !is_there(&place)
        {
            if matches!(place, Place::Before(Call::Lock(_))) {
                locks += 1;
                if locks > 2 {
                    break;
                }
            }
            self.step(actor, true).await?;
        }
        Ok(())
    }

    async fn hold_up(&mut self, actor: Actor, n: u64) -> Result<(), String> {
        self.note(format_args!("the call of {actor} is held up"));
        self.pass(n);
        self.overtake(actor).await
    }

    async fn overtake(&mut self, actor: Actor) -> Result<(), String> {
        self.note(format_args!("{actor} is overtaken"));
        for (other, _) in self.board.everybody() {
            if other != actor {
                self.go_on(other, runs).await?;
            }
        }
        self.step(actor, true).await
    }

    async fn finish_all(&mut self) -> Result<(), String> {
        for _ in 0..20 {
            for (actor, _) in self.board.everybody() {
                self.finish(actor).await?;
            }
            let at_work = |known: &Known| known.role != Role::Orphan;
            if self.board.everybody().is_empty() && !self.actors.values().any(at_work) {
                return Ok(());
            }
            // The leases of dead processes expire.
            self.pass(rules::LEASE);
        }
        Err(format!("stuck: {:?}", self.board.everybody()))
    }

    async fn leave(&mut self, actor: Actor) -> Result<(), String> {
        let Some(known) = self.actors.get_mut(&actor) else {
            return Ok(());
        };
        if !matches!(known.role, Role::Visit { .. }) {
            return Ok(());
        }
        known.role = Role::Orphan;
        known.request.loses_its_client();
        known.task.abort();
        self.note(format_args!("the client of {actor} disconnects"));
        let place = self.board.place(actor);
        // A save that has begun goes on to its end. Any other work is dropped.
        self.turns().await;
        if place.is_none() || self.board.place(actor) != place {
            self.actors.remove(&actor);
        }
        self.settle().await
    }

    async fn crash(&mut self, number: usize) -> Result<(), String> {
        self.note(format_args!("process {number} dies"));
        let clock = self.clocks.of(number);
        let store = Bounded::new(Arc::clone(&self.store), Arc::clone(&self.space));
        let next = Process::start(number, store, &self.board, clock);
        std::mem::replace(&mut self.processes[number], next).kill();
        self.actors.retain(|_, known| {
            if known.process == number {
                known.task.abort();
            }
            known.process != number
        });
        self.board.kill(number);
        self.settle().await
    }

    /// Waits until each actor is at a gate, has ended, or waits for another.
    async fn settle(&mut self) -> Result<(), String> {
        self.turns().await;
        let on_the_way = |actor: &Actor| self.board.place(*actor).is_none();
        if self.actors.keys().any(on_the_way) {
            // It may sleep before another attempt.
            tokio::time::advance(Duration::from_millis(60)).await;
            self.turns().await;
        }
        for actor in self.board.arrived() {
            let handled = match self.board.place(actor) {
                Some((Place::Handler(seen), _)) => {
                    self.note(format_args!("{actor} {seen:?}"));
                    self.handles(actor, &seen)
                }
                Some((Place::Failed { failure, .. }, minute)) => {
                    self.note(format_args!("{actor} is told {failure:?}"));
                    let known = self.actors.get_mut(&actor);
                    known.map_or(Ok(()), |known| known.request.is_told(failure, minute))
                }
                _ => Ok(()),
            };
            handled.map_err(|why| format!("{actor}: {why}"))?;
        }
        for (actor, end) in self.board.ended() {
            self.end(actor, end)
                .map_err(|why| format!("{actor}: {why}"))?;
        }
        Ok(())
    }

    /// Lets all tasks run that can.
    async fn turns(&self) {
        for _ in 0..16 {
            tokio::task::yield_now().await;
        }
    }

    fn end(&mut self, actor: Actor, end: End) -> Result<(), String> {
        let Some(mut known) = self.actors.remove(&actor) else {
            return Ok(());
        };
        match end {
            End::Revoked(result) => {
                self.note(format_args!("{actor} revoked: {result:?}"));
                known.request.is_revoked(result.ok())
            }
            End::Responded(response) => {
                self.note(format_args!("{actor} responds {}", response.status));
                let now = self.minute(known.process);
                let skew = self.clocks.skew();
                known.request.responds(&response, &self.ledger, now, skew)?;
                let is_browser = known.role == (Role::Visit { of_browser: true });
                match response.update {
                    Some(ClientUpdate::ClearId) if is_browser => self.browser = None,
                    None | Some(ClientUpdate::ClearId) => {}
                    Some(ClientUpdate::SetId { id, .. }) => {
                        if is_browser {
                            self.browser = Some(id);
                        }
                        if !self.sent.contains(&id) {
                            self.sent.push(id);
                        }
                    }
                }
                Ok(())
            }
        }
    }
}

/// Whether a handler has done a part of its work.
fn runs(place: &Place) -> bool {
    matches!(place, Place::Handler(_))
}
