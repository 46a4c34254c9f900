//! [`Handle`]: reads and changes the keys of one struct.

use std::{marker::PhantomData, sync::Arc};

use crate::{
    changes::Updater,
    engine::{self, ActiveSession},
    error::{GetError, SetError, UpdateError},
    key::{Absence, Key},
    session::SessionData,
};

/// The session that the methods of a derived struct work on.
#[doc(hidden)]
pub struct Handle<S> {
    active: Arc<ActiveSession>,
    marker: PhantomData<fn() -> S>,
}

/// The struct of typed methods that the derive generates around a [`Handle`].
#[doc(hidden)]
pub trait Fields<S>: Send + Sync + 'static {
    fn new(handle: Handle<S>) -> Self;
    fn handle(&self) -> &Handle<S>;
}

impl<S> Handle<S> {
    pub(crate) fn new(active: Arc<ActiveSession>) -> Self {
        Self {
            active,
            marker: PhantomData,
        }
    }

    pub(super) fn active(&self) -> &Arc<ActiveSession> {
        &self.active
    }
}

/// The methods of the same names on [`Session`](crate::Session) document these.
#[doc(hidden)]
#[allow(clippy::missing_errors_doc)]
impl<S: SessionData> Handle<S> {
    pub fn get<T, A: Absence<T>>(&self, key: Key<S, T, A>) -> Result<A::Read, GetError> {
        if key.field().is_flash() {
            return self.take(key);
        }
        read(key, self.active.value(key.field()).as_deref())
    }

    #[allow(clippy::needless_pass_by_value)]
    pub fn set<T, A: Absence<T>>(&self, key: Key<S, T, A>, value: T) -> Result<(), SetError> {
        let value = key.encode(&value)?;
        self.active.put(key.field(), Some(value))
    }

    pub fn update<T: 'static, A: Absence<T>>(
        &self,
        key: Key<S, T, A>,
        mut change: impl FnMut(&mut A::Read) + Send + 'static,
    ) -> Result<(), UpdateError> {
        let updater: Updater = Box::new(move |before| {
            let encode =
                |value: A::Read| A::stored(value).map(|value| key.encode(&value)).transpose();
            let mut value = read(key, before.map(|bytes| &**bytes))?;
            change(&mut value);
            let after = encode(value)?;
            // An unchanged default is not stored.
            if before.is_none() && after == encode(read(key, None)?)? {
                return Ok(None);
            }
            Ok(after)
        });
        engine::update(&self.active, key.field(), updater)
    }

    pub fn remove<T, A>(&self, key: Key<S, T, A>) {
        self.active
            .put(key.field(), None)
            .expect("removing is within every size limit");
    }

    pub fn take<T, A: Absence<T>>(&self, key: Key<S, T, A>) -> Result<A::Read, GetError> {
        // Decoded first, so that a value that cannot be read is not removed.
        let value = read(key, self.active.value(key.field()).as_deref())?;
        let mut lifecycle = self.active.lifecycle();
        // The visitor does not see the response to a passive request, or not yet.
        if !(key.field().is_flash() && lifecycle.is_passive()) {
            lifecycle.take(key.field());
        }
        Ok(value)
    }
}

fn read<S, T, A: Absence<T>>(
    key: Key<S, T, A>,
    stored: Option<&[u8]>,
) -> Result<A::Read, GetError> {
    let stored = match stored {
        Some(bytes) => Some(key.decode(bytes)?),
        None => None,
    };
    Ok(A::read(stored, key.default_value()))
}
