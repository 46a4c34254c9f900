//! The bytes that a store keeps of a session: one MessagePack map.
//!
//! # Format
//! The keys of the map are strings. `namespace.field` holds the value of a field as serde writes it (structs
//! as maps with field names), with lists and maps nested at most 128 deep. Names that begin with `$` belong
//! to the library:
//!
//! | key | value | meaning |
//! |---|---|---|
//! | `$created` | unsigned integer | when the session was created, in milliseconds since the Unix epoch |
//! | `$idle` | unsigned integer | the session's own idle timeout, in milliseconds |
//! | `$timeout` | unsigned integer | the idle timeout that the stored expiry was computed with, in milliseconds; absent: that of `$idle`, or else 30 minutes |
//! | `$rotated` | unsigned integer | when the session last got a new id, in milliseconds since the Unix epoch |
//! | `$class` | unsigned integer | 0: the session has held nothing but flash values; 1: a handler has given it a new id since it has data; absent: neither |
//! | `$ended` | `true` or `false` | a tombstone: the session was destroyed (`true`), or its client has another one now (`false`) |
//! | `$moved` | 32 bytes | the session continues under this public id; without `$ended`, requests follow it (a forward) |
//! | `$until` | unsigned integer | until when a new request may follow a forward, or is refused by a tombstone, in milliseconds since the Unix epoch |
//! | `$sealed` | up to 64 bytes | the id of `$moved`, encrypted with the old id, which the store does not know |
//!
//! Keys that this version does not know are kept as they are, so that two versions of an application can
//! share a store. The store keeps version and expiry of a record beside the map.

mod live;
mod msgpack;
mod own;

use bytes::Bytes;

use self::own::decode_number;
pub(crate) use self::{
    live::Record,
    msgpack::nests_deeper_than,
    own::{
        CLASS, CLASS_SIZE, CREATED, IDLE, NUMBER_SIZE, ROTATED, Standing, TIMEOUT, Term, duration,
        is_own, number, number_of_millis, timeout_entry,
    },
};
use crate::{
    clock::Timestamp,
    field::Field,
    id::{PublicId, SessionId},
};

const ENDED: Field = Field::new("$ended");
const MOVED: Field = Field::new("$moved");
const UNTIL: Field = Field::new("$until");
const SEALED: Field = Field::new("$sealed");

/// The MessagePack `true`, and `false`.
const TRUE: u8 = 0xc3;
const FALSE: u8 = 0xc2;

/// The record under one key.
#[derive(Debug, Clone)]
pub(crate) enum RecordKind {
    /// A session.
    Live(Record),
    /// A tombstone: the session under this key has ended. A request that still names the key is refused.
    Ended(Tombstone),
    /// The id was rotated: the session continues under another key.
    Forward(Forward),
}

/// The end of a session, as it is stored under its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tombstone {
    pub(crate) reason: EndReason,
    /// The key under which the session continues if its id was regenerated.
    pub(crate) moved_to: Option<PublicId>,
    /// Until when a new request with the id is refused. A request that began before is refused for longer.
    pub(crate) until: Timestamp,
}

/// The rotation of an id, as it is stored under the old key.
#[derive(Debug, Clone)]
pub(crate) struct Forward {
    /// The newer key.
    pub(crate) to: PublicId,
    /// Until when a request that arrives with the old id may follow.
    pub(crate) until: Timestamp,
    /// The newer id, encrypted with the old one.
    sealed: Bytes,
}

/// Why a session has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EndReason {
    /// It was destroyed, revoked, or it expired.
    Destroyed,
    /// Its client has been given another session, or the same one under another id.
    Replaced,
}

/// The entries of a tombstone or a forward, encoded.
struct Marks<'a> {
    ended: Option<&'a [u8]>,
    moved: Option<&'a [u8]>,
    until: Option<&'a [u8]>,
    sealed: Option<&'a [u8]>,
}

/// The bytes are not a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed;

impl<'a> Marks<'a> {
    /// Whether an entry under `key` is one of them.
    fn include(key: &[u8]) -> bool {
        matches!(key, b"$ended" | b"$moved" | b"$until" | b"$sealed")
    }

    fn of(record: &'a Record) -> Self {
        Self {
            ended: record.value(ENDED),
            moved: record.value(MOVED),
            until: record.value(UNTIL),
            sealed: record.value(SEALED),
        }
    }

    /// The tombstone or the forward, if the record is one.
    fn kind(&self) -> Result<Option<RecordKind>, Malformed> {
        let moved_to = match self.moved {
            Some(moved) => {
                let key = decode_bytes(moved).and_then(|key| key.try_into().ok());
                Some(PublicId::from_bytes(key.ok_or(Malformed)?))
            }
            None => None,
        };
        let until = self.until.and_then(decode_number).unwrap_or(u64::MAX);
        let until = Timestamp::from_millis(until);
        if let Some(ended) = self.ended {
            let reason = if ended == [TRUE] {
                EndReason::Destroyed
            } else {
                EndReason::Replaced
            };
            return Ok(Some(RecordKind::Ended(Tombstone {
                reason,
                moved_to,
                until,
            })));
        }
        Ok(moved_to.map(|to| {
            let sealed = self.sealed.and_then(decode_bytes).unwrap_or_default();
            RecordKind::Forward(Forward {
                to,
                until,
                sealed: Bytes::copy_from_slice(sealed),
            })
        }))
    }
}

impl RecordKind {
    /// Reads a record.
    pub(crate) fn parse(bytes: Bytes) -> Result<Self, Malformed> {
        let mut has_marks = false;
        let record = Record::parse(bytes, |entry| has_marks |= Marks::include(entry.key));
        let record = record.ok_or(Malformed)?;
        if !has_marks {
            return Ok(Self::Live(record));
        }
        Ok(Marks::of(&record).kind()?.unwrap_or(Self::Live(record)))
    }
}

impl Tombstone {
    /// The record to leave under the key of the session.
    pub(crate) fn record(&self) -> Bytes {
        let ended = match self.reason {
            EndReason::Destroyed => &[TRUE],
            EndReason::Replaced => &[FALSE],
        };
        let ended = Bytes::from_static(ended);
        let moved = self.moved_to.map(|key| encode_bytes(key.as_bytes()));
        let until = number(self.until.as_millis());
        let entries = [
            (ENDED, Some(&ended)),
            (MOVED, moved.as_ref()),
            (UNTIL, Some(&until)),
        ];
        Record::empty().with(entries).bytes().clone()
    }
}

impl Forward {
    /// The forward from the id `old` to the id `new`, whose public id is `to`.
    pub(crate) fn new(old: &SessionId, new: &SessionId, to: PublicId, until: Timestamp) -> Self {
        let sealed = new.sealed_for(to, old).into();
        Self { to, until, sealed }
    }

    /// The newer id, for a request that knows the old one.
    pub(crate) fn id(&self, old: &SessionId) -> Option<SessionId> {
        SessionId::unseal(&self.sealed, self.to, old)
    }

    /// The record to leave under the old key.
    pub(crate) fn record(&self) -> Bytes {
        let (to, sealed) = (encode_bytes(self.to.as_bytes()), encode_bytes(&self.sealed));
        let until = number(self.until.as_millis());
        let entries = [
            (MOVED, Some(&to)),
            (UNTIL, Some(&until)),
            (SEALED, Some(&sealed)),
        ];
        Record::empty().with(entries).bytes().clone()
    }
}

fn encode_bytes(bytes: &[u8]) -> Bytes {
    let mut value = Vec::with_capacity(bytes.len() + 2);
    rmp::encode::write_bin(&mut value, bytes).expect("writing to memory");
    value.into()
}

/// Decodes up to 255 bytes that [`encode_bytes`] has encoded.
fn decode_bytes(encoded: &[u8]) -> Option<&[u8]> {
    match encoded {
        [0xc4, len, bytes @ ..] if bytes.len() == usize::from(*len) => Some(bytes),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
