//! The checks of requests that use one session at the same time: exclusive sections do not overlap.
//!
//! A lease is judged by the clock of the process that asks for it. So two handlers run at the same time only if the
//! lease of the first has expired by the clock of the second, which has taken it over. The first must not write then.

use poem_session::PublicId;
use poem_session_tests::watched::Call;

use crate::{
    board::{Actor, Reply, Seen},
    ledger::{self, Effect, Record},
    play::{Known, Play, Role},
};

impl Play {
    /// The store has carried out a call.
    pub(crate) fn carried_out(
        &mut self,
        actor: Actor,
        call: Call,
        reply: Reply,
        effect: Effect,
        then: u64,
    ) -> Result<(), String> {
        let key = ledger::key(call);
        match &effect {
            Effect::Moved { left, .. }
                if matches!(left.record, Record::Forward { .. })
                    && !self.is_excused(actor)
                    && self.is_held(key, actor, then) =>
            {
                return Err("rotates the id of a session that another has locked".to_owned());
            }
            Effect::TakenOver => {
                if self.is_held(key, actor, then) {
                    return Err("takes over a lease that has not expired".to_owned());
                }
                let others = self.actors.iter_mut().filter(|(other, _)| **other != actor);
                others.for_each(|(_, known)| known.request.is_taken_over(key));
            }
            _ => {}
        }
        match self.actors.get_mut(&actor) {
            Some(Known { request, .. }) => {
                request.carried_out(call, reply, effect, &self.ledger, then)
            }
            None if matches!(effect, Effect::Nothing | Effect::TakenOver) => Ok(()),
            None => Err(format!("nobody asked for {effect:?}")),
        }
    }

    /// Whether an actor cannot know that it has lost its lock.
    fn is_excused(&self, actor: Actor) -> bool {
        let request = self.actors.get(&actor).map(|known| &known.request);
        let lock = request.and_then(|request| request.lock.as_ref());
        lock.is_some_and(|lock| lock.is_excused)
    }

    /// Whether another request uses the session exclusively, and its lease lasts at this minute by the clock of
    /// the actor.
    fn is_held(&self, key: PublicId, actor: Actor, minute: u64) -> bool {
        self.actors.iter().any(|(other, known)| {
            // An orphan that is not at a gate may have come to its end.
            let at_work = known.role != Role::Orphan || self.board.place(*other).is_some();
            // A write by a process whose clock has ended the lease may remove it from the record.
            let now = self.clocks.minutes()[known.process].max(minute);
            *other != actor && at_work && known.request.holds(key, now)
        })
    }

    /// A handler has done a part of its work.
    pub(crate) fn handles(&mut self, actor: Actor, seen: &Seen) -> Result<(), String> {
        let Some(known) = self.actors.get_mut(&actor) else {
            return Ok(());
        };
        known.request.handles(seen)?;
        let now = self.clocks.minutes()[known.process];
        let lock = known.request.lock.as_ref();
        let lock = lock.filter(|lock| known.request.holds(lock.key, now));
        let asked = lock.map(|lock| (lock.key, lock.since));
        if asked.is_some_and(|(key, since)| self.is_held(key, actor, since)) {
            return Err("two handlers use one session exclusively".to_owned());
        }
        Ok(())
    }
}
