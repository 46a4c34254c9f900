//! Calls the store for sessions.
//!
//! An [`Engine`] holds what all sessions of an application share. Each module is one loop that awaits the
//! store; the decisions in between are those of [`lifecycle`](crate::lifecycle).

mod active;
mod commit;
mod deadline;
mod keyed;
mod lease;
mod resolve;
mod rotate;
mod touch;
mod updates;
mod watch;

use std::{future::Future, sync::Arc, time::Duration};

pub use self::lease::SessionLock;
pub(crate) use self::{
    active::ActiveSession,
    commit::save,
    lease::{lock, lock_for_request, unlock_request},
    resolve::{Candidate, Candidates, MAX_CANDIDATES, Via, resolve},
    updates::update,
    watch::ended,
};
use self::{
    deadline::Deadline,
    keyed::{KeyedQueues, KeyedWaiters},
};
use crate::{
    clock::{Clock, LONGEST_WAIT, Timestamp},
    config::SessionConfig,
    id::PublicId,
    lifecycle::{IdGenerator, Rules},
    store::{SessionStore, StoreError, StoreErrorKind},
};

/// The store, the clock and the rules that all sessions of an application share.
pub(crate) struct Engine {
    store: Arc<dyn SessionStore>,
    clock: Arc<dyn Clock>,
    rules: Rules,
    patience: Patience,
    /// The requests of this process that wait for the lock of a session.
    lock_queues: KeyedQueues,
    /// The requests of this process that have met another one in saving a session.
    save_queues: KeyedQueues,
    /// The requests of this process that touch a session. Nobody waits here.
    touches: KeyedQueues,
    /// The tasks of this process that wait for the end of a session.
    waiters: KeyedWaiters,
}

/// How long to wait for what.
#[derive(Debug, Clone, Copy)]
struct Patience {
    store_timeout: Duration,
    max_save_attempts: u32,
    lock_timeout: Duration,
    lock_lease: Duration,
    end_poll_interval: Duration,
}

impl Engine {
    pub(crate) fn new(
        store: Arc<dyn SessionStore>,
        clock: Arc<dyn Clock>,
        config: &SessionConfig,
        new_id: IdGenerator,
    ) -> Self {
        Self {
            store,
            clock,
            rules: Rules::new(config, new_id),
            patience: Patience {
                store_timeout: config.store_timeout,
                max_save_attempts: config.max_save_attempts,
                lock_timeout: config.lock_timeout,
                lock_lease: config.lock_lease,
                end_poll_interval: config.end_poll_interval,
            },
            lock_queues: KeyedQueues::default(),
            save_queues: KeyedQueues::default(),
            touches: KeyedQueues::default(),
            waiters: KeyedWaiters::default(),
        }
    }

    pub(crate) fn store(&self) -> &Arc<dyn SessionStore> {
        &self.store
    }

    pub(crate) fn rules(&self) -> &Rules {
        &self.rules
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn max_save_attempts(&self) -> u32 {
        self.patience.max_save_attempts
    }

    /// Wakes those who wait for the session under this key to end.
    pub(crate) fn announce_end(&self, key: PublicId) {
        self.waiters.wake(key);
    }

    /// Wakes those who wait for any session to end.
    pub(crate) fn announce_ends(&self) {
        self.waiters.wake_all();
    }

    /// One call of the store, within the time limit. `action` is named in the error.
    pub(crate) async fn limited<T>(
        &self,
        action: &'static str,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let reply = deadline::within(|| self.patience.store_timeout, call).await;
        reply.unwrap_or_else(|| Err(StoreError::new(StoreErrorKind::TimedOut, action)))
    }

    /// How long a response waits for a write that the handler has not asked for.
    fn touch_patience(&self) -> Duration {
        self.patience.store_timeout / 10
    }

    /// The deadline of a save that begins now.
    fn save_deadline(&self) -> Deadline {
        let limit = self.patience.store_timeout.saturating_mul(2);
        Deadline::new(limit.min(LONGEST_WAIT))
    }
}
