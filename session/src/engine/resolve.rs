//! Resolves an id to its session: loads the record and follows forwards.

use std::pin::Pin;

use crate::{
    clock::Timestamp,
    engine::{ActiveSession, Engine},
    error::LoadError,
    id::PublicId,
    lifecycle::{Loaded, Presented, Resolution},
    record::{EndReason, Forward, RecordKind},
    store::Stored,
};

/// How a request came to a key.
#[derive(Clone, Copy)]
pub(crate) enum Via<'a> {
    /// Its client presented the id. A forward or a tombstone counts if the request began before it ends.
    PresentedId(&'a Presented),
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
pub(crate) struct Candidates {
    pub(crate) first: Option<Candidate>,
    pub(crate) others: Vec<Candidate>,
}

impl From<Candidate> for Candidates {
    fn from(only: Candidate) -> Self {
        Self {
            first: Some(only),
            others: Vec::new(),
        }
    }
}

/// Loads the session of the first id that is live into `session`. Returns the index of the source of the id that
/// counts.
///
/// If no id is live, one whose session has ended counts before an unknown one: the client may have a newer id, which
/// a new session must not replace.
///
/// # Errors
/// The error of the first id that cannot be loaded, because that id may be the live one.
pub(super) async fn load_first_live(
    session: &ActiveSession,
    first: &Candidate,
    others: &[Candidate],
) -> Result<usize, LoadError> {
    let engine = session.engine();
    let (key, now) = (first.presented.id().public(), engine.now());
    let load = engine.store.load(key, now);
    let stored = engine.limited(LOADING, load).await?;
    let step = match stored {
        Some(stored) => step(engine, key, stored, Via::PresentedId(&first.presented))?,
        None => Step::Found(Resolution::Missing),
    };
    match step.unless_expired(now) {
        // Nearly always. The session moves from here to its place, past no other future.
        Step::Found(resolution) if others.is_empty() || resolution.is_live() => {
            session.lifecycle().loaded(first.presented, key, resolution);
            Ok(first.source)
        }
        // Boxed, because it is rare and the future of each request would contain it.
        step => Box::pin(load_others(session, first, key, step, now, others)).await,
    }
}

/// Continues [`load_first_live`], which began at `now`, after the first `step` of the first id.
async fn load_others(
    session: &ActiveSession,
    first: &Candidate,
    first_key: PublicId,
    step: Step,
    now: Timestamp,
    others: &[Candidate],
) -> Result<usize, LoadError> {
    let engine = session.engine();
    let resolution = match step {
        Step::Found(resolution) => resolution,
        Step::Next(to, forward) => {
            let via = Via::PresentedId(&first.presented);
            let followed = follow(engine, to, forward, via).await?;
            followed.unless_expired(now)
        }
    };
    let mut counted = (first, first_key, resolution);
    for candidate in others {
        if counted.2.is_live() {
            break;
        }
        let key = candidate.presented.id().public();
        let resolution = load(engine, key, Via::PresentedId(&candidate.presented)).await?;
        match (&resolution, &counted.2) {
            (Resolution::Live(_), _) | (Resolution::Ended(_), Resolution::Missing) => {
                counted = (candidate, key, resolution);
            }
            _ => {}
        }
    }
    let (candidate, key, resolution) = counted;
    session
        .lifecycle()
        .loaded(candidate.presented, key, resolution);
    Ok(candidate.source)
}

/// The action that errors of a load name.
const LOADING: &str = "loading a session";

/// Loads the session that is stored under `key`.
pub(super) async fn load(
    engine: &Engine,
    key: PublicId,
    via: Via<'_>,
) -> Result<Resolution, LoadError> {
    let now = engine.now();
    let load = engine.store.load(key, now);
    let stored = engine.limited(LOADING, load).await?;
    let step = match stored {
        Some(stored) => step(engine, key, stored, via)?,
        None => return Ok(Resolution::Missing),
    };
    let (to, forward) = match step {
        Step::Found(resolution) => return Ok(resolution.unless_expired(now)),
        Step::Next(to, forward) => (to, forward),
    };
    let resolution = follow(engine, to, forward, via).await?;
    Ok(resolution.unless_expired(now))
}

/// The session that the record under `key` belongs to: its own, or the one that it is forwarded to.
pub(crate) async fn resolve(
    engine: &Engine,
    key: PublicId,
    stored: Stored,
    via: Via<'_>,
) -> Result<Resolution, LoadError> {
    match step(engine, key, stored, via)? {
        Step::Found(resolution) => Ok(resolution),
        Step::Next(to, forward) => follow(engine, to, forward, via).await,
    }
}

/// The meaning of one record.
#[allow(
    clippy::large_enum_variant,
    reason = "it is taken apart at once, and a box would cost an allocation in each load"
)]
enum Step {
    Found(Resolution),
    /// The session continues under this key. The forward leads there if the id was rotated.
    Next(PublicId, Option<Forward>),
}

impl Step {
    /// The same, or missing if the session has expired by the rules of today.
    fn unless_expired(self, now: Timestamp) -> Self {
        match self {
            Self::Found(resolution) => Self::Found(resolution.unless_expired(now)),
            next @ Self::Next(..) => next,
        }
    }
}

fn step(engine: &Engine, key: PublicId, stored: Stored, via: Via) -> Result<Step, LoadError> {
    let has_passed =
        |until| matches!(via, Via::PresentedId(presented) if presented.began_at() >= until);
    let record = RecordKind::parse(stored.data);
    Ok(
        match record.map_err(|_| LoadError::Corrupt { session: key })? {
            RecordKind::Live(record) => {
                let (version, expiry) = (stored.version, stored.expires_at);
                let loaded = Loaded::new(key, record, version, expiry, &engine.rules);
                Step::Found(Resolution::Live(loaded))
            }
            RecordKind::Ended(tombstone) if has_passed(tombstone.until) => {
                Step::Found(Resolution::Missing)
            }
            RecordKind::Ended(tombstone) => match (via, tombstone.moved_to) {
                (Via::Revocation, Some(to)) => Step::Next(to, None),
                _ => Step::Found(Resolution::Ended(tombstone.reason)),
            },
            RecordKind::Forward(forward) if has_passed(forward.until) => {
                Step::Found(Resolution::Missing)
            }
            RecordKind::Forward(forward) => Step::Next(forward.to, Some(forward)),
        },
    )
}

/// Follows forwards, of which `forward` leads to `key`. Boxed, because it is rare and the future of each request
/// would contain it.
fn follow<'a>(
    engine: &'a Engine,
    mut key: PublicId,
    mut forward: Option<Forward>,
    via: Via<'a>,
) -> Pin<Box<dyn Future<Output = Result<Resolution, LoadError>> + Send + 'a>> {
    Box::pin(async move {
        // The id of `key`, if the request can read it.
        let mut id = match via {
            Via::PresentedId(presented) => Some(presented.id()),
            Via::EarlierLoad | Via::Revocation => None,
        };
        for _ in 0..MAX_FORWARDS {
            id = id.zip(forward).and_then(|(id, forward)| forward.id(&id));
            let load = engine.store.load(key, engine.now());
            let action = "loading a session by its old id";
            let Some(stored) = engine.limited(action, load).await? else {
                return Ok(Resolution::Ended(EndReason::Destroyed));
            };
            match step(engine, key, stored, via)? {
                Step::Found(Resolution::Live(loaded)) => {
                    return Ok(Resolution::Live(loaded.with_newer_id(id)));
                }
                Step::Found(resolution) => return Ok(resolution),
                Step::Next(to, next) => (key, forward) = (to, next),
            }
        }
        Err(LoadError::Corrupt { session: key })
    })
}
