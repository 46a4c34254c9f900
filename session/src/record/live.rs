//! The record of a session.

use std::time::Duration;

use bytes::Bytes;

use super::{
    msgpack::{Entry, Input},
    own::{Own, Standing, Term, is_own},
};
use crate::{clock::Timestamp, field::Field};

/// The data of a session: a well-formed map with string keys. Cloning it shares the bytes.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    bytes: Bytes,
    index: Index,
    own: Own,
}

/// The places of the entries of a map, so that a value is found without skipping the values before it.
#[derive(Debug, Clone, Copy)]
struct Index {
    /// The number of entries.
    count: u32,
    /// The offsets of the first entries.
    starts: [u16; Self::MOST],
    /// The number of offsets. Entries that begin after 64 KiB have none.
    known: u8,
}

impl Index {
    const MOST: usize = 12;

    const fn new(count: u32) -> Self {
        Self {
            count,
            starts: [0; Self::MOST],
            known: 0,
        }
    }

    /// Adds the offset of the next entry.
    fn push(&mut self, at: usize) {
        if let Some(start) = self.starts.get_mut(usize::from(self.known))
            && let Ok(at) = u16::try_from(at)
        {
            *start = at;
            self.known += 1;
        }
    }

    fn starts(&self) -> &[u16] {
        &self.starts[..usize::from(self.known)]
    }
}

/// The entries of a record.
#[derive(Clone)]
struct Entries<'a> {
    record: &'a Record,
    next: usize,
    /// After the entries whose places are known.
    rest: Input<'a>,
}

impl<'a> Iterator for Entries<'a> {
    type Item = Entry<'a>;

    fn next(&mut self) -> Option<Entry<'a>> {
        let Record { bytes, index, .. } = self.record;
        let starts = index.starts();
        let Some(start) = starts.get(self.next) else {
            return self.rest.entry();
        };
        self.next += 1;
        let start = usize::from(*start);
        if let Some(end) = starts.get(self.next) {
            return Entry::of(&bytes[start..usize::from(*end)]);
        }
        // The last one whose place is known.
        self.rest = Input::new(&bytes[start..]);
        self.rest.entry()
    }
}

/// The bytes of a record in the making.
struct Writer {
    bytes: Vec<u8>,
    index: Index,
    own: Own,
}

impl Writer {
    /// Begins a map of `count` entries, which take `len` bytes.
    fn new(count: u32, len: usize) -> Self {
        let header = match count {
            0..=0xf => 1,
            0x10..=0xffff => 3,
            _ => 5,
        };
        // The memory store keeps this buffer: it must not be larger than its bytes.
        let mut bytes = Vec::with_capacity(header + len);
        rmp::encode::write_map_len(&mut bytes, count).expect("writing to memory");
        Self {
            bytes,
            index: Index::new(count),
            own: Own::NONE,
        }
    }

    fn keep(&mut self, entry: &Entry<'_>) {
        self.index.push(self.bytes.len());
        self.bytes.extend_from_slice(entry.raw);
        self.own.read(entry.key, entry.value);
    }

    fn add(&mut self, name: &str, value: &[u8]) {
        self.index.push(self.bytes.len());
        rmp::encode::write_str(&mut self.bytes, name).expect("writing to memory");
        self.bytes.extend_from_slice(value);
        self.own.read(name.as_bytes(), value);
    }

    fn finish(self) -> Record {
        Record {
            bytes: self.bytes.into(),
            index: self.index,
            own: self.own,
        }
    }
}

/// The length of an encoded string.
fn text_len(text: &str) -> usize {
    let header = match text.len() {
        0..=0x1f => 1,
        0x20..=0xff => 2,
        0x100..=0xffff => 3,
        _ => 5,
    };
    header + text.len()
}

impl Record {
    /// The record of a session in which nothing is stored.
    pub(crate) fn empty() -> &'static Self {
        static EMPTY: Record = Record {
            bytes: Bytes::from_static(&[0x80]),
            index: Index::new(0),
            own: Own::NONE,
        };
        &EMPTY
    }

    /// Reads the entries of a map, and passes each to `read`. Checks every length once, so that later reads of the
    /// bytes cannot fail. Values are not decoded.
    pub(super) fn parse(bytes: Bytes, mut read: impl FnMut(&Entry<'_>)) -> Option<Self> {
        let mut input = Input::new(&bytes);
        let count = input.map_header()?;
        let (mut index, mut own) = (Index::new(u32::try_from(count).ok()?), Own::NONE);
        for _ in 0..count {
            index.push(bytes.len() - input.len());
            let entry = input.entry()?;
            if !entry.key.is_ascii() {
                std::str::from_utf8(entry.key).ok()?;
            }
            own.read(entry.key, entry.value);
            read(&entry);
        }
        (input.len() == 0).then_some(())?;
        Some(Self { bytes, index, own })
    }

    pub(crate) fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The number of entries, those of the library included.
    pub(crate) fn len(&self) -> usize {
        self.index.count as usize
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn entries(&self) -> Entries<'_> {
        Entries {
            record: self,
            next: 0,
            rest: Input::new(&[]),
        }
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
        self.value(field).map(|value| self.bytes.slice_ref(value))
    }

    /// The same, borrowed.
    pub(crate) fn value(&self, field: Field) -> Option<&[u8]> {
        self.find(field.name())
            .or_else(|| field.aliases().iter().find_map(|alias| self.find(alias)))
    }

    fn find(&self, key: &str) -> Option<&[u8]> {
        self.entries()
            .find_map(|entry| (entry.key == key.as_bytes()).then_some(entry.value))
    }

    /// The times that decide when the session ends. A record without `$created` counts as created at the
    /// epoch, so that it can only end too early, never too late.
    pub(crate) fn term(&self) -> Term {
        self.own.term()
    }

    /// The idle timeout that the stored expiry was computed with.
    pub(crate) fn timeout(&self) -> Duration {
        self.own.timeout()
    }

    /// The `$timeout` of the record.
    pub(crate) fn timeout_entry(&self) -> Option<Duration> {
        self.own.timeout_entry()
    }

    /// How much the session matters to its visitor.
    pub(crate) fn standing(&self) -> Standing {
        self.own.standing()
    }

    /// When the session last got a new id; the creation if it never did.
    pub(crate) fn rotated_at(&self) -> Timestamp {
        self.own.rotated_at()
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
        let (mut count, mut len) = (0, 0);
        for entry in self.entries().filter(is_kept) {
            (count, len) = (count + 1, len + entry.raw.len());
        }
        for (name, value) in set() {
            (count, len) = (count + 1, len + text_len(name) + value.len());
        }
        let mut writer = Writer::new(count, len);
        for entry in self.entries().filter(is_kept) {
            writer.keep(&entry);
        }
        for (name, value) in set() {
            writer.add(name, value);
        }
        writer.finish()
    }
}
