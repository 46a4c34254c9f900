//! Locking a session: requests that must run one at a time.
//!
//! The lock is a lease in the store, so that it holds over several processes and ends by itself when its
//! holder crashes. It is renewed while it is held. Within one process requests queue up and are served in
//! the order they came; between processes the store is asked again and again, at random moments. A holder
//! whose lease has run out can no longer write.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{sync::OwnedMutexGuard, task::JoinHandle, time::Instant};

use crate::{
    active::{ActiveSession, Origin},
    clock::Timestamp,
    engine::Engine,
    error::{Chain, LoadError, LockError, SaveError},
    id::PublicId,
    store::{LockOwner, Locked, StoreError},
};

/// Where the requests of this process wait for a session, each session in a line of its own.
#[derive(Default)]
pub(crate) struct Queues(Mutex<HashMap<PublicId, Weak<tokio::sync::Mutex<()>>>>);

impl Queues {
    pub(crate) fn line(&self, key: PublicId) -> Arc<tokio::sync::Mutex<()>> {
        let mut lines = self.0.lock();
        if let Some(line) = lines.get(&key).and_then(Weak::upgrade) {
            return line;
        }
        // Lines that nobody stands in any more are cleared when a new one opens and there are many.
        if lines.len() >= 64 && lines.len().is_power_of_two() {
            lines.retain(|_, line| line.strong_count() > 0);
        }
        let line = Arc::default();
        lines.insert(key, Arc::downgrade(&line));
        line
    }
}

/// Holds a session locked until it is dropped: see [`Session::lock`](crate::Session::lock).
#[must_use = "the session is unlocked when this is dropped"]
pub struct SessionLock(#[allow(dead_code)] Option<Arc<Lease>>);

impl fmt::Debug for SessionLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionLock")
    }
}

/// A lease that this process holds, renewed until it is dropped.
pub(crate) struct Lease {
    engine: Arc<Engine>,
    key: PublicId,
    owner: LockOwner,
    /// Until when it is surely ours.
    until: Arc<AtomicU64>,
    renewal: JoinHandle<()>,
    _place: OwnedMutexGuard<()>,
}

/// The end of a lease that is known to have ended: there is nothing to give back.
const ENDED: u64 = 0;

impl Lease {
    fn begin(
        engine: &Arc<Engine>,
        key: PublicId,
        owner: LockOwner,
        until: Timestamp,
        place: OwnedMutexGuard<()>,
    ) -> Self {
        let until = Arc::new(AtomicU64::new(until.as_millis()));
        let renewal = renew(Arc::clone(engine), key, owner, Arc::clone(&until));
        Self {
            engine: Arc::clone(engine),
            key,
            owner,
            until,
            renewal: tokio::spawn(renewal),
            _place: place,
        }
    }

    /// Lets go of a lease that has ended already.
    pub(crate) fn forget(self) {
        self.renewal.abort();
        self.until.store(ENDED, Ordering::Release);
    }

    fn is_lost(&self) -> bool {
        self.engine.now() >= Timestamp::from_millis(self.until.load(Ordering::Acquire))
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.renewal.abort();
        if self.until.load(Ordering::Acquire) == ENDED {
            return;
        }
        let (engine, key, owner) = (Arc::clone(&self.engine), self.key, self.owner);
        // Without a runtime, or where this fails, the lease ends by time.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                let unlock = engine.store.unlock(key, owner);
                if let Err(error) = engine.limited("unlocking a session", unlock).await {
                    tracing::warn!(session = ?key, error = %Chain(&error), "could not unlock a session");
                }
            });
        }
    }
}

impl ActiveSession {
    /// Waits for the session to be free, takes it, and reads it again.
    pub(crate) async fn lock(&self) -> Result<SessionLock, LockError> {
        let limit = self.engine.limits.lock_wait;
        tokio::time::timeout(limit, self.lock_in_turn())
            .await
            .unwrap_or(Err(LockError::TimedOut { waited: limit }))
    }

    async fn lock_in_turn(&self) -> Result<SessionLock, LockError> {
        loop {
            let key = match &self.state().origin {
                Origin::Stored(base) => base.key,
                // Nothing is stored, so no other request can be at work with it.
                Origin::New => return Ok(SessionLock(None)),
                Origin::Ended { .. } => return Err(LockError::Ended),
            };
            let held = self.state().lease.upgrade();
            if let Some(lease) = held.filter(|lease| lease.key == key && !lease.is_lost()) {
                return Ok(SessionLock(Some(lease)));
            }
            let acquired = acquire(&self.engine, key).await;
            if let Err(LockError::Ended) = acquired {
                // As where it is seen when the session is read: nothing is left to be saved.
                self.state().origin = Origin::Ended { over: true };
            }
            let lease = Arc::new(acquired?);
            self.state().lease = Arc::downgrade(&lease);
            self.reload().await?;
            // Ended, or moved to another id, while this request waited: look again.
            if matches!(&self.state().origin, Origin::Stored(base) if base.key == key) {
                return Ok(SessionLock(Some(lease)));
            }
        }
    }

    /// Locks the session until [`unlock`](Self::unlock) or the end of the request.
    pub(crate) async fn lock_for_request(&self) -> Result<(), LockError> {
        let lock = self.lock().await?;
        self.state().held = Some(lock);
        Ok(())
    }

    pub(crate) fn unlock(&self) {
        self.state().held = None;
    }

    /// Refuses to write where the session was locked and the lease has run out since.
    pub(crate) fn check_lease(&self) -> Result<(), SaveError> {
        match self.state().lease.upgrade() {
            Some(lease) if lease.is_lost() => Err(SaveError::LeaseLost),
            _ => Ok(()),
        }
    }
}

async fn acquire(engine: &Arc<Engine>, key: PublicId) -> Result<Lease, LockError> {
    let place = engine.queues.line(key).lock_owned().await;
    let owner = LockOwner::random();
    let mut pause = Duration::from_millis(2);
    loop {
        let (locked, until) = ask(engine, key, owner).await.map_err(LoadError::from)?;
        match locked {
            Locked::Acquired => return Ok(Lease::begin(engine, key, owner, until, place)),
            Locked::Gone => return Err(LockError::Ended),
            Locked::Held => {
                // Another process holds it.
                tokio::time::sleep(pause.mul_f64(0.5 + rand::random::<f64>() / 2.0)).await;
                pause = (pause * 2).min(Duration::from_millis(50));
            }
        }
    }
}

/// Takes the lease if nobody holds it or waits for it.
pub(crate) async fn try_acquire(engine: &Arc<Engine>, key: PublicId) -> Option<Lease> {
    let place = engine.queues.line(key).try_lock_owned().ok()?;
    let owner = LockOwner::random();
    match ask(engine, key, owner).await {
        Ok((Locked::Acquired, until)) => Some(Lease::begin(engine, key, owner, until, place)),
        Ok((Locked::Held | Locked::Gone, _)) => None,
        Err(error) => {
            tracing::warn!(session = ?key, error = %Chain(&error), "could not lock a session to renew its id");
            None
        }
    }
}

/// Asks for the lease, or for more of it.
async fn ask(
    engine: &Engine,
    key: PublicId,
    owner: LockOwner,
) -> Result<(Locked, Timestamp), StoreError> {
    let now = engine.now();
    let until = now.saturating_add(engine.limits.lock_lease);
    let lock = engine.store.lock(key, owner, until, now);
    let locked = engine.limited("locking a session", lock).await?;
    Ok((locked, until))
}

/// Renews a lease for as long as that succeeds, three times in its length.
async fn renew(engine: Arc<Engine>, key: PublicId, owner: LockOwner, until: Arc<AtomicU64>) {
    let interval = engine.limits.lock_lease / 3;
    let mut next = Instant::now() + interval;
    loop {
        tokio::time::sleep_until(next).await;
        next += interval;
        match ask(&engine, key, owner).await {
            Ok((Locked::Acquired, longer)) => until.store(longer.as_millis(), Ordering::Release),
            // Ended or taken: what is left of the lease is all there is.
            Ok(_) => return,
            Err(error) => {
                tracing::warn!(session = ?key, error = %Chain(&error), "could not renew the lock of a session");
            }
        }
    }
}
