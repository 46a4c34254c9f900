//! The format of responses and errors: HTML pages for browsers, JSON for programs.

use std::{error::Error, fmt, sync::Arc};

use poem::{
    Endpoint, FromRequest, IntoResponse, Request, RequestBody, Response,
    error::ResponseError,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    web::Json,
};
use serde::Serialize;

use crate::pages;

/// The format that a client accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Html,
    /// For clients that accept JSON and not HTML.
    Json,
}

impl Format {
    fn of(headers: &HeaderMap) -> Self {
        let accepts = |wanted: &[&str]| {
            headers
                .get_all(header::ACCEPT)
                .iter()
                .filter_map(|accept| accept.to_str().ok())
                .flat_map(|accept| accept.split(','))
                .filter_map(|range| range.split(';').next())
                .any(|range| wanted.iter().any(|w| range.trim().eq_ignore_ascii_case(w)))
        };
        let json = accepts(&["application/json"]);
        let html = accepts(&["text/html", "application/xhtml+xml", "text/*", "*/*"]);
        if json && !html {
            Self::Json
        } else {
            Self::Html
        }
    }
}

impl<'a> FromRequest<'a> for Format {
    async fn from_request(request: &'a Request, _: &mut RequestBody) -> poem::Result<Self> {
        Ok(Self::of(request.headers()))
    }
}

/// The shop refuses a request, with status 422 and this sentence.
#[derive(Debug)]
pub(crate) struct Refused(pub(crate) &'static str);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl Error for Refused {}

impl ResponseError for Refused {
    fn status(&self) -> StatusCode {
        StatusCode::UNPROCESSABLE_ENTITY
    }
}

/// Turns every error into a page or JSON. Keeps its status and headers.
pub(crate) async fn with_error_pages<E: Endpoint>(
    inner: Arc<E>,
    request: Request,
) -> poem::Result<Response> {
    let format = Format::of(request.headers());
    let error = match inner.call(request).await {
        Ok(response) => return Ok(response.into_response()),
        Err(error) => error,
    };
    let status = error.status();
    let refused = error.downcast_ref().map(|Refused(reason)| *reason);
    let mut response = error.into_response();
    // An `Err` with a redirect is not an error.
    if status.is_client_error() || status.is_server_error() {
        let reason = refused.unwrap_or_else(|| reason(status));
        let body = match format {
            Format::Html => pages::error(status, reason).into_response(),
            Format::Json => Json(Problem { error: reason }).into_response(),
        };
        let (parts, body) = body.into_parts();
        let html = HeaderValue::from_static("text/html; charset=utf-8");
        let kind = parts.headers.get(header::CONTENT_TYPE).unwrap_or(&html);
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, kind.clone());
        response.set_body(body);
    }
    Ok(response)
}

#[derive(Serialize)]
struct Problem {
    error: &'static str,
}

/// Explains a status to the visitor. The details of an error go to the log only.
fn reason(status: StatusCode) -> &'static str {
    match status {
        StatusCode::NOT_FOUND => "There is no page at this address.",
        StatusCode::METHOD_NOT_ALLOWED => "This address does not accept this kind of request.",
        StatusCode::CONFLICT => {
            "You signed in or out in another window in the meantime. Please go back and try again in a moment."
        }
        StatusCode::PAYLOAD_TOO_LARGE => "The form is too large.",
        StatusCode::SERVICE_UNAVAILABLE => {
            "The shop is not available at the moment. Nothing is lost; please try again soon."
        }
        status if status.is_server_error() => {
            "An error occurred in the shop. Nothing is lost; please try again soon."
        }
        _ => "The shop did not understand the request. Please go back and try again.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_for_clients_that_do_not_accept_html() {
        let format = |accept: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
            Format::of(&headers)
        };
        assert_eq!(format("application/json"), Format::Json);
        assert_eq!(format("Application/JSON;q=0.9, text/plain"), Format::Json);
        assert_eq!(format("application/json, */*;q=0.1"), Format::Html);
        assert_eq!(format("text/html,application/json"), Format::Html);
        assert_eq!(format("*/*"), Format::Html);
        assert_eq!(Format::of(&HeaderMap::new()), Format::Html);
    }
}
