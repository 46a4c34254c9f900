//! Runs the cases, each on a store of its own.

use std::{any::Any, fmt, future::Future, pin::Pin, sync::Arc, time::Duration};

use super::{
    cases::{CASES, Case},
    report::{Failure, Report},
};
use crate::{
    clock::{Clock as _, SystemClock, Timestamp},
    store::{SessionStore, Write},
};

/// A case that takes this long waits for something that does not come.
const TIME_LIMIT: Duration = Duration::from_mins(10);

/// How long the cases' records live. So long that a backend which removes records by its own clock
/// does not meet their end while a case runs: a case that wants to see a record expire says that it
/// is later than it is.
const LIFETIME: Duration = Duration::from_mins(30);

type Opened = Pin<Box<dyn Future<Output = Arc<dyn SessionStore>> + Send>>;
type Open = Arc<dyn Fn(String) -> Opened + Send + Sync>;

/// The cases, and the store that they are to be run on.
#[must_use = "nothing runs until `run` is called"]
pub struct Suite {
    store: String,
    open: Open,
    expires_by_itself: bool,
}

impl Suite {
    /// A suite for the store of this name.
    ///
    /// `open` gives an empty store. It is called for each case anew, with the name of a namespace that
    /// was not used before in this run: up to forty letters `a` to `z`, digits and underscores, fit for
    /// the name of a table or the prefix of keys. One case opens two namespaces of one backend. Where
    /// the backend keeps what earlier runs have left, `open` has to empty the namespace.
    ///
    /// A panic in `open` is a failure of the case.
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
        }
    }

    /// The backend removes expired records by itself, so
    /// [`delete_expired`](SessionStore::delete_expired) finds none and answers 0.
    pub fn expires_by_itself(mut self) -> Self {
        self.expires_by_itself = true;
        self
    }

    /// Runs every case, one after the other.
    ///
    /// # Panics
    /// Outside a Tokio runtime that has its timer enabled, as `#[tokio::test]` has.
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
        let expires_by_itself = self.expires_by_itself;
        // A task of its own: what panics there ends there.
        let mut task = tokio::spawn(async move {
            let bench = Bench {
                store: open(namespace.clone()).await,
                now: SystemClock.now(),
                open,
                namespace,
                expires_by_itself,
            };
            run(bench).await;
        });
        match tokio::time::timeout(TIME_LIMIT, &mut task).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(error.try_into_panic().map_or_else(
                |cancelled| cancelled.to_string(),
                |panic| said_by(panic.as_ref()),
            )),
            Err(_) => {
                task.abort();
                Err(format!("did not end within {TIME_LIMIT:?}"))
            }
        }
    }
}

impl fmt::Debug for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Suite")
            .field("store", &self.store)
            .field("expires_by_itself", &self.expires_by_itself)
            .finish_non_exhaustive()
    }
}

/// What a panic said.
fn said_by(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string))
        .unwrap_or_else(|| "panicked".to_owned())
}

/// What a case works with.
pub(super) struct Bench {
    /// An empty store.
    pub(super) store: Arc<dyn SessionStore>,
    /// The time when the case began. It does not pass.
    pub(super) now: Timestamp,
    /// Whether `delete_expired` finds nothing to do.
    pub(super) expires_by_itself: bool,
    open: Open,
    namespace: String,
}

impl Bench {
    /// Another empty store of the same backend, with a namespace of its own.
    pub(super) async fn open_another(&self) -> Arc<dyn SessionStore> {
        (self.open)(format!("{}_b", self.namespace)).await
    }

    /// When the records of the case expire.
    pub(super) fn end(&self) -> Timestamp {
        self.now.saturating_add(LIFETIME)
    }

    /// A write that lives until then.
    pub(super) fn write(&self, data: &'static [u8]) -> Write {
        Write::new(data, self.end())
    }
}
