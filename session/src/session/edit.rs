//! [`Edit`]: `&mut S` in a handler.

use std::sync::Arc;

use bytes::Bytes;

use crate::{
    engine::ActiveSession,
    error::{SetError, UpdateError},
    field::Field,
    key::{Defaulted, Key, Optional},
    session::{Handle, SessionData},
};

/// A struct that was read from a session, whose changed fields are written back.
#[doc(hidden)]
pub struct Edit<S> {
    handle: Handle<S>,
    value: S,
    before: Vec<EncodedField>,
    /// The stored values, without the changes that the request had made before. They are those of `S::FIELDS`.
    stored: Vec<Option<Bytes>>,
}

/// A field and its encoded value.
type EncodedField = (Field, Option<Bytes>);

#[doc(hidden)]
impl<S: SessionData> Edit<S> {
    pub(crate) fn begin(active: Arc<ActiveSession>) -> Result<Self, UpdateError> {
        let stored = {
            let lifecycle = active.lifecycle();
            let fields = S::FIELDS.iter();
            fields.map(|field| lifecycle.stored_value(*field)).collect()
        };
        let handle = Handle::new(active);
        let value = S::read(&handle)?;
        let before = encoded(&value)?;
        Ok(Self {
            handle,
            value,
            before,
            stored,
        })
    }

    /// Sets the fields whose values have changed.
    pub(crate) fn write_back(self) -> Result<(), SetError> {
        let after = encoded(&self.value)?;
        for (((field, before), (_, after)), stored) in
            self.before.into_iter().zip(after).zip(self.stored)
        {
            if before != after {
                self.handle.active().edit(field, after, stored)?;
            }
        }
        Ok(())
    }
}

// Without the bound, so that a struct which is not session data is one error.
#[doc(hidden)]
impl<S> Edit<S> {
    pub fn value(&mut self) -> &mut S {
        &mut self.value
    }
}

fn encoded<S: SessionData>(value: &S) -> Result<Vec<EncodedField>, SetError> {
    let mut fields = Vec::with_capacity(S::FIELDS.len());
    value.encode(&mut Encoder(&mut fields))?;
    Ok(fields)
}

/// Collects the encoded fields of a struct, so that changed fields can be found.
#[doc(hidden)]
pub struct Encoder<'a>(&'a mut Vec<EncodedField>);

impl Encoder<'_> {
    /// Adds a field with a default.
    ///
    /// # Errors
    /// [`SetError`] if the value does not serialize.
    pub fn value<S, T>(&mut self, key: Key<S, T, Defaulted>, value: &T) -> Result<(), SetError> {
        self.0.push((key.field(), Some(key.encode(value)?)));
        Ok(())
    }

    /// Adds a field that is an `Option`.
    ///
    /// # Errors
    /// [`SetError`] if the value does not serialize.
    pub fn optional<S, T>(
        &mut self,
        key: Key<S, T, Optional>,
        value: &Option<T>,
    ) -> Result<(), SetError> {
        let encoded = match value {
            Some(value) => Some(key.encode(value)?),
            None => None,
        };
        self.0.push((key.field(), encoded));
        Ok(())
    }
}
