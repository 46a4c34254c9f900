//! Waiting for a session to end.

use tokio::sync::broadcast::Receiver;

use crate::{
    active::{ActiveSession, Origin},
    error::Chain,
    follow::Seen,
    id::PublicId,
};

/// Where a session that is waited for is looked for.
struct Way {
    /// The key that this request knows.
    from: PublicId,
    /// The key that its id has led to at the last look. A renewal on schedule leaves the way to the next id
    /// open for a while only: who goes it step by step does not lose it.
    to: PublicId,
}

impl ActiveSession {
    /// Waits until the session has ended, by whoever's doing.
    pub(crate) async fn ended(&self) {
        let mut ends = self.engine.ends.subscribe();
        let left = self.state().left;
        let mut way: Option<Way> = None;
        loop {
            let id = {
                let state = self.state();
                if state.left != left {
                    return;
                }
                match &state.origin {
                    Origin::Ended { .. } => return,
                    Origin::Stored(base) => {
                        if way.as_ref().is_none_or(|way| way.from != base.key) {
                            let (from, to) = (base.key, base.key);
                            way = Some(Way { from, to });
                        }
                        Some(base.id)
                    }
                    Origin::New => None,
                }
            };
            if let (Some(id), Some(way)) = (id, &mut way) {
                match self.fetch(id, way.to, Seen::Loaded).await {
                    Ok(Origin::Stored(base)) => way.to = base.key,
                    Ok(Origin::New | Origin::Ended { .. }) => return,
                    // No answer is no end.
                    Err(error) => {
                        tracing::debug!(session = ?way.to, error = %Chain(&error), "could not look after a session");
                    }
                }
            }
            let keys = way.as_ref().map(|way| [way.from, way.to]);
            let heard = hear(&mut ends, keys.as_ref().map_or(&[], |keys| keys));
            // This process says at once what it ends; what others end is seen at the next look.
            let _ = tokio::time::timeout(self.engine.limits.watch_every, heard).await;
        }
    }
}

/// Waits until one of these sessions is said to have ended or moved.
async fn hear(ends: &mut Receiver<PublicId>, keys: &[PublicId]) {
    while let Ok(ended) = ends.recv().await {
        if keys.contains(&ended) {
            return;
        }
    }
    // Too many ends for this one to keep up with: one of them may be the one.
}
