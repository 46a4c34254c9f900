//! Locking a session: requests that must run one at a time.
//!
//! The lock is a lease in the store, so that it holds over several processes and ends by itself when its
//! holder crashes. It is renewed while it is held. Within one process requests queue up and are served in
//! the order they came; between processes the store is asked again and again, at random moments. A holder
//! whose lease has run out can no longer write: it begins no write, and what it has sent and is held up on
//! its way names a version that the store has left behind when the next holder took over.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Weak},
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
    threads::atomic::{AtomicBool, AtomicU64, Ordering},
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
    claim: Claim,
    /// Until when it is surely ours.
    until: Arc<AtomicU64>,
    renewal: JoinHandle<()>,
}

impl Lease {
    fn begin(claim: Claim, until: Timestamp) -> Self {
        let until = Arc::new(AtomicU64::new(until.as_millis()));
        let engine = Arc::clone(&claim.engine);
        let renewal = renew(engine, claim.key, claim.owner, Arc::clone(&until));
        Self {
            claim,
            until,
            renewal: tokio::spawn(renewal),
        }
    }

    pub(crate) fn claim(&self) -> &Claim {
        &self.claim
    }

    fn is_lost(&self) -> bool {
        self.claim.engine.now() >= Timestamp::from_millis(self.until.load(Ordering::Acquire))
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.renewal.abort();
    }
}

/// One owner's claim on the lease of a session, which is given up when it is dropped.
pub(crate) struct Claim {
    engine: Arc<Engine>,
    key: PublicId,
    owner: LockOwner,
    /// Whether the store may hold the lease for this owner.
    may_hold: bool,
    /// Whether a write was sent of which nobody knows what became.
    in_doubt: AtomicBool,
    /// The place at the head of this process's line, left when the lease has been given up.
    place: Option<OwnedMutexGuard<()>>,
}

impl Claim {
    fn new(engine: &Arc<Engine>, key: PublicId, place: OwnedMutexGuard<()>) -> Self {
        Self {
            engine: Arc::clone(engine),
            key,
            owner: LockOwner::random(),
            may_hold: false,
            in_doubt: AtomicBool::new(false),
            place: Some(place),
        }
    }

    /// Where a write is in doubt at the end, the lease is made to run out instead of given back: whoever
    /// takes it over keeps out what arrives late.
    pub(crate) fn set_in_doubt(&self, in_doubt: bool) {
        self.in_doubt.store(in_doubt, Ordering::Release);
    }

    async fn ask(&mut self) -> Result<(Locked, Timestamp), StoreError> {
        // Who goes away before the answer comes, or gets none, may have been given the lease.
        self.may_hold = true;
        let (locked, until) = ask(&self.engine, self.key, self.owner).await?;
        self.may_hold = locked == Locked::Acquired;
        Ok((locked, until))
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if !self.may_hold {
            return;
        }
        let (engine, key, owner) = (Arc::clone(&self.engine), self.key, self.owner);
        let (in_doubt, place) = (self.in_doubt.load(Ordering::Acquire), self.place.take());
        // Without a runtime, or where this fails, the lease ends by time.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                let action = "unlocking a session";
                let given_back = if in_doubt {
                    let now = engine.now();
                    let run_out = engine.store.lock(key, owner, now, now);
                    engine.limited(action, run_out).await.map(drop)
                } else {
                    let unlock = engine.store.unlock(key, owner);
                    engine.limited(action, unlock).await.map(drop)
                };
                if let Err(error) = given_back {
                    tracing::warn!(session = ?key, error = %Chain(&error), "could not unlock a session");
                }
                drop(place);
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
            if let Some(lease) = held.filter(|lease| lease.claim.key == key && !lease.is_lost()) {
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

    /// Refuses to write where the session was locked and the lease has run out since. Answers the lease, if
    /// there is one.
    pub(crate) fn check_lease(&self) -> Result<Option<Arc<Lease>>, SaveError> {
        let state = self.state();
        let Some(lease) = state.lease.upgrade() else {
            return Ok(None);
        };
        // What this request itself has moved to a new id, nobody else has come to yet.
        let is_moved = match &state.origin {
            Origin::Stored(base) => base.key != lease.claim.key && !base.by_old_id,
            Origin::New => true,
            Origin::Ended { .. } => false,
        };
        drop(state);
        if !is_moved && lease.is_lost() {
            return Err(SaveError::LeaseLost);
        }
        Ok(Some(lease))
    }
}

async fn acquire(engine: &Arc<Engine>, key: PublicId) -> Result<Lease, LockError> {
    let place = engine.queues.line(key).lock_owned().await;
    let mut claim = Claim::new(engine, key, place);
    let mut pause = Duration::from_millis(2);
    loop {
        let (locked, until) = claim.ask().await.map_err(LoadError::from)?;
        match locked {
            Locked::Acquired => return Ok(Lease::begin(claim, until)),
            Locked::Gone => return Err(LockError::Ended),
            Locked::Held => {
                // Another process holds it.
                tokio::time::sleep(pause.mul_f64(0.5 + rand::random::<f64>() / 2.0)).await;
                pause = (pause * 2).min(Duration::from_millis(50));
            }
        }
    }
}

/// A lease for one step, which is not renewed.
pub(crate) struct BriefLease {
    claim: Claim,
    until: Timestamp,
}

impl BriefLease {
    /// Takes the lease if nobody holds it or waits for it.
    pub(crate) async fn try_acquire(engine: &Arc<Engine>, key: PublicId) -> Option<Self> {
        let place = engine.queues.line(key).try_lock_owned().ok()?;
        let mut claim = Claim::new(engine, key, place);
        match claim.ask().await {
            Ok((Locked::Acquired, until)) => Some(Self { claim, until }),
            Ok((Locked::Held | Locked::Gone, _)) => None,
            Err(error) => {
                tracing::warn!(session = ?key, error = %Chain(&error), "could not lock a session to renew its id");
                None
            }
        }
    }

    pub(crate) fn claim(&self) -> &Claim {
        &self.claim
    }

    pub(crate) fn is_lost(&self) -> bool {
        self.claim.engine.now() >= self.until
    }

    /// Lets go of a lease that has ended together with its record: there is nothing to give back.
    pub(crate) fn forget(mut self) {
        self.claim.may_hold = false;
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
        let held = Timestamp::from_millis(until.load(Ordering::Acquire));
        // Once it has run out, another may have had it: it is not the same lease any more.
        let is_lost = || engine.now() >= held;
        if is_lost() {
            return;
        }
        match ask(&engine, key, owner).await {
            Ok((Locked::Acquired, longer)) if !is_lost() => {
                until.store(longer.as_millis(), Ordering::Release);
            }
            // Ended, taken, or too late: what is left of the lease is all there is.
            Ok(_) => return,
            Err(error) => {
                tracing::warn!(session = ?key, error = %Chain(&error), "could not renew the lock of a session");
            }
        }
    }
}
