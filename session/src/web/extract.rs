//! Sessions as parameters of handlers.

use std::{any::TypeId, sync::Arc};

use poem::{Error, FromRequest, Request, RequestBody, Result};

use crate::{
    active::{ActiveSession, Taking},
    error::LoadError,
    key::SessionData,
    session::{Handle, Session},
    web::middleware::Layer,
};

/// The session of the request, for the keys of `S`: loaded the first time that it is asked for.
pub(crate) async fn active<S: SessionData>(req: &Request) -> Result<Arc<ActiveSession>> {
    let layer = Layer::of(req, TypeId::of::<S>()).map_err(missing)?;
    let claimed = layer.sessions.web().engine.claims.claim::<S>();
    claimed.map_err(|clash| layer.sessions.failure(LoadError::from(clash).into()))?;
    take(layer, req).await
}

/// The session of the request, for whatever keys, of the innermost middleware.
pub(crate) async fn innermost(req: &Request) -> Result<Arc<ActiveSession>> {
    take(Layer::innermost(req).map_err(missing)?, req).await
}

/// The sessions of the request, loaded or not.
pub(crate) fn all(req: &Request) -> impl Iterator<Item = &Arc<ActiveSession>> {
    let innermost = Layer::innermost(req).ok().into_iter();
    innermost
        .flat_map(Layer::and_outer)
        .filter_map(|layer| layer.active.as_ref())
}

fn missing(error: LoadError) -> Error {
    tracing::error!(%error, "session failed");
    error.into()
}

async fn take(layer: &Layer, req: &Request) -> Result<Arc<ActiveSession>> {
    let web = layer.sessions.web();
    let find = || {
        web.sources
            .find(req, layer.form.as_deref(), &web.cookie_name)
    };
    let loaded = match &layer.active {
        Some(active) => active.load(find).await.map(|()| active),
        None => Err(LoadError::Skipped),
    };
    let active = loaded.map_err(|error| layer.sessions.failure(error.into()))?;
    let before = std::mem::replace(&mut active.state().taking, Taking::Taken);
    if before == Taking::ToBeLocked {
        // Boxed: few requests do it, and each one's future would carry the room for it.
        let locked = Box::pin(active.lock_for_request()).await;
        locked.map_err(|error| layer.sessions.failure(error.into()))?;
    }
    Ok(Arc::clone(active))
}

/// The request's session.
impl<'a, S: SessionData> FromRequest<'a> for Session<S> {
    async fn from_request(req: &'a Request, _body: &mut RequestBody) -> Result<Self> {
        active::<S>(req).await.map(Session::new)
    }
}

/// Reads the whole of `S` from the session of the request, for the extractor of `impl_extractor!`.
#[doc(hidden)]
#[allow(clippy::missing_errors_doc)]
pub async fn snapshot<S: SessionData>(req: &Request) -> Result<S> {
    let active = active::<S>(req).await?;
    Ok(S::read(&Handle::new(active))?)
}

/// Makes a session data struct an extractor of its own snapshot. `#[derive(SessionData)]` emits this call, so
/// that the code of the derive names no web framework.
///
/// A generic type states its parameters before it and its `where` predicates after it:
/// `impl_extractor!([T: Bound] Data<T> [Data<T>: Send])`. The derive rejects generic session data, and needs
/// this form only to report no second error for it.
#[doc(hidden)]
#[macro_export]
macro_rules! __impl_extractor {
    ([$($params:tt)*] $data:ty [$($predicates:tt)*]) => {
        #[automatically_derived]
        impl<'r, $($params)*> $crate::__private::poem::FromRequest<'r> for $data
        where
            $($predicates)*
        {
            // Names begin with `__`: a constant of the user with the same name would be read as a pattern.
            async fn from_request(
                __request: &'r $crate::__private::poem::Request,
                __body: &mut $crate::__private::poem::RequestBody,
            ) -> $crate::__private::poem::Result<Self> {
                $crate::__private::snapshot::<Self>(__request).await
            }
        }
    };
    ($data:ty) => {
        $crate::__private::impl_extractor!([] $data []);
    };
}
