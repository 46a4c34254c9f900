//! [`FoundIds`]: the ids that were found in a request.

use crate::{
    clock::Timestamp,
    engine::{Candidate, Candidates, MAX_CANDIDATES},
    id::SessionId,
    lifecycle::Presented,
    session::Carriers,
};

/// An id that was found in a request.
#[derive(Debug, Clone, Copy)]
pub struct Found {
    /// The id.
    pub id: SessionId,
    /// The index of the id source that it was found in.
    pub source: usize,
}

/// The ids that were found in a request, in the order of the id sources. The first one whose session is live is
/// used.
///
/// At most four different ids are kept, which bounds the calls of the store that one request can cause.
#[derive(Debug, Clone, Default)]
pub struct FoundIds {
    first: Option<Found>,
    /// Few requests present more than one.
    others: Vec<Found>,
}

impl FoundIds {
    fn iter(&self) -> impl Iterator<Item = Found> {
        self.first.iter().chain(&self.others).copied()
    }

    /// Adds an id. Ignores an id that was found before, and any id after the fourth.
    pub fn push(&mut self, found: Found) {
        let is_repeated = self.iter().any(|before| before.id == found.id);
        if self.first.is_none() {
            self.first = Some(found);
        } else if !is_repeated && self.iter().count() < MAX_CANDIDATES {
            self.others.push(found);
        }
    }

    /// The ids to look up. `carriers` says of each source whether a response can replace the id there.
    pub(super) fn candidates(self, carriers: &Carriers, began_at: Timestamp) -> Candidates {
        let candidate = |Found { id, source }| {
            let presented = Presented::new(id, carriers.is_writable(source), began_at);
            Candidate { presented, source }
        };
        Candidates {
            first: self.first.map(candidate),
            others: self.others.into_iter().map(candidate).collect(),
        }
    }
}

impl FromIterator<Found> for FoundIds {
    fn from_iter<I: IntoIterator<Item = Found>>(found: I) -> Self {
        let mut ids = Self::default();
        found.into_iter().for_each(|found| ids.push(found));
        ids
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Conformance 1.34
    #[test]
    fn the_first_four_different_ids_are_kept_in_order() {
        let ids = [(); 5].map(|()| SessionId::random());
        let order = [0, 1, 0, 2, 1, 3, 4, 0];
        let found = order.map(|id| Found {
            id: ids[id],
            source: id,
        });
        let kept: Vec<Found> = FoundIds::from_iter(found).iter().collect();
        let sources: Vec<usize> = kept.iter().map(|found| found.source).collect();
        assert_eq!(sources, [0, 1, 2, 3]);
        let kept: Vec<SessionId> = kept.iter().map(|found| found.id).collect();
        assert_eq!(kept, ids[..4]);
    }
}
