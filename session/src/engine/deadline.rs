//! Time limits of store calls, and of a whole save.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::OnceLock,
    task::Poll,
    time::Duration,
};

use tokio::time::Instant;

use crate::store::{StoreError, StoreErrorKind};

/// Waits for `work`, but not longer than `limit`.
///
/// The future contains the work twice, so the caller pins or boxes work that is large.
pub(super) async fn within<T>(
    limit: impl FnOnce() -> Duration,
    work: impl Future<Output = T>,
) -> Option<T> {
    let mut work = pin!(work);
    // Work that is done at once needs no timer.
    if let Poll::Ready(done) = poll_fn(|cx| Poll::Ready(work.as_mut().poll(cx))).await {
        return Some(done);
    }
    Box::pin(tokio::time::timeout(limit(), work)).await.ok()
}

/// The end of a save: the limit for all its calls and waits together.
pub(super) struct Deadline {
    limit: Duration,
    /// Set when the save waits for the first time.
    began: OnceLock<Instant>,
}

impl Deadline {
    pub(super) fn new(limit: Duration) -> Self {
        Self {
            limit,
            began: OnceLock::new(),
        }
    }

    /// The time that is left.
    pub(super) fn remaining(&self) -> Duration {
        let now = Instant::now();
        let began = *self.began.get_or_init(|| now);
        let passed = now.saturating_duration_since(began);
        self.limit.saturating_sub(passed)
    }

    /// Waits for `work` until the deadline. `action` is named in the error.
    pub(super) async fn bound<T>(
        &self,
        action: &'static str,
        work: impl Future<Output = T>,
    ) -> Result<T, StoreError> {
        let done = within(|| self.remaining(), work).await;
        done.ok_or_else(|| StoreError::new(StoreErrorKind::TimedOut, action))
    }
}
