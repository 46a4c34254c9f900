//! The application of the killed process and of the one after it.

use std::{path::Path, sync::Arc, time::Duration};

use poem::Route;
use poem_session::{
    Session, SessionId, Sessions, SessionsBuilder, TouchPolicy, session,
    store::{SessionStore, SqliteStore},
};
use poem_session_tests::{
    PATIENCE,
    application::{App, COOKIE, Scripted, Shop, count, settings},
    reply::Reply,
    stores::sqlite_file,
};
use serde::Deserialize;

pub(crate) const IDLE: Duration = Duration::from_mins(30);
pub(crate) const ABSOLUTE: Duration = Duration::from_hours(2);
/// Longer than the time until the next process asks for the lock of a killed one.
pub(crate) const LEASE: Duration = Duration::from_mins(8);

/// The time from the creation of the session to the request, at which a touch and a rotation are due.
pub(crate) const LATER: Duration = Duration::from_mins(20);

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

/// Handles a request. Returns whether the session was new.
async fn act(request: Request, session: Session<Shop>) -> poem::Result<String> {
    let is_new = session.is_new().to_string();
    match request {
        Request::Create => session.set_user(1)?,
        Request::Prepare => session.set_visits(5)?,
        Request::Read | Request::Rotate => {}
        Request::Change => {
            session.set_user(2)?;
            count(&session);
        }
        Request::SaveEarly => {
            session.set_user(2)?;
            session.save().await?;
            count(&session);
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
            session.set_notice("Good bye.".into())?;
        }
        Request::Exclusive | Request::Revoke => unreachable!("not for this handler"),
    }
    Ok(is_new)
}

#[session(exclusive)]
async fn exclusive(session: Session<Shop>) {
    count(&session);
}

pub(crate) struct Application {
    file: Arc<SqliteStore>,
    app: App,
}

impl Application {
    /// Opens this file with a clock that is ahead by `later`.
    pub(crate) async fn open(file: &Path, later: Duration) -> Self {
        Self::build(file, later, settings, |store| store).await
    }

    /// Like [`open`](Self::open), with these settings and a store that `watch` wraps.
    pub(crate) async fn build(
        file: &Path,
        later: Duration,
        configure: impl FnOnce(SessionsBuilder) -> SessionsBuilder,
        watch: impl FnOnce(Arc<dyn SessionStore>) -> Arc<dyn SessionStore>,
    ) -> Self {
        let file = Arc::new(sqlite_file(file).open().await.expect("a file"));
        let routes = Route::new().at("/", Scripted).at("/exclusive", exclusive);
        let app = App::on(watch(Arc::clone(&file) as _), routes, |builder| {
            let builder = builder
                .idle_timeout(IDLE)
                .absolute_timeout(ABSOLUTE)
                // Longer than a busy machine takes to read the file.
                .retired_for(Duration::from_mins(15))
                .max_request_time(Duration::from_mins(15))
                .rotation_grace(Duration::from_mins(14))
                .lock_lease(LEASE)
                .lock_timeout(PATIENCE)
                .store_timeout(PATIENCE)
                .touch(TouchPolicy::Throttled);
            configure(builder)
        });
        app.pass(later);
        Self { file, app }
    }

    /// Sends the request of a client that has this id.
    pub(crate) async fn send(&self, request: Request, id: Option<SessionId>) -> Reply {
        let client = self.app.browser();
        if let Some(id) = id {
            client.set_cookie(COOKIE, id.expose());
        }
        match request {
            Request::Exclusive => client.get("/exclusive").await,
            _ => client.visit(move |session| act(request, session)).await,
        }
    }

    pub(crate) fn sessions(&self) -> &Sessions {
        &self.app.sessions
    }

    pub(crate) fn pass(&self, time: Duration) {
        self.app.pass(time);
    }

    /// Waits until no task uses the store. A lock is released after the response.
    pub(crate) async fn finish(self) {
        let Self { file, app } = self;
        drop(app);
        while Arc::strong_count(&file) > 1 {
            tokio::task::yield_now().await;
        }
        file.close().await;
    }

    pub(crate) async fn close(self) {
        self.file.close().await;
    }
}
