//! The ledger: every record that was seen in the store, and each change of one.
//!
//! One call of the store is carried out at a time. After each, the ledger reads the records that the call
//! names. So it knows each write that has reached the store, whatever the caller was told of it.

use std::{collections::BTreeMap, sync::Arc};

use poem_session::{
    PublicId,
    clock::Timestamp,
    store::{SessionStore, Version},
};
use poem_session_tests::watched::Call;
use serde::Deserialize;

use crate::history::Field;

pub(crate) type Data = BTreeMap<Field, u64>;

/// The stored record of a key. Times are in minutes since the history began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) record: Record,
    pub(crate) version: Version,
    pub(crate) expires: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Record {
    Live(Live),
    Tombstone(Tombstone),
    Forward { to: PublicId, until: u64 },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tombstone {
    pub(crate) destroyed: bool,
    /// The key of the session if its id was regenerated.
    pub(crate) moved_to: Option<PublicId>,
    /// Until when new requests with the id are refused.
    pub(crate) until: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Live {
    pub(crate) data: Data,
    pub(crate) created: u64,
    pub(crate) rotated: u64,
    /// Whether it has held nothing but flash values.
    pub(crate) flash_only: bool,
}

impl Live {
    pub(crate) fn holds_flash_only(data: &Data) -> bool {
        data.keys().all(|field| *field == Field::Flash)
    }
}

/// The effect of a call on the store.
#[derive(Debug)]
pub(crate) enum Effect {
    Nothing,
    /// The fence: a lease that had expired was taken over.
    TakenOver,
    Created(Stored),
    Replaced {
        before: Stored,
        after: Stored,
    },
    Touched {
        before: Stored,
        after: Stored,
    },
    /// A session was moved to a new key. `left` is in its place.
    Moved {
        before: Stored,
        left: Stored,
        after: Stored,
    },
}

pub(crate) struct Ledger {
    store: Arc<dyn SessionStore>,
    began: Timestamp,
    /// `None` under a key whose record was removed.
    records: BTreeMap<PublicId, Option<Stored>>,
}

impl Ledger {
    pub(crate) fn new(store: Arc<dyn SessionStore>, began: Timestamp) -> Self {
        Self {
            store,
            began,
            records: BTreeMap::new(),
        }
    }

    /// The record under a key, expired or not.
    pub(crate) fn get(&self, key: PublicId) -> Option<&Stored> {
        self.records.get(&key)?.as_ref()
    }

    /// The live session under a key.
    pub(crate) fn live(&self, key: PublicId, now: u64) -> Option<&Live> {
        let stored = self.get(key).filter(|stored| stored.expires > now)?;
        match &stored.record {
            Record::Live(live) => Some(live),
            Record::Tombstone(_) | Record::Forward { .. } => None,
        }
    }

    /// All sessions were removed.
    pub(crate) fn cleared(&mut self) {
        self.records.values_mut().for_each(|stored| *stored = None);
    }

    /// Reads the records that a call names. The call was sent at the minute `then`, by the clock of its process.
    /// No clock is ahead of `now`.
    ///
    /// Checks the rules of every write, whoever made it: a key is used once, and a tombstone, a forward or an
    /// expired record is never written over.
    pub(crate) async fn observe(
        &mut self,
        call: Call,
        then: u64,
        now: u64,
    ) -> Result<Effect, String> {
        let (key, to) = match call {
            Call::Rename(from, to) => (from, Some(to)),
            _ => (key(call), None),
        };
        let change = self.read_again(key, now).await?;
        let moved = match to {
            Some(to) => self.read_again(to, now).await?,
            None => None,
        };
        let is_live =
            |stored: &Stored| matches!(stored.record, Record::Live(_)) && stored.expires > then;
        match (call, change, moved) {
            (_, None, None) => Ok(Effect::Nothing),
            (Call::Create(_), Some((None, after)), None) if is_live(&after) => {
                Ok(Effect::Created(after))
            }
            (Call::Replace(_), Some((Some(before), after)), None)
                if is_live(&before) && after.version > before.version =>
            {
                Ok(Effect::Replaced { before, after })
            }
            (Call::Touch(_), Some((Some(before), after)), None)
                if is_live(&before) && after == before.until(after.expires) =>
            {
                Ok(Effect::Touched { before, after })
            }
            (Call::Rename(..), Some((Some(before), left)), Some((None, after)))
                if is_live(&before) && is_live(&after) && left.version > before.version =>
            {
                Ok(Effect::Moved {
                    before,
                    left,
                    after,
                })
            }
            (Call::Lock(_), Some((Some(before), after)), None)
                if after.version > before.version && after == before.at(after.version) =>
            {
                Ok(Effect::TakenOver)
            }
            (_, change, moved) => Err(format!("a store must not do this: {change:?}, {moved:?}")),
        }
    }

    /// Reads the record under a key. Returns it as it was and as it is, if it has changed.
    async fn read_again(
        &mut self,
        key: PublicId,
        now: u64,
    ) -> Result<Option<(Option<Stored>, Stored)>, String> {
        let after = self.read(key).await?;
        let used = self.records.contains_key(&key);
        let before = self.get(key).cloned();
        if before != after && (used || after.is_some()) {
            self.records.insert(key, after.clone());
        }
        match (before, after) {
            (None, Some(_)) if used => Err("a key is used again".to_owned()),
            (Some(before), None) if before.expires > now => Err(format!("lost: {before:?}")),
            (before, Some(after)) if before.as_ref() != Some(&after) => Ok(Some((before, after))),
            // The same, or swept.
            _ => Ok(None),
        }
    }

    async fn read(&self, key: PublicId) -> Result<Option<Stored>, String> {
        // At the beginning of time, no record has expired.
        let stored = self.store.load(key, Timestamp::from_millis(0)).await;
        let Some(stored) = stored.map_err(|error| error.to_string())? else {
            return Ok(None);
        };
        let record = rmp_serde::from_slice::<Raw<'_>>(&stored.data);
        let record = record.map_err(|error| format!("not a record: {error}"))?;
        Ok(Some(Stored {
            record: self.record(&record),
            version: stored.version,
            expires: self.minute(stored.expires_at.as_millis()),
        }))
    }

    fn record(&self, raw: &Raw<'_>) -> Record {
        let moved_to = raw
            .moved
            .map(|to| PublicId::from_bytes(to.try_into().expect("32 bytes")));
        let until = || self.minute(raw.until.expect("a tombstone or a forward has an end"));
        if let Some(destroyed) = raw.ended {
            let until = until();
            return Record::Tombstone(Tombstone {
                destroyed,
                moved_to,
                until,
            });
        }
        if let Some(to) = moved_to {
            let until = until();
            return Record::Forward { to, until };
        }
        let created = raw.created.expect("a session has a creation");
        let data = [
            (Field::A, raw.a),
            (Field::B, raw.b),
            (Field::Count, raw.count),
            (Field::Flash, raw.flash),
        ];
        let data = data.into_iter();
        Record::Live(Live {
            data: data
                .filter_map(|(field, value)| Some((field, value?)))
                .collect(),
            created: self.minute(created),
            rotated: self.minute(raw.rotated.unwrap_or(created)),
            flash_only: raw.class == Some(0),
        })
    }

    fn minute(&self, millis: u64) -> u64 {
        (millis - self.began.as_millis()) / 60_000
    }

    /// Compares all keys that any request has tried to store under: nothing has changed unseen.
    pub(crate) async fn check_all(
        &mut self,
        keys: impl IntoIterator<Item = PublicId>,
        now: u64,
    ) -> Result<(), String> {
        for key in keys {
            if let Some(change) = self.read_again(key, now).await? {
                return Err(format!("changed by another call: {change:?}"));
            }
        }
        Ok(())
    }
}

/// The first key of a call.
pub(crate) fn key(call: Call) -> PublicId {
    match call {
        Call::Load(key)
        | Call::Create(key)
        | Call::Replace(key)
        | Call::Touch(key)
        | Call::Rename(key, _)
        | Call::Lock(key)
        | Call::Unlock(key) => key,
        Call::Clear | Call::DeleteExpired => panic!("no request calls {call:?}"),
    }
}

impl Stored {
    fn until(&self, expires: u64) -> Self {
        Self {
            expires,
            ..self.clone()
        }
    }

    fn at(&self, version: Version) -> Self {
        Self {
            version,
            ..self.clone()
        }
    }
}

/// A record, as the documentation of the format describes it.
#[derive(Deserialize)]
struct Raw<'a> {
    #[serde(rename = "$created")]
    created: Option<u64>,
    #[serde(rename = "$rotated")]
    rotated: Option<u64>,
    #[serde(rename = "$class")]
    class: Option<u64>,
    #[serde(rename = "$ended")]
    ended: Option<bool>,
    #[serde(rename = "$moved", borrow)]
    moved: Option<&'a [u8]>,
    #[serde(rename = "$until")]
    until: Option<u64>,
    #[serde(rename = "model.a")]
    a: Option<u64>,
    #[serde(rename = "model.b")]
    b: Option<u64>,
    #[serde(rename = "model.count")]
    count: Option<u64>,
    #[serde(rename = "model.flash")]
    flash: Option<u64>,
}
