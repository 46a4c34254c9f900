//! What all sessions of an application share: the store, the clock and the rules.

use std::{
    any::TypeId,
    future::{Future, poll_fn},
    pin::pin,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use parking_lot::RwLock;
use tokio::sync::broadcast;

use crate::{
    clock::{Clock, Timestamp},
    error::KeyClash,
    expiry::Expiry,
    id::{PublicId, SessionId},
    key::{Field, SessionData},
    lock::Queues,
    store::{SessionStore, StoreError, StoreErrorKind},
};

pub(crate) type IdGenerator = Arc<dyn Fn() -> SessionId + Send + Sync>;

pub(crate) struct Engine {
    pub(crate) store: Arc<dyn SessionStore>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) expiry: Expiry,
    pub(crate) limits: Limits,
    pub(crate) rotation: Option<Rotation>,
    pub(crate) new_id: IdGenerator,
    pub(crate) claims: Claims,
    /// Where requests wait that lock a session.
    pub(crate) queues: Queues,
    /// Where requests wait that have met another one in writing to a session.
    pub(crate) writers: Queues,
    /// The sessions that this process ended, as it ends them.
    pub(crate) ends: broadcast::Sender<PublicId>,
}

/// What a session may take, in space and time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Bytes of one session's record.
    pub(crate) max_size: usize,
    /// Bytes of one encoded value.
    pub(crate) max_value_size: usize,
    /// Keys of one session.
    pub(crate) max_keys: usize,
    /// Time for one call of the store.
    pub(crate) store_timeout: Duration,
    /// Attempts to write a session that others write as well.
    pub(crate) max_attempts: u32,
    /// How long the id of an ended session is remembered as ended.
    pub(crate) retired_for: Duration,
    /// How long a request waits for a session that another one holds.
    pub(crate) lock_wait: Duration,
    /// How long a session stays locked after its holder has crashed.
    pub(crate) lock_lease: Duration,
    /// How often a session is looked at that somebody waits for to end.
    pub(crate) watch_every: Duration,
}

/// The renewal of ids on a schedule.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rotation {
    pub(crate) every: Duration,
    /// How long the old id leads to the session still.
    pub(crate) grace: Duration,
}

impl Engine {
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Tells those who wait for this session to end.
    pub(crate) fn announce_end(&self, key: PublicId) {
        // An error means that nobody waits.
        let _ = self.ends.send(key);
    }

    /// One call of the store, within the time limit.
    pub(crate) async fn limited<T>(
        &self,
        action: &'static str,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let mut call = pin!(call);
        // What answers at once needs no timer.
        if let Poll::Ready(answer) = poll_fn(|cx| Poll::Ready(call.as_mut().poll(cx))).await {
            return answer;
        }
        tokio::time::timeout(self.limits.store_timeout, call)
            .await
            .unwrap_or_else(|_| Err(StoreError::new(StoreErrorKind::TimedOut, action)))
    }
}

/// Which struct stores under which keys: two must not share one.
#[derive(Default)]
pub(crate) struct Claims(RwLock<Vec<Claim>>);

struct Claim {
    owner: TypeId,
    name: &'static str,
    fields: &'static [Field],
}

impl Claims {
    /// Claims the keys of `S`, which may have them already.
    pub(crate) fn claim<S: SessionData>(&self) -> Result<(), KeyClash> {
        let owner = TypeId::of::<S>();
        if self.0.read().iter().any(|claim| claim.owner == owner) {
            return Ok(());
        }
        let mut claims = self.0.write();
        for claim in claims.iter().filter(|claim| claim.owner != owner) {
            if let Some(key) = shared_key(claim.fields, S::FIELDS) {
                return Err(KeyClash {
                    key,
                    first: claim.name,
                    second: S::NAME,
                });
            }
        }
        claims.push(Claim {
            owner,
            name: S::NAME,
            fields: S::FIELDS,
        });
        Ok(())
    }
}

/// A name that both lists of fields store under or read from.
fn shared_key(one: &'static [Field], other: &'static [Field]) -> Option<&'static str> {
    let names =
        |field: &'static Field| std::iter::once(field.name).chain(field.aliases.iter().copied());
    one.iter()
        .flat_map(names)
        .find(|name| other.iter().any(|field| field.answers_to(name.as_bytes())))
}
