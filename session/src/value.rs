//! One value of a session, as MessagePack.

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    error::{GetError, SetError},
    key::Field,
};

/// Structs are written as maps with field names, so that other languages can read them and fields can be
/// added.
pub(crate) fn encode<T: Serialize + ?Sized>(field: Field, value: &T) -> Result<Bytes, SetError> {
    // serde's own error may quote the value, so it is dropped.
    rmp_serde::to_vec_named(value)
        .map(Bytes::from)
        .map_err(|_| SetError::Encode {
            key: field.name,
            type_name: std::any::type_name::<T>(),
        })
}

pub(crate) fn decode<T: DeserializeOwned>(field: Field, bytes: &[u8]) -> Result<T, GetError> {
    rmp_serde::from_slice(bytes).map_err(|_| GetError::Decode {
        key: field.name,
        type_name: std::any::type_name::<T>(),
    })
}
