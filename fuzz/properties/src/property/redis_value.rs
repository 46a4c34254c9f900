//! Values in Redis. An input is a value.

use super::site::NOW;
use crate::store;

pub(crate) fn check(input: &[u8]) {
    let Ok(Some(stored)) = store::record_in_redis(input.to_vec(), NOW) else {
        return;
    };
    assert!(stored.expires_at > NOW, "the record has expired");
    // The documented layout.
    let data = match input {
        [0xF5, 1, rest @ ..] => &rest[16..],
        [0xF5, 2, rest @ ..] => &rest[40..],
        _ => panic!("a foreign value was accepted"),
    };
    assert_eq!(stored.data, data);
}
