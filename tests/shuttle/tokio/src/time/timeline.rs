//! What an execution waits for.

use std::{
    collections::BTreeMap,
    future::poll_fn,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Poll, Waker},
    time::Duration,
};

shuttle::lazy_static! {
    /// The timeline of the execution. Each begins with one of its own.
    pub(super) static ref TIMELINE: Timeline = Timeline::default();
}

#[derive(Default)]
pub(super) struct Timeline(Mutex<Moments>);

#[derive(Default)]
struct Moments {
    now: Duration,
    /// Who waits, by moment, and in the order they came for one moment.
    timers: BTreeMap<(Duration, u64), Option<Waker>>,
    /// How many have waited so far.
    count: u64,
    /// The task that lets time pass, while it has nothing to do.
    driver: Driver,
}

#[derive(Default)]
enum Driver {
    /// Not there yet.
    #[default]
    None,
    Busy,
    /// Until somebody waits.
    Idle(Waker),
}

impl Timeline {
    pub(super) fn now(&self) -> Duration {
        self.moments().now
    }

    /// Not one of shuttle's locks: it is never held for longer than a step.
    fn moments(&self) -> MutexGuard<'_, Moments> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets time pass: a step is taken whenever this is scheduled.
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
            // To a scheduler with priorities: only when the others have nothing else to do.
            shuttle::future::yield_now().await;
            for waker in self.take_next() {
                waker.wake();
            }
        }
    }

    /// Goes to the next moment that somebody waits for. Answers who they are.
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

/// A place in the timeline.
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
            // Never waited for: an execution ends when all tasks but this one have.
            Driver::None => drop(shuttle::future::spawn(TIMELINE.drive())),
        }
        Self(place)
    }

    /// Has this one woken when the moment comes.
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
