//! The parsers of the Redis store, without a server.

#[path = "../../../session/src/store/redis/address.rs"]
#[allow(dead_code, reason = "only a connection reads all parts of an address")]
mod address;
#[path = "../../../session/src/store/redis/fault.rs"]
#[allow(dead_code, reason = "no server is called, so no reply has faults")]
mod fault;
#[path = "../../../session/src/store/parameters.rs"]
#[allow(dead_code, reason = "other stores use the other methods")]
mod parameters;
#[path = "../../../session/src/store/redis/value.rs"]
#[allow(dead_code, reason = "no value is written")]
mod value;

use poem_session::clock::Timestamp;
pub(crate) use poem_session::store::{
    LockOwner, MAX_RECORD, StoreError, StoreErrorKind, Stored, Version,
};

/// Whether the Redis store would try to connect to an address.
pub(crate) fn is_address_of_redis(url: &str) -> bool {
    address::Address::parse(url).is_ok()
}

/// The record in a value of Redis; `None` if it has expired.
///
/// # Errors
/// If the value is foreign.
pub(crate) fn record_in_redis(value: Vec<u8>, now: Timestamp) -> Result<Option<Stored>, ()> {
    value::read(value, now).map_err(|_| ())
}
