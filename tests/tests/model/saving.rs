//! The model of a save: all that a request did comes about at one moment, in one of its calls.

use poem_session_tests::watched::Call;

use crate::{
    board::Actor,
    request::{Answer, Base, Known, Label, Outcome, Plan, Request, Stage},
    world::{Found, Step, World},
};

/// What is settled by a call that is carried out now, or without one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    Write,
    Read,
    NoCall,
}

impl World {
    /// The handler of a request goes on, and what it did is to be saved.
    pub(crate) fn begin_save(&mut self, actor: Actor) {
        let request = &self.requests[&actor];
        let early = self.early_answer(actor).filter(|_| request.is_at_the_end());
        let gives_up = request.is_at_the_end() && request.status >= 500;
        let request = self.request(actor);
        request.early = early;
        request.puts_off = false;
        request.stage = Stage::Saving {
            // After such an answer nothing is saved.
            outcome: gives_up.then_some(Outcome::Saved),
            on: None,
            noted: false,
            before: (request.base.clone(), request.answer),
        };
    }

    /// The worlds after a call for a save has been carried out: the save has come about with it, or it has
    /// only seen that others were first.
    pub(crate) fn save_call(
        &self,
        actor: Actor,
        call: Call,
        takes_over: bool,
        now: u64,
    ) -> Vec<Self> {
        match call {
            Call::Load(_) => {
                let mut worlds = self.looks_after(actor, now, true);
                worlds.extend(self.saves_by(actor, By::Read, now));
                worlds
            }
            Call::Create(_) | Call::Replace(_) | Call::Touch(_) | Call::Rename(..) => {
                let ways = self.ways(actor).into_iter();
                ways.flat_map(|world| world.saves_by(actor, By::Write, now))
                    .collect()
            }
            // Who is to renew the id locks the session first, if it is free.
            Call::Lock(_) => {
                let mut worlds = [self.puts_off(actor, false), self.finds_it_locked(actor)];
                if let Base::Session(known) = &self.requests[&actor].base
                    && takes_over
                {
                    for world in &mut worlds {
                        world.take_over(known.label);
                    }
                }
                worlds.into()
            }
            _ => Vec::new(),
        }
    }

    /// This world, and where another request may be about to lock the session, or to renew its id, the one in
    /// which that is left to it.
    fn ways(&self, actor: Actor) -> Vec<Self> {
        let mut ways = vec![self.clone()];
        let request = &self.requests[&actor];
        if request.met_others && !request.puts_off {
            ways.push(self.puts_off(actor, true));
        }
        ways
    }

    fn puts_off(&self, actor: Actor, puts_off: bool) -> Self {
        let mut world = self.clone();
        world.request(actor).puts_off = puts_off;
        world
    }

    /// The world in which the renewal is left to another. It may be so until the end: the lock may be one of the
    /// request's own, and then a later save can meet the call that gives it back.
    fn finds_it_locked(&self, actor: Actor) -> Self {
        let mut world = self.puts_off(actor, true);
        world.request(actor).met_others = true;
        world
    }

    fn saves_by(&self, actor: Actor, by: By, now: u64) -> Vec<Self> {
        let Stage::Saving {
            outcome: None, on, ..
        } = self.requests[&actor].stage
        else {
            // It had come about already, by an earlier call: why another?
            return Vec::new();
        };
        let mut world = self.clone();
        let request = world.request(actor);
        request.stage = Stage::Saving {
            outcome: None,
            on,
            noted: by == By::Write && request.only_notes_use(now),
            before: (request.base.clone(), request.answer),
        };
        let mut worlds = world.settled(actor, now, by);
        if by == By::Read || !world.is_up_to_date(actor, now) {
            world.look_again(actor, now);
            worlds.push(world);
        }
        worlds
    }

    /// The record that the client is to be told of again.
    fn early_answer(&self, actor: Actor) -> Option<(Label, u64)> {
        let request = &self.requests[&actor];
        match (&request.base, request.answer) {
            (Base::Session(known), Some(Answer::Id(label)))
                if label == known.label && self.is_named(label) =>
            {
                Some((label, known.version))
            }
            _ => None,
        }
    }

    /// Where an id is due, and another request renews it, the client is not told the old one again.
    pub(crate) fn keep_due_id_untold(&mut self, actor: Actor, now: u64) {
        let request = &self.requests[&actor];
        let due = matches!(&request.base, Base::Session(known) if request.is_due(known, now));
        // Who has looked after it has done so because it was not due.
        if due && !request.looked_after && self.early_answer(actor).is_some() {
            self.request(actor).answer = None;
        }
    }

    /// Whether a request has to look whether what it was to tell earlier is still true.
    pub(crate) fn has_to_look_after(&self, actor: Actor) -> bool {
        let request = &self.requests[&actor];
        let answer = self.early_answer(actor);
        let outcome = match request.stage {
            Stage::Saving { outcome, .. } => outcome,
            Stage::Loading(_) | Stage::Handling => None,
        };
        // Where an earlier save failed, it was the last.
        let failed = !request.is_at_the_end() && outcome != Some(Outcome::Saved);
        let is_early = failed || request.early == answer;
        outcome.is_some() && answer.is_some() && is_early && !request.looked_after
    }

    /// The worlds in which it has done so, after all else.
    fn looks_after(&self, actor: Actor, now: u64, is_answered: bool) -> Vec<Self> {
        let mut worlds = self.saved(actor, now);
        worlds.retain(|world| world.has_to_look_after(actor));
        for world in &mut worlds {
            let (label, version) = world.early_answer(actor).expect("it has to");
            let is_true = is_answered
                && matches!(world.read(label, now), Step::Live)
                && world.version(label) == version;
            let request = world.request(actor);
            request.looked_after = true;
            if !is_true {
                request.answer = None;
            }
        }
        worlds
    }

    /// The worlds in which a call for a save is not carried out.
    pub(crate) fn save_fails(&self, actor: Actor, call: Call, now: u64) -> Vec<Self> {
        match call {
            Call::Lock(_) => {
                // It may have been locked, and is then to be unlocked by somebody.
                vec![self.finds_it_locked(actor)]
            }
            Call::Load(_) => {
                let mut worlds = self.looks_after(actor, now, false);
                if !self.is_saved(actor) {
                    worlds.extend(self.with(actor, Outcome::Failed, |_| {}));
                }
                worlds
            }
            _ if self.is_saved(actor) => Vec::new(),
            _ => {
                let mut ways = self.ways(actor);
                for world in &mut ways {
                    let request = world.request(actor);
                    // That a use could not be noted is no failure.
                    request.set_outcome(if request.only_notes_use(now) {
                        Outcome::Saved
                    } else {
                        Outcome::Failed
                    });
                }
                ways
            }
        }
    }

    /// The call was carried out, and the request is told that it failed.
    pub(crate) fn save_answer_is_lost(&self, actor: Actor, call: Call, now: u64) -> Vec<Self> {
        let mut world = self.clone();
        let request = world.request(actor);
        if let Call::Load(_) | Call::Lock(_) = call {
            // The request has not seen the record that was read.
            if let Stage::Saving {
                outcome: None,
                before,
                ..
            } = request.stage.clone()
            {
                (request.base, request.answer) = before;
            }
            return world.save_fails(actor, call, now);
        }
        if let Stage::Saving { noted, before, .. } = request.stage.clone() {
            (request.base, request.answer) = before;
            request.set_outcome(if noted {
                Outcome::Saved
            } else {
                Outcome::Failed
            });
        }
        vec![world]
    }

    pub(crate) fn is_saved(&self, actor: Actor) -> bool {
        let stage = &self.requests[&actor].stage;
        matches!(stage, Stage::Saving { outcome, .. } if outcome.is_some())
    }

    /// The worlds in which a save is over by now.
    pub(crate) fn saved(&self, actor: Actor, now: u64) -> Vec<Self> {
        if self.is_saved(actor) {
            return vec![self.clone()];
        }
        let ways = self.ways(actor).into_iter();
        ways.flat_map(|world| world.settled(actor, now, By::NoCall))
            .collect()
    }

    fn is_up_to_date(&self, actor: Actor, now: u64) -> bool {
        match &self.requests[&actor].base {
            Base::None => true,
            Base::Ended { .. } => false,
            Base::Session(known) => {
                self.find(known.label, now) == Found::Live(known.label)
                    && self.version(known.label) == known.version
            }
        }
    }

    /// Sees what others have written: in the record itself, or, by another call, where that led on to.
    fn look_again(&mut self, actor: Actor, now: u64) {
        let request = &self.requests[&actor];
        let (Base::Session(known), Stage::Saving { on, .. }) = (&request.base, &request.stage)
        else {
            return;
        };
        let label = on.unwrap_or(known.label);
        let by_old_id = known.by_old_id || label != known.label;
        let next = match self.read(label, now) {
            Step::Nothing | Step::Ended { .. } => return,
            Step::On { to, .. } => Some(to),
            Step::Live => {
                let newer = self.known(label, by_old_id);
                self.request(actor).advance(newer);
                None
            }
        };
        if let Stage::Saving { on, .. } = &mut self.request(actor).stage {
            *on = next;
        }
    }

    /// What can come of the save at this moment. Nothing, if that takes a call more, or another one.
    fn settled(&self, actor: Actor, now: u64, by: By) -> Vec<Self> {
        let request = &self.requests[&actor];
        let nothing_to_save = Self::has_nothing_to_save(request, now);
        if by == By::Write && request.is_fenced_off(now) {
            return Vec::new();
        }
        if request.has_lost_its_lock(now) {
            let mut worlds = Vec::new();
            if by == By::NoCall {
                worlds = self.with(actor, Outcome::Refused, |_| {});
            }
            // It may have found out only after it was to renew the id.
            if nothing_to_save {
                worlds.extend(self.with(actor, Outcome::Saved, |_| {}));
            }
            // That the session has ended it is told before it looks at its lock again.
            if let Base::Session(known) = &request.base
                && by != By::NoCall
                && request.is_idle()
                && !matches!(self.find(known.label, now), Found::Live(_))
            {
                worlds
                    .extend(self.with(actor, Outcome::Saved, |request| Self::unsay(request, now)));
            }
            return worlds;
        }
        match &request.base {
            Base::None => self.begin(actor, now, by),
            Base::Ended { over } => self.over(actor, *over, now),
            Base::Session(_) if nothing_to_save => self.with(actor, Outcome::Saved, |_| {}),
            Base::Session(_) if by == By::NoCall => Vec::new(),
            Base::Session(known) => match self.find(known.label, now) {
                Found::Nothing => self.gone(actor, now, by),
                Found::Ended { over } => self.over(actor, over, now),
                Found::Live(label) => self.live(actor, label, now, by),
            },
        }
    }

    fn has_nothing_to_save(request: &Request, now: u64) -> bool {
        match &request.base {
            Base::Session(known) => request.only_notes_use(now) && !known.use_is_due(now),
            Base::None | Base::Ended { .. } => request.is_idle(),
        }
    }

    fn with(&self, actor: Actor, outcome: Outcome, change: impl Fn(&mut Request)) -> Vec<Self> {
        let mut world = self.clone();
        let request = world.request(actor);
        change(request);
        request.set_outcome(outcome);
        vec![world]
    }

    fn begin(&self, actor: Actor, now: u64, by: By) -> Vec<Self> {
        let request = &self.requests[&actor];
        let begun = request.begun();
        if request.plan == Plan::Reset || !begun.is_empty() {
            if by != By::Write {
                return Vec::new();
            }
            let mut world = self.clone();
            let label = world.store(begun, now, now, now);
            world.stored(actor, label, false);
            return vec![world];
        }
        let withdraws = request.plan == Plan::Destroy && request.id.is_some();
        self.with(actor, Outcome::Saved, |request| {
            if withdraws {
                request.answer = Some(Answer::Withdrawn);
            }
        })
    }

    fn refuse(&self, actor: Actor) -> Vec<Self> {
        self.with(actor, Outcome::Refused, |request| {
            request.base = Base::Ended { over: false };
            request.answer = None;
        })
    }

    /// A request that only reads, and was to renew the id, has found that its session has ended: what an
    /// earlier save had the client told is not told any more, since it may have a newer id.
    fn unsay(request: &mut Request, now: u64) {
        if matches!(&request.base, Base::Session(known) if request.rotates(known, now)) {
            request.answer = None;
        }
    }

    /// Nothing is there.
    fn gone(&self, actor: Actor, now: u64, by: By) -> Vec<Self> {
        let request = &self.requests[&actor];
        if by == By::Read {
            // An older record has led here, so that there was one.
            self.over(actor, true, now)
        } else if request.is_idle() {
            self.with(actor, Outcome::Saved, |request| Self::unsay(request, now))
        } else if request.ends() {
            self.with(actor, Outcome::Saved, |request| {
                request.left_with(Base::None);
                request.answer = Some(Answer::Withdrawn);
            })
        } else {
            self.refuse(actor)
        }
    }

    /// The session has ended.
    fn over(&self, actor: Actor, over: bool, now: u64) -> Vec<Self> {
        let request = &self.requests[&actor];
        if request.is_idle() {
            return self.with(actor, Outcome::Saved, |request| Self::unsay(request, now));
        }
        if over && request.only_signs_out() {
            // That was done already; whatever begins in its place, another response has told.
            return self.with(actor, Outcome::Saved, |request| {
                request.left_with(Base::Ended { over: true });
                request.answer = None;
            });
        }
        self.refuse(actor)
    }

    fn live(&self, actor: Actor, label: Label, now: u64, by: By) -> Vec<Self> {
        let request = &self.requests[&actor];
        let Base::Session(known) = &request.base else {
            unreachable!("it has loaded one");
        };
        let current = self.known(label, known.by_old_id || label != known.label);
        if request.plan == Plan::Keep && !request.rotates(&current, now) {
            return self.keep(actor, known, &current, now, by);
        }
        if by != By::Write {
            return Vec::new();
        }
        let mut world = self.clone();
        if request.ends() {
            world.end_for(label, request.plan, now);
            return world.with(actor, Outcome::Saved, |request| {
                request.left_with(Base::None);
                request.answer = Some(Answer::Withdrawn);
            });
        }
        let data = request.onto(&current.data);
        let next = match request.plan {
            Plan::Keep => {
                let next = world.store(data, current.created, now, now);
                world.lead_on(label, next, now);
                next
            }
            Plan::Regenerate => {
                world.end_for(label, request.plan, now);
                world.store(data, current.created, current.rotated, now)
            }
            Plan::Reset | Plan::Destroy => {
                world.end_for(label, request.plan, now);
                world.store(request.begun(), now, now, now)
            }
        };
        world.stored(actor, next, false);
        vec![world]
    }

    /// The session goes on under its id.
    fn keep(&self, actor: Actor, known: &Known, current: &Known, now: u64, by: By) -> Vec<Self> {
        let request = &self.requests[&actor];
        let is_newer = (current.label, current.version) != (known.label, known.version);
        let (label, by_old_id) = (current.label, current.by_old_id);
        if request.is_idle() {
            if is_newer {
                // Whoever was first has told the client.
                return self.with(actor, Outcome::Saved, |_| {});
            }
            if by != By::Write {
                return Vec::new();
            }
            let until = crate::rules::expiry(known.created, now);
            let mut world = self.clone();
            world.note_use(label, until);
            return world.with(actor, Outcome::Saved, |request| {
                if let Base::Session(known) = &mut request.base {
                    known.expires = until;
                }
                if !by_old_id {
                    request.answer = Some(Answer::Id(label));
                }
            });
        }
        if is_newer && !request.changes_anything(&current.data) {
            return if current.use_is_due(now) {
                Vec::new()
            } else {
                self.with(actor, Outcome::Saved, |request| {
                    request.advance(current.clone());
                })
            };
        }
        if by != By::Write {
            return Vec::new();
        }
        let mut world = self.clone();
        world.replace(label, request.onto(&current.data), now);
        world.stored(actor, label, by_old_id);
        vec![world]
    }

    /// What a request did is in this record.
    fn stored(&mut self, actor: Actor, label: Label, by_old_id: bool) {
        let known = self.known(label, by_old_id);
        let request = self.request(actor);
        request.saved_in(known);
        if !by_old_id {
            request.answer = Some(Answer::Id(label));
        }
        request.set_outcome(Outcome::Saved);
    }
}

impl Request {
    fn set_outcome(&mut self, outcome: Outcome) {
        if let Stage::Saving { outcome: old, .. } = &mut self.stage {
            *old = Some(outcome);
        }
    }
}
