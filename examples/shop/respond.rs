//! How the shop answers: as pages for people, as JSON for programs, and never with a bare error.

use std::{error::Error, fmt, sync::Arc};

use poem::{
    Endpoint, FromRequest, IntoResponse, Request, RequestBody, Response,
    error::ResponseError,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    web::Json,
};
use serde::Serialize;

use crate::pages;

/// What a client reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Html,
    /// Only for clients that accept JSON and no page.
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

/// The shop does not do what was asked for: 422, and this sentence.
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

/// Makes a page of every error, or JSON, with the status and the headers that it has.
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
    // A redirect is no error, whichever way it came.
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

/// What a visitor can make of a status. The details of an error are for the log.
fn reason(status: StatusCode) -> &'static str {
    match status {
        StatusCode::NOT_FOUND => {
            "Nothing is kept at this address. It may have been moved, or mistyped."
        }
        StatusCode::METHOD_NOT_ALLOWED => "This address does not take that kind of request.",
        StatusCode::CONFLICT => {
            "You have signed in or out elsewhere meanwhile. Please go back and try again in a moment."
        }
        StatusCode::PAYLOAD_TOO_LARGE => "That is more than we can take.",
        StatusCode::SERVICE_UNAVAILABLE => {
            "We cannot reach our books right now. Nothing is lost; please try again in a moment."
        }
        status if status.is_server_error() => {
            "Something broke on our side. Nothing is lost; please try again in a moment."
        }
        _ => "We could not make sense of what was sent. Please go back and try again.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_for_those_who_read_nothing_else() {
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
