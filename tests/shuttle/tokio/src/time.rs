//! Time that passes when the scheduler decides.
//!
//! An execution has a timeline: the timers, in the order of their moments. A task moves the time to the next
//! moment whenever it is scheduled. So each timer may be late, as on a busy machine or in a process that was
//! stopped, but timers fire in order.

mod timeline;

use std::{
    fmt,
    future::{Future, poll_fn},
    ops::{Add, AddAssign},
    pin::{Pin, pin},
    task::{Context, Poll},
    time::Duration,
};

pub use tokio::time::MissedTickBehavior;

use self::timeline::{TIMELINE, Timer};

/// The end of the timeline. No execution gets there.
const END: Duration = Duration::from_hours(24 * 365);

/// A wait of this length, or of a large part of it, never ends.
pub const NEVER: Duration = Duration::from_hours(24 * 36_500);

/// A moment of the execution, counted from its beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(Duration);

impl Instant {
    /// The current moment.
    pub fn now() -> Self {
        Self(TIMELINE.now())
    }

    /// The time from an earlier moment to this one, or zero.
    pub fn saturating_duration_since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    /// The time since the execution began.
    pub fn since_the_beginning(self) -> Duration {
        self.0
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, later: Duration) -> Self {
        Self(self.0.saturating_add(later))
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, later: Duration) {
        *self = *self + later;
    }
}

/// A wait: see [`sleep`].
#[derive(Debug)]
#[must_use = "it waits only when it is polled"]
pub struct Sleep {
    until: Instant,
    /// The place in the timeline, once the wait has begun.
    timer: Option<Timer>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if Instant::now() >= self.until {
            self.timer = None;
            return Poll::Ready(());
        }
        let until = self.until.0;
        if until < END {
            self.timer
                .get_or_insert_with(|| Timer::new(until))
                .wake(context.waker());
        }
        Poll::Pending
    }
}

/// Waits for at least this time.
pub fn sleep(duration: Duration) -> Sleep {
    sleep_until(Instant::now() + duration)
}

/// Waits until this moment.
pub fn sleep_until(until: Instant) -> Sleep {
    Sleep { until, timer: None }
}

/// The time limit passed before the future was ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Elapsed(());

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the time is over")
    }
}

impl std::error::Error for Elapsed {}

/// Runs a future with a time limit.
///
/// # Errors
/// [`Elapsed`] if the future was not ready by then. The future is dropped.
pub async fn timeout<F: Future>(limit: Duration, future: F) -> Result<F::Output, Elapsed> {
    timeout_at(Instant::now() + limit, future).await
}

/// Runs a future until this moment at most.
///
/// # Errors
/// [`Elapsed`] if the future was not ready by then. The future is dropped.
pub async fn timeout_at<F: Future>(end: Instant, future: F) -> Result<F::Output, Elapsed> {
    let (mut future, mut end) = (pin!(future), pin!(sleep_until(end)));
    poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Ok(output)),
        Poll::Pending => end.as_mut().poll(context).map(|()| Err(Elapsed(()))),
    })
    .await
}

/// Moments at equal distances: see [`interval`].
#[derive(Debug)]
pub struct Interval {
    next: Instant,
    period: Duration,
}

/// The current moment, and then one every `period`.
pub fn interval(period: Duration) -> Interval {
    Interval {
        next: Instant::now(),
        period,
    }
}

impl Interval {
    /// Has no effect: missed moments are delivered one after the other.
    pub fn set_missed_tick_behavior(&mut self, _behavior: MissedTickBehavior) {}

    /// Waits for the next moment.
    pub async fn tick(&mut self) -> Instant {
        sleep_until(self.next).await;
        let now = Instant::now();
        self.next = now + self.period;
        now
    }
}
