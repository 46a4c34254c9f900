//! What the server answered.

use bytes::Bytes;
use cookie::Cookie;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::header::SET_COOKIE;
use hyper::{HeaderMap, StatusCode};
use tokio::task::JoinHandle;

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Response {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

impl Response {
    /// The only header of this name. Several of it are a panic.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.get_all(name).iter();
        let first = values.next()?;
        assert!(values.next().is_none(), "there are several {name} headers");
        Some(first.to_str().expect("the header is text"))
    }

    /// The cookies that it sets, in order.
    pub fn set_cookies(&self) -> Vec<Cookie<'static>> {
        cookies_in(&self.headers)
    }

    /// The cookie that it sets under this name. Several are a panic.
    pub fn set_cookie(&self, name: &str) -> Option<Cookie<'static>> {
        let mut found = self
            .set_cookies()
            .into_iter()
            .filter(|cookie| cookie.name() == name);
        let first = found.next()?;
        assert!(
            found.next().is_none(),
            "the cookie {name} is set more than once"
        );
        Some(first)
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8(self.body.to_vec()).expect("the body is text")
    }

    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        let text = self.text();
        serde_json::from_str(&text).unwrap_or_else(|why| panic!("no JSON, {why}: {text}"))
    }
}

/// An answer whose body is still coming.
#[derive(Debug)]
pub struct Stream {
    head: Response,
    body: Incoming,
    driver: JoinHandle<()>,
}

impl Stream {
    pub(super) fn new(answer: hyper::Response<Incoming>, driver: JoinHandle<()>) -> Self {
        let (head, body) = answer.into_parts();
        let head = Response {
            status: head.status,
            headers: head.headers,
            body: Bytes::new(),
        };
        Self { head, body, driver }
    }

    /// The answer without its body.
    pub fn head(&self) -> &Response {
        &self.head
    }

    /// The next bytes of the body, as they come in; `None` at its end.
    ///
    /// # Errors
    ///
    /// If the server cut it off.
    pub async fn next(&mut self) -> Result<Option<Bytes>, String> {
        while let Some(frame) = self.body.frame().await {
            if let Ok(data) = frame.map_err(|error| error.to_string())?.into_data() {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }

    pub(super) fn set_cookies(&self) -> Vec<Cookie<'static>> {
        self.head.set_cookies()
    }

    pub(super) async fn whole(mut self) -> Result<Response, String> {
        let mut body = Vec::new();
        while let Some(data) = self.next().await? {
            body.extend_from_slice(&data);
        }
        Ok(Response {
            body: body.into(),
            ..self.head.clone()
        })
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// A cookie that cannot be parsed is a mistake of the server's, and not to be overlooked.
fn cookies_in(headers: &HeaderMap) -> Vec<Cookie<'static>> {
    let texts = headers.get_all(SET_COOKIE).iter();
    texts
        .map(|value| {
            let text = value.to_str().expect("a cookie is ASCII").to_owned();
            Cookie::parse(text.clone()).unwrap_or_else(|why| panic!("{text}: {why}"))
        })
        .collect()
}
