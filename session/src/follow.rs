//! From a record to the session it is of.
//!
//! Under an id there may be a session, what is left of one that has ended, or, for an id that was renewed
//! on schedule, the way to where it went.

use crate::{
    clock::Timestamp,
    engine::Engine,
    error::LoadError,
    id::PublicId,
    record::Record,
    store::{Stored, Version},
};

/// A live session as the store has it.
pub(crate) struct Current {
    pub(crate) key: PublicId,
    pub(crate) record: Record,
    pub(crate) version: Version,
    pub(crate) expires_at: Timestamp,
}

/// How a request came to a record.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seen {
    /// By the id it brought.
    New,
    /// It has loaded the session before.
    Loaded,
}

/// Where a record leads.
pub(crate) enum Followed {
    Live(Current),
    Ended {
        over: bool,
    },
    /// Nowhere any more: as if the id had never been.
    Nowhere,
}

impl Engine {
    /// The session that a record is of: itself, or the one that an old id leads to still.
    pub(crate) async fn follow(
        &self,
        mut key: PublicId,
        mut stored: Stored,
        seen: Seen,
    ) -> Result<Followed, LoadError> {
        // Each hop is a renewal that the request has not heard of: more than these are a ring.
        for _ in 0..64 {
            let record =
                Record::parse(stored.data).map_err(|_| LoadError::Corrupt { session: key })?;
            if let Some(over) = record.ended() {
                return Ok(Followed::Ended { over });
            }
            let Some(to) = record.moved_to() else {
                return Ok(Followed::Live(Current {
                    key,
                    record,
                    version: stored.version,
                    expires_at: stored.expires_at,
                }));
            };
            let now = self.now();
            if seen == Seen::New && now >= record.followed_until() {
                return Ok(Followed::Nowhere);
            }
            let load = self.store.load(to, now);
            match self
                .limited("loading a session by its old id", load)
                .await?
            {
                Some(next) => (key, stored) = (to, next),
                None => return Ok(Followed::Ended { over: true }),
            }
        }
        Err(LoadError::Corrupt { session: key })
    }
}
