//! A small application, one of whose sessions is known.

use std::{future::Future, sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use poem::{
    Endpoint, EndpointExt, FromRequest, IntoEndpoint, Request, Response, Result,
    endpoint::BoxEndpoint,
};
use poem_session::{
    Session, SessionData, SessionId, Sessions, SessionsBuilder,
    clock::{Clock, Timestamp},
    store::{MemoryStore, SessionStore, Write},
};
use tokio::runtime::{Builder, Runtime};

/// The id of Alice's session, which inputs may name.
pub(crate) const ALICE: &str = "alice-alice-alice-alice";

/// What Alice's session says.
pub(crate) const NAME: &str = "Alice";

/// Inputs are to have the same effect each time.
pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

struct Standing;

impl Clock for Standing {
    fn now(&self) -> Timestamp {
        NOW
    }
}

#[derive(SessionData)]
#[session(namespace = "site")]
pub(crate) struct Visit {
    pub(crate) name: Option<String>,
    #[session(default)]
    pub(crate) visits: u32,
}

/// What a handler has seen of its session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) fresh: bool,
    pub(crate) name: Option<String>,
}

impl Seen {
    pub(crate) fn of(session: &Session<Visit>) -> Result<Self> {
        Ok(Self {
            fresh: session.is_fresh(),
            name: session.name()?,
        })
    }

    /// Whether it was Alice's, and was taken for nobody else's in any respect.
    pub(crate) fn is_alice(&self) -> bool {
        assert_eq!(self.fresh, self.name.is_none(), "{self:?}");
        !self.fresh
    }
}

thread_local! {
    /// The store of one site after the other, since it is large.
    static STORE: Arc<MemoryStore> = Arc::default();
}

/// Sessions in memory, and an endpoint with them.
pub(crate) struct Site {
    pub(crate) sessions: Sessions,
    pub(crate) store: Arc<MemoryStore>,
    endpoint: BoxEndpoint<'static, Response>,
}

impl Site {
    /// Nobody has a session yet. `None` where the settings are refused.
    pub(crate) fn with(
        routes: impl IntoEndpoint<Endpoint: Endpoint + 'static>,
        configure: impl FnOnce(SessionsBuilder) -> SessionsBuilder,
    ) -> Option<Self> {
        let store = STORE.with(Arc::clone);
        let cleared = store.clear().now_or_never();
        cleared
            .expect("memory does not wait")
            .expect("memory answers");
        let builder = Sessions::builder(Arc::clone(&store)).clock(Standing);
        let sessions = configure(builder).build().ok()?;
        let endpoint = routes.with(sessions.clone()).map_to_response().boxed();
        Some(Self {
            sessions,
            store,
            endpoint,
        })
    }

    /// Alice has one.
    pub(crate) async fn with_alice(self) -> Self {
        // As a record is documented, and not by way of what is being tested.
        let mut record = Vec::new();
        let entries = [
            ("$created", rmpv::Value::from(NOW.as_millis())),
            ("site.name", NAME.into()),
        ];
        let entries = entries.map(|(key, value)| (key.into(), value)).to_vec();
        rmpv::encode::write_value(&mut record, &rmpv::Value::Map(entries))
            .expect("memory takes it");
        self.plant(alice(), record).await;
        self
    }

    /// Puts bytes into the store as the record of an id.
    pub(crate) async fn plant(&self, id: SessionId, record: impl Into<bytes::Bytes>) {
        let end = NOW.saturating_add(Duration::from_mins(10));
        self.store
            .create(id.public(), Write::new(record, end), NOW)
            .await
            .expect("memory has room");
    }

    pub(crate) async fn call(&self, request: Request) -> Response {
        self.endpoint.get_response(request).await
    }

    /// Whether the store knows an id.
    pub(crate) async fn knows(&self, id: SessionId) -> bool {
        let found = self.store.load(id.public(), NOW).await;
        found.expect("memory answers").is_some()
    }
}

pub(crate) fn alice() -> SessionId {
    id(ALICE.as_bytes()).expect("it is well formed")
}

pub(crate) fn id(text: &[u8]) -> Option<SessionId> {
    SessionId::parse(text).ok()
}

/// All ids, well formed as they are, that stand in a text.
pub(crate) fn ids_in(text: &[u8]) -> impl Iterator<Item = SessionId> {
    text.split(|byte| !(byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')))
        .filter_map(id)
}

/// An endpoint that is a function of the request's session.
pub(crate) struct Act<F>(pub(crate) F);

impl<F, Fut> Endpoint for Act<F>
where
    F: Fn(Session<Visit>, Request) -> Fut + Send + Sync,
    Fut: Future<Output = Result<()>> + Send,
{
    type Output = ();

    async fn call(&self, request: Request) -> Result<()> {
        let (mut request, mut body) = request.split();
        let session = Session::from_request(&request, &mut body).await?;
        request.set_body(body.take()?);
        (self.0)(session, request).await
    }
}

/// Runs it to its end. The stores' time limits need a clock, and nothing here waits for it.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    thread_local! {
        static RUNTIME: Runtime = Builder::new_current_thread()
            .enable_time()
            .build()
            .expect("a runtime without threads");
    }
    RUNTIME.with(|runtime| runtime.block_on(future))
}
