//! The model of how a request comes to its session.

use std::collections::BTreeSet;

use poem_session_tests::watched::Call;

use crate::{
    board::{Actor, Seen},
    request::{Base, Label, Lock, Look, Outcome, Request, Stage},
    rules,
    world::{Step, World},
};

impl World {
    /// A call that is carried out before the handler runs.
    pub(crate) fn load_call(&mut self, actor: Actor, call: Call, takes_over: bool, now: u64) {
        match call {
            Call::Load(_) => self.look(actor, now),
            Call::Lock(_) => self.lock(actor, takes_over, now),
            _ => {}
        }
    }

    pub(crate) fn load_fails(&mut self, actor: Actor) {
        self.request(actor).stage = Stage::Loading(Look::Failed);
    }

    /// Whether a handler that is to have the session to itself finds that it has ended.
    pub(crate) fn has_nothing_to_lock(&self, actor: Actor) -> bool {
        let request = &self.requests[&actor];
        let ended = request.exclusive && matches!(request.base, Base::Ended { .. });
        ended && request.stage == Stage::Loading(Look::Found)
    }

    pub(crate) fn request(&mut self, actor: Actor) -> &mut Request {
        self.requests.get_mut(&actor).expect("it is under way")
    }

    fn look(&mut self, actor: Actor, now: u64) {
        let request = &self.requests[&actor];
        let Stage::Loading(look) = request.stage.clone() else {
            return;
        };
        let (label, again) = match look {
            Look::Unasked => (request.id.and_then(|id| self.label(&id)), false),
            Look::On { to, until } => (Some(to), until.is_none()),
            Look::Again(label) => (Some(label), true),
            Look::Found | Look::Failed => return,
        };
        let step = label.map_or(Step::Nothing, |label| self.read(label, now));
        let base = match (step, label) {
            (Step::Nothing, _) if look == Look::Unasked => Base::None,
            (Step::Nothing, _) | (_, None) => Base::Ended { over: true },
            (Step::Ended { over }, _) => Base::Ended { over },
            (Step::Live, Some(label)) => self.base(actor, label),
            (Step::On { to, until }, _) => {
                let until = (!again).then_some(until);
                self.request(actor).stage = Stage::Loading(Look::On { to, until });
                return;
            }
        };
        let request = self.request(actor);
        request.stage = Stage::Loading(Look::Found);
        request.live |= matches!(base, Base::Session(_));
        request.fresh = !request.live;
        request.base = base;
    }

    fn base(&self, actor: Actor, label: Label) -> Base {
        let brought = self.requests[&actor].id.and_then(|id| self.label(&id));
        Base::Session(self.known(label, brought != Some(label)))
    }

    fn lock(&mut self, actor: Actor, takes_over: bool, now: u64) {
        let Base::Session(known) = &self.requests[&actor].base else {
            return;
        };
        let label = known.label;
        if takes_over {
            self.take_over(label);
        }
        let gone = matches!(self.read(label, now), Step::Nothing);
        let request = self.request(actor);
        if gone {
            request.base = Base::Ended { over: true };
            request.stage = Stage::Loading(Look::Found);
        } else {
            request.stage = Stage::Loading(Look::Again(label));
            request.lock = Some(Lock {
                label,
                until: now + rules::LEASE,
                held: false,
                fenced_off: false,
            });
        }
    }

    /// A handler has done a part of its work, and this is what it saw.
    pub(crate) fn handles(
        &mut self,
        actor: Actor,
        seen: &Seen,
        at_work: &BTreeSet<Actor>,
        now: u64,
    ) -> Result<(), String> {
        match &self.requests[&actor].stage {
            Stage::Loading(_) => self.begins(actor, at_work, now)?,
            Stage::Saving {
                outcome: Some(Outcome::Saved),
                ..
            } => {}
            stage => return Err(format!("a handler runs, but {stage:?}")),
        }
        let request = self.request(actor);
        request.stage = Stage::Handling;
        let expected = Seen {
            fresh: request.fresh,
            read: request.act_part(),
        };
        if *seen == expected {
            Ok(())
        } else {
            Err(format!(
                "the handler finds {seen:?}, the model expects {expected:?}"
            ))
        }
    }

    fn begins(&mut self, actor: Actor, at_work: &BTreeSet<Actor>, now: u64) -> Result<(), String> {
        let request = self.request(actor);
        match request.stage {
            Stage::Loading(Look::Found) => {}
            // Not followed any more.
            Stage::Loading(Look::On {
                until: Some(until), ..
            }) if now >= until => {}
            _ => return Err(format!("a handler runs, but {:?}", request.stage)),
        }
        if !request.exclusive {
            return Ok(());
        }
        match &request.base {
            Base::None => Ok(()),
            Base::Ended { .. } => Err("a handler locks what has ended".to_owned()),
            Base::Session(_) => {
                let lock = request.lock.as_mut();
                let lock = lock.ok_or("a handler runs without its lock")?;
                lock.held = true;
                let label = lock.label;
                // Whose lease has run out before its handler came to run cannot write: it may run.
                if request.has_lost_its_lock(now) {
                    return Ok(());
                }
                if self.is_locked_by_another(actor, at_work, now) {
                    return Err("two handlers have the session to themselves".to_owned());
                }
                self.fence_off_others(actor, label);
                Ok(())
            }
        }
    }

    /// This one has the lock: whoever had it before does not have it any more.
    fn fence_off_others(&mut self, actor: Actor, label: Label) {
        let others = self
            .requests
            .iter_mut()
            .filter(|(other, _)| **other != actor);
        for lock in others.filter_map(|(_, request)| request.lock.as_mut()) {
            lock.fenced_off |= lock.label == label;
        }
    }

    /// The handler has not run: with this status it need not.
    pub(crate) fn is_turned_away(&self, actor: Actor, status: u16) -> bool {
        match status {
            409 => self.has_nothing_to_lock(actor),
            503 => self.requests[&actor].stage == Stage::Loading(Look::Failed),
            _ => false,
        }
    }
}
