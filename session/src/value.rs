//! Encoding and decoding the value of one key.

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    error::{GetError, SetError},
    field::Field,
    record::nests_deeper_than,
};

/// How deep lists and maps may be nested. Decoders are recursive, and one that overflows the stack ends the
/// process. The limit of `rmp_serde` is larger and does not count the variants of an enum.
const MAX_DEPTH: usize = 128;

/// Encodes a value as MessagePack. Structs become maps with field names, so that other languages can read
/// them and fields can be added later.
pub(crate) fn encode<T: Serialize + ?Sized>(field: Field, value: &T) -> Result<Bytes, SetError> {
    let (key, type_name) = (field.name(), std::any::type_name::<T>());
    // Most values fit, so that the buffer does not grow. They are copied into one of their size.
    let mut bytes = Vec::with_capacity(128);
    // The error of serde may quote the value, so it is dropped.
    if rmp_serde::encode::write_named(&mut bytes, value).is_err() {
        return Err(SetError::Encode { key, type_name });
    }
    if nests_deeper_than(MAX_DEPTH, &bytes) {
        return Err(SetError::TooDeep {
            key,
            type_name,
            limit: MAX_DEPTH,
        });
    }
    Ok(Bytes::copy_from_slice(&bytes))
}

pub(crate) fn decode<T: DeserializeOwned>(field: Field, bytes: &[u8]) -> Result<T, GetError> {
    let value = if nests_deeper_than(MAX_DEPTH, bytes) {
        None
    } else {
        rmp_serde::from_slice(bytes).ok()
    };
    value.ok_or_else(|| GetError::Decode {
        key: field.name(),
        type_name: std::any::type_name::<T>(),
    })
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    const FIELD: Field = Field::new("ns.a");

    /// `rmp_serde` does not count the variant `Not` as a level.
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    enum Rule {
        Always,
        Not(Box<Rule>),
    }

    impl Rule {
        fn nested(depth: usize) -> Self {
            (0..depth).fold(Self::Always, |rule, _| Self::Not(Box::new(rule)))
        }
    }

    #[test]
    fn a_value_that_can_be_set_can_be_read() {
        let bytes = encode(FIELD, &Rule::nested(MAX_DEPTH)).expect("deep enough");
        assert_eq!(decode(FIELD, &bytes), Ok(Rule::nested(MAX_DEPTH)));
        let error = encode(FIELD, &Rule::nested(MAX_DEPTH + 1)).expect_err("too deep");
        assert!(error.to_string().contains("more than 128 deep"), "{error}");
    }

    #[test]
    fn deep_values_do_not_overflow_the_stack() {
        let deep = [b"\x81\xa3Not".repeat(1_000_000), b"\xa6Always".to_vec()].concat();
        assert!(decode::<Rule>(FIELD, &deep).is_err());
        assert!(decode::<serde_json::Value>(FIELD, &deep).is_err());
        assert!(decode::<serde::de::IgnoredAny>(FIELD, &deep).is_err());
    }
}
