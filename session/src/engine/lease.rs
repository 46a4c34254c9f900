//! Locks a session, for requests that must run one at a time.
//!
//! A lock is a lease in the store, so that it holds over several processes and ends by itself if its holder
//! crashes. The holder renews it. The requests of one process wait in a queue and are served in order;
//! between processes the store is asked again and again, at random times. A holder whose lease has expired
//! starts no write. A write that it has sent before names a version that the store has moved on from when
//! the next holder took the lease over.

use std::{
    fmt,
    sync::{Arc, Weak},
    time::Duration,
};

use parking_lot::{Mutex, MutexGuard};
use tokio::{
    sync::oneshot,
    time::{Instant, timeout_at},
};

use crate::{
    clock::{LONGEST_WAIT, Timestamp},
    engine::{ActiveSession, Engine, keyed::Front},
    error::{Chain, LoadError, LockError, SaveError},
    finish::Finish,
    id::PublicId,
    record::EndReason,
    store::{LockOwner, Locked, StoreError},
    threads::atomic::{AtomicBool, AtomicU64, Ordering},
};

/// Keeps a session locked until it is dropped and the session is saved: see
/// [`Session::lock`](crate::Session::lock).
#[must_use = "the session is unlocked when this is dropped"]
pub struct SessionLock {
    session: Arc<ActiveSession>,
    /// `None` if nothing is stored, so that no other request can use the session.
    lease: Option<Arc<Lease>>,
}

impl Drop for SessionLock {
    fn drop(&mut self) {
        // The values that the changes were made from must stay as they are until the changes are saved.
        let has_work = self.session.lifecycle().has_work();
        if let Some(lease) = self.lease.take().filter(|_| has_work) {
            let mut leases = self.session.locks().leases();
            if lease.has_expired() {
                leases.lost = Some(lease.claim.key);
            } else {
                leases.until_saved = Some(lease);
            }
        }
    }
}

impl fmt::Debug for SessionLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionLock")
    }
}

/// The locks of one active session.
#[derive(Default)]
pub(super) struct Locks {
    /// Held while the session is being locked, so that tasks of one request share one lease.
    locking: tokio::sync::Mutex<()>,
    leases: Mutex<Leases>,
}

impl Locks {
    pub(super) fn leases(&self) -> MutexGuard<'_, Leases> {
        self.leases.lock()
    }
}

/// The leases of one active session.
#[derive(Default)]
pub(super) struct Leases {
    /// The lease, while it is held. A request that has lost it must not write.
    current: Weak<Lease>,
    /// The lease that is held until the end of the request.
    for_request: Option<Arc<Lease>>,
    /// The lease of a dropped [`SessionLock`], held until the changes are saved.
    until_saved: Option<Arc<Lease>>,
    /// The key of a lock that had expired when its guard was dropped. The changes that were made with it must not be
    /// written.
    lost: Option<PublicId>,
}

impl Leases {
    /// Whether nobody holds the lease.
    pub(super) fn is_free(&self) -> bool {
        self.current.strong_count() == 0
    }

    /// Whether the request holds the lease, and none of its tasks does beside it.
    pub(super) fn is_held_by_request_only(&self) -> bool {
        self.current.strong_count() == 1 && self.for_request.is_some()
    }

    /// The changes are saved.
    pub(super) fn saved(&mut self) {
        self.until_saved = None;
        self.lost = None;
    }
}

/// A lease that this process holds and renews until it is dropped.
pub(super) struct Lease {
    /// Shared with the renewal, so that the lease is released after a renewal that is under way. A renewal that
    /// arrived after the release would take the lease again, and no request would hold it.
    claim: Arc<Claim>,
    /// Until when this process surely holds it, in milliseconds since the Unix epoch.
    until: Arc<AtomicU64>,
    /// Dropped with the lease, which ends the renewal.
    _renewing: oneshot::Sender<()>,
}

impl Lease {
    fn begin(claim: Claim, until: Timestamp) -> Self {
        let (claim, until) = (Arc::new(claim), Arc::new(AtomicU64::new(until.as_millis())));
        let (renewing, given_up) = oneshot::channel();
        tokio::spawn(renew(Arc::clone(&claim), Arc::clone(&until), given_up));
        Self {
            claim,
            until,
            _renewing: renewing,
        }
    }

    pub(super) fn claim(&self) -> &Claim {
        &self.claim
    }

    fn has_expired(&self) -> bool {
        let until = self.until.load(Ordering::Acquire);
        self.claim.engine.now() >= Timestamp::from_millis(until)
    }

    /// Asks the store whether this process still holds the lease. The clock of another process may have ended it.
    ///
    /// # Errors
    /// [`SaveError::LeaseLost`] if another request holds it, or the session has ended.
    pub(super) async fn confirm(&self) -> Result<(), SaveError> {
        let (locked, until) = request_lease(&self.claim).await?;
        if locked != Locked::Acquired || self.has_expired() {
            self.until.store(0, Ordering::Release);
            return Err(SaveError::LeaseLost);
        }
        self.until.store(until.as_millis(), Ordering::Release);
        Ok(())
    }
}

/// A lease that is held for one save and not renewed.
pub(super) struct BriefLease {
    claim: Claim,
    until: Timestamp,
}

impl BriefLease {
    /// Takes the lease if nobody holds it or waits for it.
    pub(super) async fn try_acquire(engine: &Arc<Engine>, key: PublicId) -> Option<Self> {
        let front = engine.lock_queues.try_front(key)?;
        let (claim, asked) = Claim::new(engine, key, front).acquire().await;
        match asked {
            Ok((Locked::Acquired, until)) => Some(Self { claim, until }),
            Ok((Locked::Held | Locked::Gone, _)) => None,
            Err(error) => {
                tracing::warn!(session = ?key, error = %Chain(&error), "could not lock a session to rotate its id");
                None
            }
        }
    }

    pub(super) fn claim(&self) -> &Claim {
        &self.claim
    }

    pub(super) fn key(&self) -> PublicId {
        self.claim.key
    }

    pub(super) fn has_expired(&self) -> bool {
        self.claim.engine.now() >= self.until
    }

    /// Asks the store for more of the lease. Returns `None` if another request may hold it.
    pub(super) async fn confirmed(mut self) -> Option<Self> {
        match request_lease(&self.claim).await {
            Ok((Locked::Acquired, until)) => {
                self.until = until;
                Some(self)
            }
            Ok((Locked::Held | Locked::Gone, _)) => {
                self.forget();
                None
            }
            Err(_) => None,
        }
    }

    /// Drops a lease that has ended together with its record, so that there is nothing to release.
    pub(super) fn forget(mut self) {
        self.claim.may_hold = false;
    }
}

/// A claim of one owner on the lease of a session. Dropping it releases the lease.
pub(super) struct Claim {
    engine: Arc<Engine>,
    key: PublicId,
    owner: LockOwner,
    /// Whether the store may hold the lease for this owner.
    may_hold: bool,
    /// Whether a write was sent whose outcome is unknown.
    in_doubt: AtomicBool,
    /// The front of this process's queue, kept until the lease is released.
    front: Option<Front>,
}

impl Claim {
    fn new(engine: &Arc<Engine>, key: PublicId, front: Front) -> Self {
        Self {
            engine: Arc::clone(engine),
            key,
            owner: LockOwner::random(),
            may_hold: false,
            in_doubt: AtomicBool::new(false),
            front: Some(front),
        }
    }

    /// Sets whether a write is in doubt. If one is when the claim is dropped, the lease is made to expire
    /// instead of being released: taking over an expired lease moves the version on, so that a write that
    /// arrives late is a conflict.
    pub(super) fn set_in_doubt(&self, in_doubt: bool) {
        self.in_doubt.store(in_doubt, Ordering::Release);
    }

    /// Asks for the lease. Returns the claim, and until when the lease would be held.
    ///
    /// If the caller is dropped, the call continues, and the claim is dropped after it. A call that arrived after
    /// the release would take the lease, and no request would hold it.
    async fn acquire(mut self) -> (Self, Result<(Locked, Timestamp), StoreError>) {
        let ask = async move {
            // If this fails, the store may have granted the lease.
            self.may_hold = true;
            let asked = request_lease(&self).await;
            if let Ok((locked, _)) = &asked {
                self.may_hold = *locked == Locked::Acquired;
            }
            (self, asked)
        };
        Finish::new(ask).await
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if !self.may_hold {
            return;
        }
        let (engine, key, owner) = (Arc::clone(&self.engine), self.key, self.owner);
        let (in_doubt, front) = (self.in_doubt.load(Ordering::Acquire), self.front.take());
        // Without a runtime, or if this fails, the lease expires.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                let action = "unlocking a session";
                let released = if in_doubt {
                    let now = engine.now();
                    let expire = engine.store.lock(key, owner, now, now);
                    engine.limited(action, expire).await.map(drop)
                } else {
                    let unlock = engine.store.unlock(key, owner);
                    engine.limited(action, unlock).await.map(drop)
                };
                if let Err(error) = released {
                    tracing::warn!(session = ?key, error = %Chain(&error), "could not unlock a session");
                }
                drop(front);
            });
        }
    }
}

/// Waits until no other request holds the session, locks it, and loads it again.
pub(crate) async fn lock(session: &Arc<ActiveSession>) -> Result<SessionLock, LockError> {
    Ok(SessionLock {
        session: Arc::clone(session),
        lease: acquire_in_time(session).await?,
    })
}

/// Locks the session until [`unlock_request`], or until the session is dropped.
pub(crate) async fn lock_for_request(session: &ActiveSession) -> Result<(), LockError> {
    let lease = acquire_in_time(session).await?;
    session.locks().leases().for_request = lease;
    Ok(())
}

/// Releases the leases that end with the request.
pub(crate) fn unlock_request(session: &ActiveSession) {
    if let Some(mut leases) = session.leases() {
        leases.for_request = None;
        leases.until_saved = None;
    }
}

async fn acquire_in_time(session: &ActiveSession) -> Result<Option<Arc<Lease>>, LockError> {
    let waited = session.engine().patience.lock_timeout;
    tokio::time::timeout(waited, acquire_in_turn(session))
        .await
        .unwrap_or(Err(LockError::TimedOut { waited }))
}

/// Waits for the lease, and loads the session again. Returns `None` if nothing is stored.
async fn acquire_in_turn(session: &ActiveSession) -> Result<Option<Arc<Lease>>, LockError> {
    // Otherwise another task of this request could wait in the queue for the lease that this one takes.
    let locks = session.locks();
    let _one_at_a_time = locks.locking.lock().await;
    loop {
        let key = {
            let lifecycle = session.lifecycle();
            match lifecycle.stored_key() {
                Some(key) => key,
                None if lifecycle.has_ended() => return Err(LockError::Ended),
                None => return Ok(None),
            }
        };
        let current = locks.leases().current.upgrade();
        if let Some(lease) = current.filter(|lease| lease.claim.key == key && !lease.has_expired())
        {
            return Ok(Some(lease));
        }
        // A lease of this request that has expired keeps its place at the front of the queue.
        locks
            .leases()
            .until_saved
            .take_if(|lease| lease.has_expired());
        let acquired = acquire(session.engine(), key).await;
        if let Err(LockError::Ended) = acquired {
            session.lifecycle().found_ended(EndReason::Destroyed);
        }
        let lease = Arc::new(acquired?);
        {
            let mut leases = locks.leases();
            leases.current = Arc::downgrade(&lease);
            leases.lost = None;
        }
        session.reload().await?;
        // If the session has ended or moved to another id meanwhile, look again.
        if session.lifecycle().stored_key() == Some(key) {
            return Ok(Some(lease));
        }
    }
}

/// Waits for the lease.
async fn acquire(engine: &Arc<Engine>, key: PublicId) -> Result<Lease, LockError> {
    let front = engine.lock_queues.wait(key).await;
    let mut claim = Claim::new(engine, key, front);
    let mut pause = Duration::from_millis(2);
    loop {
        let asked;
        (claim, asked) = claim.acquire().await;
        let (locked, until) = asked.map_err(LoadError::from)?;
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

/// The lease of the session, if it is locked.
///
/// # Errors
/// [`SaveError::LeaseLost`] if the session was locked and the lease has expired.
pub(super) fn check(session: &ActiveSession) -> Result<Option<Arc<Lease>>, SaveError> {
    let Some((current, lost)) = session
        .leases()
        .map(|leases| (leases.current.upgrade(), leases.lost))
    else {
        return Ok(None);
    };
    let expired = current.as_ref().filter(|lease| lease.has_expired());
    // No other request knows the id that this request has moved the session to.
    let matters = |key| !session.lifecycle().has_moved_from(key);
    let lost = expired.map(|lease| lease.claim.key).or(lost);
    if lost.is_some_and(matters) {
        return Err(SaveError::LeaseLost);
    }
    Ok(current)
}

/// Asks the store for the lease, or for more of it. Returns until when it would be held.
async fn request_lease(claim: &Claim) -> Result<(Locked, Timestamp), StoreError> {
    let engine = &claim.engine;
    let now = engine.now();
    let until = now.saturating_add(engine.patience.lock_lease);
    let lock = engine.store.lock(claim.key, claim.owner, until, now);
    let locked = engine.limited("locking a session", lock).await?;
    Ok((locked, until))
}

/// Renews a lease three times in its length, for as long as that succeeds and the lease is not given up.
async fn renew(claim: Arc<Claim>, until: Arc<AtomicU64>, mut given_up: oneshot::Receiver<()>) {
    let engine = &claim.engine;
    let interval = (engine.patience.lock_lease / 3).min(LONGEST_WAIT);
    let mut next = Instant::now() + interval;
    while timeout_at(next, &mut given_up).await.is_err() {
        next += interval;
        let held_until = Timestamp::from_millis(until.load(Ordering::Acquire));
        // Once it has expired, another process may have held it, so it must not be renewed.
        let has_expired = || engine.now() >= held_until;
        if has_expired() {
            return;
        }
        match request_lease(&claim).await {
            Ok((Locked::Acquired, longer)) if !has_expired() => {
                until.store(longer.as_millis(), Ordering::Release);
            }
            // The session has ended, or another request holds the lease.
            Ok(_) => {
                until.store(0, Ordering::Release);
                return;
            }
            Err(error) => {
                tracing::warn!(session = ?claim.key, error = %Chain(&error), "could not renew the lock of a session");
            }
        }
    }
}
