//! The middleware: begins the session of each request, and finishes it before the response is sent.

use std::sync::Arc;

use poem::{
    Endpoint, Error, IntoResponse, Middleware, Request, Response, Result,
    http::{HeaderMap, StatusCode},
};

use crate::{
    error::{Chain, RequestError},
    lifecycle::Refusal,
    session::{Finished, Outcome},
    web::{
        caches, fetch,
        layer::Layer,
        response::status_of,
        sessions::{Sessions, Web},
        source,
        update::{self, SentUpdate, SentUpdates},
    },
};

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

    #[allow(
        clippy::manual_async_fn,
        reason = "the future of an `async fn` would contain the request twice"
    )]
    fn call(&self, mut req: Request) -> impl Future<Output = Result<Response>> + Send {
        async move {
            let web = self.sessions.web();
            let outer = req.data::<Layer>().cloned().map(Arc::new);
            let is_nested = outer.is_some();
            if let Some(same) = Layer::of_same(&req, &self.sessions) {
                // The middleware around finishes the session.
                let same = Layer {
                    outer,
                    ..same.clone()
                };
                req.extensions_mut().insert(same);
                let response = self.inner.call(req).await;
                return response.map(IntoResponse::into_response);
            }
            let is_skipped = web.skip.as_ref().is_some_and(|skip| skip(&req));
            let begun = (!is_skipped).then(|| {
                let presents_id = web.sources.may_find(&req);
                self.sessions.manager().begin_request(presents_id)
            });
            let (session, guard) = begun.unzip();
            if session.is_some()
                && let Err(clash) = Layer::check_carriers(&req, &self.sessions)
            {
                return Err(self.sessions.failure(clash.into()));
            }
            if let Some(session) = &session
                && web.passive.as_ref().is_some_and(|passive| passive(&req))
            {
                session.set_passive();
            }
            let form = match &session {
                // Boxed, or each request's future would contain the large future that reads a body.
                Some(_) if web.sources.read_forms() => Box::pin(source::read_form(&mut req)).await,
                _ => None,
            };
            let refusal = web.refusal(&req);
            req.extensions_mut().insert(Layer {
                sessions: self.sessions.clone(),
                session,
                form,
                refusal,
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
                Some(finished) => self.sessions.respond(finished, result, is_nested),
                None => result,
            }
        }
    }
}

impl Web {
    /// Why this request must not begin a session, unless it presents a live one.
    fn refusal(&self, req: &Request) -> Option<Refusal> {
        if fetch::is_preflight(req) {
            return Some(Refusal::Preflight);
        }
        let allowed = || (self.allow_cross_site.as_ref()).is_some_and(|rule| rule(req));
        let is_refused =
            fetch::is_cross_site_change(req) && !self.cookie.is_cross_site() && !allowed();
        is_refused.then_some(Refusal::CrossSite)
    }
}

impl Sessions {
    /// Adds the client update to the response, or responds with the error of the save.
    fn respond(
        &self,
        finished: Finished,
        result: Result<Response>,
        is_nested: bool,
    ) -> Result<Response> {
        let is_replaced = finished.saved.is_err();
        let inner = if is_replaced || is_nested {
            SentUpdates::of(&result)
        } else {
            SentUpdates::default()
        };
        let result = match finished.saved {
            Ok(()) => result,
            Err(error) => Err(self.failure(error.into())),
        };
        let own = finished.update.map(|(update, carrier)| SentUpdate {
            sessions: self.clone(),
            update,
            carrier,
            signed_out: finished.signed_out,
        });
        let has_update = own.is_some() || (is_replaced && !inner.is_empty());
        let write = |headers: &mut HeaderMap| {
            self.web().vary.add_to(headers);
            if is_replaced {
                inner.write(headers);
            }
            if let Some(own) = &own {
                own.write(headers);
            }
        };
        let mut result = match result {
            Ok(mut response) => {
                write(response.headers_mut());
                Ok(response)
            }
            Err(error) if has_update || needs_vary(&error) => {
                Err(update::with_headers(error, write))
            }
            Err(error) => Err(error),
        };
        if is_nested {
            inner.leave_in(&mut result, own);
        }
        result
    }

    /// The response to an error of the session, as a Poem error.
    pub(crate) fn failure(&self, error: RequestError) -> Error {
        let status = poem::error::ResponseError::status(&error);
        if matches!(status, StatusCode::CONFLICT | StatusCode::FORBIDDEN) {
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

/// Whether the response to an error needs `Vary`: caches store it, or its headers may say that they can. Any other
/// error keeps its type, which the header would cost.
fn needs_vary(error: &Error) -> bool {
    error.is_from_response() || caches::are_stored_by_default(error.status())
}
