//! Resolves an id to its session: loads the record and follows forwards.

use crate::{
    engine::Engine,
    error::LoadError,
    id::PublicId,
    lifecycle::{Loaded, Resolution},
    record::{EndReason, RecordKind},
    store::Stored,
};

/// How a request came to a key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Via {
    /// Its client presented the id. A forward is followed during the grace period only.
    PresentedId,
    /// The request has loaded the session before. A forward is followed as long as it is stored.
    EarlierLoad,
}

/// The most forwards that are followed. Each is an id rotation that the request has not seen; a longer chain
/// is a ring.
const MAX_FORWARDS: usize = 64;

/// Loads the session that is stored under `key`.
pub(super) async fn load(
    engine: &Engine,
    key: PublicId,
    via: Via,
) -> Result<Resolution, LoadError> {
    let now = engine.now();
    let load = engine.store.load(key, now);
    let Some(stored) = engine.limited("loading a session", load).await? else {
        return Ok(Resolution::Missing);
    };
    let resolution = resolve(engine, key, stored, via).await?;
    Ok(resolution.within_deadline(&engine.rules, now))
}

/// The session that the record under `key` belongs to: its own, or the one that it is forwarded to.
pub(crate) async fn resolve(
    engine: &Engine,
    mut key: PublicId,
    mut stored: Stored,
    via: Via,
) -> Result<Resolution, LoadError> {
    for _ in 0..MAX_FORWARDS {
        let record = RecordKind::parse(stored.data);
        let (to, until) = match record.map_err(|_| LoadError::Corrupt { session: key })? {
            RecordKind::Ended(reason) => return Ok(Resolution::Ended(reason)),
            RecordKind::Live(record) => {
                let loaded = Loaded::new(key, record, stored.version, stored.expires_at);
                return Ok(Resolution::Live(loaded));
            }
            RecordKind::Forward { to, until } => (to, until),
        };
        let now = engine.now();
        if via == Via::PresentedId && now >= until {
            return Ok(Resolution::Missing);
        }
        let load = engine.store.load(to, now);
        match engine
            .limited("loading a session by its old id", load)
            .await?
        {
            Some(next) => (key, stored) = (to, next),
            None => return Ok(Resolution::Ended(EndReason::Destroyed)),
        }
    }
    Err(LoadError::Corrupt { session: key })
}
