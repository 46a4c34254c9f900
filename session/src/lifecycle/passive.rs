//! Passive requests, which do not count as use of the session.

use crate::{
    clock::Timestamp,
    lifecycle::{Lifecycle, Rules},
};

impl Lifecycle {
    /// From now on, the request does not count as use of the session. Flash values that were read are restored.
    pub(crate) fn set_passive(&mut self) {
        if !self.passive {
            self.passive = true;
            self.changes.restore_flash();
        }
    }

    /// Whether the request does not count as use of the session.
    pub(crate) fn is_passive(&self) -> bool {
        self.passive
    }

    /// The expiry to write for the use of a session that has not changed, if one is to be written.
    pub(super) fn touch_due(&self, rules: &Rules, now: Timestamp) -> Option<Timestamp> {
        let base = self.base().filter(|_| !self.passive)?;
        let term = base.record().term();
        rules.expiry.touch_due(term, base.expires_at(), now)
    }

    /// The expiry after a use of the session now, or the one before it if the request does not count as use.
    pub(super) fn unless_passive(&self, used: Timestamp) -> Timestamp {
        match self.base() {
            Some(base) if self.passive => used.min(base.expires_at()),
            _ => used,
        }
    }
}
