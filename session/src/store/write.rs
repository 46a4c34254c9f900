//! [`Write`]: the content of a record to be written, and its class.

use std::fmt;

use bytes::Bytes;

use crate::clock::Timestamp;

/// The content of a record to be written.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Write {
    /// The record's new bytes. They may be empty.
    pub data: Bytes,
    /// The time from which on the record no longer exists.
    pub expires_at: Timestamp,
    /// The class of the record, which matters to a full store only.
    pub class: RecordClass,
}

impl Write {
    /// Creates a write of `data` that expires at `expires_at`, of the class
    /// [`Established`](RecordClass::Established).
    pub fn new(data: impl Into<Bytes>, expires_at: Timestamp) -> Self {
        Self {
            data: data.into(),
            expires_at,
            class: RecordClass::default(),
        }
    }

    /// Sets the class of the record.
    #[must_use]
    pub fn with_class(self, class: RecordClass) -> Self {
        Self { class, ..self }
    }
}

impl fmt::Debug for Write {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Write")
            .field("data", &format_args!("{} bytes", self.data.len()))
            .field("expires_at", &self.expires_at)
            .field("class", &self.class)
            .finish()
    }
}

/// The class of a record, by which a full store chooses the writes that it refuses and the records that it
/// evicts. It changes nothing else, and a store may ignore it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum RecordClass {
    /// A session that visitors begin without signing in: no handler has given it a new id since it has data.
    Anonymous,
    /// A session that a handler has regenerated, or has begun with [`Session::reset`](crate::Session::reset),
    /// while it had data other than flash values. This is the default.
    #[default]
    Established,
    /// A tombstone or a forward: the record under an id that is no longer the id of a session.
    ///
    /// Such a record is smaller than nearly every session and expires soon. A user cannot sign out if the store
    /// refuses it. So a full store should accept a retired record in place of a session, and a
    /// [rename](super::SessionStore::rename) that leaves one.
    Retired,
}
