//! The runtime, which exists while shuttle runs a test.

use std::future::Future;

use crate::task::{JoinHandle, spawn};

/// Spawns tasks.
#[derive(Debug, Clone)]
pub struct Handle(());

/// Never returned, because shuttle runs every test.
#[derive(Debug, Clone, Copy)]
pub struct TryCurrentError(());

impl Handle {
    /// The handle of the current execution.
    ///
    /// # Errors
    /// None. The function of Tokio has one.
    pub fn try_current() -> Result<Self, TryCurrentError> {
        Ok(Self(()))
    }

    /// Spawns a task.
    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        spawn(future)
    }
}
