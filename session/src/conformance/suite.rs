//! Runs each case on a store of its own.

use std::{any::Any, fmt, future::Future, pin::Pin, sync::Arc, time::Duration};

use super::{
    cases::{CASES, Case},
    report::{Failure, Report},
};
use crate::{
    clock::{Clock as _, SystemClock, Timestamp},
    store::{SessionStore, Write},
};

/// The time after which a case fails.
const CASE_TIMEOUT: Duration = Duration::from_mins(10);

/// The lifetime of the cases' records. It is longer than a case, because a backend may remove records by its own
/// clock. A case about expiry passes a later time to the store.
const LIFETIME: Duration = Duration::from_mins(30);

type Opened = Pin<Box<dyn Future<Output = Arc<dyn SessionStore>> + Send>>;
type Open = Arc<dyn Fn(String) -> Opened + Send + Sync>;

/// The conformance cases and a function that opens the store under test.
#[must_use = "the suite does nothing until `run` is called"]
pub struct Suite {
    store: String,
    open: Open,
    expires_by_itself: bool,
    in_one_process: bool,
}

impl Suite {
    /// Creates a suite. `store` is the name of the store in the report.
    ///
    /// `open` returns an empty store. The suite calls it for each case, with the name of a namespace that this
    /// run has not used before. The name has up to 40 letters `a` to `z`, digits and underscores, and can be
    /// used as a table name or a key prefix. Some cases open two namespaces of one backend. If the backend keeps
    /// records of earlier runs, `open` must empty the namespace.
    ///
    /// If `open` panics, the case fails.
    pub fn new<F, Fut, S>(store: impl Into<String>, open: F) -> Self
    where
        F: Fn(String) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = S> + Send + 'static,
        S: SessionStore,
    {
        let open: Open = Arc::new(move |namespace| {
            let store = open(namespace);
            Box::pin(async move { Arc::new(store.await) as Arc<dyn SessionStore> })
        });
        Self {
            store: store.into(),
            open,
            expires_by_itself: false,
            in_one_process: false,
        }
    }

    /// Sets that the backend removes expired records by itself, so that
    /// [`delete_expired`](SessionStore::delete_expired) returns 0. The default is that it does not.
    pub fn expires_by_itself(mut self) -> Self {
        self.expires_by_itself = true;
        self
    }

    /// Sets that the records are in the memory of one process, and are lost together with all that have read them.
    /// Such a store may count its versions, and has no other clock than the caller's. The default is that it is
    /// not.
    pub fn in_one_process(mut self) -> Self {
        self.in_one_process = true;
        self
    }

    /// Runs all cases, one after the other. A case fails if it takes longer than two minutes.
    ///
    /// # Panics
    /// If it is not called in a Tokio runtime with an enabled timer. `#[tokio::test]` provides one.
    pub async fn run(self) -> Report {
        let mut report = Report {
            store: self.store.clone(),
            passed: Vec::new(),
            failures: Vec::new(),
        };
        for case in CASES {
            match self.run_one(case).await {
                Ok(()) => report.passed.push(case.name),
                Err(reason) => report.failures.push(Failure {
                    case: case.name,
                    reason,
                }),
            }
        }
        report
    }

    async fn run_one(&self, case: &Case) -> Result<(), String> {
        let (open, run) = (Arc::clone(&self.open), case.run);
        let namespace = case.namespace();
        let (expires_by_itself, in_one_process) = (self.expires_by_itself, self.in_one_process);
        // The case runs in a task of its own, so that its panic does not end the run.
        let mut task = tokio::spawn(async move {
            let bench = Bench {
                store: open(namespace.clone()).await,
                now: SystemClock.now(),
                open,
                namespace,
                expires_by_itself,
                in_one_process,
            };
            run(bench).await;
        });
        match tokio::time::timeout(CASE_TIMEOUT, &mut task).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(error.try_into_panic().map_or_else(
                |cancelled| cancelled.to_string(),
                |panic| message_of(panic.as_ref()),
            )),
            Err(_) => {
                task.abort();
                Err(format!("the case did not end within {CASE_TIMEOUT:?}"))
            }
        }
    }
}

impl fmt::Debug for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Suite")
            .field("store", &self.store)
            .field("expires_by_itself", &self.expires_by_itself)
            .field("in_one_process", &self.in_one_process)
            .finish_non_exhaustive()
    }
}

/// Returns the message of a panic.
fn message_of(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string))
        .unwrap_or_else(|| "panicked".to_owned())
}

/// The environment of a case.
pub(super) struct Bench {
    /// An empty store.
    pub(super) store: Arc<dyn SessionStore>,
    /// The time at which the case started. It does not change.
    pub(super) now: Timestamp,
    /// Whether the backend removes expired records by itself.
    pub(super) expires_by_itself: bool,
    /// Whether the records are in the memory of one process.
    pub(super) in_one_process: bool,
    open: Open,
    namespace: String,
}

impl Bench {
    /// Opens another empty store of the same backend, with a namespace of its own.
    pub(super) async fn open_another(&self) -> Arc<dyn SessionStore> {
        (self.open)(format!("{}_b", self.namespace)).await
    }

    /// Returns the time at which the case's records expire.
    pub(super) fn end(&self) -> Timestamp {
        self.now.saturating_add(LIFETIME)
    }

    /// Creates a write that expires at that time.
    pub(super) fn write(&self, data: &'static [u8]) -> Write {
        Write::new(data, self.end())
    }
}
