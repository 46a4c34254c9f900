//! An application under test: one store, the processes that share it, and its time.

use std::{
    future::{Future, ready},
    sync::Arc,
};

use poem::{
    Endpoint as _, EndpointExt as _, FromRequest as _, Request, Response, Result, endpoint::make,
    http::header,
};
use poem_session::{
    OpenError, Session, SessionData, Sessions, SessionsBuilder,
    clock::{Clock, Timestamp},
    id::SessionId,
    store::MemoryStore,
};
use shuttle::rand::{Rng as _, thread_rng};
use tokio::time::{Instant, NEVER};

use super::{distance::Distance, watched::Watched};

/// What its sessions hold.
#[derive(SessionData, Debug, Clone, PartialEq, Eq)]
pub(crate) struct Page {
    pub(crate) one: Option<u32>,
    pub(crate) two: Option<u32>,
    pub(crate) three: Option<u32>,
    #[session(default)]
    pub(crate) count: u32,
}

pub(crate) struct World {
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) processes: Vec<Process>,
}

#[derive(Clone)]
pub(crate) struct Process {
    pub(crate) sessions: Sessions,
    pub(crate) way: Arc<Distance>,
}

/// The time of the execution.
struct Timeline;

impl Clock for Timeline {
    fn now(&self) -> Timestamp {
        let began = Timestamp::from_millis(1_000_000_000);
        began.saturating_add(Instant::now().since_the_beginning())
    }
}

/// The default settings.
pub(crate) fn settings(builder: SessionsBuilder) -> SessionsBuilder {
    builder
}

impl World {
    /// One process, or two: as chance wills.
    pub(crate) fn new(configure: impl Fn(SessionsBuilder) -> SessionsBuilder) -> Self {
        Self::of(thread_rng().gen_range(1..=2), configure)
    }

    /// So many processes. The time limit of a call is none, unless `configure` sets one: time may pass at any
    /// moment.
    pub(crate) fn of(
        processes: usize,
        configure: impl Fn(SessionsBuilder) -> SessionsBuilder,
    ) -> Self {
        let store = Arc::new(MemoryStore::new());
        let processes = (0..processes).map(|_| {
            let way = Arc::<Distance>::default();
            let distant = Watched::new(Arc::clone(&store) as _, Arc::clone(&way));
            let builder = Sessions::builder(distant).clock(Timeline);
            let sessions = configure(builder.store_timeout(NEVER)).build();
            let sessions = sessions.expect("the settings go together");
            Process { sessions, way }
        });
        let processes = processes.collect();
        Self { store, processes }
    }

    /// The process that the request or job with this number is sent to.
    pub(crate) fn process(&self, number: usize) -> Process {
        self.processes[number % self.processes.len()].clone()
    }

    /// A session that is stored.
    pub(crate) async fn begin(&self) -> SessionId {
        let sessions = &self.processes[0].sessions;
        let session = sessions.create::<Page>().expect("one struct");
        session.set_three(3).expect("it fits");
        session.save().await.expect("room");
        session.id()
    }

    /// What a session holds, if it lives.
    pub(crate) async fn page(&self, id: &SessionId) -> Option<Page> {
        match self.processes[0].sessions.open::<Page>(id).await {
            Ok(session) => Some(page(&session)),
            Err(OpenError::NotFound) => None,
            Err(error) => panic!("{error}"),
        }
    }

    /// Whether a session lives.
    pub(crate) async fn lives(&self, id: &SessionId) -> bool {
        self.page(id).await.is_some()
    }
}

impl Process {
    pub(crate) async fn open(&self, id: &SessionId) -> Session<Page> {
        self.sessions.open(id).await.expect("it lives")
    }

    /// Sends a request, whose handler does `act` with its session.
    pub(crate) async fn visit<F>(&self, cookie: Option<&str>, act: F) -> Reply
    where
        F: Fn(&Session<Page>) -> Result<()> + Send + Sync + 'static,
    {
        let act = move |session: Session<Page>| ready(act(&session));
        self.handle(cookie, act).await
    }

    /// Sends a request, whose handler is `act`.
    pub(crate) async fn handle<F, Fut>(&self, cookie: Option<&str>, act: F) -> Reply
    where
        F: Fn(Session<Page>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<()>> + Send,
    {
        let act = Arc::new(act);
        let endpoint = make(move |request: Request| {
            let act = Arc::clone(&act);
            async move { act(Session::from_request_without_body(&request).await?).await }
        });
        let endpoint = endpoint.with(self.sessions.clone());
        let mut request = Request::builder();
        if let Some(cookie) = cookie {
            request = request.header(header::COOKIE, cookie);
        }
        Reply(endpoint.get_response(request.finish()).await)
    }
}

/// What a visitor gets back.
pub(crate) struct Reply(Response);

impl Reply {
    pub(crate) fn status(&self) -> u16 {
        self.0.status().as_u16()
    }

    /// The cookie that it sets, as a request brings it.
    pub(crate) fn cookie(&self) -> Option<String> {
        let cookie = self.0.headers().get(header::SET_COOKIE)?;
        let cookie = cookie.to_str().expect("text").split(';').next();
        cookie.map(str::to_owned)
    }
}

/// All that a session holds.
pub(crate) fn page(session: &Session<Page>) -> Page {
    Page {
        one: session.one().expect("a number"),
        two: session.two().expect("a number"),
        three: session.three().expect("a number"),
        count: session.count().expect("a number"),
    }
}
