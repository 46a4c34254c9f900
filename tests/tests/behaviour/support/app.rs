//! An application under test.

use std::{sync::Arc, time::Duration};

use poem::{
    Endpoint, EndpointExt, FromRequest, IntoEndpoint, IntoResponse, Request, RequestBody, Response,
    Result, endpoint::BoxEndpoint,
};
use poem_session::{
    Session, SessionData, Sessions, SessionsBuilder,
    clock::{Clock, ManualClock, Timestamp},
    store::{MemoryStore, SessionStore},
};

use super::{
    Browser, Probe,
    stores::{Backend, PATIENCE},
};

pub(crate) type Site = Arc<BoxEndpoint<'static, Response>>;

/// An application with sessions, whose store is watched and whose time is told.
#[derive(Clone)]
pub(crate) struct App {
    pub(crate) sessions: Sessions,
    pub(crate) store: Arc<Probe>,
    pub(crate) clock: Arc<ManualClock>,
    endpoint: Site,
    /// What its store needs to be there.
    _keep: Option<Arc<Backend>>,
}

/// The default settings: for tests that change none.
pub(crate) fn settings(builder: SessionsBuilder) -> SessionsBuilder {
    builder
}

impl App {
    /// Sessions in memory, with the default settings.
    pub(crate) fn new() -> Self {
        Self::with(settings)
    }

    /// Sessions in memory, with other settings.
    pub(crate) fn with(configure: impl FnOnce(SessionsBuilder) -> SessionsBuilder) -> Self {
        Self::serving(Scripted, configure)
    }

    /// Routes of the test's own beside the closures.
    pub(crate) fn serving(
        routes: impl IntoEndpoint<Endpoint: Endpoint + 'static>,
        configure: impl FnOnce(SessionsBuilder) -> SessionsBuilder,
    ) -> Self {
        Self::on(Arc::new(MemoryStore::new()), routes, configure)
    }

    /// Sessions in this store.
    pub(crate) fn on(
        store: Arc<dyn SessionStore>,
        routes: impl IntoEndpoint<Endpoint: Endpoint + 'static>,
        configure: impl FnOnce(SessionsBuilder) -> SessionsBuilder,
    ) -> Self {
        let clock = Arc::new(ManualClock::new());
        let store = Arc::new(Probe::new(store));
        Self::build(store, clock, routes, configure)
    }

    /// The same application after a deployment with other settings: its store and time go on.
    pub(crate) fn redeployed(
        &self,
        configure: impl FnOnce(SessionsBuilder) -> SessionsBuilder,
    ) -> Self {
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
        let sessions = configure(builder)
            .build()
            .expect("the settings go together");
        let endpoint = routes.with(sessions.clone());
        Self {
            sessions,
            store,
            clock,
            endpoint: serve(endpoint),
            _keep: None,
        }
    }

    /// Sessions in this store, which may take as long as a busy machine needs.
    pub(crate) fn in_backend(backend: Backend) -> Self {
        let settings = |builder: SessionsBuilder| {
            let builder = builder.store_timeout(PATIENCE);
            builder.lock_timeout(PATIENCE)
        };
        Self {
            _keep: Some(Arc::new(backend.clone())),
            ..Self::on(backend.store, Scripted, settings)
        }
    }

    /// A new visitor.
    pub(crate) fn browser(&self) -> Browser {
        Browser::new(Arc::clone(&self.endpoint))
    }

    /// The application itself, for a server.
    pub(crate) fn endpoint(&self) -> Site {
        Arc::clone(&self.endpoint)
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn pass(&self, time: Duration) {
        self.clock.advance(time);
    }
}

/// Any endpoint, for browsers and servers.
fn serve(endpoint: impl Endpoint + 'static) -> Site {
    Arc::new(endpoint.map_to_response().boxed())
}

/// A visitor of an application that the test has put together by itself.
pub(crate) fn serve_all(endpoint: impl Endpoint + 'static) -> Browser {
    Browser::new(serve(endpoint))
}

type Script = Box<
    dyn FnOnce(Request, RequestBody) -> futures_util::future::BoxFuture<'static, Result<Response>>
        + Send,
>;

/// What a request carries to [`Scripted`].
#[derive(Clone)]
pub(crate) struct Carried(Arc<std::sync::Mutex<Option<Script>>>);

/// An endpoint that does what the test's closure says.
#[derive(Clone, Copy)]
pub(crate) struct Scripted;

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

/// The script of a handler that takes a session.
pub(crate) fn script<S, F, Fut, R>(act: F) -> Carried
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
