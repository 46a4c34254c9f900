//! Whether some order of calls, one after the other, explains what parallel ones answered
//! (linearizability, Herlihy and Wing 1990).

use std::collections::BTreeMap;

use poem_session::{
    clock::Timestamp,
    store::{Created, Locked, Replaced, Stored, Version},
};

use super::call::{Answer, Call, Key, NOW, after};

/// A call that was made, between two moments of the execution.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub(crate) call: Call,
    pub(crate) answer: Answer,
    pub(crate) begun: usize,
    pub(crate) ended: usize,
}

/// What a store holds that does one thing after the other.
#[derive(Debug, Clone, Default)]
pub(crate) struct Model(BTreeMap<Key, Held>);

#[derive(Debug, Clone)]
struct Held {
    stored: Stored,
    lease: Option<(u128, Timestamp)>,
}

impl Model {
    /// Takes the call for done. Nothing where it would not have answered so.
    pub(crate) fn then(&self, call: Call, answer: &Answer) -> Option<Self> {
        let mut next = self.clone();
        next.answers(call, answer).then_some(next)
    }

    /// Whether the call answers so. What the store may choose, a version, is taken from its answer.
    fn answers(&mut self, call: Call, answer: &Answer) -> bool {
        match (call, answer) {
            (Call::Load(key), Answer::Loaded(loaded)) => self.stored(key) == loaded.as_ref(),
            (Call::Create(key, _), Answer::Created(Created::Exists)) => self.0.contains_key(&key),
            (Call::Create(key, data), Answer::Created(Created::Created(version))) => {
                let vacant = !self.0.contains_key(&key);
                self.put(key, data, *version);
                vacant
            }
            (Call::Replace(key, expected, data), Answer::Replaced(answer)) => {
                if !self.is_answer_to(key, expected, answer) {
                    return false;
                }
                if let Replaced::Replaced(version) = answer
                    && let Some(held) = self.0.get_mut(&key)
                {
                    held.stored = stored(data, *version);
                    return *version > expected;
                }
                true
            }
            (Call::Touch(key, expected, end), Answer::Was(touched)) => {
                let held = self.0.get_mut(&key);
                let held = held.filter(|held| held.stored.version == expected);
                let there = held.is_some();
                if let Some(held) = held {
                    held.stored.expires_at = held.stored.expires_at.max(end);
                }
                there == *touched
            }
            (Call::Rename { from, to, .. }, Answer::Refused) => {
                self.0.contains_key(&from) && self.0.contains_key(&to)
            }
            (
                Call::Rename {
                    from,
                    expected,
                    to,
                    data,
                    leave,
                },
                Answer::Replaced(answer),
            ) => {
                if !self.is_answer_to(from, expected, answer) {
                    return false;
                }
                if let Replaced::Replaced(version) = answer {
                    if self.0.contains_key(&to) {
                        return false;
                    }
                    self.put(to, data, *version);
                    self.put(from, leave, expected.next());
                }
                true
            }
            (Call::Lock(key, owner), Answer::Locked(locked)) => self.lock(key, owner) == *locked,
            (Call::Unlock(key, owner), Answer::Was(unlocked)) => {
                let held = self.0.get_mut(&key);
                let held =
                    held.filter(|held| held.lease.is_some_and(|(holder, _)| holder == owner));
                let there = held.is_some();
                if let Some(held) = held {
                    held.lease = None;
                }
                there == *unlocked
            }
            (Call::Sweep, Answer::Done) => true,
            (Call::Clear, Answer::Done) => {
                self.0.clear();
                true
            }
            _ => false,
        }
    }

    fn stored(&self, key: Key) -> Option<&Stored> {
        self.0.get(&key).map(|held| &held.stored)
    }

    fn put(&mut self, key: Key, data: &'static str, version: Version) {
        let stored = stored(data, version);
        self.0.insert(
            key,
            Held {
                stored,
                lease: None,
            },
        );
    }

    /// Whether a conditional write of this record answers so.
    fn is_answer_to(&self, key: Key, expected: Version, answer: &Replaced) -> bool {
        match (self.stored(key), answer) {
            (None, Replaced::Gone) => true,
            (Some(stored), Replaced::Replaced(_)) => stored.version == expected,
            (Some(stored), Replaced::Conflict(current)) => {
                stored.version != expected && stored == current
            }
            _ => false,
        }
    }

    fn lock(&mut self, key: Key, owner: u128) -> Locked {
        match self.0.get_mut(&key) {
            None => Locked::Gone,
            Some(held) => match held.lease {
                Some((holder, until)) if holder != owner && NOW < until => Locked::Held,
                _ => {
                    held.lease = Some((owner, after(30)));
                    Locked::Acquired
                }
            },
        }
    }
}

fn stored(data: &'static str, version: Version) -> Stored {
    Stored {
        data: data.into(),
        version,
        expires_at: after(60),
    }
}

/// Whether an order explains the events, which the model precedes. An event that had ended before another
/// began is before it in that order, too.
pub(crate) fn is_explained(model: &Model, events: &[Event]) -> bool {
    let Some(first_end) = events.iter().map(|event| event.ended).min() else {
        return true;
    };
    (0..events.len())
        .filter(|index| events[*index].begun <= first_end)
        .any(|index| {
            let mut rest = events.to_vec();
            let event = rest.remove(index);
            model
                .then(event.call, &event.answer)
                .is_some_and(|next| is_explained(&next, &rest))
        })
}
