//! Plays a history against the real thing, side by side with the model.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Display,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use poem::{IntoResponse, Request as HttpRequest, Response, http::header};
use poem_session::{
    SessionId,
    clock::{Clock as _, ManualClock, Timestamp},
    store::{SessionStore, Version},
};
use poem_session_tests::watched::Call;
use tokio::task::AbortHandle;

use crate::{
    application::{self, Process, Script, minutes},
    board::{Actor, Board, End, Place},
    history::{Cookie, Event, PROCESSES, Visit},
    possible::{Possible, Told},
    request::{Request, Stage},
    revoke::Revoke,
    rules, stored,
    world::World,
};

/// The application, its clients, and the model of all of them.
pub(crate) struct Play {
    store: Arc<dyn SessionStore>,
    clock: Arc<ManualClock>,
    began: Timestamp,
    minute: u64,
    board: Arc<Board>,
    processes: Vec<Process>,
    possible: Possible,
    actors: BTreeMap<Actor, Known>,
    browser: Option<SessionId>,
    /// The ids that clients were given.
    told: Vec<SessionId>,
    log: Vec<String>,
}

/// A request or a job of the history's.
struct Known {
    process: usize,
    task: AbortHandle,
    role: Role,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    /// Whether the browser is told the answer.
    Visit {
        of_browser: bool,
    },
    /// Its client has gone away while it saved.
    Orphan,
    Revoke,
}

/// Answers what the model cannot explain, if anything.
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
            store,
            began: clock.now(),
            clock,
            minute: 0,
            board,
            processes,
            possible: Possible::new(),
            actors: BTreeMap::new(),
            browser: None,
            told: Vec::new(),
            log: Vec::new(),
        }
    }

    async fn play(&mut self, history: &[Event]) -> Result<(), String> {
        for event in history {
            self.happen(event).await?;
        }
        self.finish_all().await?;
        let keys = self.board.keys();
        let found = stored::sessions(&*self.store, keys, &self.told, self.began, self.clock.now());
        let found = found.await?;
        let minute = self.minute;
        self.possible.see(|world| world.is_stored(&found, minute))
    }

    async fn happen(&mut self, event: &Event) -> Result<(), String> {
        match event {
            Event::Begin(visit) => self.begin(visit).await,
            Event::Revoke { process, which } => self.revoke(*process, *which).await,
            Event::Step(which) => match self.pick(*which, |_| true) {
                Some(actor) => self.step(actor, true).await,
                None => Ok(()),
            },
            Event::Finish(which) => match self.pick(*which, |_| true) {
                Some(actor) => self.finish(actor).await,
                None => Ok(()),
            },
            Event::HoldUp(which) => {
                let is_call = |place: &Place| matches!(place, Place::Before(_));
                match self.pick(*which, is_call) {
                    Some(actor) => self.hold_up(actor).await,
                    None => Ok(()),
                }
            }
            Event::Fail(which) => {
                let at_store = |place: &Place| !matches!(place, Place::Handler(_));
                match self.pick(*which, at_store) {
                    Some(actor) => self.step(actor, false).await,
                    None => Ok(()),
                }
            }
            Event::Leave(which) => match self.pick(*which, |_| true) {
                Some(actor) => self.leave(actor).await,
                None => Ok(()),
            },
            Event::Crash(process) => self.crash(*process).await,
            Event::Pass(n) => {
                self.pass(*n);
                Ok(())
            }
            Event::Sweep => {
                // Nobody can tell, but who made a call before they expired, and found either: see `swept`.
                let swept = self.store.delete_expired(1000, self.clock.now()).await;
                swept.map(drop).map_err(|error| error.to_string())
            }
            Event::Clear => {
                let cleared = self.store.clear().await;
                cleared.map_err(|error| error.to_string())?;
                self.note("all sessions are removed");
                self.possible.happens(World::clear);
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
        let id = match visit.cookie {
            Cookie::Current => self.browser,
            Cookie::Old(_) if self.told.is_empty() => return Ok(()),
            Cookie::Old(which) => Some(self.told[which % self.told.len()]),
        };
        let of_browser = matches!(visit.cookie, Cookie::Current);
        let process = &self.processes[visit.process];
        let endpoint = if visit.exclusive {
            Arc::clone(&process.exclusive)
        } else {
            Arc::clone(&process.open)
        };
        let mut request = HttpRequest::builder();
        if let Some(id) = id {
            request = request.header(header::COOKIE, format!("__Host-id={}", id.expose()));
        }
        let mut request = request.finish();
        let board = Arc::clone(&self.board);
        let (actor, task) = self.board.spawn(|actor| {
            request.set_data(Script {
                board,
                actor,
                process: visit.process,
                parts: Arc::new(visit.parts()),
                status: visit.status,
            });
            async move {
                use poem::Endpoint as _;
                let response = endpoint.call(request).await;
                End::Responded(
                    response.map_or_else(poem::Error::into_response, IntoResponse::into_response),
                )
            }
        });
        let role = Role::Visit { of_browser };
        let process = visit.process;
        self.actors.insert(
            actor,
            Known {
                process,
                task,
                role,
            },
        );
        let number = id.and_then(|id| self.told.iter().position(|told| *told == id));
        self.note(format_args!("{actor} begins with id {number:?}: {visit:?}"));
        // A session may still be about to be unlocked.
        let meets_jobs = self.jobs_are_under_way();
        self.possible.happens(|world| {
            let mut request = Request::new(id, visit);
            request.met_others = meets_jobs;
            for other in world.requests.values_mut() {
                (request.met_others, other.met_others) = (true, true);
            }
            world.requests.insert(actor, request);
        });
        self.settle().await
    }

    async fn revoke(&mut self, process: usize, which: usize) -> Result<(), String> {
        if self.told.is_empty() {
            return Ok(());
        }
        let id = self.told[which % self.told.len()];
        let sessions = self.processes[process].sessions.clone();
        let (actor, task) = self
            .board
            .spawn(|_| async move { End::Revoked(sessions.revoke(&id).await) });
        let role = Role::Revoke;
        self.actors.insert(
            actor,
            Known {
                process,
                task,
                role,
            },
        );
        self.note(format_args!(
            "{actor} revokes id {}",
            which % self.told.len()
        ));
        self.possible.happens(|world| {
            let label = world.label(&id).expect("a client was told");
            world.revokes.insert(actor, Revoke::new(label));
        });
        self.settle().await
    }

    /// Lets one go on, or has the store fail it.
    async fn step(&mut self, actor: Actor, may_go: bool) -> Result<(), String> {
        let Some((place, since)) = self.board.place(actor) else {
            return Ok(());
        };
        let verb = if may_go { "goes on" } else { "fails" };
        self.note(format_args!("{actor} {verb}, {place:?}"));
        match place {
            Place::Before(call) if may_go => {
                let version = self.version(call).await;
                self.board.release(actor, true);
                // Answered by a store, which takes what time it takes.
                while !matches!(self.board.place(actor), Some((Place::After(_), _))) {
                    self.board.changed().await;
                }
                self.board.arrived();
                let takes_over = version != self.version(call).await;
                self.carried_out(actor, call, takes_over, since)
            }
            Place::Before(call) => {
                self.board.release(actor, false);
                self.failed(actor, call, since, false)?;
                self.settle().await
            }
            Place::After(call) => {
                self.board.release(actor, may_go);
                if !may_go {
                    self.failed(actor, call, since, true)?;
                }
                self.settle().await
            }
            Place::Handler(_) => {
                self.possible.happens(|world| world.begin_save(actor));
                self.board.release(actor, true);
                self.settle().await
            }
        }
    }

    /// The version of what a call is to lock, whether that has expired or not.
    async fn version(&self, call: Call) -> Option<Version> {
        let Call::Lock(key) = call else {
            return None;
        };
        let stored = self.store.load(key, Timestamp::from_millis(0)).await;
        stored.ok().flatten().map(|stored| stored.version)
    }

    /// A call has been carried out, with the time at which it was made. If it `takes_over`, it has locked what
    /// somebody else did not give back.
    fn carried_out(
        &mut self,
        actor: Actor,
        call: Call,
        takes_over: bool,
        then: u64,
    ) -> Result<(), String> {
        let now = self.minute;
        self.possible
            .branch("expired", |world| world.swept(then, now))?;
        let Some(known) = self.actors.get(&actor) else {
            return Ok(());
        };
        let role = known.role;
        let what = format!("nothing explains why {actor} calls {call:?}");
        self.possible.branch(&what, |world| {
            if role == Role::Revoke {
                return world.revoke_call(actor, call, then);
            }
            if world.has_nothing_to_lock(actor) {
                return Vec::new();
            }
            if let Stage::Loading(_) = world.requests[&actor].stage {
                let mut world = world.clone();
                world.load_call(actor, call, takes_over, then);
                return vec![world];
            }
            world.save_call(actor, call, takes_over, then)
        })
    }

    /// A call fails, having been carried out or not.
    fn failed(&mut self, actor: Actor, call: Call, then: u64, done: bool) -> Result<(), String> {
        let Some(known) = self.actors.get(&actor) else {
            return Ok(());
        };
        let role = known.role;
        let what = format!("nothing explains why {actor} called {call:?}");
        self.possible.branch(&what, |world| {
            let mut next = world.clone();
            if role == Role::Revoke {
                next.revoke_fails(actor);
                vec![next]
            } else if let Stage::Loading(_) = world.requests[&actor].stage {
                next.load_fails(actor);
                vec![next]
            } else if done {
                world.save_answer_is_lost(actor, call, then)
            } else {
                world.save_fails(actor, call, then)
            }
        })
    }

    /// Lets one go on until it is through, waits for another, or has asked for a lock in vain.
    async fn finish(&mut self, actor: Actor) -> Result<(), String> {
        self.go_on(actor, |_| false).await
    }

    /// Lets one go on until it is there, or cannot go on.
    async fn go_on(
        &mut self,
        actor: Actor,
        is_there: impl Fn(&Place) -> bool,
    ) -> Result<(), String> {
        let mut locks = 0;
        while let Some((place, _)) = self
            .board
            .place(actor)
            .filter(|(place, _)| !is_there(place))
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
            // The leases of the dead run out.
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
        known.task.abort();
        self.note(format_args!("the client of {actor} goes away"));
        let place = self.board.place(actor);
        // What is being saved is saved to the end; else there is nothing to come of it.
        self.turns().await;
        if place.is_none() || self.board.place(actor) != place {
            self.forget(actor);
        }
        self.settle().await
    }

    fn forget(&mut self, actor: Actor) {
        self.actors.remove(&actor);
        self.possible.happens(|world| {
            world.requests.remove(&actor);
            world.revokes.remove(&actor);
        });
    }

    async fn crash(&mut self, number: usize) -> Result<(), String> {
        self.note(format_args!("process {number} dies"));
        let next = Process::start(number, Arc::clone(&self.store), &self.board, &self.clock);
        let dead = std::mem::replace(&mut self.processes[number], next);
        dead.alive.store(false, Ordering::Relaxed);
        let of_it: Vec<Actor> = self
            .actors
            .iter()
            .filter(|(_, known)| known.process == number)
            .map(|(actor, _)| *actor)
            .collect();
        for actor in of_it {
            self.actors[&actor].task.abort();
            self.forget(actor);
        }
        self.board.kill(number);
        self.settle().await
    }

    /// Waits until everybody stands at a gate, is at the end, or waits for somebody who does.
    async fn settle(&mut self) -> Result<(), String> {
        self.turns().await;
        let on_the_way = |actor: &&Actor| self.board.place(**actor).is_none();
        if self.actors.keys().any(|actor| on_the_way(&actor)) {
            // Or they are asleep until they try again.
            tokio::time::advance(Duration::from_millis(60)).await;
            self.turns().await;
        }
        for actor in self.board.arrived() {
            if let Some((Place::Handler(seen), _)) = self.board.place(actor) {
                let now = self.minute;
                self.note(format_args!("{actor} {seen:?}"));
                self.save_may_be_over(actor)?;
                let at_work = self.at_work();
                self.possible
                    .see(|world| world.handles(actor, &seen, &at_work, now))
                    .map_err(|why| format!("{actor}: {why}"))?;
            }
        }
        for (actor, end) in self.board.ended() {
            self.end(actor, end)
                .map_err(|why| format!("{actor}: {why}"))?;
        }
        Ok(())
    }

    /// Everybody who can goes on.
    async fn turns(&self) {
        for _ in 0..16 {
            tokio::task::yield_now().await;
        }
    }

    /// Whether the library does something by itself.
    fn jobs_are_under_way(&self) -> bool {
        let everybody = self.board.everybody();
        let is_known = |(actor, _): &(Actor, Place)| self.actors.contains_key(actor);
        !everybody.iter().all(is_known)
    }

    /// All but those who save for a client that went away, and may be done with that.
    fn at_work(&self) -> BTreeSet<Actor> {
        let actors = self.actors.iter();
        let at_work = |(actor, known): &(&Actor, &Known)| {
            known.role != Role::Orphan || self.board.place(**actor).is_some()
        };
        actors.filter(at_work).map(|(actor, _)| *actor).collect()
    }

    fn save_may_be_over(&mut self, actor: Actor) -> Result<(), String> {
        let now = self.minute;
        let what = format!("nothing explains why {actor} is done with saving");
        self.possible
            .branch(&what, |world| match world.requests[&actor].stage {
                Stage::Saving { .. } => world.saved(actor, now),
                _ => vec![world.clone()],
            })
    }

    fn end(&mut self, actor: Actor, end: End) -> Result<(), String> {
        let Some(known) = self.actors.get(&actor) else {
            return Ok(());
        };
        match (known.role, end) {
            (Role::Visit { of_browser }, End::Responded(response)) => {
                self.respond(actor, &response, of_browser)?;
            }
            (Role::Revoke, End::Revoked(answer)) => {
                let answer = answer.ok();
                self.note(format_args!("{actor} revoked: {answer:?}"));
                self.possible.see(|world| world.is_revoked(actor, answer))?;
            }
            (_, end) => return Err(format!("an end of another kind: {end:?}")),
        }
        self.forget(actor);
        Ok(())
    }

    fn respond(
        &mut self,
        actor: Actor,
        response: &Response,
        of_browser: bool,
    ) -> Result<(), String> {
        let status = response.status().as_u16();
        let told = match application::cookie(response)?.as_deref() {
            None => Told::Nothing,
            Some("") => Told::Withdrawn,
            Some(id) => Told::Id(SessionId::parse(id).map_err(|error| error.to_string())?),
        };
        self.note(format_args!("{actor} responds {status}"));
        self.save_may_be_over(actor)?;
        let now = self.minute;
        self.possible.see(|world| {
            if let Stage::Loading(_) = world.requests[&actor].stage
                && !world.is_turned_away(actor, status)
            {
                return Err(format!("responds {status} without a handler's doing"));
            }
            world.responds(actor, status, told, now)
        })?;
        match told {
            Told::Nothing => return Ok(()),
            Told::Withdrawn if of_browser => self.browser = None,
            Told::Id(id) if of_browser => self.browser = Some(id),
            Told::Withdrawn | Told::Id(_) => {}
        }
        if let Told::Id(id) = told
            && !self.told.contains(&id)
        {
            self.told.push(id);
        }
        Ok(())
    }
}
