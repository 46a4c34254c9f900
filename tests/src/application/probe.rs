//! A store that records its calls, and that fails, hangs or pauses on request.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard},
};

use bytes::Bytes;
use poem_session::{
    PublicId, SessionId,
    clock::Timestamp,
    store::{Replaced, SessionStore, StoreError, StoreErrorKind, Stored, Write},
};
use tokio::sync::oneshot;

use crate::watched::{Call, Watch, Watched};

/// A method of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// [`SessionStore::load`].
    Load,
    /// [`SessionStore::create`].
    Create,
    /// [`SessionStore::replace`].
    Replace,
    /// [`SessionStore::touch`].
    Touch,
    /// [`SessionStore::rename`].
    Rename,
    /// [`SessionStore::delete_expired`].
    DeleteExpired,
    /// [`SessionStore::clear`].
    Clear,
    /// [`SessionStore::lock`].
    Lock,
    /// [`SessionStore::unlock`].
    Unlock,
}

impl Op {
    fn of(call: Call) -> Self {
        match call {
            Call::Load(_) => Self::Load,
            Call::Create(_) => Self::Create,
            Call::Replace(_) => Self::Replace,
            Call::Touch(_) => Self::Touch,
            Call::Rename(..) => Self::Rename,
            Call::DeleteExpired => Self::DeleteExpired,
            Call::Clear => Self::Clear,
            Call::Lock(_) => Self::Lock,
            Call::Unlock(_) => Self::Unlock,
        }
    }
}

/// Records the calls of a store, and makes them fail, hang or pause.
#[derive(Debug)]
pub struct Probe {
    inner: Arc<dyn SessionStore>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    calls: Vec<Op>,
    /// Every key that was written.
    keys: BTreeSet<PublicId>,
    faults: Vec<(Op, Fault)>,
    pauses: Vec<(Op, Pause)>,
}

#[derive(Debug, Clone, Copy)]
enum Fault {
    Fail(StoreErrorKind),
    /// The call is executed, and reports a failure.
    LoseReply,
    Hang,
}

#[derive(Debug)]
struct Pause {
    arrived: oneshot::Sender<()>,
    go: oneshot::Receiver<()>,
}

/// A call that stops before it is executed. See [`Probe::pause`].
pub struct Paused {
    arrival: oneshot::Receiver<()>,
    go: oneshot::Sender<()>,
}

impl Paused {
    /// Waits until the call has arrived.
    pub async fn arrived(&mut self) {
        (&mut self.arrival).await.expect("the call arrives");
    }

    /// Lets the call be executed.
    pub fn release(self) {
        let _ = self.go.send(());
    }
}

impl Probe {
    pub(super) fn new(inner: Arc<dyn SessionStore>) -> Self {
        Self {
            inner,
            state: Mutex::default(),
        }
    }

    /// The store, with this probe around its calls.
    pub fn watched(self: &Arc<Self>) -> Watched<Arc<Self>> {
        Watched::new(Arc::clone(&self.inner), Arc::clone(self))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("the state is not poisoned")
    }

    /// The calls since the last time that this was called.
    pub fn calls(&self) -> Vec<Op> {
        std::mem::take(&mut self.state().calls)
    }

    /// Makes these calls fail without being executed.
    pub fn fail(&self, ops: &[Op]) {
        self.fail_as(ops, StoreErrorKind::Unavailable);
    }

    /// Like [`fail`](Self::fail), with an error of this kind.
    pub fn fail_as(&self, ops: &[Op], kind: StoreErrorKind) {
        self.set(ops, Fault::Fail(kind));
    }

    /// Makes these calls report a failure after they are executed.
    pub fn lose_reply(&self, ops: &[Op]) {
        self.set(ops, Fault::LoseReply);
    }

    /// Makes these calls never return.
    pub fn hang(&self, ops: &[Op]) {
        self.set(ops, Fault::Hang);
    }

    fn set(&self, ops: &[Op], fault: Fault) {
        self.state()
            .faults
            .extend(ops.iter().map(|op| (*op, fault)));
    }

    /// Ends all faults.
    pub fn heal(&self) {
        self.state().faults.clear();
    }

    /// Stops the next call of this method before it is executed.
    pub fn pause(&self, op: Op) -> Paused {
        let (arrived, arrival) = oneshot::channel();
        let (release, go) = oneshot::channel();
        self.state().pauses.push((op, Pause { arrived, go }));
        Paused {
            arrival,
            go: release,
        }
    }

    /// All unexpired records, with tombstones and forwards.
    pub async fn records(&self, now: Timestamp) -> Vec<(PublicId, Stored)> {
        let keys = self.state().keys.clone();
        let mut found = Vec::new();
        for key in keys {
            let record = self.inner.load(key, now).await.expect("the store works");
            found.extend(record.map(|record| (key, record)));
        }
        found
    }

    /// The records of live sessions.
    pub async fn sessions(&self, now: Timestamp) -> Vec<(PublicId, Stored)> {
        let mut records = self.records(now).await;
        records.retain(|(_, record)| !contains(&record.data, "$ended"));
        records.retain(|(_, record)| !contains(&record.data, "$moved"));
        records
    }

    /// The record of this session.
    pub async fn record(&self, id: &SessionId, now: Timestamp) -> Option<Stored> {
        let record = self.inner.load(id.public(), now).await;
        record.expect("the store works")
    }

    /// Replaces the bytes of a session's record.
    pub async fn plant(&self, id: &SessionId, data: impl Into<Bytes>, now: Timestamp) {
        let record = self.record(id, now).await.expect("the record exists");
        let write = Write::new(data, record.expires_at);
        let outcome = self
            .inner
            .replace(id.public(), record.version, write, now)
            .await;
        assert!(matches!(outcome, Ok(Replaced::Replaced(_))), "{outcome:?}");
    }
}

/// An error text of the store, which no response may contain.
pub const SECRET_OF_STORE: &str = "connection to 10.1.2.3 refused";

fn broken(kind: StoreErrorKind) -> StoreError {
    StoreError::new(kind, "calling a store under test").with_source(SECRET_OF_STORE)
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes
        .windows(text.len())
        .any(|window| window == text.as_bytes())
}

impl Watch for Probe {
    async fn around<T: Send>(
        &self,
        call: Call,
        work: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        let op = Op::of(call);
        let (pause, fault) = {
            let mut state = self.state();
            state.calls.push(op);
            match call {
                Call::Create(key) | Call::Replace(key) => state.keys.extend([key]),
                Call::Rename(from, to) => state.keys.extend([from, to]),
                _ => {}
            }
            let due = state.pauses.iter().position(|(paused, _)| *paused == op);
            let pause = due.map(|due| state.pauses.remove(due).1);
            let fault = state.faults.iter().find(|(broken, _)| *broken == op);
            (pause, fault.map(|(_, fault)| *fault))
        };
        if let Some(pause) = pause {
            let _ = pause.arrived.send(());
            let _ = pause.go.await;
        }
        match fault {
            None => work.await,
            Some(Fault::Fail(kind)) => Err(broken(kind)),
            Some(Fault::LoseReply) => {
                work.await?;
                Err(broken(StoreErrorKind::Unavailable))
            }
            Some(Fault::Hang) => std::future::pending().await,
        }
    }
}
