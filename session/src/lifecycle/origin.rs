//! The origin of a session, and the stored record that its changes are made to.

use crate::{
    clock::Timestamp,
    id::{PublicId, SessionId},
    lifecycle::Rules,
    record::{EndReason, Record},
    store::Version,
};

/// The origin of the session of a request.
#[derive(Debug, Default)]
#[allow(
    clippy::large_enum_variant,
    reason = "a request has one, and a box would cost an allocation"
)]
pub(super) enum Origin {
    /// Nothing is stored: the request presented no id, or an id of no session.
    #[default]
    New,
    /// The session was loaded, or has been saved.
    Stored(Base),
    /// The session has ended. Nothing may be written.
    Ended(EndReason),
}

/// The stored record that changes are made to.
#[derive(Debug)]
pub(super) struct Base {
    /// The id by which the request knows the session.
    id: SessionId,
    /// The public id of `id`.
    id_key: PublicId,
    loaded: Loaded,
}

/// A live session as the store returned it.
#[derive(Debug, Clone)]
pub(crate) struct Loaded {
    /// The id of `key`, if the request has presented an older one and can read this one. Boxed, because it is rare.
    pub(super) newer_id: Option<Box<SessionId>>,
    pub(super) key: PublicId,
    pub(super) record: Record,
    pub(super) version: Version,
    /// When the session expires by the rules of today.
    pub(super) expires_at: Timestamp,
}

impl Loaded {
    /// The session of `record`, which is stored under `key` and expires at `stored_expiry` if not earlier.
    pub(crate) fn new(
        key: PublicId,
        record: Record,
        version: Version,
        stored_expiry: Timestamp,
        rules: &Rules,
    ) -> Self {
        let (term, timeout) = (record.term(), record.timeout());
        Self {
            newer_id: None,
            key,
            expires_at: rules.expiry.of_stored(term, timeout, stored_expiry),
            record,
            version,
        }
    }

    /// The same. The request has presented an older id, and can read the one of the key if it is `id`.
    pub(crate) fn with_newer_id(self, id: Option<SessionId>) -> Self {
        Self {
            newer_id: id.map(Box::new),
            ..self
        }
    }

    pub(crate) fn key(&self) -> PublicId {
        self.key
    }

    pub(crate) fn version(&self) -> Version {
        self.version
    }

    pub(crate) fn expires_at(&self) -> Timestamp {
        self.expires_at
    }
}

/// The session that a stored record belongs to.
#[derive(Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "it is taken apart at once, and a box would cost an allocation in each load"
)]
pub(crate) enum Resolution {
    Live(Loaded),
    Ended(EndReason),
    /// There is no session, as if the id had never been used.
    Missing,
}

impl Resolution {
    pub(crate) fn is_live(&self) -> bool {
        matches!(self, Self::Live(_))
    }

    /// The same, or missing if the session has expired by the rules of today.
    pub(crate) fn unless_expired(self, now: Timestamp) -> Self {
        match self {
            Self::Live(loaded) if loaded.expires_at <= now => Self::Missing,
            resolution => resolution,
        }
    }
}

impl Base {
    /// The session that `id` was resolved to. `id_key` is its public id.
    pub(super) fn new(id: SessionId, id_key: PublicId, loaded: Loaded) -> Self {
        Self { id, id_key, loaded }
    }

    pub(super) fn id(&self) -> SessionId {
        self.id
    }

    pub(super) fn id_key(&self) -> PublicId {
        self.id_key
    }

    /// The key under which the record is stored.
    pub(super) fn key(&self) -> PublicId {
        self.loaded.key
    }

    pub(super) fn record(&self) -> &Record {
        &self.loaded.record
    }

    pub(super) fn version(&self) -> Version {
        self.loaded.version
    }

    pub(super) fn expires_at(&self) -> Timestamp {
        self.loaded.expires_at
    }

    /// Whether the id was rotated away, so that the request knows the session by an older id. Another response
    /// has sent the newer id to the client.
    pub(super) fn is_forwarded(&self) -> bool {
        self.id_key != self.loaded.key
    }

    /// Continues from a newer record of the same session.
    pub(super) fn advance(&mut self, newer: Loaded) {
        self.loaded = newer;
    }

    /// Continues with a later expiry.
    pub(super) fn prolong(&mut self, expires_at: Timestamp) {
        self.loaded.expires_at = expires_at;
    }
}
