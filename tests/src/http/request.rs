//! A request on its way.

use std::fmt::Write as _;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, COOKIE, HOST, HeaderName, HeaderValue};
use hyper::{HeaderMap, Method};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{Client, Response, Stream};

/// A request that is being put together. A mistake in it is a panic; so is a server that does not
/// answer, but in [`try_send`](Self::try_send).
#[must_use = "it does nothing before it is sent"]
#[derive(Debug)]
pub struct Request {
    client: Client,
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Bytes,
    without_cookies: bool,
}

impl Request {
    pub(super) fn new(client: Client, method: Method, path: &str) -> Self {
        Self {
            client,
            method,
            path: path.to_owned(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
            without_cookies: false,
        }
    }

    /// Adds a header; the same name may be given again.
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a header name");
        let value = HeaderValue::from_bytes(value.as_ref()).expect("a header value");
        self.headers.append(name, value);
        self
    }

    /// Sends none of the browser's cookies and keeps none of the answer's.
    pub fn without_cookies(mut self) -> Self {
        self.without_cookies = true;
        self
    }

    /// Sends the fields of a form.
    pub fn form(self, fields: &[(&str, &str)]) -> Self {
        let encoded: Vec<String> = fields
            .iter()
            .map(|(name, value)| encode(name) + "=" + &encode(value))
            .collect();
        self.body("application/x-www-form-urlencoded", encoded.join("&"))
    }

    /// Sends JSON.
    pub fn json(self, value: &serde_json::Value) -> Self {
        self.body("application/json", value.to_string())
    }

    /// Sends a body of this type.
    pub fn body(mut self, content_type: &str, body: impl Into<Bytes>) -> Self {
        self.headers.remove(CONTENT_TYPE);
        self.body = body.into();
        self.header("content-type", content_type)
    }

    /// Sends it and gives the whole answer.
    pub async fn send(self) -> Response {
        let what = format!("{} {}", self.method, self.path);
        self.try_send()
            .await
            .unwrap_or_else(|why| panic!("{what}: {why}"))
    }

    /// The same, with a text for what went wrong on the way: no connection, cut off, no answer
    /// within five minutes.
    ///
    /// # Errors
    ///
    /// If there is no whole answer.
    pub async fn try_send(self) -> Result<Response, String> {
        let limit = self.client.limit;
        let whole = async { self.open().await?.whole().await };
        timeout(limit, whole)
            .await
            .map_err(|_| "no answer in time".to_owned())?
    }

    /// Sends it and gives the answer as soon as its head is there, to read its body bit by bit.
    /// Dropping that closes the connection.
    pub async fn stream(self) -> Stream {
        let what = format!("{} {}", self.method, self.path);
        let opened = timeout(self.client.limit, self.open()).await;
        match opened.unwrap_or_else(|_| Err("no answer in time".to_owned())) {
            Ok(stream) => stream,
            Err(why) => panic!("{what}: {why}"),
        }
    }

    async fn open(self) -> Result<Stream, String> {
        let (client, path) = (self.client.clone(), self.path.clone());
        let keeps_cookies = !self.without_cookies;
        let connection = TcpStream::connect(client.server)
            .await
            .map_err(|e| e.to_string())?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(connection))
                .await
                .map_err(|e| e.to_string())?;
        let driver = tokio::spawn(async move {
            // What goes wrong here is reported to the sender or the reader of the body.
            let _ = connection.await;
        });
        let stream = match sender.send_request(self.into_hyper()).await {
            Ok(answer) => Stream::new(answer, driver),
            Err(error) => return Err(error.to_string()),
        };
        if keeps_cookies {
            for cookie in stream.set_cookies() {
                client.with_jar(|jar| jar.keep(&client.host, &path, cookie));
            }
        }
        Ok(stream)
    }

    fn into_hyper(self) -> hyper::Request<Full<Bytes>> {
        let Self {
            client,
            method,
            path,
            mut headers,
            body,
            without_cookies,
        } = self;
        if !headers.contains_key(HOST) {
            headers.insert(HOST, client.host.parse().expect("a host is a header value"));
        }
        let cookies = client.with_jar(|jar| jar.matching(&client.host, &path));
        if !without_cookies && !cookies.is_empty() {
            let pairs: Vec<String> = cookies
                .into_iter()
                .map(|(name, value)| name + "=" + &value)
                .collect();
            let value = HeaderValue::from_str(&pairs.join("; ")).expect("cookies were headers");
            headers.append(COOKIE, value);
        }
        let mut request = hyper::Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = path.parse().expect("a path is a URI");
        *request.headers_mut() = headers;
        request
    }
}

/// The form encoding of a text: all but letters and digits by its bytes.
fn encode(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() {
            encoded.push(char::from(byte));
        } else {
            write!(encoded, "%{byte:02X}").expect("a String takes all text");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_field_is_encoded_byte_by_byte() {
        assert_eq!(encode("a b&c=ü"), "a%20b%26c%3D%C3%BC");
    }
}
