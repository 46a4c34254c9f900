//! What a store keeps of a session: one MessagePack map.
//!
//! # Format
//! A map whose keys are strings. `namespace.field` holds a field's value as serde writes it (structs as
//! maps with field names), at most 128 lists and maps deep. Names that begin with `$` are the library's own:
//!
//! | key | value | meaning |
//! |---|---|---|
//! | `$created` | unsigned integer | when the session began, in milliseconds since the Unix epoch |
//! | `$idle` | unsigned integer | this session's own idle timeout, in milliseconds |
//! | `$rotated` | unsigned integer | when its id was last renewed on schedule, in milliseconds since the Unix epoch |
//! | `$ended` | `true` or `false` | the session that was here is over (`true`), or has another in its place under an id that is not told (`false`); a request that still names it is refused |
//! | `$moved` | 32 bytes | the session goes on under this public id |
//! | `$until` | unsigned integer | until when a new request may follow `$moved`, in milliseconds since the Unix epoch |
//!
//! Keys that this version does not know are kept as they are, so that two versions of an application
//! can share a store. The version and expiry of a record are the store's business and not in here.

use std::time::Duration;

use bytes::Bytes;
use rmp::Marker;

use crate::{clock::Timestamp, id::PublicId, key::Field};

pub(crate) const CREATED: Field = Field::new("$created");
pub(crate) const IDLE: Field = Field::new("$idle");
pub(crate) const ROTATED: Field = Field::new("$rotated");
const ENDED: Field = Field::new("$ended");
const MOVED: Field = Field::new("$moved");
const UNTIL: Field = Field::new("$until");

/// A record that has been checked to be a well-formed map with string keys. Cloning shares the bytes.
#[derive(Clone)]
pub(crate) struct Record {
    bytes: Bytes,
    /// Where the entries begin, behind the map's header.
    start: usize,
    own: Own,
}

/// The library's own entries that each request asks for, told when the record is checked.
#[derive(Clone, Copy, Default)]
struct Own {
    created: Option<u64>,
    idle: Option<u64>,
    /// Whether it is not of a session, but of what is left of one.
    is_mark: bool,
}

impl Own {
    fn note(&mut self, key: &[u8], value: &[u8]) {
        let number = || rmp_serde::from_slice(value).ok();
        match key {
            b"$created" => self.created = number(),
            b"$idle" => self.idle = number(),
            b"$ended" | b"$moved" => self.is_mark = true,
            _ => {}
        }
    }
}

/// The bytes are not a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed;

/// One entry of a record.
pub(crate) struct Entry<'a> {
    /// Text, which is checked once and compared as bytes from then on.
    pub(crate) key: &'a [u8],
    /// The value, encoded.
    pub(crate) value: &'a [u8],
    /// Key and value, encoded.
    raw: &'a [u8],
}

impl Record {
    pub(crate) fn empty() -> Self {
        Self {
            bytes: Bytes::from_static(&[0x80]),
            start: 1,
            own: Own::default(),
        }
    }

    /// Checks every length once, so that reading cannot fail later. Values are not decoded.
    pub(crate) fn parse(bytes: Bytes) -> Result<Self, Malformed> {
        let mut input = Input(&bytes);
        let count = input.map_header().ok_or(Malformed)?;
        let start = bytes.len() - input.0.len();
        let mut own = Own::default();
        for _ in 0..count {
            let entry = input.entry().ok_or(Malformed)?;
            std::str::from_utf8(entry.key).map_err(|_| Malformed)?;
            if is_own(entry.key) {
                own.note(entry.key, entry.value);
            }
        }
        if input.0.is_empty() {
            Ok(Self { bytes, start, own })
        } else {
            Err(Malformed)
        }
    }

    pub(crate) fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// How many entries it has.
    pub(crate) fn len(&self) -> usize {
        Input(&self.bytes).map_header().expect("a record is a map")
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        let mut input = Input(&self.bytes[self.start..]);
        std::iter::from_fn(move || input.entry())
    }

    /// The encoded value of a field, under its name or else the first alias that is there. Shares the
    /// record's bytes.
    pub(crate) fn get(&self, field: Field) -> Option<Bytes> {
        self.find(field.name)
            .or_else(|| field.aliases.iter().find_map(|alias| self.find(alias)))
            .map(|value| self.bytes.slice_ref(value))
    }

    fn find(&self, key: &str) -> Option<&[u8]> {
        self.entries()
            .find_map(|entry| (entry.key == key.as_bytes()).then_some(entry.value))
    }

    fn number(&self, field: Field) -> Option<u64> {
        rmp_serde::from_slice(self.find(field.name)?).ok()
    }

    /// When the session began. A record that does not say counts as begun at the epoch: it can only end
    /// too early, never too late.
    pub(crate) fn created_at(&self) -> Timestamp {
        Timestamp::from_millis(self.own.created.unwrap_or(0))
    }

    pub(crate) fn idle_timeout(&self) -> Option<Duration> {
        self.own.idle.map(Duration::from_millis)
    }

    /// When its id was last renewed on schedule, or made.
    pub(crate) fn rotated_at(&self) -> Timestamp {
        self.number(ROTATED)
            .map_or_else(|| self.created_at(), Timestamp::from_millis)
    }

    /// What is left under the id of a session that is over.
    pub(crate) fn over() -> Bytes {
        marks(&[(ENDED, Bytes::from_static(&[0xc3]))])
    }

    /// What is left under the id of a session that has another in its place.
    pub(crate) fn left() -> Bytes {
        marks(&[(ENDED, Bytes::from_static(&[0xc2]))])
    }

    /// What is left under the id of a session that was renewed on schedule.
    pub(crate) fn moved(to: PublicId, until: Timestamp) -> Bytes {
        let mut value = Vec::with_capacity(34);
        rmp::encode::write_bin(&mut value, to.as_bytes()).expect("writing to memory");
        marks(&[(MOVED, value.into()), (UNTIL, number(until.as_millis()))])
    }

    /// Whether the session has ended here: `true` where it is over, `false` where another is in its place.
    pub(crate) fn ended(&self) -> Option<bool> {
        let is_over = |value: &[u8]| value == [0xc3];
        self.own
            .is_mark
            .then(|| self.find(ENDED.name).map(is_over))?
    }

    /// Until when a new request may follow [`moved_to`](Self::moved_to).
    pub(crate) fn followed_until(&self) -> Timestamp {
        Timestamp::from_millis(self.number(UNTIL).unwrap_or(u64::MAX))
    }

    /// Where a session went that was renewed on schedule.
    pub(crate) fn moved_to(&self) -> Option<PublicId> {
        let moved = || self.find(MOVED.name)?.strip_prefix(&[0xc4, 32]);
        let bytes = self.own.is_mark.then(moved)??;
        bytes.try_into().ok().map(PublicId::from_bytes)
    }

    /// The entries that are not the library's own.
    pub(crate) fn data(&self) -> impl Iterator<Item = Entry<'_>> {
        self.entries().filter(|entry| !is_own(entry.key))
    }

    pub(crate) fn has_data(&self) -> bool {
        self.data().next().is_some()
    }
}

/// Whether a key is one of the library's own.
pub(crate) fn is_own(key: &[u8]) -> bool {
    key.starts_with(b"$")
}

/// A duration as [`number`] encodes its milliseconds.
pub(crate) fn duration(encoded: &[u8]) -> Option<Duration> {
    rmp_serde::from_slice(encoded)
        .ok()
        .map(Duration::from_millis)
}

/// The most that [`number`] takes, with the header of its key.
pub(crate) const NUMBER_SIZE: usize = 10;

/// The encoding of the library's own numbers.
pub(crate) fn number(number: u64) -> Bytes {
    let mut value = Vec::with_capacity(9);
    rmp::encode::write_uint(&mut value, number).expect("writing to memory");
    value.into()
}

/// A record of the library's own entries alone.
fn marks(entries: &[(Field, Bytes)]) -> Bytes {
    rewrite(
        &Record::empty(),
        entries.iter().map(|(field, value)| (*field, Some(value))),
    )
    .bytes
}

fn write_map_header(out: &mut Vec<u8>, count: usize) {
    let count = u32::try_from(count).expect("a session has fewer than 2^32 keys");
    rmp::encode::write_map_len(out, count).expect("writing to memory");
}

fn write_entry(out: &mut Vec<u8>, field: Field, value: &[u8]) {
    rmp::encode::write_str(out, field.name).expect("writing to memory");
    out.extend_from_slice(value);
}

/// The record that comes of `base` when each of `changes` takes the place of what is stored under its
/// field's name and aliases: a new value, or nothing.
pub(crate) fn rewrite<'a>(
    base: &Record,
    changes: impl IntoIterator<Item = (Field, Option<&'a Bytes>)>,
) -> Record {
    let changes: Vec<_> = changes.into_iter().collect();
    let kept = |entry: &Entry<'_>| {
        let mut fields = changes.iter().map(|(field, _)| field);
        !fields.any(|field| field.answers_to(entry.key))
    };
    let set = || {
        changes
            .iter()
            .filter_map(|(field, value)| Some((*field, (*value)?)))
    };
    let count = base.entries().filter(|entry| kept(entry)).count() + set().count();
    let room: usize = set()
        .map(|(field, value)| field.name.len() + value.len() + 5)
        .sum();
    let mut out = Vec::with_capacity(base.bytes.len() + room + 5);
    write_map_header(&mut out, count);
    let start = out.len();
    let mut own = Own::default();
    for entry in base.entries().filter(|entry| kept(entry)) {
        out.extend_from_slice(entry.raw);
        own.note(entry.key, entry.value);
    }
    for (field, value) in set() {
        write_entry(&mut out, field, value);
        own.note(field.name.as_bytes(), value);
    }
    Record {
        bytes: out.into(),
        start,
        own,
    }
}

/// Reads MessagePack from the front of a slice. `None`: it ends too early or is not what was asked for.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn marker(&mut self) -> Option<Marker> {
        self.take(1).map(|byte| Marker::from_u8(byte[0]))
    }

    /// A big-endian number of `width` bytes.
    fn length(&mut self, width: usize) -> Option<usize> {
        let bytes = self.take(width)?;
        bytes.iter().try_fold(0usize, |n, byte| {
            n.checked_mul(256)?.checked_add(usize::from(*byte))
        })
    }

    fn map_header(&mut self) -> Option<usize> {
        match self.marker()? {
            Marker::FixMap(len) => Some(len.into()),
            Marker::Map16 => self.length(2),
            Marker::Map32 => self.length(4),
            _ => None,
        }
    }

    /// The bytes of a string.
    fn text(&mut self) -> Option<&'a [u8]> {
        let len = match self.marker()? {
            Marker::FixStr(len) => len.into(),
            Marker::Str8 => self.length(1)?,
            Marker::Str16 => self.length(2)?,
            Marker::Str32 => self.length(4)?,
            _ => return None,
        };
        self.take(len)
    }

    fn entry(&mut self) -> Option<Entry<'a>> {
        let before = self.0;
        let key = self.text()?;
        let value_start = self.0;
        self.skip()?;
        Some(Entry {
            key,
            value: &value_start[..value_start.len() - self.0.len()],
            raw: &before[..before.len() - self.0.len()],
        })
    }

    /// Steps over one value of any kind. Not recursive, so that deep nesting costs no stack.
    fn skip(&mut self) -> Option<()> {
        let mut pending: usize = 1;
        while pending > 0 {
            pending = (pending - 1).checked_add(self.begin_value()?)?;
        }
        Some(())
    }

    /// Steps over one value, or into it where others are in it. Answers how many those are.
    fn begin_value(&mut self) -> Option<usize> {
        let (bytes, values) = match self.marker()? {
            Marker::FixPos(_) | Marker::FixNeg(_) | Marker::Null | Marker::True | Marker::False => {
                (0, 0)
            }
            Marker::U8 | Marker::I8 => (1, 0),
            Marker::U16 | Marker::I16 | Marker::FixExt1 => (2, 0),
            Marker::FixExt2 => (3, 0),
            Marker::U32 | Marker::I32 | Marker::F32 => (4, 0),
            Marker::FixExt4 => (5, 0),
            Marker::U64 | Marker::I64 | Marker::F64 => (8, 0),
            Marker::FixExt8 => (9, 0),
            Marker::FixExt16 => (17, 0),
            Marker::FixStr(len) => (len.into(), 0),
            Marker::Str8 | Marker::Bin8 => (self.length(1)?, 0),
            Marker::Str16 | Marker::Bin16 => (self.length(2)?, 0),
            Marker::Str32 | Marker::Bin32 => (self.length(4)?, 0),
            Marker::Ext8 => (self.length(1)?.checked_add(1)?, 0),
            Marker::Ext16 => (self.length(2)?.checked_add(1)?, 0),
            Marker::Ext32 => (self.length(4)?.checked_add(1)?, 0),
            Marker::FixArray(len) => (0, len.into()),
            Marker::Array16 => (0, self.length(2)?),
            Marker::Array32 => (0, self.length(4)?),
            Marker::FixMap(len) => (0, usize::from(len) * 2),
            Marker::Map16 => (0, self.length(2)? * 2),
            Marker::Map32 => (0, self.length(4)?.checked_mul(2)?),
            Marker::Reserved => return None,
        };
        self.take(bytes)?;
        Some(values)
    }
}

/// Whether lists and maps in an encoded value lie more than `limit` deep in each other.
pub(crate) fn nests_deeper_than(limit: usize, encoded: &[u8]) -> bool {
    // Each takes a byte at least: nearly every value is told by its length.
    if encoded.len() <= limit {
        return false;
    }
    let mut input = Input(encoded);
    // How many values are still to come, at each depth.
    let mut open = vec![1];
    while let Some(left) = open.last_mut() {
        if *left == 0 {
            open.pop();
            continue;
        }
        *left -= 1;
        match input.begin_value() {
            Some(0) => {}
            Some(_) if open.len() > limit => return true,
            Some(values) => open.push(values),
            // Not well formed, which is for the decoder to say.
            None => return false,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Field = Field::new("ns.a");
    const B: Field = Field::new("ns.b");
    const RENAMED: Field = Field {
        name: "ns.new",
        aliases: &["ns.a"],
        flash: false,
    };

    fn packed<T: serde::Serialize>(value: &T) -> Bytes {
        rmp_serde::to_vec_named(value).unwrap().into()
    }

    fn record(entries: &[(Field, Bytes)]) -> Record {
        rewrite(
            &Record::empty(),
            entries.iter().map(|(field, value)| (*field, Some(value))),
        )
    }

    #[test]
    fn values_of_every_kind_are_stepped_over() {
        let nested = serde_json_like();
        let record = record(&[(A, nested.clone()), (B, packed(&7))]);
        let again = Record::parse(record.bytes().clone()).unwrap();
        assert_eq!(again.get(A).unwrap(), nested);
        assert_eq!(again.get(B).unwrap(), packed(&7));
    }

    fn serde_json_like() -> Bytes {
        packed(&(
            (
                1u8,
                300u16,
                70_000u32,
                u64::MAX,
                -1i8,
                -300i16,
                -70_000i32,
                i64::MIN,
            ),
            (
                1.5f32,
                2.5f64,
                true,
                (),
                "x".repeat(40),
                "y".repeat(300),
                "z".repeat(70_000),
            ),
            (
                vec![0u8; 20],
                vec![vec![1, 2]; 20],
                std::collections::BTreeMap::from([("k", 1)]),
            ),
        ))
    }

    #[test]
    fn rewriting_replaces_removes_and_keeps() {
        let base = record(&[(A, packed(&1)), (B, packed(&2)), (CREATED, packed(&5u64))]);
        let two = packed(&"two");
        let next = rewrite(&base, [(B, Some(&two)), (A, None)]);
        let next = Record::parse(next.bytes().clone()).unwrap();
        assert!(next.get(A).is_none());
        assert_eq!(next.get(B).unwrap(), two);
        assert_eq!(next.created_at(), Timestamp::from_millis(5));
    }

    #[test]
    fn an_alias_is_read_and_gives_way_to_the_name() {
        let base = record(&[(A, packed(&1))]);
        assert_eq!(base.get(RENAMED).unwrap(), packed(&1));
        let two = packed(&2);
        let next = rewrite(&base, [(RENAMED, Some(&two))]);
        assert_eq!(next.get(RENAMED).unwrap(), two);
        assert!(
            next.get(A).is_none(),
            "the old name would come back to life"
        );
    }

    #[test]
    fn more_than_fifteen_keys() {
        let fields: Vec<(Field, Bytes)> = (0..100)
            .map(|n| {
                (
                    Field::new(Box::leak(format!("ns.{n}").into_boxed_str())),
                    packed(&n),
                )
            })
            .collect();
        let record = Record::parse(record(&fields).bytes().clone()).unwrap();
        assert_eq!(record.entries().count(), 100);
        assert_eq!(record.get(fields[99].0).unwrap(), packed(&99));
    }

    /// As encoders of other languages may write it: nothing has to be as short as it could be.
    #[test]
    fn long_forms_are_read_as_short_ones_are() {
        let values: [&[u8]; 6] = [
            b"\xc7\x02\x05xy",
            b"\xc8\x00\x02\x05xy",
            b"\xc9\x00\x00\x00\x02\x05xy",
            b"\xde\x00\x02\xa1k\x01\xa1l\x02",
            b"\xdf\x00\x00\x00\x02\xa1k\x01\xa1l\x02",
            b"\xdd\x00\x00\x00\x02\x01\x02",
        ];
        let keys: [&[u8]; 3] = [
            b"\xd9\x04ns.b",
            b"\xda\x00\x04ns.b",
            b"\xdb\x00\x00\x00\x04ns.b",
        ];
        let headers: [&[u8]; 3] = [b"\x82", b"\xde\x00\x02", b"\xdf\x00\x00\x00\x02"];
        for header in headers {
            for key in keys {
                for value in values {
                    let bytes = [header, key, value, b"\xa4ns.a\x07"].concat();
                    let record = Record::parse(bytes.into()).expect("well formed");
                    assert_eq!((record.len(), record.entries().count()), (2, 2));
                    assert_eq!(record.get(B).unwrap(), value);
                    assert_eq!(record.get(A).unwrap(), &b"\x07"[..]);
                }
            }
        }
    }

    #[test]
    fn hostile_bytes_are_malformed() {
        let good = record(&[(A, serde_json_like())]);
        for len in 0..good.bytes().len().min(300) {
            assert!(
                Record::parse(good.bytes().slice(..len)).is_err(),
                "cut at {len}"
            );
        }
        let mut deep = vec![0x81, 0xa1, b'a'];
        deep.extend(std::iter::repeat_n(0x91, 100_000));
        for bytes in [
            vec![],
            vec![0x80, 0x00],
            vec![0x90],
            vec![0xc1],
            vec![0x81, 0x01, 0x01],
            vec![0x81, 0xa1, 0xff, 0x01],
            vec![0xdf, 0xff, 0xff, 0xff, 0xff],
            vec![0x81, 0xa1, b'a', 0xdd, 0xff, 0xff, 0xff, 0xff],
            vec![0x81, 0xa1, b'a', 0xc6, 0xff, 0xff, 0xff, 0xff, 0x00],
            deep,
        ] {
            assert!(
                Record::parse(bytes.clone().into()).is_err(),
                "{:?}",
                &bytes[..bytes.len().min(12)]
            );
        }
    }

    #[test]
    fn depth_is_counted_in_lists_and_maps() {
        // Each level a list of one, and an empty string behind the innermost.
        let lists = |depth| [vec![0x91; depth], vec![0xa0]].concat();
        assert!(!nests_deeper_than(128, &lists(128)));
        assert!(nests_deeper_than(128, &lists(129)));
        // A map in each map, beside a long text.
        let map = |depth| [b"\x82\xa0\xa2xx\xa0".repeat(depth), vec![0xc0]].concat();
        assert!(!nests_deeper_than(128, &map(128)));
        assert!(nests_deeper_than(128, &map(129)));
        // Wide is not deep.
        let wide = packed(&vec![vec![vec![1]; 100]; 100]);
        assert!(nests_deeper_than(2, &wide) && !nests_deeper_than(3, &wide));
        assert!(!nests_deeper_than(128, &packed(&"x".repeat(1000))));
    }

    #[test]
    fn what_is_left_of_an_ended_session_has_no_data() {
        let over = Record::parse(Record::over()).unwrap();
        assert_eq!(over.ended(), Some(true));
        assert!(!over.has_data());
        let left = Record::parse(Record::left()).unwrap();
        assert_eq!(left.ended(), Some(false));
        assert_eq!(record(&[(A, packed(&1))]).ended(), None);
        let (to, until) = (PublicId::from_bytes([7; 32]), Timestamp::from_millis(9));
        let moved = Record::parse(Record::moved(to, until)).unwrap();
        assert_eq!(moved.moved_to(), Some(to));
        assert_eq!(moved.followed_until(), until);
        assert_eq!(over.moved_to(), None);
    }
}
