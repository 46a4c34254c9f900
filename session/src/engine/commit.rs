//! Saves a session: plans a write, calls the store, applies its reply, and merges if another request wrote
//! first.

use std::{sync::Arc, time::Duration};

use crate::{
    engine::{
        ActiveSession, Engine, Via, finish::Finish, lease, queue::Front, resolve, rotate,
        updates::rerun_updates,
    },
    error::{Chain, LoadError, SaveError},
    id::PublicId,
    lifecycle::{Call, Covers, Reply, Transition, WriteOp},
    store::{Created, Rename, Replaced, StoreError, StoreErrorKind, Stored},
};

/// Saves the session. The save goes on if its caller is dropped, as when a client disconnects.
pub(crate) async fn save(session: &Arc<ActiveSession>) -> Result<(), SaveError> {
    {
        let engine = session.engine();
        let mut lifecycle = session.lifecycle();
        if lifecycle.take_discarded() {
            return Err(SaveError::Discarded);
        }
        if !lifecycle.needs_save(engine.rules(), engine.now()) {
            return Ok(());
        }
    }
    let session = Arc::clone(session);
    Finish::new(async move { commit(&session).await }).await
}

async fn commit(session: &ActiveSession) -> Result<(), SaveError> {
    let engine = session.engine();
    let _one_at_a_time = session.saving().lock().await;
    let mut pace = Pace::default();
    let mut permit = None;
    for attempt in 0..engine.max_save_attempts() {
        if attempt > 0 {
            pace.wait(session, attempt).await;
        }
        rerun_updates(session)?;
        if engine.rules().rotates() && permit.is_none() {
            permit = Box::pin(rotate::permit(session)).await;
        }
        let lease = lease::check(session)?;
        let may_rotate = permit.as_ref().is_some_and(rotate::Permit::is_valid);
        let (rules, now) = (engine.rules(), engine.now());
        let Some(op) = session.lifecycle().plan(rules, now, may_rotate)? else {
            return Ok(());
        };
        let is_move = op.is_move();
        // If the write fails, it may still arrive later.
        let claims = [
            lease.as_deref().map(lease::Lease::claim),
            permit.as_ref().and_then(rotate::Permit::claim),
        ];
        let claims = claims.map(|claim| claim.filter(|_| !op.is_touch()));
        let set_in_doubt = |in_doubt| {
            for claim in claims.iter().flatten() {
                claim.set_in_doubt(in_doubt);
            }
        };
        set_in_doubt(true);
        let transition = write(session, op).await?;
        set_in_doubt(false);
        if let Transition::Saved { left } = transition {
            if let Some(key) = left {
                engine.announce_end(key);
            }
            if let Some(permit) = permit.filter(|_| is_move) {
                permit.end();
            }
            return Ok(());
        }
    }
    let attempts = engine.max_save_attempts();
    Err(SaveError::Contended { attempts })
}

/// Carries out one write.
async fn write(session: &ActiveSession, op: WriteOp) -> Result<Transition, SaveError> {
    let reply = match call(session.engine(), op.call(), op.action()).await {
        Ok(reply) => reply,
        Err(error) => {
            session.lifecycle().write_failed(&op);
            if let Some(end) = op
                .end_alone()
                .filter(|_| error.kind() == StoreErrorKind::Full)
            {
                return Box::pin(end_alone(session, end, error)).await;
            }
            if !op.is_touch() {
                return Err(error.into());
            }
            // The session was only read and nothing is lost, so the request succeeds.
            tracing::warn!(session = ?op.key(), error = %Chain(&error), "could not touch a session");
            return Ok(Transition::Saved { left: None });
        }
    };
    apply(session, op, reply).await
}

/// Takes the reply of the store to the call of `op`.
async fn apply(
    session: &ActiveSession,
    op: WriteOp,
    reply: Reply,
) -> Result<Transition, SaveError> {
    let key = op.key();
    let applied = session.lifecycle().apply(op, reply);
    match warn_if_refused(key, applied)? {
        Transition::Conflict {
            key,
            current,
            covers,
        } => Box::pin(merge(session, key, current, covers)).await,
        transition => Ok(transition),
    }
}

/// Ends a session that was destroyed, after the store was too full to begin another one in its place: a user can
/// sign out even then. `refusal` is the error of the store. Rare, so its caller boxes it.
async fn end_alone(
    session: &ActiveSession,
    end: WriteOp,
    refusal: StoreError,
) -> Result<Transition, SaveError> {
    let engine = session.engine();
    match call(engine, end.call(), end.action()).await {
        Err(_) => Err(refusal.into()),
        Ok(conflict @ Reply::Conflict(_)) => apply(session, end, conflict).await,
        Ok(Reply::Written(_) | Reply::Gone | Reply::Exists) => {
            session.lifecycle().ended_alone(&end);
            if let Some(key) = end.key() {
                engine.announce_end(key);
            }
            Err(refusal.into())
        }
    }
}

/// Calls the store.
async fn call(engine: &Engine, call: Call, action: &'static str) -> Result<Reply, StoreError> {
    let (store, now) = (&engine.store, engine.now());
    match call {
        Call::Create { key, write } => {
            let create = store.create(key, write, now);
            Ok(match engine.limited(action, create).await? {
                Created::Created(version) => Reply::Written(version),
                Created::Exists => Reply::Exists,
            })
        }
        Call::Replace {
            key,
            version,
            write,
        } => {
            let replace = store.replace(key, version, write, now);
            engine.limited(action, replace).await.map(Reply::from)
        }
        Call::Touch {
            key,
            version,
            expires_at,
        } => {
            let touch = store.touch(key, version, expires_at, now);
            let touched = engine.limited(action, touch).await?;
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
            let renamed = store.rename(rename, now);
            engine.limited(action, renamed).await.map(Reply::from)
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

/// Merges the changes with the record that another request has stored. Rare, so its caller boxes it.
async fn merge(
    session: &ActiveSession,
    key: PublicId,
    current: Stored,
    covers: Covers,
) -> Result<Transition, SaveError> {
    match resolve::resolve(session.engine(), key, current, Via::EarlierLoad).await {
        Ok(newer) => {
            let merged = session.lifecycle().merge(newer, covers);
            warn_if_refused(Some(key), merged)
        }
        Err(error) => {
            session.lifecycle().merge_failed();
            Err(match error {
                LoadError::Store(error) => error.into(),
                LoadError::Corrupt { .. } => {
                    let action = "merging the changes of a session with a newer record";
                    StoreError::new(StoreErrorKind::Corrupt, action).into()
                }
            })
        }
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
