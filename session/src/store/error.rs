//! What can go wrong in a store.

use std::{error::Error, fmt};

/// A store could not do what it was asked.
///
/// Says what was being done and why it failed. Neither `Display` nor `Debug` shows a record, a key or a
/// connection string; what the backend itself said is in [`source`](Error::source).
pub struct StoreError {
    action: &'static str,
    kind: StoreErrorKind,
    source: Option<Box<dyn Error + Send + Sync>>,
}

/// What kind of trouble a store is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreErrorKind {
    /// The backend cannot be reached, or refuses for now, as one that is read-only does: try again later.
    Unavailable,
    /// The backend, or a free connection to it, took longer than the time limit.
    TimedOut,
    /// There is no room for another record: make some, or let expired ones be removed.
    Full,
    /// What lies under the key was not written by this store.
    Corrupt,
    /// The store cannot be used as it is set up: the address or the password is wrong, rights or a feature
    /// are missing, the table is missing or another one.
    Misconfigured,
}

impl StoreError {
    /// An error of `kind` that happened while doing `action`: "loading a session from SQLite".
    pub fn new(kind: StoreErrorKind, action: &'static str) -> Self {
        Self {
            action,
            kind,
            source: None,
        }
    }

    /// The same error with what the backend said. The cause's text must not contain credentials.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// What was being done.
    pub fn action(&self) -> &'static str {
        self.action
    }

    /// What kind of trouble it is.
    pub fn kind(&self) -> StoreErrorKind {
        self.kind
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = match self.kind {
            StoreErrorKind::Unavailable => "the session store is unavailable",
            StoreErrorKind::TimedOut => "the session store did not answer in time",
            StoreErrorKind::Full => "the session store is full",
            StoreErrorKind::Corrupt => "the session store holds something else under this key",
            StoreErrorKind::Misconfigured => "the session store is not set up right",
        };
        write!(f, "{}: {why}", self.action)
    }
}

impl fmt::Debug for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The cause's own `Debug` may hold statements, keys or addresses; its text does not.
        write!(f, "StoreError({self}")?;
        if let Some(source) = &self.source {
            write!(f, ": {source}")?;
        }
        f.write_str(")")
    }
}

impl Error for StoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_ref().map(|source| &**source as _)
    }
}
