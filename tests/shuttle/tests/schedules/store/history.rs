//! Checks that parallel calls return what the same calls return in some sequential order
//! (linearizability, Herlihy and Wing 1990).

use std::collections::BTreeMap;

use poem_session::{
    clock::Timestamp,
    store::{Created, Locked, Replaced, Stored, Version},
};

use super::call::{Call, Key, NOW, Reply, after};

/// A call, with the moments of the execution at which it began and ended.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub(crate) call: Call,
    pub(crate) reply: Reply,
    pub(crate) begun: usize,
    pub(crate) ended: usize,
}

/// A sequential model of a store.
#[derive(Debug, Clone, Default)]
pub(crate) struct Model(BTreeMap<Key, Held>);

#[derive(Debug, Clone)]
struct Held {
    stored: Stored,
    lease: Option<(u128, Timestamp)>,
}

impl Model {
    /// The model after the call, or `None` if the model would return another reply.
    pub(crate) fn then(&self, call: Call, reply: &Reply) -> Option<Self> {
        let mut next = self.clone();
        next.replies(call, reply).then_some(next)
    }

    /// Carries out the call. Returns whether its reply is this one. The store chooses versions, so they are taken
    /// from the reply.
    fn replies(&mut self, call: Call, reply: &Reply) -> bool {
        match (call, reply) {
            (Call::Load(key), Reply::Loaded(loaded)) => self.stored(key) == loaded.as_ref(),
            (Call::Create(key, _), Reply::Created(Created::Exists)) => self.0.contains_key(&key),
            (Call::Create(key, data), Reply::Created(Created::Created(version))) => {
                let vacant = !self.0.contains_key(&key);
                self.put(key, data, *version);
                vacant
            }
            (Call::Replace(key, expected, data), Reply::Replaced(reply)) => {
                if !self.is_reply_to(key, expected, reply) {
                    return false;
                }
                if let Replaced::Replaced(version) = reply
                    && let Some(held) = self.0.get_mut(&key)
                {
                    held.stored = stored(data, *version);
                    return *version > expected;
                }
                true
            }
            (Call::Touch(key, expected, end), Reply::Was(touched)) => {
                let held = self.0.get_mut(&key);
                let held = held.filter(|held| held.stored.version == expected);
                let there = held.is_some();
                if let Some(held) = held {
                    held.stored.expires_at = held.stored.expires_at.max(end);
                }
                there == *touched
            }
            (Call::Rename { from, to, .. }, Reply::Refused) => {
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
                Reply::Replaced(reply),
            ) => {
                if !self.is_reply_to(from, expected, reply) {
                    return false;
                }
                if let Replaced::Replaced(version) = reply {
                    if self.0.contains_key(&to) {
                        return false;
                    }
                    self.put(to, data, *version);
                    self.put(from, leave, expected.next());
                }
                true
            }
            (Call::Lock(key, owner), Reply::Locked(locked)) => self.lock(key, owner) == *locked,
            (Call::Unlock(key, owner), Reply::Was(unlocked)) => {
                let held = self.0.get_mut(&key);
                let held =
                    held.filter(|held| held.lease.is_some_and(|(holder, _)| holder == owner));
                let there = held.is_some();
                if let Some(held) = held {
                    held.lease = None;
                }
                there == *unlocked
            }
            (Call::Sweep, Reply::Done) => true,
            (Call::Clear, Reply::Done) => {
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

    /// Whether a conditional write of this record returns this reply.
    fn is_reply_to(&self, key: Key, expected: Version, reply: &Replaced) -> bool {
        match (self.stored(key), reply) {
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

/// Whether the events are those of some sequential order that begins with this model. An event that had ended
/// before another began comes first in that order too.
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
                .then(event.call, &event.reply)
                .is_some_and(|next| is_explained(&next, &rest))
        })
}
