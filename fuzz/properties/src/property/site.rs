//! A small application for the properties, with a session whose id the inputs may contain.

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

/// The id of Alice's session, which inputs may contain.
pub(crate) const ALICE: &str = "alice-alice-alice-alice";

/// The name in Alice's session.
pub(crate) const NAME: &str = "Alice";

/// The time of the clock, which does not move, so that an input has the same effect each time.
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

/// The data of its session that a handler has read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) is_new: bool,
    pub(crate) name: Option<String>,
}

impl Seen {
    pub(crate) fn of(session: &Session<Visit>) -> Result<Self> {
        Ok(Self {
            is_new: session.is_new(),
            name: session.name()?,
        })
    }

    /// Whether it was Alice's session. Checks that its two fields agree.
    pub(crate) fn is_alice(&self) -> bool {
        assert_eq!(self.is_new, self.name.is_none(), "{self:?}");
        !self.is_new
    }
}

thread_local! {
    /// The sites of a thread share a store, because the store is large.
    static STORE: Arc<MemoryStore> = Arc::default();
}

/// A memory store with sessions, and an endpoint that uses them.
pub(crate) struct Site {
    pub(crate) sessions: Sessions,
    pub(crate) store: Arc<MemoryStore>,
    endpoint: BoxEndpoint<'static, Response>,
}

impl Site {
    /// A site without sessions. `None` if the settings are refused.
    pub(crate) fn with(
        routes: impl IntoEndpoint<Endpoint: Endpoint + 'static>,
        configure: impl FnOnce(SessionsBuilder) -> SessionsBuilder,
    ) -> Option<Self> {
        let store = STORE.with(Arc::clone);
        let cleared = store.clear().now_or_never();
        cleared
            .expect("the memory store does not wait")
            .expect("the memory store does not fail");
        let builder = Sessions::builder(Arc::clone(&store)).clock(Standing);
        let sessions = configure(builder).build().ok()?;
        let endpoint = routes.with(sessions.clone()).map_to_response().boxed();
        Some(Self {
            sessions,
            store,
            endpoint,
        })
    }

    /// Adds Alice's session.
    pub(crate) async fn with_alice(self) -> Self {
        // Writes the documented layout of a record, without the code under test.
        let mut record = Vec::new();
        let entries = [
            ("$created", rmpv::Value::from(NOW.as_millis())),
            ("site.name", NAME.into()),
        ];
        let entries = entries.map(|(key, value)| (key.into(), value)).to_vec();
        rmpv::encode::write_value(&mut record, &rmpv::Value::Map(entries))
            .expect("writing to memory succeeds");
        self.plant(alice(), record).await;
        self
    }

    /// Stores bytes as the record of an id.
    pub(crate) async fn plant(&self, id: SessionId, record: impl Into<bytes::Bytes>) {
        let end = NOW.saturating_add(Duration::from_mins(10));
        self.store
            .create(id.public(), Write::new(record, end), NOW)
            .await
            .expect("the memory store is not full");
    }

    pub(crate) async fn call(&self, request: Request) -> Response {
        self.endpoint.get_response(request).await
    }

    /// Whether the store has a record for an id.
    pub(crate) async fn has(&self, id: SessionId) -> bool {
        let found = self.store.load(id.public(), NOW).await;
        found.expect("the memory store does not fail").is_some()
    }
}

pub(crate) fn alice() -> SessionId {
    id(ALICE.as_bytes()).expect("the id is well formed")
}

pub(crate) fn id(text: &[u8]) -> Option<SessionId> {
    SessionId::parse(text).ok()
}

/// All well-formed ids in a text.
pub(crate) fn ids_in(text: &[u8]) -> impl Iterator<Item = SessionId> {
    text.split(|byte| !(byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')))
        .filter_map(id)
}

/// An endpoint that calls a function with the session and the request.
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

/// Runs a future to its end. The time limits of stores need tokio's clock, but no future here waits for it.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    thread_local! {
        static RUNTIME: Runtime = Builder::new_current_thread()
            .enable_time()
            .build()
            .expect("a runtime without threads");
    }
    RUNTIME.with(|runtime| runtime.block_on(future))
}
