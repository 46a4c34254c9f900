//! One value of a session, as MessagePack.

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    error::{GetError, SetError},
    key::Field,
    record::nests_deeper_than,
};

/// How deep lists and maps may lie in each other. Decoders call themselves for each level, and one that runs
/// out of stack ends the process: `rmp_serde` has a limit, but a larger one, and it does not count the
/// variants of an enum.
const DEEPEST: usize = 128;

/// Structs are written as maps with field names, so that other languages can read them and fields can be
/// added.
pub(crate) fn encode<T: Serialize + ?Sized>(field: Field, value: &T) -> Result<Bytes, SetError> {
    let (key, type_name) = (field.name, std::any::type_name::<T>());
    // serde's own error may quote the value, so it is dropped.
    let Ok(bytes) = rmp_serde::to_vec_named(value) else {
        return Err(SetError::Encode { key, type_name });
    };
    if nests_deeper_than(DEEPEST, &bytes) {
        return Err(SetError::TooDeep {
            key,
            type_name,
            limit: DEEPEST,
        });
    }
    Ok(bytes.into())
}

pub(crate) fn decode<T: DeserializeOwned>(field: Field, bytes: &[u8]) -> Result<T, GetError> {
    let value = if nests_deeper_than(DEEPEST, bytes) {
        None
    } else {
        rmp_serde::from_slice(bytes).ok()
    };
    value.ok_or_else(|| GetError::Decode {
        key: field.name,
        type_name: std::any::type_name::<T>(),
    })
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    const FIELD: Field = Field::new("ns.a");

    /// Whose variant `Not` is decoded without being counted as a level by `rmp_serde`.
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
    fn what_can_be_set_can_be_read() {
        let bytes = encode(FIELD, &Rule::nested(DEEPEST)).expect("deep enough");
        assert_eq!(decode(FIELD, &bytes), Ok(Rule::nested(DEEPEST)));
        let error = encode(FIELD, &Rule::nested(DEEPEST + 1)).expect_err("too deep");
        assert!(error.to_string().contains("more than 128 deep"), "{error}");
    }

    #[test]
    fn depth_costs_no_stack() {
        let deep = [b"\x81\xa3Not".repeat(1_000_000), b"\xa6Always".to_vec()].concat();
        assert!(decode::<Rule>(FIELD, &deep).is_err());
        assert!(decode::<serde_json::Value>(FIELD, &deep).is_err());
        assert!(decode::<serde::de::IgnoredAny>(FIELD, &deep).is_err());
    }
}
