//! Sessions as parameters of handlers.

use std::{any::TypeId, sync::Arc};

use poem::{Error, FromRequest, Request, RequestBody, Result};

use crate::{
    active::ActiveSession,
    error::LoadError,
    key::SessionData,
    session::{Handle, Session},
    web::middleware::Layer,
};

/// The session of the request, for the keys of `S`: loaded the first time that it is asked for.
pub(crate) async fn active<S: SessionData>(
    req: &Request,
    body: &mut RequestBody,
) -> Result<Arc<ActiveSession>> {
    let layer = Layer::of(req, TypeId::of::<S>()).map_err(missing)?;
    let claimed = layer.sessions.web().engine.claims.claim::<S>();
    claimed.map_err(|clash| layer.sessions.failure(LoadError::from(clash).into()))?;
    let active = load(layer, req, body).await?;
    active.state().taken = true;
    Ok(active)
}

/// The session of the request, for whatever keys, of the innermost middleware.
pub(crate) async fn innermost(req: &Request, body: &mut RequestBody) -> Result<Arc<ActiveSession>> {
    load(Layer::innermost(req).map_err(missing)?, req, body).await
}

/// The session that the request's handler has taken, else that of the innermost middleware.
pub(crate) async fn taken(req: &Request) -> Result<Arc<ActiveSession>> {
    let innermost = Layer::innermost(req).map_err(missing)?;
    let taken = innermost
        .and_outer()
        .filter_map(|layer| layer.active.as_ref())
        .find(|active| active.state().taken);
    match taken {
        Some(active) => Ok(Arc::clone(active)),
        None => load(innermost, req, &mut RequestBody::default()).await,
    }
}

/// Locks that session for the rest of the request.
pub(crate) async fn exclusive(req: &Request, body: &mut RequestBody) -> Result<()> {
    let layer = Layer::innermost(req).map_err(missing)?;
    let active = load(layer, req, body).await?;
    active
        .lock_for_request()
        .await
        .map_err(|error| layer.sessions.failure(error.into()))
}

fn missing(error: LoadError) -> Error {
    tracing::error!(%error, "session failed");
    error.into()
}

async fn load(layer: &Layer, req: &Request, body: &mut RequestBody) -> Result<Arc<ActiveSession>> {
    let web = layer.sessions.web();
    let loaded = match &layer.active {
        Some(active) => {
            let early = active.state().found;
            let find = async {
                match early {
                    Some(found) => Some(found),
                    None => web.sources.find(req, body, &web.cookie_name).await,
                }
            };
            active.load(find).await.map(|()| Arc::clone(active))
        }
        None => Err(LoadError::Skipped),
    };
    loaded.map_err(|error| layer.sessions.failure(error.into()))
}

/// The request's session.
impl<'a, S: SessionData> FromRequest<'a> for Session<S> {
    async fn from_request(req: &'a Request, body: &mut RequestBody) -> Result<Self> {
        active::<S>(req, body).await.map(Session::new)
    }
}

/// The derive's `FromRequest` for `S` itself: a snapshot.
#[doc(hidden)]
#[allow(clippy::missing_errors_doc)]
pub async fn snapshot<S: SessionData>(req: &Request, body: &mut RequestBody) -> Result<S> {
    let active = active::<S>(req, body).await?;
    Ok(S::read(&Handle::new(active))?)
}
