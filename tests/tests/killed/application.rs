//! The application of the killed process and of the one after it.

use std::{path::Path, sync::Arc, time::Duration};

use poem::{
    Endpoint, EndpointExt, Request as HttpRequest, Response, Route,
    endpoint::BoxEndpoint,
    get, handler,
    http::{StatusCode, header},
    web::Path as PathParam,
};
use poem_session::{
    Session, SessionData, SessionId, Sessions, TouchPolicy,
    clock::ManualClock,
    session,
    store::{SessionStore, SqliteStore},
};
use serde::{
    Deserialize,
    de::{
        IntoDeserializer,
        value::{Error as ValueError, StrDeserializer},
    },
};

pub(crate) const IDLE: Duration = Duration::from_mins(30);
pub(crate) const ABSOLUTE: Duration = Duration::from_hours(2);
/// The time limits on a busy machine.
const PATIENCE: Duration = Duration::from_mins(5);
/// Longer than the time until the next process asks for the lock of a killed one.
pub(crate) const LEASE: Duration = Duration::from_mins(8);

/// The time from the creation of the session to the request, at which a touch and a rotation are due.
pub(crate) const LATER: Duration = Duration::from_mins(20);

#[derive(SessionData)]
#[session(namespace = "app")]
struct App {
    name: Option<u64>,
    #[session(default)]
    count: u64,
    user: Option<u64>,
    #[session(flash)]
    notice: Option<u64>,
}

/// A request of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(crate) enum Request {
    Create,
    /// Completes the session for the other requests.
    Prepare,
    Read,
    Change,
    SaveEarly,
    Regenerate,
    SignIn,
    /// Reads when a rotation is due.
    Rotate,
    Reset,
    Destroy,
    DestroyWithNotice,
    /// Changes the session in an exclusive section.
    Exclusive,
    /// Revokes the session outside of a request.
    Revoke,
}

impl Request {
    pub(crate) fn parse(name: &str) -> Self {
        let name: StrDeserializer<'_, ValueError> = name.into_deserializer();
        Self::deserialize(name).expect("the name of a request")
    }
}

async fn act(request: Request, session: &Session<App>) -> poem::Result<()> {
    match request {
        Request::Create => session.set_name(1)?,
        Request::Prepare => session.set_count(5)?,
        Request::Read | Request::Rotate => {}
        Request::Change => {
            session.set_name(2)?;
            session.update_count(|count| *count += 1)?;
        }
        Request::SaveEarly => {
            session.set_name(2)?;
            session.save().await?;
            session.update_count(|count| *count += 1)?;
        }
        Request::Regenerate => session.regenerate(),
        Request::SignIn => {
            session.regenerate();
            session.set_user(7)?;
        }
        Request::Reset => session.reset(),
        Request::Destroy => session.destroy(),
        Request::DestroyWithNotice => {
            session.destroy();
            session.set_notice(1)?;
        }
        Request::Exclusive => session.update_count(|count| *count += 1)?,
        Request::Revoke => unreachable!("outside of a request"),
    }
    Ok(())
}

#[handler]
async fn open(PathParam(name): PathParam<String>, session: Session<App>) -> poem::Result<String> {
    let state = if session.is_new() { "new" } else { "known" };
    act(Request::parse(&name), &session).await?;
    Ok(state.to_owned())
}

#[session(exclusive)]
async fn exclusive(session: Session<App>) -> poem::Result<String> {
    act(Request::Exclusive, &session).await?;
    Ok("done".to_owned())
}

pub(crate) struct Application {
    file: Arc<SqliteStore>,
    sessions: Sessions,
    clock: Arc<ManualClock>,
    endpoint: BoxEndpoint<'static, Response>,
}

/// A response.
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) body: String,
    pub(crate) id: Option<SessionId>,
}

impl Application {
    /// Opens this file with a clock that is ahead by `later`.
    pub(crate) async fn open(file: &Path, later: Duration) -> Self {
        Self::watched(file, later, false, |store| store).await
    }

    /// Like [`open`](Self::open), with a short wait for a locked session.
    pub(crate) async fn impatient(file: &Path, later: Duration) -> Self {
        let lock_timeout = Duration::from_millis(100);
        Self::build(file, later, false, lock_timeout, |store| store).await
    }

    /// Like [`open`](Self::open), with a store that `watch` wraps.
    pub(crate) async fn watched(
        file: &Path,
        later: Duration,
        rotates: bool,
        watch: impl FnOnce(Arc<dyn SessionStore>) -> Arc<dyn SessionStore>,
    ) -> Self {
        Self::build(file, later, rotates, PATIENCE, watch).await
    }

    async fn build(
        file: &Path,
        later: Duration,
        rotates: bool,
        lock_timeout: Duration,
        watch: impl FnOnce(Arc<dyn SessionStore>) -> Arc<dyn SessionStore>,
    ) -> Self {
        let file = SqliteStore::builder(file).busy_timeout(PATIENCE);
        let file = file.acquire_timeout(PATIENCE).open().await;
        let file = Arc::new(file.expect("a file"));
        let clock = Arc::new(ManualClock::new());
        clock.advance(later);
        let mut builder = Sessions::builder(watch(Arc::clone(&file) as _))
            .idle_timeout(IDLE)
            .absolute_timeout(ABSOLUTE)
            // Longer than a busy machine takes to read the file.
            .retired_for(Duration::from_mins(15))
            .max_request_time(Duration::from_mins(15))
            .rotation_grace(Duration::from_mins(14))
            .lock_lease(LEASE)
            .lock_timeout(lock_timeout)
            .store_timeout(PATIENCE)
            .touch(TouchPolicy::Throttled)
            .clock(Arc::clone(&clock));
        if rotates {
            builder = builder.rotate_every(Duration::from_mins(15));
        }
        let sessions = builder.build().expect("the settings are valid");
        let endpoint = Route::new()
            .at("/Exclusive", get(exclusive))
            .at("/:name", get(open))
            .with(sessions.clone())
            .map_to_response()
            .boxed();
        Self {
            file,
            sessions,
            clock,
            endpoint,
        }
    }

    pub(crate) async fn send(&self, request: Request, id: Option<SessionId>) -> Reply {
        if request == Request::Revoke {
            return self.revoke(id.expect("an id")).await;
        }
        let uri = format!("/{request:?}").parse().expect("a path");
        let mut builder = HttpRequest::builder().uri(uri);
        if let Some(id) = id {
            builder = builder.header(header::COOKIE, format!("__Host-id={}", id.expose()));
        }
        let response = self.endpoint.get_response(builder.finish()).await;
        let cookie = response.headers().get(header::SET_COOKIE);
        let id = cookie.and_then(|cookie| {
            let value = cookie.to_str().expect("text").strip_prefix("__Host-id=");
            let value = value.expect("the cookie of the session").split(';').next();
            value.and_then(|value| SessionId::parse(value).ok())
        });
        let status = response.status();
        let body = response.into_body().into_string().await.expect("text");
        Reply { status, body, id }
    }

    async fn revoke(&self, id: SessionId) -> Reply {
        let revoked = self.sessions.revoke(id).await.expect("the store works");
        Reply {
            status: StatusCode::OK,
            body: revoked.to_string(),
            id: None,
        }
    }

    pub(crate) fn pass(&self, time: Duration) {
        self.clock.advance(time);
    }

    /// Waits until no task uses the store. A lock is released after the response.
    pub(crate) async fn finish(self) {
        let Self {
            file,
            sessions,
            endpoint,
            ..
        } = self;
        drop((sessions, endpoint));
        while Arc::strong_count(&file) > 1 {
            tokio::task::yield_now().await;
        }
        file.close().await;
    }

    pub(crate) async fn close(self) {
        self.file.close().await;
    }
}
