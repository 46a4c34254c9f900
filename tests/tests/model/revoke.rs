//! The model of a session's end from outside of requests.

use poem_session_tests::watched::Call;

use crate::{
    board::Actor,
    request::Label,
    world::{Found, World},
};

/// A job that ends a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Revoke {
    pub(crate) label: Label,
    /// The version that it has seen.
    seen: Option<u64>,
    outcome: Option<Outcome>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Done(bool),
    Failed,
}

impl Revoke {
    pub(crate) fn new(label: Label) -> Self {
        Self {
            label,
            seen: None,
            outcome: None,
        }
    }
}

impl World {
    fn revoke(&mut self, actor: Actor) -> &mut Revoke {
        self.revokes.get_mut(&actor).expect("it is under way")
    }

    fn with_revoke(&self, actor: Actor, change: impl Fn(&mut Revoke)) -> Self {
        let mut world = self.clone();
        change(world.revoke(actor));
        world
    }

    /// The worlds after one of its calls has been carried out.
    pub(crate) fn revoke_call(&self, actor: Actor, call: Call, now: u64) -> Vec<Self> {
        let revoke = &self.revokes[&actor];
        if revoke.outcome.is_some() {
            return Vec::new();
        }
        let done =
            |done| self.with_revoke(actor, |revoke| revoke.outcome = Some(Outcome::Done(done)));
        let Found::Live(label) = self.find(revoke.label, now) else {
            return vec![done(false), self.clone()];
        };
        let version = self.version(label);
        let looks = self.with_revoke(actor, |revoke| {
            revoke.label = label;
            revoke.seen = Some(version);
        });
        if !matches!(call, Call::Replace(_)) {
            return vec![looks];
        }
        let mut ends = done(true);
        ends.end(label, true, now);
        if (revoke.label, revoke.seen) == (label, Some(version)) {
            vec![ends]
        } else {
            vec![ends, looks]
        }
    }

    pub(crate) fn revoke_fails(&mut self, actor: Actor) {
        self.revoke(actor).outcome = Some(Outcome::Failed);
    }

    /// Whether this is what comes of it. `None` is an error.
    pub(crate) fn is_revoked(&self, actor: Actor, answer: Option<bool>) -> Result<(), String> {
        let expected = match self.revokes[&actor].outcome {
            Some(Outcome::Done(done)) => Some(Some(done)),
            Some(Outcome::Failed) => Some(None),
            None => None,
        };
        if expected == Some(answer) {
            Ok(())
        } else {
            Err(format!(
                "revoking answers {answer:?}, the model expects {expected:?}"
            ))
        }
    }
}
