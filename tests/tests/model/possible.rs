//! All that may be true, after what was seen so far. If nothing may be, the history has no explanation.

use std::collections::BTreeSet;

use poem_session::SessionId;

use crate::{
    board::Actor,
    request::{Answer, Outcome, Stage},
    world::{Snapshot, World},
};

#[derive(Debug)]
pub(crate) struct Possible(Vec<World>);

/// What a response tells the client of its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    Nothing,
    Withdrawn,
    Id(SessionId),
}

impl Possible {
    pub(crate) fn new() -> Self {
        Self(vec![World::default()])
    }

    /// Something happens, whose outcome is not told.
    pub(crate) fn happens(&mut self, change: impl Fn(&mut World)) {
        self.0.iter_mut().for_each(change);
        self.merge();
    }

    /// Something happens, in one of several ways.
    pub(crate) fn branch(
        &mut self,
        what: &str,
        branches: impl Fn(&World) -> Vec<World>,
    ) -> Result<(), String> {
        let worlds: Vec<World> = self.0.iter().flat_map(branches).collect();
        if worlds.is_empty() {
            return Err(format!("{what}: {:#?}", self.0));
        }
        self.0 = worlds;
        self.merge();
        Ok(())
    }

    /// Something is seen: what does not go with it is not true.
    pub(crate) fn see(
        &mut self,
        change: impl Fn(&mut World) -> Result<(), String>,
    ) -> Result<(), String> {
        let mut worlds = Vec::new();
        let mut reasons = BTreeSet::new();
        for mut world in std::mem::take(&mut self.0) {
            match change(&mut world) {
                Ok(()) => worlds.push(world),
                Err(reason) => drop(reasons.insert(reason)),
            }
        }
        if worlds.is_empty() {
            return Err(Vec::from_iter(reasons).join("\n or "));
        }
        self.0 = worlds;
        self.merge();
        Ok(())
    }

    fn merge(&mut self) {
        let mut different: Vec<World> = Vec::new();
        for world in self.0.drain(..) {
            if !different.contains(&world) {
                different.push(world);
            }
        }
        self.0 = different;
    }
}

impl World {
    /// A client has its response.
    pub(crate) fn responds(
        &mut self,
        actor: Actor,
        status: u16,
        told: Told,
        now: u64,
    ) -> Result<(), String> {
        self.keep_due_id_untold(actor, now);
        let must_look = self.has_to_look_after(actor);
        let request = self.requests.remove(&actor).expect("it was under way");
        let expected = match &request.stage {
            Stage::Saving {
                outcome: Some(outcome),
                ..
            } => match outcome {
                Outcome::Saved => request.status,
                Outcome::Refused => 409,
                Outcome::Failed => 503,
            },
            // That it may be was seen before.
            _ => status,
        };
        if must_look && expected == request.status {
            return Err("tells what may have become untrue since an earlier save".to_owned());
        }
        let is_told = match (told, request.answer) {
            (Told::Nothing, None) | (Told::Withdrawn, Some(Answer::Withdrawn)) => true,
            (Told::Id(id), Some(Answer::Id(label))) => self.name(id, label),
            _ => false,
        };
        if status == expected && is_told {
            return Ok(());
        }
        Err(format!(
            "responds {status} and tells {told:?}, which is {:?}; the model expects {expected} and {:?}",
            match told {
                Told::Id(id) => self.label(&id),
                _ => None,
            },
            request.answer
        ))
    }

    /// What is stored in the end.
    pub(crate) fn is_stored(&self, found: &[Snapshot], now: u64) -> Result<(), String> {
        let mut expected = self.sessions(now);
        for session in found {
            let Some(place) = expected.iter().position(|other| other == session) else {
                return Err(format!(
                    "stored is {session:?}, the model expects {expected:?}"
                ));
            };
            expected.remove(place);
        }
        if expected.is_empty() {
            Ok(())
        } else {
            Err(format!("not stored is {expected:?}"))
        }
    }
}
