//! HTTP clients with cookies, over a real socket.
//!
//! ```no_run
//! use poem_session_tests::{http::Client, process::App};
//!
//! # async fn test() {
//! let shop = App::start("shop", &["--listen", "127.0.0.1:0"]).await;
//! let alice = Client::new(shop.address());
//! let response = alice.post("/cart/add").form(&[("product_id", "heron-pen")]).send().await;
//! assert_eq!(response.status, 303);
//! let cart = alice.get("/cart").header("accept", "application/json").send().await;
//! assert_eq!(cart.json()["items"], 1);
//! # }
//! ```

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use reqwest::cookie::{CookieStore as _, Jar};
use reqwest::redirect::Policy;
use reqwest::{RequestBuilder, Url};

use crate::reply::Reply;

/// A browser without a window. Clones share its cookies, like tabs.
///
/// It follows no redirects. Each request has a connection of its own, so a server may restart between two requests.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    jar: Arc<Jar>,
    server: SocketAddr,
}

impl Client {
    /// A client of this server, without cookies.
    pub fn new(server: SocketAddr) -> Self {
        let jar = Arc::new(Jar::default());
        let http = reqwest::Client::builder()
            .cookie_provider(Arc::clone(&jar))
            .redirect(Policy::none())
            .pool_max_idle_per_host(0)
            .no_proxy()
            .timeout(Duration::from_mins(5))
            .build()
            .expect("the settings are valid");
        Self { http, jar, server }
    }

    /// Another client of the same server, without cookies.
    #[must_use]
    pub fn stranger(&self) -> Self {
        Self::new(self.server)
    }

    /// This client at another server. The cookies are shared: they do not depend on the port.
    #[must_use]
    pub fn at(&self, server: SocketAddr) -> Self {
        Self {
            server,
            ..self.clone()
        }
    }

    /// A `GET` request of this path.
    pub fn get(&self, path: &str) -> Request {
        Request(self.http.get(self.url(path)))
    }

    /// A `POST` request to this path.
    pub fn post(&self, path: &str) -> Request {
        Request(self.http.post(self.url(path)))
    }

    /// Follows a redirect with a `GET` request, as browsers do after a form.
    pub async fn follow(&self, reply: &Reply) -> Reply {
        let location = reply.header("location").expect("a redirect");
        self.get(location).send().await
    }

    /// The value of this cookie, if the client sends it to `/`.
    pub fn cookie(&self, name: &str) -> Option<String> {
        let cookies = self.jar.cookies(&self.url("/"))?;
        let cookies = cookies.to_str().expect("cookies are ASCII");
        let mut pairs = cookies.split("; ").filter_map(|pair| pair.split_once('='));
        let (_, value) = pairs.find(|(found, _)| *found == name)?;
        Some(value.to_owned())
    }

    /// The address of a path, or of a whole URL.
    fn url(&self, path: &str) -> Url {
        let server = Url::parse(&format!("http://{}", self.server)).expect("a URL");
        server.join(path).expect("a path")
    }
}

/// A request that is not sent yet.
#[must_use = "a request does nothing until it is sent"]
#[derive(Debug)]
pub struct Request(RequestBuilder);

impl Request {
    /// Adds a header.
    pub fn header(self, name: &str, value: &str) -> Self {
        Self(self.0.header(name, value))
    }

    /// Sets the body to these fields of a form.
    pub fn form(self, fields: &[(&str, &str)]) -> Self {
        Self(self.0.form(fields))
    }

    /// Sends the request and reads the whole response. Panics if there is none.
    pub async fn send(self) -> Reply {
        let response = self.stream().await;
        Reply {
            status: response.status(),
            headers: response.headers().clone(),
            body: response.text().await.expect("the body is whole"),
        }
    }

    /// Sends the request and returns the response when its headers have arrived. Panics if there is none.
    pub async fn stream(self) -> reqwest::Response {
        self.0.send().await.expect("the server responds")
    }
}
