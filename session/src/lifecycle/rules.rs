//! The settings that decide what happens to a session.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;

use crate::{
    clock::Timestamp,
    config::SessionConfig,
    expiry::Expiry,
    id::{PublicId, SessionId},
    limits::Limits,
    record::{EndReason, Tombstone},
    store::{RecordClass, Write},
};

/// Creates the ids of new sessions.
pub(crate) type IdGenerator = Arc<dyn Fn() -> SessionId + Send + Sync>;

/// The rules that all sessions of an application follow.
pub(crate) struct Rules {
    pub(super) expiry: Expiry,
    pub(super) limits: Limits,
    pub(super) rotation: Option<Rotation>,
    /// How long new requests with the id of an ended session are refused.
    pub(super) retired_for: Duration,
    /// The longest time that a request takes.
    pub(super) max_request_time: Duration,
    pub(super) new_id: IdGenerator,
}

/// The rotation of ids on a schedule.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rotation {
    /// The age at which an id is rotated.
    pub(super) every: Duration,
    /// How long a new request may follow the old id to the session.
    pub(super) grace: Duration,
}

impl Rules {
    pub(crate) fn new(config: &SessionConfig, new_id: IdGenerator) -> Self {
        Self {
            expiry: config.expiry(),
            limits: config.limits(),
            rotation: config.rotate_every.map(|every| Rotation {
                every,
                grace: config.rotation_grace,
            }),
            retired_for: config.retired_for,
            max_request_time: config.max_request_time,
            new_id,
        }
    }

    /// The tombstone to leave of a session that ends now. `moved_to` is its new key if its id was regenerated.
    pub(crate) fn tombstone(
        &self,
        reason: EndReason,
        moved_to: Option<PublicId>,
        now: Timestamp,
    ) -> Write {
        let tombstone = Tombstone {
            reason,
            moved_to,
            until: now.saturating_add(self.retired_for),
        };
        self.retired(tombstone.record(), tombstone.until)
    }

    /// The tombstone or the forward to leave, for the requests that began before `until`.
    pub(super) fn retired(&self, record: Bytes, until: Timestamp) -> Write {
        Write::new(record, self.kept_until(until)).with_class(RecordClass::Retired)
    }

    /// Until when to keep a tombstone or a forward for the requests that began before `until`.
    pub(crate) fn kept_until(&self, until: Timestamp) -> Timestamp {
        until.saturating_add(self.max_request_time)
    }

    /// Whether ids are rotated on a schedule.
    pub(crate) fn rotates(&self) -> bool {
        self.rotation.is_some()
    }
}
