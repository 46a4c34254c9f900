//! The distance between a process and the store.

use std::{
    future::{Future, poll_fn},
    sync::atomic::{AtomicBool, Ordering},
    task::Poll,
};

use poem_session::store::{StoreError, StoreErrorKind};

use super::watched::{Call, Watch};

/// The distance between one process and the store that several share. Other tasks may run before a call arrives
/// at the store, and before its reply arrives.
#[derive(Debug, Default)]
pub(crate) struct Distance {
    cut_off: AtomicBool,
}

impl Distance {
    /// Sets whether all calls fail from now on.
    pub(crate) fn cut_off(&self, cut_off: bool) {
        self.cut_off.store(cut_off, Ordering::Relaxed);
    }
}

impl Watch for Distance {
    async fn around<T: Send>(
        &self,
        _call: Call,
        work: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        others_go_on().await;
        if self.cut_off.load(Ordering::Relaxed) {
            let action = "reaching a store that is cut off";
            return Err(StoreError::new(StoreErrorKind::Unavailable, action));
        }
        let reply = work.await;
        others_go_on().await;
        reply
    }
}

/// Lets the scheduler choose the task that goes on. A yield would tell the scheduler that this task has nothing
/// to do.
async fn others_go_on() {
    let mut asked = false;
    poll_fn(|context| {
        if asked {
            return Poll::Ready(());
        }
        asked = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
