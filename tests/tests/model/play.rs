//! Plays a history on the library, and has each step checked.

use std::{collections::BTreeMap, fmt::Display, sync::Arc, time::Duration};

use poem_session::{
    __private::front_end::ClientUpdate,
    PublicId, SessionId,
    clock::{Clock as _, ManualClock},
    store::SessionStore,
};
use poem_session_tests::{front_end, watched::Call};
use tokio::task::AbortHandle;

use crate::{
    application::{Process, Script, minutes},
    board::{Actor, Board, End, Place, Seen},
    history::{Cookie, Event, PROCESSES, Visit},
    ledger::{self, Effect, Ledger, Record},
    request::Request,
    rules,
};

/// The application, its clients, and the journals of their requests.
pub(crate) struct Play {
    store: Arc<dyn SessionStore>,
    clock: Arc<ManualClock>,
    minute: u64,
    board: Arc<Board>,
    processes: Vec<Process>,
    ledger: Ledger,
    actors: BTreeMap<Actor, Known>,
    browser: Option<SessionId>,
    /// The ids that clients were sent.
    sent: Vec<SessionId>,
    log: Vec<String>,
}

/// A request or a job of the history.
struct Known {
    process: usize,
    task: AbortHandle,
    role: Role,
    request: Request,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    /// A request. The browser receives the response, or somebody else who has presented an old id.
    Visit {
        of_browser: bool,
    },
    /// A request whose client has disconnected while it was being saved.
    Orphan,
    Revoke,
}

/// Plays a history. An error says which property does not hold.
pub(crate) async fn play(store: Arc<dyn SessionStore>, history: &[Event]) -> Result<(), String> {
    let mut play = Play::new(store);
    let outcome = play.play(history).await;
    outcome.map_err(|why| format!("{}\n{why}", play.log.join("\n")))
}

impl Play {
    fn new(store: Arc<dyn SessionStore>) -> Self {
        let clock = Arc::new(ManualClock::new());
        let board = Arc::new(Board::default());
        let processes = (0..PROCESSES)
            .map(|number| Process::start(number, Arc::clone(&store), &board, &clock))
            .collect();
        Self {
            ledger: Ledger::new(Arc::clone(&store), clock.now()),
            store,
            clock,
            minute: 0,
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
        self.ledger.check_all(self.board.keys(), self.minute).await
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
            Event::HoldUp(which) => {
                match self.pick(*which, |place| matches!(place, Place::Before(_))) {
                    Some(actor) => self.hold_up(actor).await,
                    None => Ok(()),
                }
            }
            Event::Fail(which) => {
                match self.pick(*which, |place| !matches!(place, Place::Handler(_))) {
                    Some(actor) => self.step(actor, false).await,
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
            Event::Sweep => {
                let swept = self.store.delete_expired(1000, self.clock.now()).await;
                swept.map(drop).map_err(|error| error.to_string())
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
        self.log.push(format!("{:>3}m  {what}", self.minute));
    }

    fn pass(&mut self, n: u64) {
        self.minute += n;
        self.clock.advance(minutes(n));
        self.board.set_minute(self.minute);
    }

    fn pick(&self, which: usize, at: impl Fn(&Place) -> bool) -> Option<Actor> {
        let mut standing = self.board.everybody();
        standing.retain(|(_, place)| at(place));
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
            request: Request::new(&ids, visit, self.minute),
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
            request: Request::revoke(id, self.minute),
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
            while !matches!(self.board.place(actor), Some((Place::After(_), _))) {
                self.board.changed().await;
            }
            self.board.arrived();
            let effect = self.ledger.observe(*call, since, self.minute).await;
            let effect = effect.map_err(|why| format!("{actor}: {call:?}: {why}"))?;
            let checked = self.carried_out(actor, *call, effect, since);
            return checked.map_err(|why| format!("{actor}: {call:?}: {why}"));
        }
        if let Some(known) = self.actors.get_mut(&actor) {
            match place {
                Place::After(_) if may_go => known.request.client.replied(),
                Place::Before(call) | Place::After(call) => known.request.fails(call),
                Place::Handler(_) => known.request.begins_to_save(),
            }
        }
        self.settle().await
    }

    fn carried_out(
        &mut self,
        actor: Actor,
        call: Call,
        effect: Effect,
        then: u64,
    ) -> Result<(), String> {
        if let Effect::Moved { left, .. } = &effect
            && let Record::Forward { .. } = left.record
            && self.is_held(ledger::key(call), actor)
        {
            return Err("rotates the id of a session that another request has locked".to_owned());
        }
        match self.actors.get_mut(&actor) {
            Some(known) => known.request.carried_out(call, effect, &self.ledger, then),
            None if matches!(effect, Effect::Nothing) => Ok(()),
            None => Err(format!("nobody asked for {effect:?}")),
        }
    }

    /// Whether another request uses the session exclusively, and its lease lasts.
    fn is_held(&self, key: PublicId, actor: Actor) -> bool {
        self.actors.iter().any(|(other, known)| {
            // An orphan that is not at a gate may have come to its end.
            let at_work = known.role != Role::Orphan || self.board.place(*other).is_some();
            *other != actor && at_work && known.request.holds(key, self.minute)
        })
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

    async fn hold_up(&mut self, actor: Actor) -> Result<(), String> {
        self.note(format_args!("the call of {actor} is held up"));
        self.pass(rules::LEASE);
        for (other, _) in self.board.everybody() {
            if other != actor {
                let runs = |place: &Place| matches!(place, Place::Handler(_));
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
        let next = Process::start(number, Arc::clone(&self.store), &self.board, &self.clock);
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
            if let Some((Place::Handler(seen), _)) = self.board.place(actor) {
                self.note(format_args!("{actor} {seen:?}"));
                let handled = self.handles(actor, &seen);
                handled.map_err(|why| format!("{actor}: {why}"))?;
            }
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

    /// A handler has done a part of its work.
    fn handles(&mut self, actor: Actor, seen: &Seen) -> Result<(), String> {
        let Some(known) = self.actors.get_mut(&actor) else {
            return Ok(());
        };
        let Some(key) = known.request.handles(seen)? else {
            return Ok(());
        };
        // The handler has begun to use the session exclusively.
        if known.request.holds(key, self.minute) {
            if self.is_held(key, actor) {
                return Err("two handlers use one session exclusively".to_owned());
            }
            let others = self.actors.iter_mut().filter(|(other, _)| **other != actor);
            others.for_each(|(_, known)| known.request.is_taken_over(key));
        }
        Ok(())
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
                known
                    .request
                    .responds(&response, &self.ledger, self.minute)?;
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
