//! The writes that a save asks of the store, and the transitions that follow from its replies.

use crate::{
    clock::Timestamp,
    id::{PublicId, SessionId},
    lifecycle::{Intent, Rules},
    record::{EndReason, Record, Standing},
    store::{RecordClass, Stored, Version, Write},
};

/// The work of a save.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    Nothing,
    /// To write the use of the session that is stored under this key.
    Touch(PublicId),
    /// To save changes, to leave the session, or to rotate its id.
    Save,
}

/// One call of the store, and what it brings about in the session.
#[derive(Debug)]
pub(crate) struct WriteOp {
    pub(super) kind: OpKind,
    pub(super) covers: Covers,
}

#[derive(Debug)]
pub(super) enum OpKind {
    /// Stores a new session.
    Create(Draft),
    /// Stores changed data under the same key.
    Replace { on: On, draft: Draft },
    /// Moves the expiry only.
    Touch { on: On, expires_at: Timestamp },
    /// Moves the expiry of a record that was stored under another idle timeout, and stores the timeout with it.
    Renew { on: On, draft: Draft },
    /// Stores a session under a new key and leaves a tombstone or a forward under the old one.
    Move { on: On, draft: Draft, leave: Write },
    /// Leaves a tombstone in place of the session.
    End { on: On, tombstone: Write },
}

/// The record that a write expects to find.
#[derive(Debug, Clone, Copy)]
pub(super) struct On {
    pub(super) key: PublicId,
    pub(super) version: Version,
}

/// A record that is about to be stored.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) id: SessionId,
    pub(super) key: PublicId,
    pub(super) record: Record,
    pub(super) expires_at: Timestamp,
}

/// The part of the session's pending work that a write carries out. Changes and intents that are added while
/// the write is in progress stay pending.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Covers {
    /// The number of the latest change or intent.
    pub(super) latest: u64,
    pub(super) intent: Intent,
    /// Whether the write also rotates the id.
    pub(super) rotates: bool,
}

/// A call of the store.
#[derive(Debug)]
pub(crate) enum Call {
    Create {
        key: PublicId,
        write: Write,
    },
    Replace {
        key: PublicId,
        version: Version,
        write: Write,
    },
    Touch {
        key: PublicId,
        version: Version,
        expires_at: Timestamp,
    },
    Move {
        from: PublicId,
        version: Version,
        to: PublicId,
        write: Write,
        leave: Write,
    },
}

/// The reply of the store to a [`Call`].
#[derive(Debug)]
pub(crate) enum Reply {
    /// Written, with this version. For a touch, the version is the one that was expected.
    Written(Version),
    /// A record is already stored under the new key. Nothing was changed.
    Exists,
    /// The stored record has another version. Nothing was changed.
    Conflict(Stored),
    /// No record of that version is stored. Nothing was changed.
    Gone,
}

/// The next step of a save, after the reply of the store.
#[derive(Debug)]
pub(crate) enum Transition {
    /// The write is done. `left` is the key that no session is stored under any more.
    Saved { left: Option<PublicId> },
    /// Plan again.
    Retry,
    /// Another request wrote first. Boxed, because it is rare.
    Conflict(Box<Conflict>),
}

/// The record that a write has met. Resolve it and pass the result to
/// [`Lifecycle::merge`](super::Lifecycle::merge).
#[derive(Debug)]
pub(crate) struct Conflict {
    pub(crate) key: PublicId,
    pub(crate) current: Stored,
    pub(crate) covers: Covers,
}

impl WriteOp {
    /// The call that carries the write out.
    pub(crate) fn call(&self) -> Call {
        match &self.kind {
            OpKind::Create(draft) => Call::Create {
                key: draft.key,
                write: draft.write(),
            },
            OpKind::Replace { on, draft } | OpKind::Renew { on, draft } => Call::Replace {
                key: on.key,
                version: on.version,
                write: draft.write(),
            },
            OpKind::Touch { on, expires_at } => Call::Touch {
                key: on.key,
                version: on.version,
                expires_at: *expires_at,
            },
            OpKind::Move { on, draft, leave } => Call::Move {
                from: on.key,
                version: on.version,
                to: draft.key,
                write: draft.write(),
                leave: leave.clone(),
            },
            OpKind::End { on, tombstone } => Call::Replace {
                key: on.key,
                version: on.version,
                write: tombstone.clone(),
            },
        }
    }

    /// The write that only ends the session, if this one destroys it and begins another in its place. For a
    /// store that has no space for the other one.
    pub(crate) fn end_alone(&self, rules: &Rules, now: Timestamp) -> Option<Self> {
        let covers = self.covers;
        match &self.kind {
            OpKind::Move { on, .. } if covers.intent == Intent::Destroy => {
                let (on, tombstone) = (*on, rules.tombstone(EndReason::Destroyed, None, now));
                let kind = OpKind::End { on, tombstone };
                Some(Self { kind, covers })
            }
            _ => None,
        }
    }

    /// The action that errors of the store name.
    pub(crate) fn action(&self) -> &'static str {
        match self.kind {
            OpKind::Create(_) => "creating a session",
            OpKind::Replace { .. } => "saving a session",
            OpKind::Touch { .. } | OpKind::Renew { .. } => "touching a session",
            OpKind::Move { .. } => "moving a session to a new id",
            OpKind::End { .. } => "ending a session",
        }
    }

    /// The key of the record that the write expects, if it expects one.
    pub(crate) fn key(&self) -> Option<PublicId> {
        match &self.kind {
            OpKind::Create(_) => None,
            OpKind::Replace { on, .. }
            | OpKind::Touch { on, .. }
            | OpKind::Renew { on, .. }
            | OpKind::Move { on, .. }
            | OpKind::End { on, .. } => Some(on.key),
        }
    }

    /// Whether the write only moves the expiry, so that nothing is lost if it fails.
    pub(crate) fn is_touch(&self) -> bool {
        matches!(self.kind, OpKind::Touch { .. } | OpKind::Renew { .. })
    }

    /// Whether the write stores the session under a new key.
    pub(crate) fn is_move(&self) -> bool {
        matches!(self.kind, OpKind::Move { .. })
    }

    pub(super) fn needs_new_id(&self) -> bool {
        matches!(self.kind, OpKind::Create(_) | OpKind::Move { .. })
    }
}

impl Draft {
    fn write(&self) -> Write {
        let class = match self.record.standing() {
            Standing::FlashOnly | Standing::Anonymous => RecordClass::Anonymous,
            Standing::Established => RecordClass::Established,
        };
        Write::new(self.record.bytes().clone(), self.expires_at).with_class(class)
    }
}
