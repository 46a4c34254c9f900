//! A front end without a web framework: begins the session of a request, runs its handler, and finishes the
//! session, as the middleware for Poem does.
//!
//! Tests that play thousands of requests use it. An HTTP endpoint would be slower and would hide the update
//! that the client is sent.

use std::{future::Future, sync::Arc};

use poem_session::{
    __private::front_end::{ClientUpdate, Found, Manager, Outcome},
    LoadError, LockError, RequestError, SaveError, Session, SessionConfig, SessionData, SessionId,
    clock::Clock,
    store::{SessionStore, StoreErrorKind},
};

/// Serves requests of one process. Clones share the sessions.
#[derive(Clone)]
pub struct FrontEnd {
    /// The operations on all sessions.
    pub manager: Arc<Manager>,
}

/// A request.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// The session ids that the client presents, in order.
    pub ids: Vec<SessionId>,
    /// Whether the session is locked for the handler.
    pub exclusive: bool,
}

/// A response.
#[derive(Debug)]
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// The update to the id that the client holds.
    pub update: Option<ClientUpdate>,
}

impl FrontEnd {
    /// The sessions in `store`. The settings are not checked: some tests need time limits that never pass.
    pub fn new(
        store: Arc<dyn SessionStore>,
        clock: Arc<dyn Clock>,
        config: &SessionConfig,
    ) -> Self {
        let manager = Manager::unchecked(store, clock, config, [true]);
        Self { manager }
    }

    /// Serves one request. The handler returns the status of the response.
    pub async fn serve<S, F, Fut>(&self, request: Request, handler: F) -> Response
    where
        S: SessionData,
        F: FnOnce(Session<S>) -> Fut,
        Fut: Future<Output = Result<u16, RequestError>>,
    {
        let (session, guard) = self.manager.begin_request(true);
        if request.exclusive {
            session.set_exclusive();
        }
        let ids = request.ids.into_iter();
        let find = || ids.map(|id| Found { id, source: 0 }).collect();
        let handle = async {
            session.load(find).await?;
            session.mark_used().await?;
            handler(session.session().expect("one struct claims the keys")).await
        };
        let status = handle.await.unwrap_or_else(|error| status(&error));
        let outcome = if status >= 500 {
            Outcome::Failed
        } else {
            Outcome::Completed
        };
        match guard.finish(outcome).await {
            None => Response {
                status,
                update: None,
            },
            Some(finished) => Response {
                status: match finished.saved {
                    Ok(()) => status,
                    Err(error) => self::status(&error.into()),
                },
                update: finished.update.map(|(update, _)| update),
            },
        }
    }
}

/// The status of the response to an error.
fn status(error: &RequestError) -> u16 {
    match error {
        RequestError::Lock(LockError::Ended)
        | RequestError::Save(
            SaveError::Ended
            | SaveError::LeaseLost
            | SaveError::Conflict { .. }
            | SaveError::InDoubt,
        ) => 409,
        RequestError::Load(LoadError::Store(error))
        | RequestError::Lock(LockError::Load(LoadError::Store(error)))
        | RequestError::Save(SaveError::Store(error))
            if error.kind() != StoreErrorKind::Corrupt =>
        {
            503
        }
        RequestError::Lock(LockError::TimedOut { .. })
        | RequestError::Save(SaveError::Contended { .. }) => 503,
        _ => 500,
    }
}
