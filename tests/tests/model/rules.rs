//! The settings, in minutes.

/// How long a session lives unused.
pub(crate) const IDLE: u64 = 30;
/// How long it lives at most.
pub(crate) const ABSOLUTE: u64 = 45;
/// How long an id is remembered as ended.
pub(crate) const RETIRED: u64 = 3;
/// How old an id gets.
pub(crate) const ROTATE_EVERY: u64 = 4;
/// How long the id before it leads to the session still.
pub(crate) const GRACE: u64 = 2;
/// How long a session stays locked after its holder died.
pub(crate) const LEASE: u64 = 8;

/// When a session ends that began then and is used now.
pub(crate) fn expiry(created: u64, now: u64) -> u64 {
    (now + IDLE).min(created + ABSOLUTE)
}
