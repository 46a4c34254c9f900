//! Waits for a session to end.

use std::pin::pin;

use crate::{
    engine::{ActiveSession, Via, resolve},
    error::Chain,
    id::PublicId,
    lifecycle::Resolution,
};

/// The keys of a session that is waited for.
struct Watched {
    /// The key that this request knows.
    from: PublicId,
    /// The key that the session had at the last look. A forward is stored for a limited time, so each look
    /// starts at the end of the chain that the look before has followed.
    current: PublicId,
}

/// Waits until the session has ended: destroyed, regenerated, revoked or expired.
pub(crate) async fn ended(session: &ActiveSession) {
    let engine = session.engine();
    let generation = session.lifecycle().generation();
    let mut watched: Option<Watched> = None;
    loop {
        {
            let lifecycle = session.lifecycle();
            if lifecycle.generation() != generation || lifecycle.has_ended() {
                return;
            }
            let stored = lifecycle.stored_key();
            if let Some(key) = stored.filter(|key| watched.as_ref().is_none_or(|w| w.from != *key))
            {
                let (from, current) = (key, key);
                watched = Some(Watched { from, current });
            }
        }
        let mut wait = engine.patience.end_poll_interval;
        let Some(watched) = &mut watched else {
            tokio::time::sleep(wait).await;
            continue;
        };
        let waiter = engine.waiters.get(watched.current);
        let mut woken = pin!(waiter.notified());
        // Before the look, so that no end is missed in between.
        woken.as_mut().enable();
        match resolve::load(engine, watched.current, Via::EarlierLoad).await {
            Ok(Resolution::Live(loaded)) if loaded.key() != watched.current => {
                watched.current = loaded.key();
                continue;
            }
            Ok(Resolution::Live(loaded)) => {
                wait = wait.min(loaded.expires_at().saturating_since(engine.now()));
            }
            Ok(Resolution::Ended(_) | Resolution::Missing) => return,
            // An error of the store does not end the session.
            Err(error) => {
                tracing::debug!(session = ?watched.current, error = %Chain(&error), "could not look for the end of a session");
            }
        }
        // This process announces the ends that it causes. The others are found at the next look.
        let _ = tokio::time::timeout(wait, woken).await;
    }
}
