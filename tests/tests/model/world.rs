//! The model: a session as one thing, and requests that see it as it was when they began.

use std::collections::BTreeMap;

use crate::history::{Field, Op};

/// Minutes.
pub(crate) const IDLE: u64 = 30;
pub(crate) const ABSOLUTE: u64 = 90;
pub(crate) const RETIRED: u64 = 3;

type Data = BTreeMap<Field, u64>;

/// All that is true, in minutes since the beginning.
#[derive(Default)]
pub(crate) struct World {
    pub(crate) now: u64,
    sessions: Vec<Stored>,
    /// What the browser holds: the number of a session.
    pub(crate) browser: Option<usize>,
}

struct Stored {
    data: Data,
    created: u64,
    expires: u64,
    /// How often it was written.
    version: u64,
    /// Whether only the mark of an ended session is left.
    ended: bool,
}

/// A request that is under way.
pub(crate) struct Request {
    base: Base,
    plan: Plan,
    brought: bool,
    /// What was done to each field, in order.
    done: BTreeMap<Field, Vec<Edit>>,
}

enum Base {
    None,
    Session {
        number: usize,
        data: Data,
        version: u64,
        expires: u64,
    },
    Ended,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Plan {
    Keep,
    Regenerate,
    Reset,
    Destroy,
}

#[derive(Clone, Copy)]
enum Edit {
    Set(Option<u64>),
    Add(u64),
    /// Removes exactly this value.
    Take(u64),
}

/// What the client must be told.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Told {
    Nothing,
    Refused,
    /// The id of the session with this number, which may be new.
    Id(usize),
    Withdrawn,
}

fn apply(edits: &[Edit], value: Option<u64>) -> Option<u64> {
    edits.iter().fold(value, |value, edit| match *edit {
        Edit::Set(value) => value,
        Edit::Add(n) => Some(value.unwrap_or(0) + n),
        Edit::Take(seen) => value.filter(|value| *value != seen),
    })
}

impl Request {
    pub(crate) fn is_fresh(&self) -> bool {
        !matches!(self.base, Base::Session { .. })
    }

    fn loaded(&self, field: Field) -> Option<u64> {
        match (&self.base, self.plan) {
            (Base::Session { data, .. }, Plan::Keep | Plan::Regenerate) => {
                data.get(&field).copied()
            }
            _ => None,
        }
    }

    fn value(&self, field: Field) -> Option<u64> {
        apply(
            self.done.get(&field).map_or(&[], Vec::as_slice),
            self.loaded(field),
        )
    }

    fn edit(&mut self, field: Field, edit: Edit) {
        self.done.entry(field).or_default().push(edit);
        if self.value(field) == self.loaded(field) {
            // As it was: nothing was changed.
            self.done.remove(&field);
        }
    }

    /// Does what a handler does, and answers what it reads.
    pub(crate) fn act(&mut self, op: Op) -> Option<u64> {
        match op {
            Op::Read(Field::Flash) => return self.act(Op::Take(Field::Flash)),
            Op::Read(field) => return self.value(field),
            Op::Set(field, value) => self.edit(field, Edit::Set(Some(value))),
            Op::Add(n) => self.edit(Field::Count, Edit::Add(n)),
            Op::Remove(field) => self.edit(field, Edit::Set(None)),
            Op::Take(field) => {
                let seen = self.value(field)?;
                self.edit(field, Edit::Take(seen));
                return Some(seen);
            }
            Op::Regenerate => {
                if self.plan == Plan::Keep {
                    self.plan = Plan::Regenerate;
                }
            }
            Op::Reset => self.leave(Plan::Reset),
            Op::Destroy => self.leave(Plan::Destroy),
        }
        None
    }

    fn leave(&mut self, plan: Plan) {
        self.done.clear();
        self.plan = plan;
    }

    fn onto(&self, data: &Data) -> Data {
        let mut data = data.clone();
        for (field, edits) in &self.done {
            match apply(edits, data.get(field).copied()) {
                Some(value) => data.insert(*field, value),
                None => data.remove(field),
            };
        }
        data
    }
}

impl World {
    fn is_there(&self, number: usize) -> bool {
        self.sessions[number].expires > self.now
    }

    fn expiry(&self, created: u64) -> u64 {
        (self.now + IDLE).min(created + ABSOLUTE)
    }

    pub(crate) fn begin(&self) -> Request {
        let base = match self.browser {
            Some(number) if self.is_there(number) => {
                let session = &self.sessions[number];
                if session.ended {
                    Base::Ended
                } else {
                    Base::Session {
                        number,
                        data: session.data.clone(),
                        version: session.version,
                        expires: session.expires,
                    }
                }
            }
            _ => Base::None,
        };
        Request {
            base,
            plan: Plan::Keep,
            brought: self.browser.is_some(),
            done: BTreeMap::new(),
        }
    }

    /// Saves what a request did.
    pub(crate) fn finish(&mut self, request: &Request) -> Told {
        let told = self.save(request);
        match told {
            Told::Id(number) => self.browser = Some(number),
            Told::Withdrawn => self.browser = None,
            Told::Nothing | Told::Refused => {}
        }
        told
    }

    fn save(&mut self, request: &Request) -> Told {
        let idle = request.plan == Plan::Keep && request.done.is_empty();
        let begun = request.onto(&Data::new());
        match request.base {
            Base::Ended if idle => Told::Nothing,
            Base::Ended => Told::Refused,
            Base::None if request.plan == Plan::Reset || !begun.is_empty() => self.create(begun),
            Base::None if request.plan == Plan::Destroy && request.brought => Told::Withdrawn,
            Base::None => Told::Nothing,
            Base::Session {
                number,
                version,
                expires,
                ..
            } => {
                let there = self.is_there(number);
                if there && self.sessions[number].ended {
                    return if idle { Told::Nothing } else { Told::Refused };
                }
                let ends = request.plan == Plan::Destroy && begun.is_empty();
                match request.plan {
                    _ if ends => {
                        if there {
                            self.end(number);
                        }
                        Told::Withdrawn
                    }
                    Plan::Keep if there && version != self.sessions[number].version => {
                        self.save_second(number, request)
                    }
                    Plan::Keep if idle => {
                        let later = self.expiry(self.sessions[number].created);
                        let session = &mut self.sessions[number];
                        if there && later > expires {
                            session.expires = session.expires.max(later);
                            Told::Id(number)
                        } else {
                            Told::Nothing
                        }
                    }
                    _ if !there => Told::Refused,
                    Plan::Keep => {
                        let expires = self.expiry(self.sessions[number].created);
                        let session = &mut self.sessions[number];
                        session.data = request.onto(&session.data);
                        session.version += 1;
                        session.expires = expires;
                        Told::Id(number)
                    }
                    Plan::Regenerate => {
                        let (data, created) = {
                            let session = &self.sessions[number];
                            (request.onto(&session.data), session.created)
                        };
                        self.end(number);
                        self.store(data, created)
                    }
                    Plan::Reset | Plan::Destroy => {
                        self.end(number);
                        self.create(begun)
                    }
                }
            }
        }
    }

    /// Saves what a request did to a session that another has written meanwhile.
    fn save_second(&mut self, number: usize, request: &Request) -> Told {
        let later = self.expiry(self.sessions[number].created);
        let session = &mut self.sessions[number];
        if request.done.is_empty() {
            // The one who wrote has told the client.
            return Told::Nothing;
        }
        let set = |edits: &Vec<Edit>| edits.iter().any(|edit| matches!(edit, Edit::Set(_)));
        let changes = request.done.iter().any(|(field, edits)| {
            let current = session.data.get(field).copied();
            set(edits) || apply(edits, current) != current
        });
        if !changes && later <= session.expires {
            return Told::Nothing;
        }
        if changes {
            session.data = request.onto(&session.data);
            session.version += 1;
        }
        session.expires = later;
        Told::Id(number)
    }

    fn create(&mut self, data: Data) -> Told {
        self.store(data, self.now)
    }

    fn store(&mut self, data: Data, created: u64) -> Told {
        self.sessions.push(Stored {
            data,
            created,
            expires: self.expiry(created),
            version: 0,
            ended: false,
        });
        Told::Id(self.sessions.len() - 1)
    }

    fn end(&mut self, number: usize) {
        let now = self.now;
        let session = &mut self.sessions[number];
        session.ended = true;
        session.version += 1;
        session.expires = now + RETIRED;
    }

    /// Ends the browser's session; answers whether there was one.
    pub(crate) fn revoke(&mut self) -> bool {
        match self.browser {
            Some(number) if self.is_there(number) && !self.sessions[number].ended => {
                self.end(number);
                true
            }
            _ => false,
        }
    }

    /// The data of a session, if it is live.
    pub(crate) fn data(&self, number: usize) -> Option<&BTreeMap<Field, u64>> {
        let session = &self.sessions[number];
        (self.is_there(number) && !session.ended).then_some(&session.data)
    }
}
