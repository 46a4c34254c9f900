//! The error of a store.

use std::{error::Error, fmt};

/// A store failed to execute an operation.
///
/// The error names the operation and the kind of failure. Neither `Display` nor `Debug` shows a record, a
/// key or a connection string. The backend's own error is the [`source`](Error::source).
pub struct StoreError(
    // Boxed, so that the result of each call of the store is small.
    Box<Failure>,
);

struct Failure {
    action: &'static str,
    kind: StoreErrorKind,
    source: Option<Box<dyn Error + Send + Sync>>,
}

/// The kind of a [`StoreError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreErrorKind {
    /// The backend cannot be reached or refuses the operation for now, for example because it is read-only.
    /// A later attempt may succeed.
    Unavailable,
    /// The backend did not respond within the timeout, or no connection to it became free.
    TimedOut,
    /// The store has no space for another record. Add space, or remove expired records.
    Full,
    /// The value under the key was not written by this store.
    Corrupt,
    /// The store's configuration is wrong: for example its address, password, privileges, Cargo features or
    /// table.
    Misconfigured,
    /// The store does not implement the operation.
    Unsupported,
}

impl StoreError {
    /// Creates an error of `kind` that occurred during `action`, such as "loading a session from SQLite".
    pub fn new(kind: StoreErrorKind, action: &'static str) -> Self {
        Self(Box::new(Failure {
            action,
            kind,
            source: None,
        }))
    }

    /// Adds the backend's error as the source. Its text must not contain credentials.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Returns the operation that failed.
    pub fn action(&self) -> &'static str {
        self.0.action
    }

    /// Returns the kind of failure.
    pub fn kind(&self) -> StoreErrorKind {
        self.0.kind
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = match self.0.kind {
            StoreErrorKind::Unavailable => "the session store is unavailable",
            StoreErrorKind::TimedOut => "the session store did not respond in time",
            StoreErrorKind::Full => "the session store is full",
            StoreErrorKind::Corrupt => "the value was not written by the session store",
            StoreErrorKind::Misconfigured => "the session store is misconfigured",
            StoreErrorKind::Unsupported => "the session store does not support this operation",
        };
        write!(f, "{}: {why}", self.0.action)
    }
}

impl fmt::Debug for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The source's `Debug` may contain statements, keys or addresses. Its `Display` does not.
        write!(f, "StoreError({self}")?;
        if let Some(source) = &self.0.source {
            write!(f, ": {source}")?;
        }
        f.write_str(")")
    }
}

impl Error for StoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source.as_ref().map(|source| &**source as _)
    }
}
