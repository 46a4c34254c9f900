//! Visitors, who send requests to the endpoint without a socket.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use poem::{
    Body, Endpoint, IntoResponse, Request, Response, Result,
    http::{HeaderMap, Method, StatusCode, header},
};
use poem_session::{Session, SessionData, SessionId};
use tokio::{sync::oneshot, task::JoinHandle};

use super::{
    App, COOKIE, Shop,
    app::{Site, script},
};
use crate::reply::{Reply, cookies_in};

/// A visitor with a cookie jar. Clones share the jar, like the tabs of a browser.
#[derive(Clone)]
pub struct Browser {
    endpoint: Site,
    cookies: Arc<Mutex<BTreeMap<String, String>>>,
}

/// A request whose handler has run up to its return, and waits there.
pub struct InFlight {
    go: oneshot::Sender<()>,
    reply: JoinHandle<Reply>,
}

/// A request without headers and body.
pub fn request(method: Method, path: &str) -> Request {
    Request::builder()
        .method(method)
        .uri(path.parse().expect("a path is a URI"))
        .finish()
}

impl Browser {
    pub(super) fn new(endpoint: Site) -> Self {
        Self {
            endpoint,
            cookies: Arc::default(),
        }
    }

    /// Sends a request whose handler uses the session and returns.
    pub async fn act<R: IntoResponse + Send + 'static>(
        &self,
        act: impl FnOnce(&Session<Shop>) -> Result<R> + Send + 'static,
    ) -> Reply {
        self.act_by(request(Method::GET, "/"), act).await
    }

    /// Like [`act`](Self::act), with a request of the test's own.
    pub async fn act_by<R: IntoResponse + Send + 'static>(
        &self,
        request: Request,
        act: impl FnOnce(&Session<Shop>) -> Result<R> + Send + 'static,
    ) -> Reply {
        self.visit_by(request, |session| async move { act(&session) })
            .await
    }

    /// Like [`act`](Self::act), for a method that returns nothing.
    pub async fn does(&self, act: fn(&Session<Shop>)) -> Reply {
        self.does_by(request(Method::GET, "/"), act).await
    }

    /// Like [`does`](Self::does), with a request of the test's own.
    pub async fn does_by(&self, request: Request, act: fn(&Session<Shop>)) -> Reply {
        self.act_by(request, move |session| {
            act(session);
            Ok(())
        })
        .await
    }

    /// Returns what the handler returns, which must succeed.
    pub async fn ask<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&Session<Shop>) -> Result<T> + Send + 'static,
    ) -> T {
        self.with(ask).await
    }

    /// Like [`ask`](Self::ask), for any session data.
    pub async fn with<S: SessionData, T: Send + 'static>(
        &self,
        act: impl FnOnce(&Session<S>) -> Result<T> + Send + 'static,
    ) -> T {
        let (sender, receiver) = oneshot::channel();
        let handler = |session: Session<S>| async move {
            let _ = sender.send(act(&session)?);
            Ok(())
        };
        let reply = self.visit_by(request(Method::GET, "/"), handler).await;
        assert_eq!(reply.status, StatusCode::OK, "{reply:?}");
        receiver.await.expect("the handler has succeeded")
    }

    /// The user of this visitor's session.
    pub async fn user(&self) -> Option<u64> {
        self.ask(|s| Ok(s.user()?)).await
    }

    /// The user of the session that this request presents.
    pub async fn user_by(&self, request: Request) -> Option<u64> {
        let read = |s: &Session<Shop>| Ok(s.user()?.unwrap_or_default().to_string());
        let reply = self.act_by(request, read).await;
        let user = reply.body.parse().expect("the handler returns a number");
        Some(user).filter(|user| *user != 0)
    }

    /// The cart of this visitor's session.
    pub async fn cart(&self) -> Vec<String> {
        self.ask(|s| Ok(s.cart()?)).await
    }

    /// The counter of this visitor's session.
    pub async fn visits(&self) -> u64 {
        self.ask(|s| Ok(s.visits()?)).await
    }

    /// Like [`act`](Self::act), for a handler that awaits.
    pub async fn visit<F, Fut, R>(&self, act: F) -> Reply
    where
        F: FnOnce(Session<Shop>) -> Fut + Send + 'static,
        Fut: Future<Output = Result<R>> + Send + 'static,
        R: IntoResponse + 'static,
    {
        self.visit_by(request(Method::GET, "/"), act).await
    }

    /// Like [`visit`](Self::visit), with a request of the test's own, for any session data.
    pub async fn visit_by<S, F, Fut, R>(&self, mut request: Request, act: F) -> Reply
    where
        S: SessionData,
        F: FnOnce(Session<S>) -> Fut + Send + 'static,
        Fut: Future<Output = Result<R>> + Send + 'static,
        R: IntoResponse + 'static,
    {
        request.extensions_mut().insert(script(act));
        self.send(request).await
    }

    /// Runs a handler up to its return, and stops there.
    pub async fn start<R: IntoResponse + Send + 'static>(
        &self,
        act: impl FnOnce(&Session<Shop>) -> Result<R> + Send + 'static,
    ) -> InFlight {
        self.start_async(|session| async move { act(&session) })
            .await
    }

    /// Like [`start`](Self::start), for a method that returns nothing.
    pub async fn start_does(&self, act: fn(&Session<Shop>)) -> InFlight {
        self.start(move |session| {
            act(session);
            Ok(())
        })
        .await
    }

    /// Like [`start`](Self::start), for a handler that awaits.
    pub async fn start_async<F, Fut, R>(&self, act: F) -> InFlight
    where
        F: FnOnce(Session<Shop>) -> Fut + Send + 'static,
        Fut: Future<Output = Result<R>> + Send + 'static,
        R: IntoResponse + Send + 'static,
    {
        let (reached, arrival) = oneshot::channel();
        let (go, gone) = oneshot::channel::<()>();
        let browser = self.clone();
        let reply = tokio::spawn(async move {
            browser
                .visit(|session| async move {
                    let result = act(session).await;
                    let _ = reached.send(());
                    let _ = gone.await;
                    result
                })
                .await
        });
        arrival.await.expect("the handler has run");
        InFlight { go, reply }
    }

    /// Sends a request with this visitor's cookies, and keeps the cookies of the response.
    pub async fn send(&self, request: Request) -> Reply {
        let mut response = self.call(request).await;
        let body = response.take_body().into_string().await;
        Reply {
            status: response.status(),
            headers: std::mem::take(response.headers_mut()),
            body: body.expect("the body is text"),
        }
    }

    async fn call(&self, mut request: Request) -> Response {
        let cookies = self.cookie_header();
        if !cookies.is_empty() {
            let cookies = cookies.parse().expect("cookies are a header");
            request.headers_mut().append(header::COOKIE, cookies);
        }
        let response = self.endpoint.get_response(request).await;
        self.keep(response.headers());
        response
    }

    fn cookie_header(&self) -> String {
        let cookies = self.cookies.lock().expect("the jar is not poisoned");
        let pairs = cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"));
        pairs.collect::<Vec<_>>().join("; ")
    }

    fn keep(&self, headers: &HeaderMap) {
        let mut cookies = self.cookies.lock().expect("the jar is not poisoned");
        for cookie in cookies_in(headers) {
            let (name, value) = cookie.name_value();
            if cookie
                .max_age()
                .is_some_and(cookie::time::SignedDuration::is_zero)
            {
                cookies.remove(name);
            } else {
                cookies.insert(name.to_owned(), value.to_owned());
            }
        }
    }

    /// Sends a `GET` request of this path.
    pub async fn get(&self, path: &str) -> Reply {
        self.send(request(Method::GET, path)).await
    }

    /// Sends the fields of a form.
    pub async fn post(&self, path: &str, form: &str) -> Reply {
        self.send(form_request(path, form)).await
    }

    /// The value of this cookie.
    pub fn cookie(&self, name: &str) -> Option<String> {
        let cookies = self.cookies.lock().expect("the jar is not poisoned");
        cookies.get(name).cloned()
    }

    /// Adds a cookie, or replaces it.
    pub fn set_cookie(&self, name: &str, value: &str) {
        let mut cookies = self.cookies.lock().expect("the jar is not poisoned");
        cookies.insert(name.to_owned(), value.to_owned());
    }

    /// The session id in this visitor's cookie.
    pub fn id(&self) -> Option<SessionId> {
        self.cookie(COOKIE)
            .map(|id| id.parse().expect("the application sets ids"))
    }

    /// The session id of a visitor who has one.
    pub fn signed_id(&self) -> SessionId {
        self.id().expect("the visitor has a session")
    }

    /// A second browser with a copy of the cookies.
    #[must_use]
    pub fn fork(&self) -> Self {
        let cookies = self.cookies.lock().expect("the jar is not poisoned");
        Self {
            endpoint: Arc::clone(&self.endpoint),
            cookies: Arc::new(Mutex::new(cookies.clone())),
        }
    }

    /// This visitor at another application.
    #[must_use]
    pub fn at(&self, app: &App) -> Self {
        Self {
            endpoint: app.endpoint(),
            cookies: Arc::clone(&self.cookies),
        }
    }
}

/// A request with a form and its length.
pub fn form_request(path: &str, form: &str) -> Request {
    let mut request = request(Method::POST, path);
    let headers = request.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        "application/x-www-form-urlencoded"
            .parse()
            .expect("a header value"),
    );
    headers.insert(header::CONTENT_LENGTH, form.len().into());
    request.set_body(Body::from_string(form.to_owned()));
    request
}

impl InFlight {
    /// Lets the handler return.
    pub async fn finish(self) -> Reply {
        self.release().await.expect("no panic")
    }

    /// Lets the handler return, and does not wait for the response.
    pub fn release(self) -> JoinHandle<Reply> {
        let _ = self.go.send(());
        self.reply
    }

    /// Drops the request, as if the client had disconnected.
    pub async fn abandon(self) {
        self.reply.abort();
        let _ = self.reply.await;
    }
}
