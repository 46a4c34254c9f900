//! [`Version`]: the versions of a record.

use std::fmt;

use crate::random;

/// The version of a record. The store chooses it, and every write increases it.
///
/// A write names the version that it was made from, so two writes of one key must never have the same version,
/// also if the first of them is lost. After a failover or the restore of a backup, the next write would otherwise
/// have the version of a lost one, and an application that has read the lost one would replace the new record
/// without seeing it. So a store adds a random number to the version at each write:
/// [`random_first`](Self::random_first) and [`random_next`](Self::random_next). Two versions are then the same by
/// an accident of one in 2³².
///
/// A store in the memory of one process may count instead: [`FIRST`](Self::FIRST) and [`next`](Self::next). It
/// loses nothing while an application runs that has read it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(u64);

impl Version {
    /// The version that [`create`](super::SessionStore::create) assigns in a store that counts: 1.
    pub const FIRST: Self = Self(1);

    /// Returns a version for the first write of a record: a random one from 1 to 2³².
    ///
    /// # Panics
    /// If the operating system has no random numbers.
    pub fn random_first() -> Self {
        Self(0).random_next()
    }

    /// Returns a version for the write after this version: greater by a random number from 1 to 2³².
    ///
    /// The versions of a record fit into a signed number of 64 bits for two thousand million writes.
    ///
    /// # Panics
    /// If the operating system has no random numbers.
    #[must_use]
    pub fn random_next(self) -> Self {
        Self(self.0.wrapping_add(Self::random_step()))
    }

    /// Returns the random number to add to a version that only the backend knows.
    pub(super) fn random_step() -> u64 {
        u64::from(u32::from_ne_bytes(random::bytes())) + 1
    }

    /// Creates a version from its number.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Returns the version's number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Returns the version after this one in a store that counts.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_versions_increase_and_differ() {
        let first = Version::random_first();
        assert!((1..=1 << 32).contains(&first.get()), "{first:?}");
        let (one, other) = (first.random_next(), first.random_next());
        assert!(one > first && other > first);
        assert_ne!(one, other);
        let step = one.get() - first.get();
        assert!((1..=1 << 32).contains(&step), "{step}");
    }
}
