//! The runtime, which is there as long as shuttle runs a test.

use std::future::Future;

use crate::task::{JoinHandle, spawn};

/// The way to spawn a task.
#[derive(Debug, Clone)]
pub struct Handle(());

/// Never met: whatever runs here is run by shuttle.
#[derive(Debug, Clone, Copy)]
pub struct TryCurrentError(());

impl Handle {
    /// The handle of the execution that this is part of.
    ///
    /// # Errors
    /// None; Tokio's has one.
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
