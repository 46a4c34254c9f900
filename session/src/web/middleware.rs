//! The middleware: gives each request its session, and saves it before the response leaves.

use std::{any::TypeId, sync::Arc};

use bytes::Bytes;
use poem::{
    Endpoint, Error, IntoResponse, Middleware, Request, Response, Result,
    http::{HeaderMap, HeaderValue, StatusCode, header},
};

use crate::{
    active::{ActiveSession, Plan, Progress},
    answer::Answer,
    error::{Chain, LoadError, SaveError, SessionError},
    web::{
        response::status_of,
        sessions::Sessions,
        site_data,
        source::{self, Source},
    },
};

/// What a request carries of one `Sessions` middleware.
#[derive(Clone)]
pub(crate) struct Layer {
    pub(crate) sessions: Sessions,
    /// Nothing where the middleware's `skip` rule holds.
    pub(crate) active: Option<Arc<ActiveSession>>,
    /// The form that came with the request, where the id may be in it.
    pub(crate) form: Option<Bytes>,
    /// The middleware around this one.
    outer: Option<Arc<Layer>>,
}

impl Layer {
    pub(crate) fn innermost(req: &Request) -> std::result::Result<&Self, LoadError> {
        req.data().ok_or(LoadError::NoMiddleware)
    }

    /// This layer and those around it.
    pub(crate) fn and_outer(&self) -> impl Iterator<Item = &Self> {
        std::iter::successors(Some(self), |layer| layer.outer.as_deref())
    }

    /// The layer for the sessions of a struct: the innermost one that named it, else the innermost of all.
    pub(crate) fn of(req: &Request, data: TypeId) -> std::result::Result<&Self, LoadError> {
        let innermost = Self::innermost(req)?;
        let named = innermost
            .and_outer()
            .find(|layer| layer.sessions.web().declared.contains(&data));
        Ok(named.unwrap_or(innermost))
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

/// An endpoint whose requests have sessions: what `.with(sessions)` makes.
#[derive(Debug)]
pub struct SessionsEndpoint<E> {
    inner: E,
    sessions: Sessions,
}

impl<E: Endpoint> Endpoint for SessionsEndpoint<E> {
    type Output = Response;

    async fn call(&self, mut req: Request) -> Result<Response> {
        let web = self.sessions.web();
        let skipped = web.skip.as_ref().is_some_and(|skip| skip(&req));
        let active = (!skipped).then(|| Arc::new(ActiveSession::new(Arc::clone(&web.engine))));
        let form = match &active {
            // Boxed: reading a body takes a large future, which every request would carry.
            Some(_) if web.sources.read_forms() => Box::pin(source::read_form(&mut req)).await,
            _ => None,
        };
        let outer = req.data::<Layer>().cloned().map(Arc::new);
        req.extensions_mut().insert(Layer {
            sessions: self.sessions.clone(),
            active: active.clone(),
            form,
            outer,
        });
        let mut unsaved = Unsaved(active.clone());
        let result = self.inner.call(req).await.map(IntoResponse::into_response);
        let Some(active) = active.filter(|active| active.is_loaded()) else {
            return result;
        };
        let saved = finish(&active, &result).await;
        if saved.is_ok() {
            unsaved.0 = None;
        }
        self.sessions.answer(&active, saved, result)
    }
}

/// The session of a request that has not come to its end. It may never do so, as its client goes away or
/// its handler panics: what it has not saved is then let go of, since an `update_*` closure that holds its own
/// session would keep both for ever.
struct Unsaved(Option<Arc<ActiveSession>>);

impl Drop for Unsaved {
    fn drop(&mut self) {
        if let Some(active) = &self.0
            && active.is_loaded()
            // A save that is under way goes on, and needs its changes.
            && let Ok(_not_saving) = active.saving.try_lock()
        {
            active.state().discard();
        }
    }
}

/// Saves what the handler did.
async fn finish(
    active: &Arc<ActiveSession>,
    result: &Result<Response>,
) -> std::result::Result<(), SaveError> {
    let early = active.early_answer();
    let saved = if status_of(result).is_server_error() {
        let mut state = active.state();
        state.discard();
        state.plan = Plan::Keep;
        Ok(())
    } else {
        active.state().progress = Progress::Finishing;
        active.save().await
    };
    active.state().keep_due_id_untold(&active.engine);
    active.confirm(early).await;
    active.unlock();
    saved
}

impl Sessions {
    /// Tells the client what it needs to know.
    fn answer(
        &self,
        active: &ActiveSession,
        saved: std::result::Result<(), SaveError>,
        result: Result<Response>,
    ) -> Result<Response> {
        let (answer, presented, signed_out) = {
            let mut state = active.state();
            state.progress = Progress::Answered;
            (state.answer.take(), state.presented, state.sign_outs > 0)
        };
        let result = match saved {
            Ok(()) => result,
            Err(error) => Err(self.failure(SessionError::Save(error))),
        };
        let Some(answer) = answer else {
            return result;
        };
        let sources = &self.web().sources;
        let carrier = match presented {
            // Back on the carrier that the id came by. An id from a source that cannot be answered is
            // never promoted to one that can.
            Some(presented) => sources.carrier(presented.source.number).or_else(|| {
                let may_move = !presented.live && matches!(answer, Answer::Issue { .. });
                may_move.then(|| sources.first_carrier()).flatten()
            }),
            None => sources.first_carrier(),
        };
        match (carrier, result) {
            (None, result) => result,
            (Some(carrier), Ok(mut response)) => {
                self.tell(answer, signed_out, carrier, response.headers_mut());
                Ok(response)
            }
            (Some(carrier), Err(error)) => {
                // Poem has no other way to add a header to an error; its type is lost to outer handlers.
                let mut response = error.into_response();
                self.tell(answer, signed_out, carrier, response.headers_mut());
                Err(Error::from_response(response))
            }
        }
    }

    fn tell(&self, answer: Answer, signed_out: bool, carrier: &Source, headers: &mut HeaderMap) {
        let web = self.web();
        let now = web.engine.now();
        let value =
            |text: &str| HeaderValue::from_str(text).expect("checked when the sessions were built");
        match (carrier, answer) {
            (Source::Cookie, Answer::Issue { id, expires_at, .. }) => {
                let cookie = web.cookie.issue(&web.cookie_name, &id, expires_at, now);
                headers.append(header::SET_COOKIE, value(&cookie));
            }
            (Source::Cookie, Answer::Withdraw) => {
                let cookie = web.cookie.withdraw(&web.cookie_name);
                headers.append(header::SET_COOKIE, value(&cookie));
            }
            // A cookie is sent again for its new end; a header has none.
            (Source::Header(_), Answer::Issue { known: true, .. }) => return,
            (Source::Header(name), Answer::Issue { id, .. }) => {
                headers.insert(name.clone(), value(id.expose()));
            }
            (Source::Header(name), Answer::Withdraw) => {
                headers.insert(name.clone(), HeaderValue::from_static(""));
            }
            // Not answered.
            _ => return,
        }
        if let Some(kinds) = web.clear_site_data.as_ref().filter(|_| signed_out) {
            let own = headers.entry(site_data::HEADER);
            own.or_insert_with(|| kinds.clone());
        }
        // A cache must not hand this visitor's id to the next (ASVS 5.0 14.3.2).
        headers
            .entry(header::CACHE_CONTROL)
            .or_insert(HeaderValue::from_static("no-store"));
    }

    /// The error, or rather the response, for a session that could not be loaded or saved.
    pub(crate) fn failure(&self, error: SessionError) -> Error {
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
