//! Running `update_*` closures: once when they are given, and again on a newer value.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use crate::{active::ActiveSession, changes::Step, error::UpdateError, key::Field};

/// How often an `update_*` closure starts anew because another task of the request was faster. A closure
/// that changes its own key by the session is overtaken by itself, each time.
const MAX_OVERTAKEN: u32 = 1000;

impl ActiveSession {
    /// Changes a field by a closure, which runs again where another request changed the field first.
    pub(crate) fn update(&self, field: Field, mut step: Step) -> Result<(), UpdateError> {
        for _ in 0..MAX_OVERTAKEN {
            let before = self.value(field);
            // The application's code: no lock is held.
            let after = step(before.as_ref())?;
            let mut state = self.state();
            if state.value(field) != before {
                continue;
            }
            state.check_size(&self.engine, field, after.as_ref())?;
            let base = state.base();
            state.changes.update(field, step, after, &base);
            return Ok(());
        }
        Err(UpdateError::Overtaken { key: field.name })
    }

    /// Runs the `update_*` closures again that were put onto a newer record.
    pub(crate) fn rerun_updates(&self) -> Result<(), UpdateError> {
        loop {
            let (field, mut steps, start) = {
                let mut state = self.state();
                let Some((field, steps)) = state.changes.next_stale() else {
                    return Ok(());
                };
                let start = state.base().get(field);
                (field, steps, start)
            };
            let outcome = catch_unwind(AssertUnwindSafe(|| {
                steps
                    .iter_mut()
                    .try_fold(start, |value, (_, step)| step(value.as_ref()))
            }));
            let outcome = match outcome {
                Ok(outcome) => outcome,
                Err(panic) => {
                    // The change stays due: what it made of an older value must not be written.
                    self.state().changes.give_back(field, steps);
                    resume_unwind(panic);
                }
            };
            let value = match &outcome {
                Ok(value) => Ok(value.clone()),
                Err(error) => Err(error),
            };
            let mut state = self.state();
            let base = state.base();
            state.changes.rerun(field, steps, value, &base);
            drop(state);
            outcome?;
        }
    }
}
