//! [`Finish`]: work that continues if its caller is dropped.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::time::{Instant, timeout_at};

/// A future that is spawned as a task of its own if it is dropped before it has ended, as when a client
/// disconnects.
pub(crate) struct Finish<F: Future<Output: Send> + Send + 'static> {
    work: Option<Pin<Box<F>>>,
    /// When the task is dropped, if it has not ended by then.
    end: Option<Instant>,
}

impl<F: Future<Output: Send> + Send + 'static> Finish<F> {
    /// Work that runs to its end.
    pub(crate) fn new(work: F) -> Self {
        Self::until(work, None)
    }

    /// Work that continues until `end` at most if its caller is dropped.
    pub(crate) fn until(work: F, end: Option<Instant>) -> Self {
        let work = Some(Box::pin(work));
        Self { work, end }
    }
}

impl<F: Future<Output: Send> + Send + 'static> Future for Finish<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        // Taken out while it is polled, so that a future that panics is not polled again.
        let mut work = self.work.take().expect("not polled after it has ended");
        let poll = work.as_mut().poll(cx);
        if poll.is_pending() {
            self.work = Some(work);
        }
        poll
    }
}

impl<F: Future<Output: Send> + Send + 'static> Drop for Finish<F> {
    fn drop(&mut self) {
        if let Some(work) = self.work.take()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            match self.end {
                None => drop(runtime.spawn(work)),
                Some(end) => drop(runtime.spawn(timeout_at(end, work))),
            }
        }
    }
}
