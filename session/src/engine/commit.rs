//! Saves a session: plans a write, calls the store, applies its reply, and merges if another request wrote
//! first.

use std::{sync::Arc, time::Duration};

use crate::{
    engine::{
        ActiveSession, Engine, Via, deadline::Deadline, keyed::Front, lease, resolve, rotate,
        touch, updates::rerun_updates,
    },
    error::{Chain, LoadError, SaveError},
    finish::Finish,
    id::PublicId,
    lifecycle::{Call, Covers, Due, Reply, Resolution, Transition, WriteOp},
    store::{Created, Rename, Replaced, StoreError, StoreErrorKind, Stored},
};

/// Saves the session. The save goes on if its caller is dropped, as when a client disconnects.
pub(crate) async fn save(session: &Arc<ActiveSession>) -> Result<(), SaveError> {
    let due = {
        let engine = session.engine();
        let mut lifecycle = session.lifecycle();
        if lifecycle.take_discarded() {
            return Err(SaveError::Discarded);
        }
        let is_saving = session.saving().try_lock().is_err();
        lifecycle.due(engine.rules(), engine.now(), is_saving)
    };
    match due {
        Due::Nothing => {
            session.leases().saved();
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
    let _one_at_a_time = deadline.bound(waiting, session.saving().lock()).await?;
    let mut pace = Pace::default();
    let mut permit = None;
    // Kept until the end, so that the lock cannot be released between two attempts.
    let mut lease = None;
    for attempt in 0..engine.max_save_attempts() {
        if attempt > 0 {
            deadline.bound(waiting, pace.wait(session, attempt)).await?;
        }
        settle(session, &deadline).await?;
        rerun_updates(session)?;
        if engine.rules().rotates() && permit.is_none() {
            let wanted = Box::pin(rotate::permit(session));
            match deadline.bound("locking a session", wanted).await? {
                Ok(granted) => permit = granted,
                // A later request rotates the id. If this one has only read the session, it waits for nothing else.
                Err(rotate::Late) if session.lifecycle().has_work() => {}
                Err(rotate::Late) => {
                    session.leases().saved();
                    return Ok(());
                }
            }
        }
        lease = lease::check(session)?.or(lease);
        let may_rotate = permit.as_ref().is_some_and(rotate::Permit::is_valid);
        let (rules, now) = (engine.rules(), engine.now());
        let Some(op) = session.lifecycle().plan(rules, now, may_rotate)? else {
            session.leases().saved();
            return Ok(());
        };
        let is_move = op.is_move();
        let transition =
            write_and_merge(session, op, lease.as_deref(), permit.as_ref(), &deadline).await?;
        if let Transition::Saved { left } = transition {
            if let Some(key) = left {
                engine.announce_end(key);
            }
            if let Some(permit) = permit.filter(|_| is_move) {
                permit.end();
            }
            session.leases().saved();
            return Ok(());
        }
    }
    let attempts = engine.max_save_attempts();
    Err(SaveError::Contended { attempts })
}

/// Carries out one write, and merges if another request wrote first. If the write fails, the leases that the request
/// holds are in doubt: the write may still arrive.
async fn write_and_merge(
    session: &ActiveSession,
    op: WriteOp,
    lease: Option<&lease::Lease>,
    permit: Option<&rotate::Permit>,
    deadline: &Deadline,
) -> Result<Transition, SaveError> {
    let claims = [
        lease.map(lease::Lease::claim),
        permit.and_then(rotate::Permit::claim),
    ];
    let claims = claims.map(|claim| claim.filter(|_| !op.is_touch()));
    let set_in_doubt = |in_doubt| {
        for claim in claims.iter().flatten() {
            claim.set_in_doubt(in_doubt);
        }
    };
    set_in_doubt(true);
    let transition = write(session, op, deadline).await?;
    set_in_doubt(false);
    match transition {
        Transition::Conflict {
            key,
            current,
            covers,
        } => {
            let merge = Box::pin(merge(session, lease, key, current, covers));
            deadline.bound(MERGING, merge).await?
        }
        transition => Ok(transition),
    }
}

/// Finds out whether an earlier save that failed has stored a new record.
async fn settle(session: &ActiveSession, deadline: &Deadline) -> Result<(), SaveError> {
    let Some(key) = session.lifecycle().key_in_doubt() else {
        return Ok(());
    };
    let engine = session.engine();
    let load = Box::pin(resolve::load(engine, key, Via::EarlierLoad));
    let found = deadline
        .bound("looking for the record of a failed save", load)
        .await?;
    let found = found.map_err(merge_error)?;
    if let Transition::Saved { left: Some(key) } = session.lifecycle().settle(found)? {
        engine.announce_end(key);
    }
    Ok(())
}

/// Carries out one write.
async fn write(
    session: &ActiveSession,
    op: WriteOp,
    deadline: &Deadline,
) -> Result<Transition, SaveError> {
    let reply = match call(session.engine(), &op, deadline).await {
        Ok(reply) => reply,
        Err(error) => {
            let end = op
                .end_alone()
                .filter(|_| error.kind() == StoreErrorKind::Full);
            if let Some(end) = end {
                return Box::pin(end_alone(session, end, error, deadline)).await;
            }
            if !op.is_touch() {
                session.lifecycle().write_failed(op);
                return Err(error.into());
            }
            // The session was only read and nothing is lost, so the request succeeds.
            tracing::warn!(session = ?op.key(), error = %Chain(&error), "could not touch a session");
            return Ok(Transition::Saved { left: None });
        }
    };
    apply(session, op, reply)
}

/// Takes the reply of the store to the call of `op`.
fn apply(session: &ActiveSession, op: WriteOp, reply: Reply) -> Result<Transition, SaveError> {
    let key = op.key();
    let applied = session.lifecycle().apply(op, reply);
    warn_if_refused(key, applied)
}

/// Ends a session that was destroyed, after the store was too full to begin another one in its place: a user can
/// sign out even then. `refusal` is the error of the store. Rare, so its caller boxes it.
async fn end_alone(
    session: &ActiveSession,
    end: WriteOp,
    refusal: StoreError,
    deadline: &Deadline,
) -> Result<Transition, SaveError> {
    let engine = session.engine();
    match call(engine, &end, deadline).await {
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
async fn call(engine: &Engine, op: &WriteOp, deadline: &Deadline) -> Result<Reply, StoreError> {
    let action = op.action();
    let call = engine.limited(action, call_store(engine, op.call()));
    deadline.bound(action, call).await.flatten()
}

/// Calls the store.
async fn call_store(engine: &Engine, call: Call) -> Result<Reply, StoreError> {
    let (store, now) = (&engine.store, engine.now());
    match call {
        Call::Create { key, write } => Ok(match store.create(key, write, now).await? {
            Created::Created(version) => Reply::Written(version),
            Created::Exists => Reply::Exists,
        }),
        Call::Replace {
            key,
            version,
            write,
        } => store
            .replace(key, version, write, now)
            .await
            .map(Reply::from),
        Call::Touch {
            key,
            version,
            expires_at,
        } => {
            let touched = store.touch(key, version, expires_at, now).await?;
            Ok(if touched {
                Reply::Written(version)
            } else {
                Reply::Gone
            })
        }
        Call::Move {
            from,
            version,
            to,
            write,
            leave,
        } => {
            let rename = Rename::new(from, version, to, write, leave);
            store.rename(rename, now).await.map(Reply::from)
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

/// Merges the changes with the record that another request has stored. Rare, so its caller boxes it.
async fn merge(
    session: &ActiveSession,
    lease: Option<&lease::Lease>,
    key: PublicId,
    current: Stored,
    covers: Covers,
) -> Result<Transition, SaveError> {
    match resolve::resolve(session.engine(), key, current, Via::EarlierLoad).await {
        Ok(newer) => {
            if let (Some(lease), Resolution::Live(_)) = (lease, &newer)
                && let Err(error) = lease.confirm().await
            {
                // A request that has only read the session leaves the rotation of its id to another one.
                let has_work = session.lifecycle().has_work();
                return if has_work {
                    Err(error)
                } else {
                    Ok(Transition::Saved { left: None })
                };
            }
            let merged = session.lifecycle().merge(newer, covers);
            warn_if_refused(Some(key), merged)
        }
        Err(error) => Err(merge_error(error)),
    }
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
