//! The settings that decide what happens to a session.

use std::{sync::Arc, time::Duration};

use crate::{
    clock::Timestamp,
    config::SessionConfig,
    expiry::Expiry,
    id::SessionId,
    limits::Limits,
    record::EndReason,
    store::{RecordClass, Write},
};

/// Creates the ids of new sessions.
pub(crate) type IdGenerator = Arc<dyn Fn() -> SessionId + Send + Sync>;

/// The rules that all sessions of an application follow.
pub(crate) struct Rules {
    pub(super) expiry: Expiry,
    pub(super) limits: Limits,
    pub(super) rotation: Option<Rotation>,
    /// How long a tombstone is kept.
    pub(super) retired_for: Duration,
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
            new_id,
        }
    }

    /// The tombstone to leave of a session that ends now.
    pub(crate) fn tombstone(&self, reason: EndReason, now: Timestamp) -> Write {
        let expires_at = now.saturating_add(self.retired_for);
        Write::new(reason.tombstone(), expires_at).with_class(RecordClass::Retired)
    }

    /// Whether ids are rotated on a schedule.
    pub(crate) fn rotates(&self) -> bool {
        self.rotation.is_some()
    }
}
