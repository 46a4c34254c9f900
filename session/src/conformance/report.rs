//! The result of a run.

use std::fmt;

/// The result of running the suite on a store. `Display` writes one line for the store and one for each
/// failure.
#[derive(Debug, Clone)]
#[must_use = "a report does not fail a test by itself: call `assert`"]
pub struct Report {
    pub(super) store: String,
    pub(super) passed: Vec<&'static str>,
    pub(super) failures: Vec<Failure>,
}

/// A case that the store failed.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Failure {
    /// The number of the behavior in the project's list and the name of the case: `6.3 replace_wins_once`.
    pub case: &'static str,
    /// The message of the failed assertion.
    pub reason: String,
}

impl Report {
    /// Returns the name of the store.
    pub fn store(&self) -> &str {
        &self.store
    }

    /// Returns the cases that the store passed, in the order in which they ran.
    pub fn passed(&self) -> &[&'static str] {
        &self.passed
    }

    /// Returns the cases that the store failed.
    pub fn failures(&self) -> &[Failure] {
        &self.failures
    }

    /// Prints the number of cases that passed.
    ///
    /// # Panics
    /// If a case failed. The message lists all failures.
    pub fn assert(&self) {
        assert!(self.failures.is_empty(), "{self}");
        println!("{self}");
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (store, passed) = (&self.store, self.passed.len());
        if self.failures.is_empty() {
            return write!(f, "{store}: {passed} conformance cases passed");
        }
        let all = passed + self.failures.len();
        write!(f, "{store}: {passed} of {all} conformance cases passed")?;
        self.failures
            .iter()
            .try_for_each(|Failure { case, reason }| write!(f, "\n  {case}: {reason}"))
    }
}
