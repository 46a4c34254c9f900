//! Resolves an id to its session: loads the record and follows forwards.

use crate::{
    engine::Engine,
    error::LoadError,
    id::PublicId,
    lifecycle::{Loaded, Presented, Resolution},
    record::{EndReason, RecordKind},
    store::Stored,
};

/// How a request came to a key.
#[derive(Clone, Copy)]
pub(crate) enum Via {
    /// Its client presented the id. A forward or a tombstone counts if the request began before it ends.
    PresentedId(Presented),
    /// The request has loaded the session before. A forward is followed as long as it is stored.
    EarlierLoad,
    /// To end the session. A regenerated id is followed as well.
    Revocation,
}

/// The most forwards that are followed. Each is an id rotation that the request has not seen. Forwards expire, so
/// a longer chain is a ring.
const MAX_FORWARDS: usize = 4096;

/// The most ids of one request that are looked up.
pub(crate) const MAX_CANDIDATES: usize = 4;

/// An id that a request presents, and the index of the source that it was found in.
#[derive(Clone, Copy)]
pub(crate) struct Candidate {
    pub(crate) presented: Presented,
    pub(crate) source: usize,
}

/// The ids that a request presents, in order.
pub(crate) type Candidates = [Option<Candidate>; MAX_CANDIDATES];

/// The id of a request that counts, its public id, and the session that it was resolved to.
pub(super) type Counted = (Candidate, PublicId, Resolution);

/// Loads the session of the first id that is live. If none is, an id whose session has ended counts before an
/// unknown one: the client may have a newer id, which a new session must not replace.
///
/// # Errors
/// The error of the first id that cannot be loaded, because that id may be the live one.
#[allow(
    clippy::large_types_passed_by_value,
    reason = "the future owns the ids, so that the future of its caller does not"
)]
pub(super) async fn load_first_live(
    engine: &Engine,
    candidates: Candidates,
) -> Result<Option<Counted>, LoadError> {
    let mut dead: Option<Counted> = None;
    for candidate in candidates.into_iter().flatten() {
        let key = candidate.presented.id().public();
        let resolution = load(engine, key, Via::PresentedId(candidate.presented)).await?;
        let counts = match (&resolution, &dead) {
            (Resolution::Live(_), _) => return Ok(Some((candidate, key, resolution))),
            (_, None) | (Resolution::Ended(_), Some((.., Resolution::Missing))) => true,
            _ => false,
        };
        if counts {
            dead = Some((candidate, key, resolution));
        }
    }
    Ok(dead)
}

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
    Ok(resolution.unless_expired(now))
}

/// The session that the record under `key` belongs to: its own, or the one that it is forwarded to.
pub(crate) async fn resolve(
    engine: &Engine,
    mut key: PublicId,
    mut stored: Stored,
    via: Via,
) -> Result<Resolution, LoadError> {
    // The id of `key`, if the forwards so far could be read.
    let mut id = match via {
        Via::PresentedId(presented) => Some(presented.id()),
        Via::EarlierLoad | Via::Revocation => None,
    };
    let presented_key = key;
    for _ in 0..MAX_FORWARDS {
        let has_passed =
            |until| matches!(via, Via::PresentedId(presented) if presented.began_at() >= until);
        let record = RecordKind::parse(stored.data);
        let to = match record.map_err(|_| LoadError::Corrupt { session: key })? {
            RecordKind::Live(record) => {
                let newer_id = id.filter(|_| key != presented_key);
                let (version, expiry) = (stored.version, stored.expires_at);
                let loaded = Loaded::new(newer_id, key, record, version, expiry, &engine.rules);
                return Ok(Resolution::Live(loaded));
            }
            RecordKind::Ended(tombstone) if has_passed(tombstone.until) => {
                return Ok(Resolution::Missing);
            }
            RecordKind::Ended(tombstone) => match (via, tombstone.moved_to) {
                (Via::Revocation, Some(to)) => to,
                _ => return Ok(Resolution::Ended(tombstone.reason)),
            },
            RecordKind::Forward(forward) if has_passed(forward.until) => {
                return Ok(Resolution::Missing);
            }
            RecordKind::Forward(forward) => {
                id = id.and_then(|id| forward.id(&id));
                forward.to
            }
        };
        let load = engine.store.load(to, engine.now());
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
