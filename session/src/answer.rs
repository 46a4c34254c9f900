//! What the client is told of its session.

use crate::{
    active::{ActiveSession, Origin, State},
    clock::Timestamp,
    id::{PublicId, SessionId},
    store::{Stored, Version},
};

/// What the client is to be told.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Answer {
    /// This is your id, until then.
    Issue {
        id: SessionId,
        expires_at: Timestamp,
        /// Whether it is the id that the client has already.
        known: bool,
    },
    /// You have none any more.
    Withdraw,
}

impl State {
    /// Has the client told its id.
    pub(crate) fn issue(&mut self, id: SessionId, expires_at: Timestamp, known: bool) {
        // Not known before an earlier answer, which has not left yet, has told it.
        let told = !matches!(&self.answer, Some(Answer::Issue { id: earlier, known: false, .. }) if *earlier == id);
        self.answer = Some(Answer::Issue {
            id,
            expires_at,
            known: known && told,
        });
    }
}

impl ActiveSession {
    /// The record that the client was to be told of again by an earlier save.
    pub(crate) fn early_answer(&self) -> Option<(PublicId, Version)> {
        let state = self.state();
        match (&state.origin, &state.answer) {
            (Origin::Stored(base), Some(Answer::Issue { known: true, .. })) => {
                Some((base.key, base.version))
            }
            _ => None,
        }
    }

    /// Where there was an early answer and no newer one has taken its place: whether it is still true. Another
    /// response may have told the client a newer id since.
    pub(crate) async fn confirm(&self, early: Option<(PublicId, Version)>) {
        let Some((key, version)) = early.filter(|_| self.early_answer() == early) else {
            return;
        };
        let load = self.engine.store.load(key, self.engine.now());
        let load = self.engine.limited("looking after a session", load);
        // Boxed, as it is rare and every request's future would carry the room for it.
        let load = Box::pin(load).await;
        let unchanged = |stored: Option<Stored>| stored.is_some_and(|s| s.version == version);
        if !load.is_ok_and(unchanged) {
            self.state().answer = None;
        }
    }
}
