//! [`Keyed`]: one value for each session that is in use.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
};

use parking_lot::Mutex;
use tokio::sync::{Notify, OwnedMutexGuard};

use crate::id::PublicId;

/// A value for each key, for as long as a reference to it exists.
#[derive(Default)]
pub(super) struct Keyed<T>(Mutex<HashMap<PublicId, Weak<T>>>);

/// Queues in which the requests of this process wait, one for each session.
pub(super) type KeyedQueues = Keyed<tokio::sync::Mutex<()>>;

/// The tasks of this process that wait for the end of a session.
pub(super) type KeyedWaiters = Keyed<Notify>;

/// The place at the front of a queue. The next request is served when it is dropped.
pub(super) type Front = OwnedMutexGuard<()>;

impl<T: Default> Keyed<T> {
    /// The value of `key`.
    pub(super) fn get(&self, key: PublicId) -> Arc<T> {
        let mut values = self.0.lock();
        if let Some(value) = values.get(&key).and_then(Weak::upgrade) {
            return value;
        }
        // Removes dropped values each time that their number has doubled, which costs little per value.
        if values.len() >= 64 && values.len().is_power_of_two() {
            values.retain(|_, value| value.strong_count() > 0);
        }
        let value = Arc::default();
        values.insert(key, Arc::downgrade(&value));
        value
    }
}

impl KeyedQueues {
    /// Waits for the front of the queue of `key`. Requests are served in the order in which they came.
    pub(super) async fn wait(&self, key: PublicId) -> Front {
        self.get(key).lock_owned().await
    }

    /// The front of the queue of `key`, if the queue is empty.
    pub(super) fn try_front(&self, key: PublicId) -> Option<Front> {
        self.get(key).try_lock_owned().ok()
    }
}

impl KeyedWaiters {
    /// Wakes those who wait for the end of the session under `key`.
    pub(super) fn wake(&self, key: PublicId) {
        let waiter = self.0.lock().get(&key).and_then(Weak::upgrade);
        if let Some(waiter) = waiter {
            waiter.notify_waiters();
        }
    }

    /// Wakes those who wait for the end of any session.
    pub(super) fn wake_all(&self) {
        let waiters: Vec<_> = self.0.lock().values().filter_map(Weak::upgrade).collect();
        for waiter in waiters {
            waiter.notify_waiters();
        }
    }
}
