//! How far off a store is.

use std::{
    future::{Future, poll_fn},
    sync::atomic::{AtomicBool, Ordering},
    task::Poll,
};

use poem_session::store::{StoreError, StoreErrorKind};

use super::watched::{Call, Watch};

/// One process's way to a store that several share. Whatever else there is to do may be done before a call
/// arrives, and before its answer is back.
#[derive(Debug, Default)]
pub(crate) struct Distance {
    cut_off: AtomicBool,
}

impl Distance {
    /// From now on calls fail, or arrive again.
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
        let answer = work.await;
        others_go_on().await;
        answer
    }
}

/// Lets the scheduler choose who goes on. This is no yield, which would say to it that there is nothing to do
/// here.
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
