//! HTTP clients with cookies, over a real socket.
//!
//! A [`Client`] is one person's browser: it keeps cookies by the rules of RFC 6265bis, sends them
//! back, and follows no redirect by itself. Each request has a connection of its own, so that a server
//! that was restarted is simply there again.
//!
//! ```no_run
//! use poem_session_tests::{http::Client, process::App};
//!
//! # async fn test() {
//! let shop = App::start("shop", &["--listen", "127.0.0.1:0"]).await;
//! let alice = Client::new(shop.address());
//! let answer = alice.post("/cart/add").form(&[("product_id", "heron-pen")]).send().await;
//! assert_eq!(answer.status, 303);
//! let cart = alice.get("/cart").header("accept", "application/json").send().await;
//! assert_eq!(cart.json()["items"], 1);
//! # }
//! ```

mod jar;
mod request;
mod response;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cookie::Cookie;

pub use hyper::{Method, StatusCode};
pub use request::Request;
pub use response::{Response, Stream};

use jar::Jar;

/// One person's browser. Clones share its cookies, as its tabs do.
#[derive(Clone, Debug)]
pub struct Client {
    server: SocketAddr,
    host: String,
    jar: Arc<Mutex<Jar>>,
    limit: Duration,
}

impl Client {
    /// A browser without cookies, for the server at this address.
    pub fn new(server: SocketAddr) -> Self {
        Self {
            server,
            host: server.to_string(),
            jar: Arc::default(),
            limit: Duration::from_mins(5),
        }
    }

    /// The same browser (cookies are shared), asking the same server for another host: what name
    /// resolution would do.
    #[must_use]
    pub fn host(&self, host: impl Into<String>) -> Self {
        Self {
            host: host.into(),
            ..self.clone()
        }
    }

    /// The same browser with cookies of its own from here on, which begin as those of now.
    #[must_use]
    pub fn fork(&self) -> Self {
        let jar = self
            .jar
            .lock()
            .expect("no jar is left half changed")
            .clone();
        Self {
            jar: Arc::new(Mutex::new(jar)),
            ..self.clone()
        }
    }

    /// The same browser, asking another server: a second process of one application, say.
    #[must_use]
    pub fn at(&self, server: SocketAddr) -> Self {
        Self {
            server,
            ..self.clone()
        }
    }

    /// A `GET` of this path, to be sent.
    pub fn get(&self, path: &str) -> Request {
        self.request(Method::GET, path)
    }

    /// A `POST` to this path, to be sent.
    pub fn post(&self, path: &str) -> Request {
        self.request(Method::POST, path)
    }

    /// A request with any method.
    pub fn request(&self, method: Method, path: &str) -> Request {
        Request::new(self.clone(), method, path)
    }

    /// Follows a redirect, as browsers do after a form: by a `GET`, once.
    pub async fn follow(&self, response: &Response) -> Response {
        let location = response
            .header("location")
            .expect("the response is a redirect");
        // What a server on this host writes, with or without its own name.
        let origin = format!("http://{}", self.host);
        let path = location.strip_prefix(&origin).unwrap_or(location);
        self.get(path).send().await
    }

    /// The value of the cookie that would be sent to `/` under this name.
    pub fn cookie(&self, name: &str) -> Option<String> {
        let cookies = self.with_jar(|jar| jar.matching(&self.host, "/"));
        cookies
            .into_iter()
            .find(|(found, _)| found == name)
            .map(|(_, value)| value)
    }

    /// Every cookie that is kept, as it was set.
    pub fn cookies(&self) -> Vec<Cookie<'static>> {
        self.with_jar(|jar| jar.all())
    }

    /// Keeps a cookie as if the server had set it.
    pub fn set_cookie(&self, cookie: Cookie<'static>) {
        self.with_jar(|jar| jar.keep(&self.host, "/", cookie));
    }

    /// Forgets all cookies.
    pub fn clear_cookies(&self) {
        self.with_jar(|jar| *jar = Jar::default());
    }

    fn with_jar<T>(&self, work: impl FnOnce(&mut Jar) -> T) -> T {
        work(&mut self.jar.lock().expect("no jar is left half changed"))
    }
}

/// Several people's browsers, by name.
#[derive(Debug)]
pub struct Clients {
    server: SocketAddr,
    by_name: Mutex<HashMap<String, Client>>,
}

impl Clients {
    /// Nobody yet; all of them will talk to this server.
    pub fn new(server: SocketAddr) -> Self {
        Self {
            server,
            by_name: Mutex::default(),
        }
    }

    /// The browser of this person, without cookies when it is asked for the first time.
    pub fn of(&self, name: &str) -> Client {
        let mut clients = self.by_name.lock().expect("no insertion panics");
        clients
            .entry(name.to_owned())
            .or_insert_with(|| Client::new(self.server))
            .clone()
    }
}
