//! Time in milliseconds since the Unix epoch, read from a [`Clock`].
//!
//! The clock of the application decides when sessions expire. Stores take the time as an argument instead of
//! asking their own server. So two machines disagree only as far as their system clocks do, and a test can move
//! time without sleeping.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// The longest wait: thirty years. The end of a longer one overflows on some platforms.
pub(crate) const LONGEST_WAIT: Duration = Duration::from_hours(30 * 365 * 24);

/// A moment, in milliseconds since the Unix epoch (UTC, leap seconds not counted).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// Returns the moment `millis` milliseconds after the Unix epoch.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Returns the milliseconds since the Unix epoch.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// Returns the moment `duration` later, or the end of representable time if that is earlier. Fractions of a
    /// millisecond are dropped.
    #[must_use]
    pub fn saturating_add(self, duration: Duration) -> Self {
        let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(millis))
    }

    /// Returns the moment `duration` earlier, or the epoch if that is later.
    #[must_use]
    pub fn saturating_sub(self, duration: Duration) -> Self {
        let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Self(self.0.saturating_sub(millis))
    }

    /// Returns the time from `earlier` to this moment, or zero if this moment is not later.
    pub fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        Self(0).saturating_add(time.duration_since(UNIX_EPOCH).unwrap_or_default())
    }
}

impl From<Timestamp> for SystemTime {
    fn from(time: Timestamp) -> Self {
        // A moment that the platform cannot represent is later than the end of any session.
        UNIX_EPOCH
            .checked_add(Duration::from_millis(time.0))
            .unwrap_or(UNIX_EPOCH)
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}ms", self.0)
    }
}

/// The source of the current time.
pub trait Clock: Send + Sync + 'static {
    /// Returns the current time.
    fn now(&self) -> Timestamp;
}

/// The clock of the machine. The default.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        SystemTime::now().into()
    }
}

/// A clock that moves only when [`advance`](Self::advance) is called, for tests of expiry.
///
/// ```
/// use std::{sync::Arc, time::Duration};
/// use poem_session::clock::{Clock, ManualClock};
///
/// let clock = Arc::new(ManualClock::new());
/// let before = clock.now();
/// clock.advance(Duration::from_secs(60));
/// assert_eq!(clock.now().saturating_since(before), Duration::from_secs(60));
/// ```
#[derive(Debug)]
pub struct ManualClock(AtomicU64);

impl ManualClock {
    /// Returns a clock that is set to the present.
    pub fn new() -> Self {
        Self(AtomicU64::new(SystemClock.now().as_millis()))
    }

    /// Moves the clock forward, at most to the end of representable time.
    pub fn advance(&self, by: Duration) {
        let later = |millis| Some(Timestamp(millis).saturating_add(by).0);
        let order = Ordering::SeqCst;
        // The function always returns a value, so the update is always made.
        let _ = self.0.fetch_update(order, order, later);
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}

impl<C: Clock> Clock for std::sync::Arc<C> {
    fn now(&self) -> Timestamp {
        (**self).now()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates() {
        let end = Timestamp::from_millis(u64::MAX);
        assert_eq!(end.saturating_add(Duration::MAX), end);
        assert_eq!(
            Timestamp::from_millis(5).saturating_sub(Duration::from_secs(1)),
            Timestamp::from_millis(0)
        );
        assert_eq!(
            Timestamp::from_millis(5).saturating_since(end),
            Duration::ZERO
        );
        let _: SystemTime = end.into();
        let clock = ManualClock::new();
        for _ in 0..2 {
            clock.advance(Duration::MAX);
            assert_eq!(clock.now(), end);
        }
    }
}
