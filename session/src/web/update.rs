//! [`SentUpdate`]: writes the client update of a middleware into the headers of its response.

use poem::{
    Error, Response, Result,
    http::{HeaderMap, HeaderName, HeaderValue, header},
};

use crate::{
    lifecycle::ClientUpdate,
    web::{caches, sessions::Sessions, source::Source},
};

const CLEAR_SITE_DATA: HeaderName = HeaderName::from_static("clear-site-data");

/// A client update that a middleware sends with its response.
#[derive(Clone)]
pub(crate) struct SentUpdate {
    pub(crate) sessions: Sessions,
    pub(crate) update: ClientUpdate,
    /// The index of the id source that carries it.
    pub(crate) carrier: usize,
    /// Whether the request has destroyed a session.
    pub(crate) signed_out: bool,
}

impl SentUpdate {
    pub(crate) fn write(&self, headers: &mut HeaderMap) {
        let web = self.sessions.web();
        let value = |text: String| {
            HeaderValue::try_from(text).expect("checked when the sessions were built")
        };
        match (web.sources.get(self.carrier), self.update) {
            (Some(Source::Cookie), ClientUpdate::SetId { id, expires_at, .. }) => {
                let now = self.sessions.manager().engine().now();
                let cookie = web.set_cookie.set_id(&id, expires_at, now);
                headers.append(header::SET_COOKIE, value(cookie));
            }
            (Some(Source::Cookie), ClientUpdate::ClearId) => {
                let cookie = web.set_cookie.clear_id();
                headers.append(header::SET_COOKIE, value(cookie));
            }
            // A header has no expiry to refresh.
            (Some(Source::Header(_)), ClientUpdate::SetId { refresh: true, .. }) => return,
            (Some(Source::Header(name)), ClientUpdate::SetId { id, .. }) => {
                headers.insert(name.clone(), value(id.expose().to_owned()));
            }
            (Some(Source::Header(name)), ClientUpdate::ClearId) => {
                headers.insert(name.clone(), HeaderValue::from_static(""));
            }
            // Read-only.
            _ => return,
        }
        if let Some(kinds) = web.clear_site_data.as_ref().filter(|_| self.signed_out) {
            headers
                .entry(CLEAR_SITE_DATA)
                .or_insert_with(|| value(kinds.clone()));
        }
        caches::forbid_sharing(headers);
    }
}

/// The client updates in a response, from the inside out, for the middleware around.
///
/// If that one fails, its error replaces the response. The sessions of the inner middlewares are saved all the
/// same, and a client that is not sent its new id has lost the session. So the error carries their updates too.
#[derive(Clone, Default)]
pub(crate) struct SentUpdates(Vec<SentUpdate>);

impl SentUpdates {
    /// The updates of the middlewares inside of this one.
    pub(crate) fn of(result: &Result<Response>) -> Self {
        let sent = match result {
            Ok(response) => response.data::<Self>(),
            Err(error) => error.data::<Self>(),
        };
        sent.cloned().unwrap_or_default()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Writes the updates into a response that has lost them.
    pub(crate) fn write(&self, headers: &mut HeaderMap) {
        for sent in &self.0 {
            sent.write(headers);
        }
    }

    /// Leaves the updates, and the one of this middleware, in the response, for the middleware around.
    pub(crate) fn leave_in(mut self, result: &mut Result<Response>, own: Option<SentUpdate>) {
        self.0.extend(own);
        if self.is_empty() {
            return;
        }
        match result {
            Ok(response) => response.set_data(self),
            Err(error) => error.set_data(self),
        }
    }
}

/// The error with headers in its response. Poem's errors have no headers, so the response replaces the error:
/// handlers around the middleware still find its text, and no longer its type.
pub(crate) fn with_headers(error: Error, write: impl FnOnce(&mut HeaderMap)) -> Error {
    let text = error.has_source().then(|| error.to_string());
    let mut response = error.into_response();
    write(response.headers_mut());
    let mut error = Error::from_response(response);
    if let Some(text) = text {
        error.set_error_message(text);
    }
    error
}
