//! An application under test.

use std::{sync::Arc, time::Duration};

use poem::{
    Endpoint, EndpointExt, FromRequest, IntoEndpoint, IntoResponse, Request, RequestBody, Response,
    Result, endpoint::BoxEndpoint,
};
use poem_session::{
    OpenError, Session, SessionData, SessionId, Sessions, SessionsBuilder,
    clock::{Clock, ManualClock, Timestamp},
    store::{MemoryStore, SessionStore},
};

use super::{Browser, Probe, Shop};
use crate::{PATIENCE, stores::Backend};

/// The endpoint of an application.
pub type Site = Arc<BoxEndpoint<'static, Response>>;

/// An application whose store is a [`Probe`] and whose clock is set by the test.
#[derive(Clone)]
pub struct App {
    /// The operations on all sessions.
    pub sessions: Sessions,
    /// The store.
    pub store: Arc<Probe>,
    /// The clock of the sessions.
    pub clock: Arc<ManualClock>,
    endpoint: Site,
    /// Keeps the server or the file of the store.
    _keep: Option<Arc<Backend>>,
}

impl App {
    /// An application with the default settings and the memory store.
    #[expect(clippy::new_without_default, reason = "only tests make applications")]
    pub fn new() -> Self {
        Self::with(super::settings)
    }

    /// An application with these settings and the memory store.
    pub fn with(configure: impl FnOnce(SessionsBuilder) -> SessionsBuilder) -> Self {
        Self::serving(Scripted, configure)
    }

    /// An application with these routes.
    pub fn serving(
        routes: impl IntoEndpoint<Endpoint: Endpoint + 'static>,
        configure: impl FnOnce(SessionsBuilder) -> SessionsBuilder,
    ) -> Self {
        Self::on(Arc::new(MemoryStore::new()), routes, configure)
    }

    /// An application on this store.
    pub fn on(
        store: Arc<dyn SessionStore>,
        routes: impl IntoEndpoint<Endpoint: Endpoint + 'static>,
        configure: impl FnOnce(SessionsBuilder) -> SessionsBuilder,
    ) -> Self {
        let clock = Arc::new(ManualClock::new());
        let store = Arc::new(Probe::new(store));
        Self::build(store, clock, routes, configure)
    }

    /// A second process of this application with other settings, on the same store and clock.
    #[must_use]
    pub fn redeployed(&self, configure: impl FnOnce(SessionsBuilder) -> SessionsBuilder) -> Self {
        let (store, clock) = (Arc::clone(&self.store), Arc::clone(&self.clock));
        Self::build(store, clock, Scripted, configure)
    }

    fn build(
        store: Arc<Probe>,
        clock: Arc<ManualClock>,
        routes: impl IntoEndpoint<Endpoint: Endpoint + 'static>,
        configure: impl FnOnce(SessionsBuilder) -> SessionsBuilder,
    ) -> Self {
        let builder = Sessions::builder(store.watched()).clock(Arc::clone(&clock));
        let sessions = configure(builder).build().expect("the settings are valid");
        let endpoint = routes.with(sessions.clone());
        Self {
            sessions,
            store,
            clock,
            endpoint: serve(endpoint),
            _keep: None,
        }
    }

    /// An application on this store, with time limits for a busy machine.
    pub fn in_backend(backend: Backend) -> Self {
        Self {
            _keep: Some(Arc::new(backend.clone())),
            ..Self::in_store(backend.store, PATIENCE)
        }
    }

    /// An application on this store, with this time limit for its calls.
    pub fn in_store(store: Arc<dyn SessionStore>, limit: Duration) -> Self {
        Self::on(store, Scripted, |builder| {
            let builder = builder.store_timeout(limit).lock_lease(limit * 2);
            builder.lock_timeout(PATIENCE)
        })
    }

    /// A visitor without cookies.
    pub fn browser(&self) -> Browser {
        Browser::new(Arc::clone(&self.endpoint))
    }

    /// A visitor with a session of user 7.
    pub async fn sign_in(&self) -> Browser {
        let visitor = self.browser();
        let reply = visitor.act(|s| Ok(s.set_user(7)?)).await;
        assert_eq!(reply.status, 200);
        visitor
    }

    /// Opens the session of this visitor outside of a request.
    pub async fn open(&self, visitor: &Browser) -> Session<Shop> {
        let opened = self.sessions.open(&visitor.signed_id()).await;
        opened.expect("the session exists")
    }

    /// Whether there is a session with this id.
    pub async fn exists(&self, id: &SessionId) -> bool {
        match self.sessions.open::<Shop>(id).await {
            Ok(_) => true,
            Err(OpenError::NotFound) => false,
            Err(error) => panic!("{error}"),
        }
    }

    /// A new session that no request has loaded.
    pub fn create(&self) -> Session<Shop> {
        self.sessions.create().expect("the keys do not clash")
    }

    /// The endpoint, for a server.
    pub fn endpoint(&self) -> Site {
        Arc::clone(&self.endpoint)
    }

    /// The time of the clock.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Advances the clock.
    pub fn pass(&self, time: Duration) {
        self.clock.advance(time);
    }
}

fn serve(endpoint: impl Endpoint + 'static) -> Site {
    Arc::new(endpoint.map_to_response().boxed())
}

/// A visitor of an endpoint that the test has built itself.
pub fn serve_all(endpoint: impl Endpoint + 'static) -> Browser {
    Browser::new(serve(endpoint))
}

type Script = Box<
    dyn FnOnce(Request, RequestBody) -> futures_util::future::BoxFuture<'static, Result<Response>>
        + Send,
>;

/// The handler that a request brings along for [`Scripted`].
#[derive(Clone)]
pub(super) struct Carried(Arc<std::sync::Mutex<Option<Script>>>);

/// An endpoint that runs the closure in the request's extensions as its handler.
#[derive(Clone, Copy)]
pub struct Scripted;

impl Endpoint for Scripted {
    type Output = Response;

    async fn call(&self, req: Request) -> Result<Response> {
        let Carried(script) = req
            .data::<Carried>()
            .expect("a request to this route carries a script")
            .clone();
        let script = script.lock().expect("no script panics with it held").take();
        let script = script.expect("a script runs once");
        let (req, body) = req.split();
        script(req, body).await
    }
}

/// Makes a script of a handler that takes a session.
pub(super) fn script<S, F, Fut, R>(act: F) -> Carried
where
    S: SessionData,
    F: FnOnce(Session<S>) -> Fut + Send + 'static,
    Fut: Future<Output = Result<R>> + Send + 'static,
    R: IntoResponse + 'static,
{
    let script: Script = Box::new(move |req, mut body| {
        Box::pin(async move {
            let session = Session::<S>::from_request(&req, &mut body).await?;
            act(session).await.map(IntoResponse::into_response)
        })
    });
    Carried(Arc::new(std::sync::Mutex::new(Some(script))))
}
