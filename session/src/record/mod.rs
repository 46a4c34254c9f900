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

mod msgpack;

use std::time::Duration;

use bytes::Bytes;

use self::msgpack::Input;
pub(crate) use self::msgpack::{Entry, nests_deeper_than};
use crate::{
    clock::Timestamp,
    field::Field,
    id::{PublicId, SessionId},
};

pub(crate) const CREATED: Field = Field::new("$created");
pub(crate) const IDLE: Field = Field::new("$idle");
pub(crate) const TIMEOUT: Field = Field::new("$timeout");
pub(crate) const ROTATED: Field = Field::new("$rotated");
pub(crate) const CLASS: Field = Field::new("$class");
const ENDED: Field = Field::new("$ended");
const MOVED: Field = Field::new("$moved");
const UNTIL: Field = Field::new("$until");
const SEALED: Field = Field::new("$sealed");

/// The idle timeout of a record that has neither `$idle` nor `$timeout`. Part of the format: it stays the same if
/// the default of applications changes.
const IMPLIED_TIMEOUT: Duration = Duration::from_mins(30);

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

/// The data of a session: a well-formed map with string keys. Cloning it shares the bytes.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    bytes: Bytes,
    /// The offset of the first entry, after the header of the map.
    start: usize,
    own: Own,
}

/// The times that decide when a session ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Term {
    /// When the session was created.
    pub(crate) created_at: Timestamp,
    /// The session's own idle timeout, if it has one.
    pub(crate) idle: Option<Duration>,
    /// Whether the session has held nothing but flash values.
    pub(crate) flash_only: bool,
}

/// How much a session matters to its visitor, as far as the library can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Standing {
    /// It has held nothing but flash values, as after a sign-in that failed.
    FlashOnly,
    /// It has data, and no handler has given it a new id since.
    #[default]
    Anonymous,
    /// A handler has given it a new id while it had data, as at a sign-in.
    Established,
}

impl Standing {
    /// The encoded value of `$class`, if there is one.
    pub(crate) fn encoded(self) -> Option<&'static Bytes> {
        static FLASH_ONLY: Bytes = Bytes::from_static(&[0]);
        static ESTABLISHED: Bytes = Bytes::from_static(&[1]);
        match self {
            Self::FlashOnly => Some(&FLASH_ONLY),
            Self::Anonymous => None,
            Self::Established => Some(&ESTABLISHED),
        }
    }

    fn decode(encoded: &[u8]) -> Self {
        match decode_number(encoded) {
            Some(0) => Self::FlashOnly,
            Some(1) => Self::Established,
            _ => Self::Anonymous,
        }
    }
}

/// The library's own entries of a live session.
#[derive(Debug, Clone, Copy, Default)]
struct Own {
    created: Option<u64>,
    idle: Option<u64>,
    timeout: Option<u64>,
    rotated: Option<u64>,
    standing: Standing,
}

/// The entries of a tombstone or a forward, encoded.
#[derive(Default)]
struct Marks<'a> {
    ended: Option<&'a [u8]>,
    moved: Option<&'a [u8]>,
    until: Option<&'a [u8]>,
    sealed: Option<&'a [u8]>,
}

/// The bytes are not a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed;

impl Own {
    fn read(&mut self, key: &[u8], value: &[u8]) {
        match key {
            b"$created" => self.created = decode_number(value),
            b"$idle" => self.idle = decode_number(value),
            b"$timeout" => self.timeout = decode_number(value),
            b"$rotated" => self.rotated = decode_number(value),
            b"$class" => self.standing = Standing::decode(value),
            _ => {}
        }
    }
}

impl<'a> Marks<'a> {
    fn read(&mut self, key: &[u8], value: &'a [u8]) {
        match key {
            b"$ended" => self.ended = Some(value),
            b"$moved" => self.moved = Some(value),
            b"$until" => self.until = Some(value),
            b"$sealed" => self.sealed = Some(value),
            _ => {}
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
    /// Reads a record. Checks every length once, so that later reads of the bytes cannot fail. Values are
    /// not decoded.
    pub(crate) fn parse(bytes: Bytes) -> Result<Self, Malformed> {
        let mut input = Input::new(&bytes);
        let count = input.map_header().ok_or(Malformed)?;
        let start = bytes.len() - input.len();
        let (mut own, mut marks) = (Own::default(), Marks::default());
        for _ in 0..count {
            let entry = input.entry().ok_or(Malformed)?;
            std::str::from_utf8(entry.key).map_err(|_| Malformed)?;
            if is_own(entry.key) {
                own.read(entry.key, entry.value);
                marks.read(entry.key, entry.value);
            }
        }
        if input.len() > 0 {
            return Err(Malformed);
        }
        if let Some(kind) = marks.kind()? {
            return Ok(kind);
        }
        Ok(Self::Live(Record { bytes, start, own }))
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
        Record::empty().with(entries).bytes
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
        Record::empty().with(entries).bytes
    }
}

impl Record {
    /// The record of a session in which nothing is stored.
    pub(crate) fn empty() -> &'static Self {
        static EMPTY: Record = Record {
            bytes: Bytes::from_static(&[0x80]),
            start: 1,
            own: Own {
                created: None,
                idle: None,
                timeout: None,
                rotated: None,
                standing: Standing::Anonymous,
            },
        };
        &EMPTY
    }

    pub(crate) fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The number of entries, those of the library included.
    pub(crate) fn len(&self) -> usize {
        let header = Input::new(&self.bytes).map_header();
        header.expect("a record is a map")
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        let mut input = Input::new(&self.bytes[self.start..]);
        std::iter::from_fn(move || input.entry())
    }

    /// The entries that do not belong to the library.
    pub(crate) fn data(&self) -> impl Iterator<Item = Entry<'_>> {
        self.entries().filter(|entry| !is_own(entry.key))
    }

    pub(crate) fn has_data(&self) -> bool {
        self.data().next().is_some()
    }

    /// The encoded value of a field: under its name, else under the first alias that is there. Shares the
    /// bytes of the record.
    pub(crate) fn get(&self, field: Field) -> Option<Bytes> {
        self.find(field.name())
            .or_else(|| field.aliases().iter().find_map(|alias| self.find(alias)))
            .map(|value| self.bytes.slice_ref(value))
    }

    fn find(&self, key: &str) -> Option<&[u8]> {
        self.entries()
            .find_map(|entry| (entry.key == key.as_bytes()).then_some(entry.value))
    }

    /// The times that decide when the session ends. A record without `$created` counts as created at the
    /// epoch, so that it can only end too early, never too late.
    pub(crate) fn term(&self) -> Term {
        Term {
            created_at: Timestamp::from_millis(self.own.created.unwrap_or(0)),
            idle: self.own.idle.map(Duration::from_millis),
            flash_only: self.standing() == Standing::FlashOnly,
        }
    }

    /// The idle timeout that the stored expiry was computed with.
    pub(crate) fn timeout(&self) -> Duration {
        let millis = self.own.timeout.or(self.own.idle);
        millis.map_or(IMPLIED_TIMEOUT, Duration::from_millis)
    }

    /// The `$timeout` of the record.
    pub(crate) fn timeout_entry(&self) -> Option<Duration> {
        self.own.timeout.map(Duration::from_millis)
    }

    /// How much the session matters to its visitor.
    pub(crate) fn standing(&self) -> Standing {
        self.own.standing
    }

    /// When the session last got a new id; the creation if it never did.
    pub(crate) fn rotated_at(&self) -> Timestamp {
        let rotated = self.own.rotated.or(self.own.created);
        Timestamp::from_millis(rotated.unwrap_or(0))
    }

    /// This record with each change applied: the value replaces the one under the field's name and aliases,
    /// or, for `None`, the field is removed.
    pub(crate) fn with<'a>(
        &self,
        changes: impl IntoIterator<Item = (Field, Option<&'a Bytes>)>,
    ) -> Self {
        let changes: Vec<_> = changes.into_iter().collect();
        let is_kept =
            |entry: &Entry<'_>| !changes.iter().any(|(field, _)| field.has_name(entry.key));
        let set = || {
            changes
                .iter()
                .filter_map(|(field, value)| Some((field.name(), (*value)?)))
        };
        let (mut count, mut kept) = (set().count(), 0);
        for entry in self.entries().filter(is_kept) {
            count += 1;
            kept += entry.raw.len();
        }
        let added: usize = set()
            .map(|(name, value)| name.len() + value.len() + 5)
            .sum();
        // The memory store keeps this buffer, and counts only the bytes in use: it must not be much larger.
        let mut out = Vec::with_capacity(kept + added + 5);
        let count = u32::try_from(count).expect("a session has fewer than 2^32 keys");
        rmp::encode::write_map_len(&mut out, count).expect("writing to memory");
        let start = out.len();
        let mut own = Own::default();
        for entry in self.entries().filter(is_kept) {
            out.extend_from_slice(entry.raw);
            own.read(entry.key, entry.value);
        }
        for (name, value) in set() {
            rmp::encode::write_str(&mut out, name).expect("writing to memory");
            out.extend_from_slice(value);
            own.read(name.as_bytes(), value);
        }
        Self {
            bytes: out.into(),
            start,
            own,
        }
    }
}

/// Whether a key belongs to the library.
pub(crate) fn is_own(key: &[u8]) -> bool {
    key.starts_with(b"$")
}

/// The `$timeout` of a record whose expiry is computed with `timeout`, if it needs one. `own` is the session's own
/// idle timeout.
pub(crate) fn timeout_entry(timeout: Duration, own: Option<Duration>) -> Option<Duration> {
    Some(timeout).filter(|timeout| *timeout != own.unwrap_or(IMPLIED_TIMEOUT))
}

/// The size of a `$class` entry: the header and the bytes of its name, and its value.
pub(crate) const CLASS_SIZE: usize = 1 + CLASS.name().len() + 1;

/// The largest encoding of a [`number`], together with the header of its key.
pub(crate) const NUMBER_SIZE: usize = 10;

/// The encoding of the numbers in the library's own entries.
pub(crate) fn number(number: u64) -> Bytes {
    let mut value = Vec::with_capacity(9);
    rmp::encode::write_uint(&mut value, number).expect("writing to memory");
    value.into()
}

/// The encoding of a duration in milliseconds.
pub(crate) fn number_of_millis(duration: Duration) -> Bytes {
    number(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
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

fn decode_number(encoded: &[u8]) -> Option<u64> {
    rmp_serde::from_slice(encoded).ok()
}

/// Decodes a duration in milliseconds that [`number`] has encoded.
pub(crate) fn duration(encoded: &[u8]) -> Option<Duration> {
    decode_number(encoded).map(Duration::from_millis)
}

#[cfg(test)]
mod tests;
