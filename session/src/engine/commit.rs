//! Saves a session: plans a write, calls the store, applies its reply, and merges if another request wrote
//! first.

use std::{
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use crate::{
    clock::Timestamp,
    engine::{
        ActiveSession, Engine, Via,
        deadline::Deadline,
        keyed::Front,
        lease::{self, Claim, Lease},
        resolve,
        rotate::{self, Permit},
        touch,
        updates::rerun_updates,
    },
    error::{Chain, LoadError, SaveError},
    finish::Finish,
    id::PublicId,
    lifecycle::{Call, Conflict, Due, Reply, Resolution, Transition, WriteOp},
    store::{Created, Rename, Replaced, StoreError, StoreErrorKind, StoreFuture, Version},
};

/// Saves the session. The save goes on if its caller is dropped, as when a client disconnects.
pub(crate) async fn save(session: &Arc<ActiveSession>) -> Result<(), SaveError> {
    let due = {
        let engine = session.engine();
        let mut lifecycle = session.lifecycle();
        if lifecycle.take_discarded() {
            return Err(SaveError::Discarded);
        }
        let is_saving = lifecycle.has_changes() && session.is_saving();
        lifecycle.due(engine.rules(), engine.now(), is_saving)
    };
    match due {
        Due::Nothing => {
            session.saved();
            Ok(())
        }
        Due::Touch(key) => Box::pin(touch::touch(session, key)).await,
        Due::Save => {
            let session = Arc::clone(session);
            Finish::new(async move { commit(&session).await }).await
        }
    }
}

pub(super) async fn commit(session: &ActiveSession) -> Result<(), SaveError> {
    let engine = session.engine();
    let deadline = engine.save_deadline();
    let waiting = "waiting for another save of the session";
    let _one_at_a_time = deadline.bound(waiting, session.saving()).await?;
    let mut pace = Pace::default();
    let mut permit = None;
    // Kept until the end, so that the lock cannot be released between two attempts.
    let mut lease = None;
    for attempt in 0..engine.max_save_attempts() {
        if attempt > 0 {
            let wait = Box::pin(pace.wait(session, attempt));
            deadline.bound(waiting, wait).await?;
        }
        let in_doubt = session.lifecycle().key_in_doubt();
        if let Some(key) = in_doubt {
            settle(session, key, &deadline).await?;
        }
        rerun_updates(session)?;
        if engine.rules().rotates() && permit.is_none() {
            let wanted = Box::pin(rotate::permit(session));
            match deadline.bound("locking a session", wanted).await? {
                Ok(granted) => permit = granted,
                // A later request rotates the id. If this one has only read the session, it waits for nothing else.
                Err(rotate::Late) if session.lifecycle().has_work() => {}
                Err(rotate::Late) => {
                    session.saved();
                    return Ok(());
                }
            }
        }
        lease = lease::check(session)?.or(lease);
        let may_rotate = permit.as_ref().is_some_and(Permit::is_valid);
        let (rules, now) = (engine.rules(), engine.now());
        let Some(op) = session.lifecycle().plan(rules, now, may_rotate)? else {
            session.saved();
            return Ok(());
        };
        let is_move = op.is_move();
        let claims = Claims::of(&op, lease.as_deref(), permit.as_ref());
        // If the write fails, the leases are in doubt: the write may still arrive.
        claims.set_in_doubt(true);
        let written = match call(engine, &op, now, &deadline).await {
            Ok(reply) => apply(session, op, reply),
            Err(error) => failed(session, op, error, &deadline).await,
        };
        let mut transition = written?;
        claims.set_in_doubt(false);
        if let Transition::Conflict(conflict) = transition {
            let merge = merge(session, lease.as_deref(), *conflict);
            transition = deadline.bound(MERGING, merge).await??;
        }
        if let Transition::Saved { left } = transition {
            if let Some(key) = left {
                engine.announce_end(key);
            }
            if let Some(permit) = permit.filter(|_| is_move) {
                permit.end();
            }
            session.saved();
            return Ok(());
        }
        if let Some(granted) = permit.take() {
            let confirmed = Box::pin(granted.confirmed(session));
            permit = deadline.bound("locking a session", confirmed).await?;
        }
    }
    let attempts = engine.max_save_attempts();
    Err(SaveError::Contended { attempts })
}

/// The leases that the request holds during a write.
struct Claims<'a>([Option<&'a Claim>; 2]);

impl<'a> Claims<'a> {
    fn of(op: &WriteOp, lease: Option<&'a Lease>, permit: Option<&'a Permit>) -> Self {
        let claims = [lease.map(Lease::claim), permit.and_then(Permit::claim)];
        Self(claims.map(|claim| claim.filter(|_| !op.is_touch())))
    }

    fn set_in_doubt(&self, in_doubt: bool) {
        for claim in self.0.iter().flatten() {
            claim.set_in_doubt(in_doubt);
        }
    }
}

/// Work that is rare. Boxed, because the future of each save would contain it.
type Rare<'a, T> = Pin<Box<dyn Future<Output = Result<T, SaveError>> + Send + 'a>>;

/// Finds out whether an earlier save that failed has stored the new record under `key`.
fn settle<'a>(session: &'a ActiveSession, key: PublicId, deadline: &'a Deadline) -> Rare<'a, ()> {
    Box::pin(async move {
        let engine = session.engine();
        let load = pin!(resolve::load(engine, key, Via::EarlierLoad));
        let found = deadline
            .bound("looking for the record of a failed save", load)
            .await?;
        let found = found.map_err(merge_error)?;
        if let Transition::Saved { left: Some(key) } = session.lifecycle().settle(found)? {
            engine.announce_end(key);
        }
        Ok(())
    })
}

/// The call of `op` has returned an error.
fn failed<'a>(
    session: &'a ActiveSession,
    op: WriteOp,
    error: StoreError,
    deadline: &'a Deadline,
) -> Rare<'a, Transition> {
    Box::pin(async move {
        let engine = session.engine();
        if error.kind() == StoreErrorKind::Full
            && let Some(end) = op.end_alone(engine.rules(), engine.now())
        {
            return end_alone(session, end, error, deadline).await;
        }
        if !op.is_touch() {
            session.lifecycle().write_failed(op);
            return Err(error.into());
        }
        // The session was only read and nothing is lost, so the request succeeds.
        tracing::warn!(session = ?op.key(), error = %Chain(&error), "could not touch a session");
        Ok(Transition::Saved { left: None })
    })
}

/// Takes the reply of the store to the call of `op`.
fn apply(session: &ActiveSession, op: WriteOp, reply: Reply) -> Result<Transition, SaveError> {
    let key = op.key();
    let applied = session.lifecycle().apply(op, reply);
    warn_if_refused(key, applied)
}

/// Ends a session that was destroyed, after the store was too full to begin another one in its place: a user can
/// sign out even then. `refusal` is the error of the store.
async fn end_alone(
    session: &ActiveSession,
    end: WriteOp,
    refusal: StoreError,
    deadline: &Deadline,
) -> Result<Transition, SaveError> {
    let engine = session.engine();
    match call(engine, &end, engine.now(), deadline).await {
        Err(_) => Err(refusal.into()),
        Ok(conflict @ Reply::Conflict(_)) => apply(session, end, conflict),
        Ok(Reply::Written(_) | Reply::Gone | Reply::Exists) => {
            session.lifecycle().ended_alone(&end);
            if let Some(key) = end.key() {
                engine.announce_end(key);
            }
            Err(refusal.into())
        }
    }
}

/// Calls the store, within the time limits of a call and of the save.
async fn call(
    engine: &Engine,
    op: &WriteOp,
    now: Timestamp,
    deadline: &Deadline,
) -> Result<Reply, StoreError> {
    let action = op.action();
    let call = pin!(engine.limited(action, Calling::begin(engine, op.call(), now)));
    deadline.bound(action, call).await.flatten()
}

/// A call of the store in progress.
enum Calling<'a> {
    Create(StoreFuture<'a, Created>),
    Replace(StoreFuture<'a, Replaced>),
    Touch(StoreFuture<'a, bool>, Version),
}

impl<'a> Calling<'a> {
    fn begin(engine: &'a Engine, call: Call, now: Timestamp) -> Self {
        let store = &engine.store;
        match call {
            Call::Create { key, write } => Self::Create(store.create(key, write, now)),
            Call::Replace {
                key,
                version,
                write,
            } => Self::Replace(store.replace(key, version, write, now)),
            Call::Touch {
                key,
                version,
                expires_at,
            } => Self::Touch(store.touch(key, version, expires_at, now), version),
            Call::Move {
                from,
                version,
                to,
                write,
                leave,
            } => {
                let rename = Rename::new(from, version, to, write, leave);
                Self::Replace(store.rename(rename, now))
            }
        }
    }
}

impl Future for Calling<'_> {
    type Output = Result<Reply, StoreError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut *self {
            Self::Create(call) => call.as_mut().poll(cx).map_ok(|created| match created {
                Created::Created(version) => Reply::Written(version),
                Created::Exists => Reply::Exists,
            }),
            Self::Replace(call) => call.as_mut().poll(cx).map_ok(Reply::from),
            Self::Touch(call, version) => call.as_mut().poll(cx).map_ok(|touched| {
                if touched {
                    Reply::Written(*version)
                } else {
                    Reply::Gone
                }
            }),
        }
    }
}

impl From<Replaced> for Reply {
    fn from(replaced: Replaced) -> Self {
        match replaced {
            Replaced::Replaced(version) => Self::Written(version),
            Replaced::Conflict(current) => Self::Conflict(current),
            Replaced::Gone => Self::Gone,
        }
    }
}

/// The action that errors of a merge name.
const MERGING: &str = "merging the changes of a session with a newer record";

/// Merges the changes with the record that another request has stored.
fn merge<'a>(
    session: &'a ActiveSession,
    lease: Option<&'a Lease>,
    conflict: Conflict,
) -> Rare<'a, Transition> {
    Box::pin(async move {
        let Conflict {
            key,
            current,
            covers,
        } = conflict;
        let newer = resolve::resolve(session.engine(), key, current, Via::EarlierLoad).await;
        let newer = newer.map_err(merge_error)?;
        if let (Some(lease), Resolution::Live(_)) = (lease, &newer)
            && let Err(error) = lease.confirm().await
        {
            // A request that has only read the session leaves the rotation of its id to another one. A change to the
            // loaded value would replace the newer one.
            let has_changes = session.lifecycle().has_changes();
            return if has_changes {
                Err(error)
            } else {
                Ok(Transition::Saved { left: None })
            };
        }
        let merged = session.lifecycle().merge(newer, covers);
        warn_if_refused(Some(key), merged)
    })
}

fn merge_error(error: LoadError) -> SaveError {
    match error {
        LoadError::Store(error) => error.into(),
        LoadError::Corrupt { .. } => StoreError::new(StoreErrorKind::Corrupt, MERGING).into(),
    }
}

fn warn_if_refused<T>(
    key: Option<PublicId>,
    outcome: Result<T, SaveError>,
) -> Result<T, SaveError> {
    if let Err(SaveError::Ended) = outcome {
        tracing::warn!(session = ?key, "refused changes of a session that has ended meanwhile");
    }
    outcome
}

/// Keeps requests that save one session from meeting again and again.
#[derive(Default)]
struct Pace(Option<Front>);

impl Pace {
    /// Waits before another attempt. The requests of this process write one after the other, so that only
    /// other processes are met; between processes, the wait is random and grows.
    async fn wait(&mut self, session: &ActiveSession, attempt: u32) {
        let stored = session.lifecycle().stored_key();
        if let (None, Some(key)) = (&self.0, stored) {
            self.0 = Some(session.engine().save_queues.wait(key).await);
        } else {
            let most = Duration::from_millis(1) * 2u32.pow(attempt.min(5));
            tokio::time::sleep(most.mul_f64(rand::random::<f64>())).await;
        }
    }
}
