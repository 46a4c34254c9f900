//! An application under test: one store, the processes that share it, and its time.

use std::{future::Future, sync::Arc};

use poem_session::{
    __private::front_end::ClientUpdate,
    OpenError, RequestError, Session, SessionConfig, SessionData, SessionId,
    clock::{Clock, Timestamp},
    store::MemoryStore,
};
use shuttle::rand::{Rng as _, thread_rng};
use tokio::time::{Instant, NEVER};

use super::{
    distance::Distance,
    front_end::{FrontEnd, Request, Response},
    watched::Watched,
};

/// The data of its sessions.
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
    pub(crate) front_end: FrontEnd,
    pub(crate) distance: Arc<Distance>,
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
pub(crate) fn defaults(_config: &mut SessionConfig) {}

impl World {
    /// One process or two, at random.
    pub(crate) fn new(configure: impl Fn(&mut SessionConfig)) -> Self {
        Self::of(thread_rng().gen_range(1..=2), configure)
    }

    /// Several processes. Calls of the store have no time limit unless `configure` sets one, because time may
    /// pass at any moment.
    pub(crate) fn of(processes: usize, configure: impl Fn(&mut SessionConfig)) -> Self {
        let store = Arc::new(MemoryStore::new());
        let mut config = SessionConfig::default();
        config.store_timeout = NEVER;
        configure(&mut config);
        let processes = (0..processes).map(|_| {
            let distance = Arc::<Distance>::default();
            let distant = Watched::new(Arc::clone(&store) as _, Arc::clone(&distance));
            let front_end = FrontEnd::new(Arc::new(distant), Arc::new(Timeline), &config);
            Process {
                front_end,
                distance,
            }
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
        let manager = &self.processes[0].front_end.manager;
        let session = manager.create::<Page>().expect("one struct");
        session.set_three(3).expect("it fits");
        session.save().await.expect("the store has space");
        session.id()
    }

    /// The data of a session, if it is live.
    pub(crate) async fn page(&self, id: &SessionId) -> Option<Page> {
        match self.processes[0].front_end.manager.open::<Page>(id).await {
            Ok(session) => Some(page(&session)),
            Err(OpenError::NotFound) => None,
            Err(error) => panic!("{error}"),
        }
    }

    /// Whether a session is live.
    pub(crate) async fn lives(&self, id: &SessionId) -> bool {
        self.page(id).await.is_some()
    }
}

impl Process {
    pub(crate) async fn open(&self, id: &SessionId) -> Session<Page> {
        let session = self.front_end.manager.open(id).await;
        session.expect("the session is live")
    }

    /// Sends a request whose handler calls `act` with its session.
    pub(crate) async fn visit(
        &self,
        id: Option<SessionId>,
        act: impl Fn(&Session<Page>),
    ) -> Response {
        self.handle(id, async |session| {
            act(&session);
            Ok(())
        })
        .await
    }

    /// Sends a request whose handler is `act`.
    pub(crate) async fn handle<F, Fut>(&self, id: Option<SessionId>, act: F) -> Response
    where
        F: FnOnce(Session<Page>) -> Fut,
        Fut: Future<Output = Result<(), RequestError>>,
    {
        let request = Request {
            ids: id.into_iter().collect(),
            exclusive: false,
        };
        let handler = async |session| act(session).await.map(|()| 200);
        self.front_end.serve(request, handler).await
    }
}

/// The id that a response sends to the client.
pub(crate) fn sent(response: &Response) -> Option<SessionId> {
    match response.update? {
        ClientUpdate::SetId { id, .. } => Some(id),
        ClientUpdate::ClearId => None,
    }
}

/// All data of a session.
pub(crate) fn page(session: &Session<Page>) -> Page {
    Page {
        one: session.one().expect("a number"),
        two: session.two().expect("a number"),
        three: session.three().expect("a number"),
        count: session.count().expect("a number"),
    }
}
