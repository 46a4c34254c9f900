//! The errors of sessions: one type for each operation.
//!
//! Every text says what was being done and names the key. None shows an id, a value or an address, so that
//! it can be logged as it is. The errors of serde are dropped, because they may quote the value.

use std::{error::Error, fmt};

use crate::{id::PublicId, store::StoreError};

/// Displays an error with its causes, for a line in a log.
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
    /// The stored value is not one of the key's type, as after an incompatible change of the type.
    #[error("reading session key `{key}`: the stored value does not decode as `{type_name}`")]
    Decode {
        /// The key, with its namespace.
        key: &'static str,
        /// The type that was asked for.
        type_name: &'static str,
    },
}

/// Setting a value failed. The session is unchanged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SetError {
    /// The value's `Serialize` returned an error.
    #[error("setting session key `{key}`: the `{type_name}` does not serialize")]
    Encode {
        /// The key, with its namespace.
        key: &'static str,
        /// The value's type.
        type_name: &'static str,
    },
    /// The value is larger than one value may be.
    #[error(
        "setting session key `{key}`: the value takes {size} bytes, over the limit of {limit} for one value"
    )]
    ValueTooLarge {
        /// The key, with its namespace.
        key: &'static str,
        /// The size of the value, in bytes.
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
        /// The number of keys that the session would have.
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
        /// How deep lists and maps may be nested.
        limit: usize,
    },
    /// The session would become larger than a session may be.
    #[error(
        "setting session key `{key}`: the session would take {size} bytes, over the limit of {limit}"
    )]
    TooLarge {
        /// The key, with its namespace.
        key: &'static str,
        /// The size that the session would have, in bytes.
        size: usize,
        /// The limit, in bytes.
        limit: usize,
    },
}

/// Updating a value failed. The session is unchanged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UpdateError {
    /// The previous value could not be read.
    #[error(transparent)]
    Get(#[from] GetError),
    /// The new value could not be set.
    #[error(transparent)]
    Set(#[from] SetError),
    /// Each time that the closure had run, the key had changed meanwhile: by other tasks of the request, or by
    /// the closure itself.
    #[error(
        "updating session key `{key}`: it changed during each attempt; does the closure change its own key?"
    )]
    Overtaken {
        /// The key, with its namespace.
        key: &'static str,
    },
}

/// A handler asked for a session, and its request has none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExtractError {
    /// The handler is not inside a [`Sessions`](crate::Sessions) middleware.
    #[error(
        "extracting a session: the `Sessions` middleware is missing; add `.with(sessions)` to the route"
    )]
    NoMiddleware,
    /// The `skip` rule of the middleware leaves this request without sessions.
    #[error(
        "extracting a session: the `skip` rule of the `Sessions` middleware leaves this request without one"
    )]
    Skipped,
    /// Two nested middlewares send their ids on one carrier, so that the client would keep only one of them. No
    /// handler ran.
    #[error(
        "extracting a session: two `Sessions` middlewares around one route both send ids in the {carrier}; use one `Sessions` for both, or give one of them another carrier, as by `CookieConfig::new`"
    )]
    CarrierClash {
        /// The carrier, such as "cookie `id`".
        carrier: String,
    },
    /// Two structs store under one key.
    #[error(transparent)]
    KeyClash(#[from] KeyClashError),
}

/// Loading a session failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The store returned an error.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The stored bytes are not a session. They were left as they are.
    #[error("loading session {session:?}: the stored record is corrupt")]
    Corrupt {
        /// The public id of the session.
        session: PublicId,
    },
}

/// Loading a session again failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReloadError {
    /// The session has ended: it was destroyed, regenerated or revoked by another request, or it expired.
    #[error("loading a session again: it has ended")]
    Ended,
    /// The session could not be loaded. It is unchanged.
    #[error(transparent)]
    Load(#[from] LoadError),
}

/// Opening a session by its id failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// No session has this id, or it has ended.
    #[error("opening a session: no session has this id, or it has ended")]
    NotFound,
    /// The session could not be loaded.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// Two structs store under one key.
    #[error(transparent)]
    KeyClash(#[from] KeyClashError),
}

/// Saving a session failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SaveError {
    /// The store returned an error. Nothing is half saved.
    ///
    /// There is one exception: if the store is [full](crate::store::StoreErrorKind::Full) and the session was
    /// destroyed, it has ended, and only the session that was to begin in its place was refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The session ended while this request was running: it was destroyed, regenerated or revoked by another
    /// request, or it expired. The changes were refused.
    #[error("saving a session: it has ended meanwhile; the changes were refused")]
    Ended,
    /// Another request has changed a field that this request has changed in a `&mut S`. The changes of this
    /// request were refused. Use an `update_*` method, which runs again on the newer value, or
    /// `#[session(exclusive)]`.
    #[error(
        "saving a session: another request has changed key `{key}` meanwhile; use `update_*` or `exclusive`"
    )]
    Conflict {
        /// The key, with its namespace.
        key: &'static str,
    },
    /// An earlier save failed, and its write may have been executed all the same: the store has a newer record, which
    /// may be that write or one of another request. The `update_*` closures of that save did not run again, so that
    /// no change is made twice. The session has the values of the store now.
    #[error(
        "saving a session: an earlier save that failed may have been executed; its updates were not repeated"
    )]
    InDoubt,
    /// Other requests changed the session during each attempt.
    #[error(
        "saving a session: gave up after {attempts} attempts, because other requests kept changing it"
    )]
    Contended {
        /// The number of attempts.
        attempts: u32,
    },
    /// An `update_*` closure had to run again on a newer value, and returned an error.
    #[error(transparent)]
    Update(#[from] UpdateError),
    /// Merged with the changes of another request, the session is larger than a session may be.
    #[error("saving a session: it would take {size} bytes, over the limit of {limit}")]
    TooLarge {
        /// The size that the session would have, in bytes.
        size: usize,
        /// The limit, in bytes.
        limit: usize,
    },
    /// Merged with the changes of another request, the session has more keys than a session may have.
    #[error("saving a session: it would have {keys} keys, over the limit of {limit}")]
    TooManyKeys {
        /// The number of keys that the session would have.
        keys: usize,
        /// The limit.
        limit: usize,
    },
    /// The lease of the session's lock has expired, so that another request may hold the lock. The changes
    /// were refused.
    #[error("saving a session: the lease of its lock has expired; the changes were refused")]
    LeaseLost,
    /// The request that made the changes failed or was cancelled, and its changes were discarded.
    #[error(
        "saving a session: the changes were discarded, because the request that made them failed"
    )]
    Discarded,
    /// The session needs a new id, and the response that could have carried the id has already been sent.
    #[error(
        "saving a session: it needs a new id, and the response that could have carried it has already been sent"
    )]
    ResponseSent,
    /// Another site has sent the request, which brings no live session, with an unsafe method. The new session
    /// would replace the one that the browser has (login CSRF). The changes were refused: see
    /// [`SessionsBuilder::allow_cross_site`](crate::SessionsBuilder::allow_cross_site).
    #[error(
        "saving a session: refused to begin one for a request that another site sent and that brought none (login CSRF); `allow_cross_site` allows it"
    )]
    CrossSite,
    /// The request is a CORS preflight, which has no session. The changes were refused.
    #[error("saving a session: a CORS preflight request has none")]
    Preflight,
}

/// Locking a session failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// Other requests held the lock for the whole time limit.
    #[error("locking a session: other requests held the lock for {waited:?}")]
    TimedOut {
        /// How long this request waited.
        waited: std::time::Duration,
    },
    /// The session has ended meanwhile.
    #[error("locking a session: it has ended")]
    Ended,
    /// The session could not be loaded after it was locked, or the store returned an error.
    #[error(transparent)]
    Load(#[from] LoadError),
}

/// Two structs store under one key, so that each would read the values of the other.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "session key `{key}` is claimed by `{first}` and by `{second}`; give one of them another `namespace`, or the field a `rename`"
)]
pub struct KeyClashError {
    /// The key, with its namespace.
    pub key: &'static str,
    /// The struct that claimed it first.
    pub first: &'static str,
    /// The struct that claimed it as well.
    pub second: &'static str,
}

/// The argument of the error handler: the session of a request could not be extracted, loaded, locked or
/// saved.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The request has no session. The handler did not run.
    #[error(transparent)]
    Extract(#[from] ExtractError),
    /// The session could not be loaded. The handler did not run.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The session could not be locked for an `exclusive` handler. The handler did not run.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The session could not be saved. The handler has run.
    #[error(transparent)]
    Save(#[from] SaveError),
}

/// The settings of [`Sessions`](crate::Sessions) are wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The value of a setting has no meaning.
    #[error("setting up sessions: {setting} {why}")]
    Invalid {
        /// The setting.
        setting: &'static str,
        /// The rule that its value breaks.
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
    KeyClash(#[from] KeyClashError),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::StoreErrorKind;

    #[test]
    fn an_error_with_its_causes_says_nothing_twice() {
        let store = || {
            let error = StoreError::new(StoreErrorKind::Unavailable, "loading a session");
            error.with_source("connection refused")
        };
        let update = || {
            UpdateError::Get(GetError::Decode {
                key: "shop.cart",
                type_name: "u8",
            })
        };
        let errors: [RequestError; 5] = [
            LoadError::Store(store()).into(),
            LockError::Load(LoadError::Store(store())).into(),
            SaveError::Store(store()).into(),
            SaveError::Update(update()).into(),
            ExtractError::Skipped.into(),
        ];
        for error in errors {
            let text = Chain(&error).to_string();
            let mut parts: Vec<_> = text.split(": ").collect();
            let count = parts.len();
            parts.sort_unstable();
            parts.dedup();
            assert_eq!(parts.len(), count, "{text}");
        }
        let open = OpenError::Load(LoadError::Store(store()));
        assert_eq!(
            Chain(&open).to_string(),
            "loading a session: the session store is unavailable: connection refused"
        );
    }
}
