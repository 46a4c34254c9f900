//! Sessions as parameters of handlers.

use std::{any::TypeId, sync::Arc};

use poem::{Error, FromRequest, Request, RequestBody, Result};

use crate::{
    engine::ActiveSession,
    error::ExtractError,
    lifecycle::Refusal,
    session::{FoundIds, Handle, RequestSession, Session, SessionData},
    web::{fetch, layer::Layer, source::Source},
};

/// The session of the request, for the keys of `S`: loaded when it is first asked for.
pub(crate) async fn active<S: SessionData>(req: &Request) -> Result<Arc<ActiveSession>> {
    let layer = Layer::of(req, TypeId::of::<S>()).map_err(no_middleware)?;
    let claimed = layer.sessions.manager().claim::<S>();
    claimed.map_err(|clash| layer.sessions.failure(ExtractError::from(clash).into()))?;
    load(layer, req).await
}

/// The session of the request in the innermost middleware, for any keys.
pub(crate) async fn innermost(req: &Request) -> Result<Arc<ActiveSession>> {
    load(Layer::innermost(req).map_err(no_middleware)?, req).await
}

/// The sessions of the request, loaded or not.
pub(crate) fn all(req: &Request) -> impl Iterator<Item = &RequestSession> {
    let innermost = Layer::innermost(req).ok().into_iter();
    innermost.flat_map(|innermost| {
        let layers = innermost.and_outer().enumerate();
        // One middleware that is there twice has one session.
        let layers = layers.filter(|(place, layer)| {
            let mut inside = innermost.and_outer().take(*place);
            !inside.any(|inner| inner.sessions.is_same(&layer.sessions) && inner.session.is_some())
        });
        layers.filter_map(|(_, layer)| layer.session.as_ref())
    })
}

fn no_middleware(error: ExtractError) -> Error {
    tracing::error!(%error, "session failed");
    error.into()
}

async fn load(layer: &Layer, req: &Request) -> Result<Arc<ActiveSession>> {
    let sessions = &layer.sessions;
    let Some(session) = &layer.session else {
        return Err(sessions.failure(ExtractError::Skipped.into()));
    };
    let web = sessions.web();
    web.warn_of_plain_http(req);
    let find = || {
        if layer.refusal == Some(Refusal::Preflight) {
            return FoundIds::default();
        }
        if fetch::is_prefetch(req) {
            session.set_passive();
        }
        web.sources
            .find(req, layer.form.as_deref(), web.set_cookie.name())
    };
    let loaded = session.load(find).await;
    loaded.map_err(|error| sessions.failure(error.into()))?;
    if let Some(refusal) = layer.refusal {
        let carrier = session.carrier_of_new();
        let carrier = carrier.and_then(|carrier| web.sources.get(carrier));
        // A browser does not keep the id that it gets in another header.
        let is_cookie = matches!(carrier, Some(Source::Cookie));
        if refusal == Refusal::Preflight || is_cookie {
            session.refuse_new(refusal);
        }
    }
    let locked = session.mark_used().await;
    locked.map_err(|error| sessions.failure(error.into()))?;
    Ok(Arc::clone(session.active()))
}

/// The session of the request.
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
