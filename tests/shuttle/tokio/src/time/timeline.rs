//! The timers of an execution.

use std::{
    collections::BTreeMap,
    future::poll_fn,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Poll, Waker},
    time::Duration,
};

shuttle::lazy_static! {
    /// The timeline of the current execution. Each execution starts a new one.
    pub(super) static ref TIMELINE: Timeline = Timeline::default();
}

#[derive(Default)]
pub(super) struct Timeline(Mutex<Moments>);

#[derive(Default)]
struct Moments {
    now: Duration,
    /// The waiting tasks by moment, and those of one moment in the order of their arrival.
    timers: BTreeMap<(Duration, u64), Option<Waker>>,
    /// The number of waits so far.
    count: u64,
    /// The waker of the task that lets time pass, while that task is idle.
    driver: Driver,
}

#[derive(Default)]
enum Driver {
    /// Not spawned yet.
    #[default]
    None,
    Busy,
    /// Idle until a task waits.
    Idle(Waker),
}

impl Timeline {
    pub(super) fn now(&self) -> Duration {
        self.moments().now
    }

    /// Not a lock of shuttle, because it is never held across a step.
    fn moments(&self) -> MutexGuard<'_, Moments> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets time pass, one step whenever the scheduler runs this task.
    async fn drive(&self) {
        loop {
            poll_fn(|context| {
                let mut moments = self.moments();
                if moments.timers.is_empty() {
                    moments.driver = Driver::Idle(context.waker().clone());
                    return Poll::Pending;
                }
                moments.driver = Driver::Busy;
                Poll::Ready(())
            })
            .await;
            // A scheduler with priorities runs this task only when all others are idle.
            shuttle::future::yield_now().await;
            for waker in self.take_next() {
                waker.wake();
            }
        }
    }

    /// Moves the time to the next moment that a task waits for. Returns the wakers of these tasks.
    fn take_next(&self) -> Vec<Waker> {
        let mut moments = self.moments();
        if let Some(((next, _), _)) = moments.timers.first_key_value() {
            moments.now = *next;
        }
        let now = moments.now;
        let mut due = Vec::new();
        while let Some(timer) = moments.timers.first_entry()
            && timer.key().0 <= now
        {
            due.extend(timer.remove());
        }
        due
    }
}

/// A timer in the timeline.
#[derive(Debug)]
pub(super) struct Timer((Duration, u64));

impl Timer {
    pub(super) fn new(until: Duration) -> Self {
        let mut moments = TIMELINE.moments();
        moments.count += 1;
        let place = (until, moments.count);
        moments.timers.insert(place, None);
        let driver = std::mem::replace(&mut moments.driver, Driver::Busy);
        drop(moments);
        match driver {
            Driver::Busy => {}
            Driver::Idle(driver) => driver.wake(),
            // Never joined: an execution ends when all other tasks have ended.
            Driver::None => drop(shuttle::future::spawn(TIMELINE.drive())),
        }
        Self(place)
    }

    /// Wakes the task when the moment comes.
    pub(super) fn wake(&self, waker: &Waker) {
        if let Some(place) = TIMELINE.moments().timers.get_mut(&self.0) {
            place.get_or_insert_with(|| waker.clone()).clone_from(waker);
        }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        TIMELINE.moments().timers.remove(&self.0);
    }
}
