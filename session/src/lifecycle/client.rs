//! The id that the client has presented, and the update to send with the response.

use crate::{
    clock::Timestamp,
    id::{PublicId, SessionId},
    store::Version,
};

/// An id that a request presented.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Presented {
    id: SessionId,
    /// Whether a response can replace the id where the client keeps it, as in a cookie.
    replaceable: bool,
    /// When the request began, which may be long before its session is loaded.
    began_at: Timestamp,
}

impl Presented {
    pub(crate) fn new(id: SessionId, replaceable: bool, began_at: Timestamp) -> Self {
        Self {
            id,
            replaceable,
            began_at,
        }
    }

    pub(crate) fn began_at(&self) -> Timestamp {
        self.began_at
    }

    pub(crate) fn id(&self) -> SessionId {
        self.id
    }
}

/// A change of the id that the client keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientUpdate {
    /// Sets the id.
    SetId {
        /// The id.
        id: SessionId,
        /// When the client may forget it.
        expires_at: Timestamp,
        /// Whether the client has this id already, so that only its expiry moves.
        refresh: bool,
    },
    /// Clears the id.
    ClearId,
}

/// The client of a request.
#[derive(Debug, Default)]
pub(super) struct Client {
    presented: Option<Source>,
    update: Option<ClientUpdate>,
    /// Whether another response has sent the id of the update before. Then still another response may have sent
    /// a newer id since.
    is_repeat: bool,
}

/// A presented id, after it was looked up.
#[derive(Debug, Clone, Copy)]
struct Source {
    replaceable: bool,
    /// Whether it is the id of a live session.
    live: bool,
}

impl Client {
    pub(super) fn present(&mut self, presented: Presented, live: bool) {
        let replaceable = presented.replaceable;
        self.presented = Some(Source { replaceable, live });
    }

    /// Whether the request presented an id, live or not.
    pub(super) fn has_presented(&self) -> bool {
        self.presented.is_some()
    }

    /// Whether the request presented the id of a live session.
    pub(super) fn has_presented_live(&self) -> bool {
        self.presented.is_some_and(|source| source.live)
    }

    /// Whether the client's live id can be replaced, as id rotation does.
    pub(super) fn can_rotate(&self) -> bool {
        self.presented
            .is_some_and(|source| source.live && source.replaceable)
    }

    pub(super) fn set_id(&mut self, id: SessionId, expires_at: Timestamp, refresh: bool) {
        // The client may not have this id yet.
        let is_pending = matches!(
            &self.update,
            Some(ClientUpdate::SetId { id: pending, refresh: false, .. }) if *pending == id
        );
        if !is_pending {
            self.is_repeat = refresh;
        }
        self.update = Some(ClientUpdate::SetId {
            id,
            expires_at,
            refresh: refresh && !is_pending,
        });
    }

    /// Sends an id again that another response has sent, in case that response was lost.
    pub(super) fn repeat_id(&mut self, id: SessionId, expires_at: Timestamp) {
        if self.presented.is_some_and(|source| source.replaceable) {
            self.set_id(id, expires_at, false);
            self.is_repeat = true;
        }
    }

    pub(super) fn clear_id(&mut self) {
        self.update = Some(ClientUpdate::ClearId);
    }

    /// Drops the pending update: another response has sent a newer one.
    pub(super) fn drop_update(&mut self) {
        self.update = None;
    }

    /// Whether the pending update sends an id that another response has sent before.
    pub(super) fn is_repeat_pending(&self) -> bool {
        self.is_repeat && matches!(self.update, Some(ClientUpdate::SetId { .. }))
    }

    pub(super) fn take_update(&mut self) -> Option<ClientUpdate> {
        self.update.take()
    }
}

/// A pending update that sends an id again, as to move its expiry. Another response may have sent a newer id
/// since.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unconfirmed {
    key: PublicId,
    version: Version,
}

impl Unconfirmed {
    /// The update of the id of `key`, whose record has this version.
    pub(super) fn new(key: PublicId, version: Version) -> Self {
        Self { key, version }
    }

    /// The key of the record whose version confirms the update.
    pub(crate) fn key(&self) -> PublicId {
        self.key
    }

    pub(super) fn version(&self) -> Version {
        self.version
    }
}
