//! Responses to the visitors of an application.

use std::time::Duration;

use cookie::Cookie;
use poem::http::{HeaderMap, StatusCode, header};

/// A whole response.
#[derive(Debug)]
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body as text.
    pub body: String,
}

impl Reply {
    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        let value = serde_json::from_str(&self.body);
        value.unwrap_or_else(|error| panic!("no JSON, {error}: {}", self.body))
    }

    /// The only header of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.get_all(name).iter();
        let first = values.next()?;
        assert!(values.next().is_none(), "several {name} headers");
        Some(first.to_str().expect("the header is text"))
    }

    /// The lifetime of the only cookie that it sets.
    pub fn max_age(&self) -> Option<Duration> {
        Some(self.cookie()?.max_age()?.unsigned_abs())
    }

    /// The only cookie that it sets, if any.
    pub fn cookie(&self) -> Option<Cookie<'static>> {
        let cookies = self.cookies();
        assert!(cookies.len() <= 1, "several cookies: {cookies:?}");
        cookies.into_iter().next()
    }

    /// Asserts that the response reports that the store does not work, without details, and keeps the cookie.
    pub fn assert_refused(&self) {
        self.assert_generic(StatusCode::SERVICE_UNAVAILABLE);
    }

    /// Asserts that the response reports a corrupt record, without details, and keeps the cookie.
    pub fn assert_corrupt(&self) {
        self.assert_generic(StatusCode::INTERNAL_SERVER_ERROR);
    }

    /// Asserts that the response has this status, only its name as the body, and no cookie.
    fn assert_generic(&self, status: StatusCode) {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(Some(&*self.body), status.canonical_reason());
        assert_eq!(self.cookie(), None);
    }

    /// The cookies that it sets.
    pub fn cookies(&self) -> Vec<Cookie<'static>> {
        cookies_in(&self.headers)
    }
}

/// The cookies that a response with these headers sets.
pub(crate) fn cookies_in(headers: &HeaderMap) -> Vec<Cookie<'static>> {
    let set = headers.get_all(header::SET_COOKIE).iter();
    set.map(|value| {
        let text = value.to_str().expect("a cookie is text").to_owned();
        Cookie::parse(text).expect("a cookie is well formed")
    })
    .collect()
}
