//! What can go wrong with a session, one type for each thing one does with it.
//!
//! Every text says what was being done and names the key, and none shows an id, a value or an address:
//! they can be logged as they are. What serde said of a value is dropped, since it may quote the value.

use std::{error::Error, fmt};

use crate::{id::PublicId, store::StoreError};

/// An error with its causes, for a line in a log.
pub(crate) struct Chain<'a>(pub(crate) &'a dyn Error);

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

/// Reading a value failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GetError {
    /// What is stored is not of the key's type, as after an incompatible change of the type.
    #[error("reading session key `{key}`: what is stored does not decode as `{type_name}`")]
    Decode {
        /// The key, with its namespace.
        key: &'static str,
        /// The type that was asked for.
        type_name: &'static str,
    },
}

/// Setting a value failed; the session is as it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SetError {
    /// The value's `Serialize` refused.
    #[error("setting session key `{key}`: the `{type_name}` does not serialize")]
    Encode {
        /// The key, with its namespace.
        key: &'static str,
        /// The value's type.
        type_name: &'static str,
    },
    /// The value is larger than a value may be.
    #[error(
        "setting session key `{key}`: the value takes {size} bytes, over the limit of {limit} for one value"
    )]
    ValueTooLarge {
        /// The key, with its namespace.
        key: &'static str,
        /// What the value takes, in bytes.
        size: usize,
        /// The limit, in bytes.
        limit: usize,
    },
    /// The session would have more keys than a session may have.
    #[error(
        "setting session key `{key}`: the session would have {keys} keys, over the limit of {limit}"
    )]
    TooManyKeys {
        /// The key, with its namespace.
        key: &'static str,
        /// How many it would have.
        keys: usize,
        /// The limit.
        limit: usize,
    },
    /// The value nests lists and maps deeper than can be read back safely.
    #[error("setting session key `{key}`: the `{type_name}` nests more than {limit} deep")]
    TooDeep {
        /// The key, with its namespace.
        key: &'static str,
        /// The value's type.
        type_name: &'static str,
        /// How deep lists and maps may lie in each other.
        limit: usize,
    },
    /// The session would become larger than the size limit.
    #[error(
        "setting session key `{key}`: the session would take {size} bytes, over the limit of {limit}"
    )]
    TooLarge {
        /// The key, with its namespace.
        key: &'static str,
        /// What the session would take, in bytes.
        size: usize,
        /// The limit, in bytes.
        limit: usize,
    },
}

/// Updating a value failed; the session is as it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UpdateError {
    /// The value so far could not be read.
    #[error(transparent)]
    Get(#[from] GetError),
    /// The new value could not be set.
    #[error(transparent)]
    Set(#[from] SetError),
    /// Each time that the closure had run, something else had changed the key meanwhile: other tasks of the
    /// request, or the closure itself.
    #[error(
        "updating session key `{key}`: it changed under each attempt; does the closure change its own key?"
    )]
    Overtaken {
        /// The key, with its namespace.
        key: &'static str,
    },
}

/// Loading the session of a request failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// No [`Sessions`](crate::Sessions) middleware is around the handler.
    #[error(
        "loading a session: the `Sessions` middleware is missing; add `.with(sessions)` to the route"
    )]
    NoMiddleware,
    /// The builder's `skip` left the request without sessions.
    #[error(
        "loading a session: the `skip` rule of the `Sessions` middleware leaves this request without one"
    )]
    Skipped,
    /// The store did not answer, or not with a record.
    #[error("loading a session")]
    Store(#[from] StoreError),
    /// What is stored is not a session. It was left as it is.
    #[error("loading session {session:?}: the stored record is corrupt")]
    Corrupt {
        /// Which session.
        session: PublicId,
    },
    /// Two structs store under one key.
    #[error(transparent)]
    KeyClash(#[from] KeyClash),
}

/// Opening a session by its id failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// There is no such session, or it has ended.
    #[error("opening a session: there is none with this id, or it has ended")]
    NotFound,
    /// It could not be loaded.
    #[error(transparent)]
    Load(#[from] LoadError),
}

/// Saving a session failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SaveError {
    /// The store did not do it. Nothing is half saved.
    #[error("saving a session")]
    Store(#[from] StoreError),
    /// The session was ended elsewhere while this request was at work: signed out, regenerated, revoked
    /// or expired. The changes were refused.
    #[error("saving a session: it has ended meanwhile; the changes were refused")]
    Ended,
    /// Other requests changed the session each time that this one tried to.
    #[error(
        "saving a session: gave up after {attempts} attempts, since other requests kept changing it"
    )]
    Contended {
        /// How often it was tried.
        attempts: u32,
    },
    /// An `update_*` closure had to run again on a newer value, and that failed.
    #[error("saving a session")]
    Update(#[from] UpdateError),
    /// Merged with what another request wrote, the session is larger than the limit.
    #[error("saving a session: it would take {size} bytes, over the limit of {limit}")]
    TooLarge {
        /// What it would take, in bytes.
        size: usize,
        /// The limit, in bytes.
        limit: usize,
    },
    /// Merged with what another request wrote, the session has more keys than the limit.
    #[error("saving a session: it would have {keys} keys, over the limit of {limit}")]
    TooManyKeys {
        /// How many it would have.
        keys: usize,
        /// The limit.
        limit: usize,
    },
    /// The session was locked, and the lease has run out: another request may hold it by now.
    #[error("saving a session: the lease of its lock has run out; the changes were refused")]
    LeaseLost,
    /// The changes were made in a request that failed or was given up, and went with it.
    #[error("saving a session: the changes were discarded, as the request that made them failed")]
    Discarded,
    /// A new session began after the response had left, so its id cannot reach the client any more.
    #[error(
        "saving a session: it is new, and the response that could have carried its id has left"
    )]
    ResponseSent,
}

/// Locking a session failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// Others held the session for as long as this request may wait.
    #[error("locking a session: others held it for {waited:?}")]
    TimedOut {
        /// How long this request waited.
        waited: std::time::Duration,
    },
    /// The session has ended meanwhile.
    #[error("locking a session: it has ended")]
    Ended,
    /// The store did not answer, or what it holds is corrupt.
    #[error(transparent)]
    Load(#[from] LoadError),
}

/// Two structs store under one key, so each would read what the other wrote.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "session key `{key}` is claimed by `{first}` and by `{second}`; give one of them another `namespace`, or the field a `rename`"
)]
pub struct KeyClash {
    /// The key, with its namespace.
    pub key: &'static str,
    /// The struct that claimed it first.
    pub first: &'static str,
    /// The struct that claimed it as well.
    pub second: &'static str,
}

/// What the error handler is given: the session of a request could not be loaded or saved.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// It could not be loaded; the handler that asked for it did not run.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// It could not be locked, as `exclusive` asks; the handler did not run.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// It could not be saved; the handler has run.
    #[error(transparent)]
    Save(#[from] SaveError),
}

/// The settings of [`Sessions`](crate::Sessions) do not go together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A setting has no meaning as it is.
    #[error("setting up sessions: {setting} {why}")]
    Invalid {
        /// The setting.
        setting: &'static str,
        /// What it must be.
        why: &'static str,
    },
    /// Two settings contradict each other.
    #[error("setting up sessions: {first} and {second} contradict each other: {why}")]
    Contradiction {
        /// One setting.
        first: &'static str,
        /// The other.
        second: &'static str,
        /// Why they do.
        why: &'static str,
    },
    /// Two structs store under one key.
    #[error(transparent)]
    KeyClash(#[from] KeyClash),
}
