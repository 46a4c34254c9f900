//! What came of a run.

use std::fmt;

/// What came of running the suite on one store. Its text is one line for the store, and one for each
/// failure.
#[derive(Debug, Clone)]
#[must_use = "a report fails no test by itself: call `assert`"]
pub struct Report {
    pub(super) store: String,
    pub(super) passed: Vec<&'static str>,
    pub(super) failures: Vec<Failure>,
}

/// A case that a store did not pass.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Failure {
    /// The case, after its number in the project's list of behaviours: `6.3 replace_wins_once`.
    pub case: &'static str,
    /// What was found instead.
    pub reason: String,
}

impl Report {
    /// The name of the store.
    pub fn store(&self) -> &str {
        &self.store
    }

    /// The cases that the store passed, in the order they ran.
    pub fn passed(&self) -> &[&'static str] {
        &self.passed
    }

    /// The cases that it did not pass.
    pub fn failures(&self) -> &[Failure] {
        &self.failures
    }

    /// Prints how many cases passed.
    ///
    /// # Panics
    /// If one did not. The message names all that did not, and why.
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
