//! The middleware: begins the session of each request, and finishes it before the response is sent.

use std::{any::TypeId, sync::Arc};

use bytes::Bytes;
use poem::{
    Endpoint, Error, IntoResponse, Middleware, Request, Response, Result,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
};

use crate::{
    error::{Chain, ExtractError, RequestError},
    lifecycle::ClientUpdate,
    session::{Finished, Outcome, RequestSession},
    web::{
        caches,
        response::status_of,
        sessions::Sessions,
        source::{self, Source},
    },
};

/// The session of one `Sessions` middleware, in the extensions of a request.
#[derive(Clone)]
pub(crate) struct Layer {
    pub(crate) sessions: Sessions,
    /// `None` if the `skip` rule of the middleware applies.
    pub(crate) session: Option<RequestSession>,
    /// The form of the request, if the id may be in it.
    pub(crate) form: Option<Bytes>,
    /// The middleware around this one.
    outer: Option<Arc<Layer>>,
}

impl Layer {
    pub(crate) fn innermost(req: &Request) -> std::result::Result<&Self, ExtractError> {
        req.data().ok_or(ExtractError::NoMiddleware)
    }

    /// This layer and those around it, from the inside out.
    pub(crate) fn and_outer(&self) -> impl Iterator<Item = &Self> {
        std::iter::successors(Some(self), |layer| layer.outer.as_deref())
    }

    /// The layer for a struct: the innermost one that names it, else the innermost one.
    pub(crate) fn of(req: &Request, data: TypeId) -> std::result::Result<&Self, ExtractError> {
        let innermost = Self::innermost(req)?;
        let naming = innermost
            .and_outer()
            .find(|layer| layer.sessions.web().declared.contains(&data));
        Ok(naming.unwrap_or(innermost))
    }
}

impl<E: Endpoint> Middleware<E> for Sessions {
    type Output = SessionsEndpoint<E>;

    fn transform(&self, inner: E) -> SessionsEndpoint<E> {
        SessionsEndpoint {
            inner,
            sessions: self.clone(),
        }
    }
}

/// An endpoint whose requests have sessions: the result of `.with(sessions)`.
#[derive(Debug)]
pub struct SessionsEndpoint<E> {
    inner: E,
    sessions: Sessions,
}

impl<E: Endpoint> Endpoint for SessionsEndpoint<E> {
    type Output = Response;

    async fn call(&self, mut req: Request) -> Result<Response> {
        let web = self.sessions.web();
        let is_skipped = web.skip.as_ref().is_some_and(|skip| skip(&req));
        let begun = (!is_skipped).then(|| self.sessions.manager().begin_request());
        let (session, guard) = begun.unzip();
        let form = match &session {
            // Boxed, or each request's future would contain the large future that reads a body.
            Some(_) if web.sources.read_forms() => Box::pin(source::read_form(&mut req)).await,
            _ => None,
        };
        let outer = req.data::<Layer>().cloned().map(Arc::new);
        req.extensions_mut().insert(Layer {
            sessions: self.sessions.clone(),
            session,
            form,
            outer,
        });
        let result = self.inner.call(req).await.map(IntoResponse::into_response);
        let Some(guard) = guard else {
            return result;
        };
        let outcome = if status_of(&result).is_server_error() {
            Outcome::Failed
        } else {
            Outcome::Completed
        };
        match guard.finish(outcome).await {
            Some(finished) => self.sessions.respond(finished, result),
            None => result,
        }
    }
}

const CLEAR_SITE_DATA: HeaderName = HeaderName::from_static("clear-site-data");

impl Sessions {
    /// Adds the client update to the response, or responds with the error of the save.
    fn respond(&self, finished: Finished, result: Result<Response>) -> Result<Response> {
        let result = match finished.saved {
            Ok(()) => result,
            Err(error) => Err(self.failure(error.into())),
        };
        let update = finished.update.and_then(|(update, carrier)| {
            let carrier = self.web().sources.get(carrier)?;
            Some((update, carrier))
        });
        let write = |headers: &mut HeaderMap| {
            self.web().vary.add_to(headers);
            if let Some((update, carrier)) = update {
                self.write_update(update, carrier, finished.signed_out, headers);
            }
        };
        match result {
            Ok(mut response) => {
                write(response.headers_mut());
                Ok(response)
            }
            // No cache stores this response, so that it needs no `Vary`, and its error keeps its type.
            Err(error)
                if update.is_none()
                    && !error.is_from_response()
                    && !caches::are_stored_by_default(error.status()) =>
            {
                Err(error)
            }
            Err(error) => Err(with_headers(error, write)),
        }
    }

    fn write_update(
        &self,
        update: ClientUpdate,
        carrier: &Source,
        signed_out: bool,
        headers: &mut HeaderMap,
    ) {
        let web = self.web();
        let value =
            |text: &str| HeaderValue::from_str(text).expect("checked when the sessions were built");
        match (carrier, update) {
            (Source::Cookie, ClientUpdate::SetId { id, expires_at, .. }) => {
                let now = self.manager().engine().now();
                let cookie = web.cookie.set_id(&web.cookie_name, &id, expires_at, now);
                headers.append(header::SET_COOKIE, value(&cookie));
            }
            (Source::Cookie, ClientUpdate::ClearId) => {
                let cookie = web.cookie.clear_id(&web.cookie_name);
                headers.append(header::SET_COOKIE, value(&cookie));
            }
            // A header has no expiry to refresh.
            (Source::Header(_), ClientUpdate::SetId { refresh: true, .. }) => return,
            (Source::Header(name), ClientUpdate::SetId { id, .. }) => {
                headers.insert(name.clone(), value(id.expose()));
            }
            (Source::Header(name), ClientUpdate::ClearId) => {
                headers.insert(name.clone(), HeaderValue::from_static(""));
            }
            // Read-only.
            _ => return,
        }
        if let Some(kinds) = web.clear_site_data.as_ref().filter(|_| signed_out) {
            headers
                .entry(CLEAR_SITE_DATA)
                .or_insert_with(|| value(kinds));
        }
        caches::forbid_sharing(headers);
    }

    /// The response to an error of the session, as a Poem error.
    pub(crate) fn failure(&self, error: RequestError) -> Error {
        let status = poem::error::ResponseError::status(&error);
        if status == StatusCode::CONFLICT {
            tracing::warn!(error = %Chain(&error), "session refused");
        } else {
            tracing::error!(error = %Chain(&error), "session failed");
        }
        match &self.web().on_error {
            Some(respond) => Error::from_response(respond(&error)),
            None => error.into(),
        }
    }
}

/// The error with headers in its response. Poem's errors have no headers, so the response replaces the error: handlers
/// around the middleware still find its text, and no longer its type.
fn with_headers(error: Error, write: impl FnOnce(&mut HeaderMap)) -> Error {
    let text = error.has_source().then(|| error.to_string());
    let mut response = error.into_response();
    write(response.headers_mut());
    let mut error = Error::from_response(response);
    if let Some(text) = text {
        error.set_error_message(text);
    }
    error
}
