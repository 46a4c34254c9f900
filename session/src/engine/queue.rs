//! [`KeyedQueues`]: one queue for each session.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
};

use parking_lot::Mutex;
use tokio::sync::OwnedMutexGuard;

use crate::id::PublicId;

/// Queues in which the requests of this process wait, one for each session.
#[derive(Default)]
pub(super) struct KeyedQueues(Mutex<HashMap<PublicId, Weak<tokio::sync::Mutex<()>>>>);

/// The place at the front of a queue. The next request is served when it is dropped.
pub(super) type Front = OwnedMutexGuard<()>;

impl KeyedQueues {
    /// Waits for the front of the queue of `key`. Requests are served in the order in which they came.
    pub(super) async fn wait(&self, key: PublicId) -> Front {
        self.queue(key).lock_owned().await
    }

    /// The front of the queue of `key`, if the queue is empty.
    pub(super) fn try_front(&self, key: PublicId) -> Option<Front> {
        self.queue(key).try_lock_owned().ok()
    }

    fn queue(&self, key: PublicId) -> Arc<tokio::sync::Mutex<()>> {
        let mut queues = self.0.lock();
        if let Some(queue) = queues.get(&key).and_then(Weak::upgrade) {
            return queue;
        }
        // Removes empty queues each time that their number has doubled, which costs little per queue.
        if queues.len() >= 64 && queues.len().is_power_of_two() {
            queues.retain(|_, queue| queue.strong_count() > 0);
        }
        let queue = Arc::default();
        queues.insert(key, Arc::downgrade(&queue));
        queue
    }
}
