//! Time that passes when the scheduler says so.
//!
//! An execution has a timeline: what is waited for, in the order of its moments. A task of its own takes
//! the next of these moments whenever it is scheduled. So everything may be late, as on a machine that is
//! busy elsewhere, or a process that was stopped; but nothing comes before what was due earlier.

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

/// No execution comes to a moment after this one.
const END: Duration = Duration::from_hours(24 * 365);

/// Whoever waits for so long, or a good part of it, waits for ever.
pub const NEVER: Duration = Duration::from_hours(24 * 36_500);

/// A moment of the execution, counted from its beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(Duration);

impl Instant {
    /// The present.
    pub fn now() -> Self {
        Self(TIMELINE.now())
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
    /// Its place in the timeline, once it is waiting.
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

/// Waits until so much time has passed, or longer.
pub fn sleep(duration: Duration) -> Sleep {
    sleep_until(Instant::now() + duration)
}

/// Waits until the moment has come.
pub fn sleep_until(until: Instant) -> Sleep {
    Sleep { until, timer: None }
}

/// The time was over before the future was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Elapsed(());

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the time is over")
    }
}

impl std::error::Error for Elapsed {}

/// Runs a future for so long at most.
///
/// # Errors
/// [`Elapsed`] where it was not done by then; it is then dropped.
pub async fn timeout<F: Future>(limit: Duration, future: F) -> Result<F::Output, Elapsed> {
    let (mut future, mut end) = (pin!(future), pin!(sleep(limit)));
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

/// The present, and then a moment every `period`.
pub fn interval(period: Duration) -> Interval {
    Interval {
        next: Instant::now(),
        period,
    }
}

impl Interval {
    /// Changes nothing: a moment that was missed is made up for by the next one.
    pub fn set_missed_tick_behavior(&mut self, _behavior: MissedTickBehavior) {}

    /// Waits for the next moment.
    pub async fn tick(&mut self) -> Instant {
        sleep_until(self.next).await;
        let now = Instant::now();
        self.next = now + self.period;
        now
    }
}
