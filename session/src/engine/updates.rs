//! Runs `update_*` closures: when the handler passes them, and again on a newer value.
//!
//! The closures are the application's code, so they run without a lock held.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use crate::{
    changes::{Rerun, Updater},
    engine::ActiveSession,
    error::UpdateError,
    field::Field,
};

/// How often an update is attempted while other tasks of the request change the same key. A closure that
/// changes its own key through the session overtakes itself each time.
const MAX_ATTEMPTS: u32 = 1000;

/// Changes a field by a closure, which runs again if another request has changed the field meanwhile.
pub(crate) fn update(
    session: &ActiveSession,
    field: Field,
    mut updater: Updater,
) -> Result<(), UpdateError> {
    let rules = session.engine().rules();
    for _ in 0..MAX_ATTEMPTS {
        let before = session.value(field);
        let after = updater(before.as_ref())?;
        let mut lifecycle = session.lifecycle();
        match lifecycle.update(field, before.as_ref(), after, updater, rules)? {
            None => return Ok(()),
            Some(overtaken) => updater = overtaken,
        }
    }
    let key = field.name();
    Err(UpdateError::Overtaken { key })
}

/// Runs the closures again whose changes were moved onto a newer record.
pub(super) fn rerun_updates(session: &ActiveSession) -> Result<(), UpdateError> {
    loop {
        let Some((field, mut updaters, start)) = session.lifecycle().take_stale() else {
            return Ok(());
        };
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            updaters
                .iter_mut()
                .try_fold(start, |value, (_, updater)| updater(value.as_ref()))
        }));
        let rerun = match &outcome {
            Ok(Ok(value)) => Rerun::Value(value.clone()),
            // The change stays due: the value that it made of an older one must not be written.
            Ok(Err(_)) | Err(_) => Rerun::Failed,
        };
        session.lifecycle().put_back(field, updaters, rerun);
        outcome.unwrap_or_else(|panic| resume_unwind(panic))?;
    }
}
