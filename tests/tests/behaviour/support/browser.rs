//! Visitors.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use cookie::Cookie;
use poem::{
    Body, Endpoint, IntoResponse, Request, Response, Result,
    http::{HeaderMap, Method, StatusCode, header},
};
use poem_session::{Session, SessionData, SessionId};
use tokio::{sync::oneshot, task::JoinHandle};

use super::{
    COOKIE, Shop,
    app::{Site, script},
};

/// A visitor who keeps cookies. Clones share them, as tabs do.
#[derive(Clone)]
pub(crate) struct Browser {
    endpoint: Site,
    cookies: Arc<Mutex<BTreeMap<String, String>>>,
}

/// What a visitor got.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

/// A request whose handler has done its work and has not returned yet.
pub(crate) struct InFlight {
    go: oneshot::Sender<()>,
    reply: JoinHandle<Reply>,
}

/// A request to be sent by a [`Browser`].
pub(crate) fn request(method: Method, path: &str) -> Request {
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

    /// A handler that works with the session of this visitor and returns.
    pub(crate) async fn act<R: IntoResponse + Send + 'static>(
        &self,
        act: impl FnOnce(&Session<Shop>) -> Result<R> + Send + 'static,
    ) -> Reply {
        self.visit(|session| async move { act(&session) }).await
    }

    /// A handler that does one thing with the session.
    pub(crate) async fn does(&self, act: fn(&Session<Shop>)) -> Reply {
        self.act(move |session| {
            act(session);
            Ok(())
        })
        .await
    }

    /// The same as [`act`](Self::act) for a handler that must succeed, and what it found out.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&Session<Shop>) -> Result<T> + Send + 'static,
    ) -> T {
        let (tell, told) = oneshot::channel();
        let reply = self
            .act(move |session| {
                let _ = tell.send(ask(session)?);
                Ok(())
            })
            .await;
        assert_eq!(reply.status, StatusCode::OK, "{reply:?}");
        told.await.expect("a handler that succeeds has told")
    }

    /// The same as [`act`](Self::act) for a handler that waits for something.
    pub(crate) async fn visit<F, Fut, R>(&self, act: F) -> Reply
    where
        F: FnOnce(Session<Shop>) -> Fut + Send + 'static,
        Fut: Future<Output = Result<R>> + Send + 'static,
        R: IntoResponse + 'static,
    {
        self.visit_by(request(Method::GET, "/"), act).await
    }

    /// The same by a request of the test's own, and for any session data.
    pub(crate) async fn visit_by<S, F, Fut, R>(&self, mut request: Request, act: F) -> Reply
    where
        S: SessionData,
        F: FnOnce(Session<S>) -> Fut + Send + 'static,
        Fut: Future<Output = Result<R>> + Send + 'static,
        R: IntoResponse + 'static,
    {
        request.extensions_mut().insert(script(act));
        self.send(request).await
    }

    /// A handler that works with session data of any struct, and must succeed.
    pub(crate) async fn with<S: SessionData>(
        &self,
        act: impl FnOnce(&Session<S>) -> Result<()> + Send + 'static,
    ) {
        let reply = self
            .visit_by(
                request(Method::GET, "/"),
                |session: Session<S>| async move { act(&session) },
            )
            .await;
        assert_eq!(reply.status, StatusCode::OK, "{reply:?}");
    }

    /// Runs a handler up to its return, and keeps it there.
    pub(crate) async fn start<R: IntoResponse + Send + 'static>(
        &self,
        act: impl FnOnce(&Session<Shop>) -> Result<R> + Send + 'static,
    ) -> InFlight {
        self.start_async(|session| async move { act(&session) })
            .await
    }

    /// The same for a handler that does one thing with the session.
    pub(crate) async fn start_does(&self, act: fn(&Session<Shop>)) -> InFlight {
        self.start(move |session| {
            act(session);
            Ok(())
        })
        .await
    }

    /// The same for a handler that waits for something.
    pub(crate) async fn start_async<F, Fut, R>(&self, act: F) -> InFlight
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
        arrival.await.expect("the handler gets a session");
        InFlight { go, reply }
    }

    /// Sends a request with this visitor's cookies, and keeps those of the answer.
    pub(crate) async fn send(&self, request: Request) -> Reply {
        let response = self.call(request).await;
        Reply::read(response).await
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
        let cookies = self.cookies.lock().expect("no jar is left half changed");
        let pairs = cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"));
        pairs.collect::<Vec<_>>().join("; ")
    }

    fn keep(&self, headers: &HeaderMap) {
        let mut cookies = self.cookies.lock().expect("no jar is left half changed");
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

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send(request(Method::GET, path)).await
    }

    /// Sends the fields of a form.
    pub(crate) async fn post(&self, path: &str, form: &str) -> Reply {
        self.send(form_request(path, form)).await
    }

    pub(crate) fn cookie(&self, name: &str) -> Option<String> {
        let cookies = self.cookies.lock().expect("no jar is left half changed");
        cookies.get(name).cloned()
    }

    pub(crate) fn set_cookie(&self, name: &str, value: &str) {
        let mut cookies = self.cookies.lock().expect("no jar is left half changed");
        cookies.insert(name.to_owned(), value.to_owned());
    }

    /// The session id in this visitor's cookie.
    pub(crate) fn id(&self) -> Option<SessionId> {
        self.cookie(COOKIE)
            .map(|id| id.parse().expect("the application sets ids"))
    }

    /// The id of a visitor who surely has one.
    pub(crate) fn signed_id(&self) -> SessionId {
        self.id().expect("this visitor has a session")
    }

    /// Another browser with the cookies that this one has now.
    pub(crate) fn fork(&self) -> Self {
        let cookies = self.cookies.lock().expect("no jar is left half changed");
        Self {
            endpoint: Arc::clone(&self.endpoint),
            cookies: Arc::new(Mutex::new(cookies.clone())),
        }
    }

    /// The same visitor at another application.
    pub(crate) fn at(&self, app: &super::App) -> Self {
        Self {
            endpoint: app.endpoint(),
            cookies: Arc::clone(&self.cookies),
        }
    }
}

/// A form on its way, with its length as a client would state it.
pub(crate) fn form_request(path: &str, form: &str) -> Request {
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

impl Reply {
    async fn read(mut response: Response) -> Self {
        Self {
            status: response.status(),
            headers: response.headers().clone(),
            body: response
                .take_body()
                .into_string()
                .await
                .expect("the body is text"),
        }
    }

    /// The only header of this name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.get_all(name).iter();
        let first = values.next()?;
        assert!(values.next().is_none(), "several {name} headers");
        Some(first.to_str().expect("the header is text"))
    }

    /// The only cookie that it sets, if any.
    pub(crate) fn cookie(&self) -> Option<Cookie<'static>> {
        let cookies = self.cookies();
        assert!(cookies.len() <= 1, "several cookies: {cookies:?}");
        cookies.into_iter().next()
    }

    pub(crate) fn cookies(&self) -> Vec<Cookie<'static>> {
        cookies_in(&self.headers)
    }
}

fn cookies_in(headers: &HeaderMap) -> Vec<Cookie<'static>> {
    let set = headers.get_all(header::SET_COOKIE).iter();
    set.map(|value| {
        let text = value.to_str().expect("a cookie is text").to_owned();
        Cookie::parse(text).expect("a cookie is well formed")
    })
    .collect()
}

impl InFlight {
    /// Lets the handler return.
    pub(crate) async fn finish(self) -> Reply {
        self.release().await.expect("the request does not panic")
    }

    /// The same, without waiting for the response.
    pub(crate) fn release(self) -> JoinHandle<Reply> {
        let _ = self.go.send(());
        self.reply
    }

    /// The client goes away: the request is dropped where it is.
    pub(crate) async fn abandon(self) {
        self.reply.abort();
        let _ = self.reply.await;
    }
}
