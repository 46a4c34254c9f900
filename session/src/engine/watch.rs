//! Waits for a session to end.

use tokio::sync::broadcast::Receiver;

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
    let mut ends = engine.ends.subscribe();
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
        if let Some(watched) = &mut watched {
            match resolve::load(engine, watched.current, Via::EarlierLoad).await {
                Ok(Resolution::Live(loaded)) => watched.current = loaded.key(),
                Ok(Resolution::Ended(_) | Resolution::Missing) => return,
                // An error of the store does not end the session.
                Err(error) => {
                    tracing::debug!(session = ?watched.current, error = %Chain(&error), "could not look for the end of a session");
                }
            }
        }
        let keys = watched
            .as_ref()
            .map(|watched| [watched.from, watched.current]);
        let announced = announced(&mut ends, keys.as_ref().map_or(&[], |keys| keys));
        // This process announces the ends that it causes. The others are found at the next look.
        let _ = tokio::time::timeout(engine.patience.end_poll_interval, announced).await;
    }
}

/// Waits until the end of one of these keys is announced.
async fn announced(ends: &mut Receiver<PublicId>, keys: &[PublicId]) {
    while let Ok(ended) = ends.recv().await {
        if keys.contains(&ended) {
            return;
        }
    }
    // The channel has overflowed: the end of the session may have been among the lost ones.
}
