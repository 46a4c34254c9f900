//! The permit to rotate the id of a session on schedule.
//!
//! A lock belongs to the record under the current id and ends when the session leaves it. So a request must
//! hold the lock to rotate the id, or leave the rotation to a later request: another request might otherwise
//! find the session unlocked while the holder still uses it.

use crate::{
    engine::{
        ActiveSession,
        deadline::within,
        lease::{BriefLease, Claim},
    },
    lifecycle::Phase,
};

/// The permit to rotate the id.
pub(super) enum Permit {
    /// The request holds the lock and is about to release it.
    Held,
    /// The session was locked for the rotation.
    Locked(BriefLease),
}

impl Permit {
    pub(super) fn is_valid(&self) -> bool {
        match self {
            Self::Held => true,
            Self::Locked(lease) => !lease.has_expired(),
        }
    }

    /// The permit after another request wrote first, if it is still valid. If the session was locked for the
    /// rotation, that request may have taken the lock over: its process may have a clock that is ahead.
    pub(super) async fn confirmed(self, session: &ActiveSession) -> Option<Self> {
        let key = session.lifecycle().stored_key();
        match self {
            Self::Held => Some(Self::Held),
            // The request has moved on to the id that another one has rotated to.
            Self::Locked(lease) if key != Some(lease.key()) => None,
            Self::Locked(lease) => lease.confirmed().await.map(Self::Locked),
        }
    }

    /// The claim on the lock that was taken for the rotation.
    pub(super) fn claim(&self) -> Option<&Claim> {
        match self {
            Self::Held => None,
            Self::Locked(lease) => Some(lease.claim()),
        }
    }

    /// The id was rotated, and the lock has ended with the old record.
    pub(super) fn end(self) {
        if let Self::Locked(lease) = self {
            lease.forget();
        }
    }
}

/// The store has not replied soon. The rotation must not hold the response back.
pub(super) struct Late;

/// The permit to rotate the id, if it is due and the lock is free.
///
/// # Errors
/// [`Late`] if the store does not reply soon.
pub(super) async fn permit(session: &ActiveSession) -> Result<Option<Permit>, Late> {
    let engine = session.engine();
    let key = {
        let lifecycle = session.lifecycle();
        if !lifecycle.wants_rotation(engine.rules(), engine.now()) {
            return Ok(None);
        }
        let Some(key) = lifecycle.stored_key() else {
            return Ok(None);
        };
        if let Some(leases) = session.leases() {
            if lifecycle.phase() == Phase::Finishing && leases.is_held_by_request_only() {
                return Ok(Some(Permit::Held));
            }
            if !leases.is_free() {
                return Ok(None);
            }
        }
        key
    };
    let lease = BriefLease::try_acquire(engine, key);
    let lease = within(|| engine.touch_patience(), lease)
        .await
        .ok_or(Late)?;
    Ok(lease.map(Permit::Locked))
}
