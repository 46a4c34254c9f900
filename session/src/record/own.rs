//! The library's own entries of a live session.

use std::{num::NonZeroU64, time::Duration};

use bytes::Bytes;

use crate::{clock::Timestamp, field::Field};

pub(crate) const CREATED: Field = Field::new("$created");
pub(crate) const IDLE: Field = Field::new("$idle");
pub(crate) const TIMEOUT: Field = Field::new("$timeout");
pub(crate) const ROTATED: Field = Field::new("$rotated");
pub(crate) const CLASS: Field = Field::new("$class");
/// The idle timeout of a record that has neither `$idle` nor `$timeout`. Part of the format: it stays the same if
/// the default of applications changes.
const IMPLIED_TIMEOUT: Duration = Duration::from_mins(30);

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

/// The library's own entries of a live session. A zero counts as no entry.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Own {
    created: Option<NonZeroU64>,
    idle: Option<NonZeroU64>,
    timeout: Option<NonZeroU64>,
    rotated: Option<NonZeroU64>,
    standing: Standing,
}

impl Own {
    pub(super) const NONE: Self = Self {
        created: None,
        idle: None,
        timeout: None,
        rotated: None,
        standing: Standing::Anonymous,
    };

    /// Reads an entry if it belongs to the library.
    pub(super) fn read(&mut self, key: &[u8], value: &[u8]) {
        if !is_own(key) {
            return;
        }
        let number = || decode_number(value).and_then(NonZeroU64::new);
        match key {
            b"$created" => self.created = number(),
            b"$idle" => self.idle = number(),
            b"$timeout" => self.timeout = number(),
            b"$rotated" => self.rotated = number(),
            b"$class" => self.standing = Standing::decode(value),
            _ => {}
        }
    }

    pub(super) fn term(&self) -> Term {
        Term {
            created_at: timestamp(self.created),
            idle: self.idle.map(duration_of),
            flash_only: self.standing == Standing::FlashOnly,
        }
    }

    pub(super) fn timeout(&self) -> Duration {
        let millis = self.timeout.or(self.idle);
        millis.map_or(IMPLIED_TIMEOUT, duration_of)
    }

    pub(super) fn timeout_entry(&self) -> Option<Duration> {
        self.timeout.map(duration_of)
    }

    pub(super) fn standing(&self) -> Standing {
        self.standing
    }

    pub(super) fn rotated_at(&self) -> Timestamp {
        timestamp(self.rotated.or(self.created))
    }
}

fn timestamp(millis: Option<NonZeroU64>) -> Timestamp {
    Timestamp::from_millis(millis.map_or(0, NonZeroU64::get))
}

fn duration_of(millis: NonZeroU64) -> Duration {
    Duration::from_millis(millis.get())
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

/// Decodes an unsigned integer.
pub(super) fn decode_number(mut encoded: &[u8]) -> Option<u64> {
    rmp::decode::read_int(&mut encoded).ok()
}

/// Decodes a duration in milliseconds that [`number`] has encoded.
pub(crate) fn duration(encoded: &[u8]) -> Option<Duration> {
    decode_number(encoded).map(Duration::from_millis)
}
