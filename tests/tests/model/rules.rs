//! The settings of the application, in minutes.

/// The idle timeout.
pub(crate) const IDLE: u64 = 30;
/// The absolute timeout.
pub(crate) const ABSOLUTE: u64 = 45;
/// How long new requests with the id of an ended session are refused.
pub(crate) const RETIRED: u64 = 3;
/// The longest time that a request takes: a tombstone or a forward is kept for so long.
pub(crate) const MAX_REQUEST: u64 = 10;
/// The age at which an id is rotated.
pub(crate) const ROTATE_EVERY: u64 = 4;
/// How long a new request may follow a forward.
pub(crate) const GRACE: u64 = 2;
/// How long a session stays locked after its holder has died.
pub(crate) const LEASE: u64 = 8;

/// When a session expires that was created then and is used now.
pub(crate) fn expiry(created: u64, now: u64) -> u64 {
    (now + IDLE).min(created + ABSOLUTE)
}
