//! [`Carriers`]: the id source on which a response sends an id.

use crate::{config::SessionConfig, error::BuildError, lifecycle::ClientUpdate};

/// The id sources of an application, in order: whether a response can set the id there. A cookie and a header
/// are writable, all other sources are read-only.
pub(crate) struct Carriers {
    writable: Vec<bool>,
}

/// The id source that a request has used.
#[derive(Debug, Clone, Copy)]
pub(super) struct Used {
    /// The index of the source.
    pub(super) source: usize,
    /// Whether the id was that of a live session.
    pub(super) live: bool,
}

impl Carriers {
    pub(crate) fn new(writable: impl IntoIterator<Item = bool>) -> Self {
        Self {
            writable: writable.into_iter().collect(),
        }
    }

    /// Refuses settings that need a carrier for a new id if there is none.
    pub(crate) fn check(&self, config: &SessionConfig) -> Result<(), BuildError> {
        if config.rotate_every.is_some() && self.for_new(None).is_none() {
            return Err(BuildError::Contradiction {
                first: "rotate_every",
                second: "id_source",
                why: "no source of this list can send a client its new id; add a cookie or a header",
            });
        }
        Ok(())
    }

    pub(super) fn is_writable(&self, source: usize) -> bool {
        self.writable.get(source).is_some_and(|writable| *writable)
    }

    /// Returns the index of the source on which the response sends an update.
    ///
    /// It is the source that the request has used. A live id from a read-only source is never promoted into a
    /// cookie or a header. If the id was dead, a new session may start on the first writable source.
    pub(super) fn for_update(&self, used: Option<Used>, update: &ClientUpdate) -> Option<usize> {
        match used {
            Some(used) if used.live && !self.is_writable(used.source) => None,
            _ if matches!(update, ClientUpdate::SetId { .. }) => {
                self.for_new(used.map(|used| used.source))
            }
            Some(used) => Some(used.source).filter(|source| self.is_writable(*source)),
            None => self.for_new(None),
        }
    }

    /// Returns the index of the source on which the response sends the id of a session that begins, if the request
    /// has presented a dead id in the source `used`, or none.
    pub(super) fn for_new(&self, used: Option<usize>) -> Option<usize> {
        let used = used.filter(|used| self.is_writable(*used));
        used.or_else(|| self.writable.iter().position(|writable| *writable))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clock::Timestamp, id::SessionId};

    #[test]
    fn an_id_is_sent_on_the_source_that_was_used_or_else_on_the_first_writable_one() {
        let set = ClientUpdate::SetId {
            id: SessionId::random(),
            expires_at: Timestamp::from_millis(1),
            refresh: false,
        };
        let clear = ClientUpdate::ClearId;
        let used = |source, live| Some(Used { source, live });
        // A query, a cookie and a header.
        let carriers = Carriers::new([false, true, true]);
        for (used, update, expected) in [
            (None, &set, Some(1)),
            (used(1, true), &set, Some(1)),
            (used(2, true), &set, Some(2)),
            (used(2, true), &clear, Some(2)),
            (used(0, true), &set, None),
            (used(0, true), &clear, None),
            (used(0, false), &set, Some(1)),
            (used(0, false), &clear, None),
        ] {
            let carrier = carriers.for_update(used, update);
            assert_eq!(carrier, expected, "{used:?} {update:?}");
        }
        assert_eq!(Carriers::new([false]).for_update(None, &set), None);
    }
}
