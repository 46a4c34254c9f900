//! Touches a session: writes its use to the store.
//!
//! The handler has only read the session, so nothing is lost without the touch. A store that does not reply soon
//! must not hold the response back: the touch continues without it, and the response does not renew the cookie.

use std::sync::Arc;

use crate::{
    engine::{ActiveSession, commit::commit, deadline::within},
    error::SaveError,
    finish::Finish,
    id::PublicId,
};

/// Touches the session that is stored under `key`.
pub(super) async fn touch(session: &Arc<ActiveSession>, key: PublicId) -> Result<(), SaveError> {
    let engine = session.engine();
    // A touch of another request may be under way. A store that hangs gets one from this process, not one for each
    // request.
    let Some(front) = engine.touches.try_front(key) else {
        session.saved();
        return Ok(());
    };
    let touch = {
        let session = Arc::clone(session);
        Finish::new(async move {
            let touched = commit(&session).await;
            drop(front);
            touched
        })
    };
    within(|| engine.touch_patience(), touch)
        .await
        .unwrap_or(Ok(()))
}
