//! An application with sessions, and its visitors.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use poem::{
    Endpoint, EndpointExt, Request, Response, Route,
    endpoint::BoxEndpoint,
    http::{Method, StatusCode, header},
    post,
};
use poem_session::{Session, SessionData, Sessions, session, store::SessionStore};

use poem_session_tests::PATIENCE;

#[derive(SessionData)]
#[session(namespace = "site")]
struct Guest {
    #[session(default)]
    visits: u64,
    #[session(default)]
    note: String,
}

#[session]
async fn look(guest: Guest) -> String {
    guest.visits.to_string()
}

#[session]
async fn count(guest: Session<Guest>) -> poem::Result<()> {
    Ok(guest.update_visits(|visits| *visits += 1)?)
}

#[session]
async fn take_note(guest: Session<Guest>, note: String) -> poem::Result<()> {
    Ok(guest.set_note(note)?)
}

#[session(regenerate)]
async fn renew(_guest: Session<Guest>) {}

#[session(destroy)]
async fn leave() {}

/// The paths of all requests.
pub(crate) const ALL: [&str; 4] = ["/look", "/count", "/renew", "/leave"];
/// The paths of the requests that write to the store.
pub(crate) const WRITES: [&str; 3] = ["/count", "/renew", "/leave"];

/// The application.
#[derive(Clone)]
pub(crate) struct Site(Arc<BoxEndpoint<'static, Response>>);

impl Site {
    /// An application whose store sets the time limits.
    pub(crate) fn on(store: Arc<dyn SessionStore>) -> Self {
        Self::with_timeout(store, PATIENCE)
    }

    /// An application with this time limit for calls to the store.
    pub(crate) fn with_timeout(store: Arc<dyn SessionStore>, limit: Duration) -> Self {
        let sessions = Sessions::builder(store)
            .store_timeout(limit)
            .lock_lease(limit * 2)
            .build();
        let routes = Route::new()
            .at("/look", post(look))
            .at("/count", post(count))
            .at("/note", post(take_note))
            .at("/renew", post(renew))
            .at("/leave", post(leave));
        let sessions = sessions.expect("the settings go together");
        Self(Arc::new(routes.with(sessions).map_to_response().boxed()))
    }

    /// A visitor without a session.
    pub(crate) fn stranger(&self) -> Visitor {
        Visitor {
            site: self.clone(),
            cookie: None,
        }
    }

    /// A visitor with a session that has counted one visit.
    pub(crate) async fn guest(&self) -> Visitor {
        let mut guest = self.stranger();
        guest.ask("/count").await.is(StatusCode::OK);
        assert!(guest.cookie.is_some());
        guest
    }

    /// Sends these requests at once, and one of a stranger. All fail, and none changes a cookie.
    pub(crate) async fn refuses(&self, guest: &Visitor, paths: &[&str]) {
        let asks = paths.iter().map(|path| (guest.clone(), *path));
        let asks = asks.chain([(self.stranger(), "/count")]);
        let replies = asks.map(|(mut visitor, path)| async move { visitor.ask(path).await });
        for reply in join_all(replies).await {
            reply.is_refused();
        }
    }
}

/// A client with one cookie.
#[derive(Clone)]
pub(crate) struct Visitor {
    site: Site,
    cookie: Option<String>,
}

/// A response to a visitor.
#[derive(Debug)]
pub(crate) struct Reply {
    status: StatusCode,
    body: String,
    cookie: Option<String>,
}

impl Visitor {
    pub(crate) async fn ask(&mut self, path: &str) -> Reply {
        self.send(path, String::new()).await
    }

    /// Stores a note in the session.
    pub(crate) async fn leave_note(&mut self, note: String) -> Reply {
        self.send("/note", note).await
    }

    async fn send(&mut self, path: &str, body: String) -> Reply {
        let request = Request::builder().method(Method::POST);
        let mut request = request.uri(path.parse().expect("a path")).body(body);
        if let Some(cookie) = &self.cookie {
            let cookie = cookie.parse().expect("a cookie");
            request.headers_mut().insert(header::COOKIE, cookie);
        }
        let mut response = self.site.0.get_response(request).await;
        let cookie = response.header(header::SET_COOKIE).map(str::to_owned);
        if let Some(cookie) = &cookie {
            let (pair, attributes) = cookie.split_once(';').expect("attributes");
            self.cookie = (!attributes.contains("Max-Age=0")).then(|| pair.to_owned());
        }
        let body = response.take_body().into_string().await;
        Reply {
            status: response.status(),
            body: body.expect("text"),
            cookie,
        }
    }

    /// The session has counted so many visits, or is new if that is zero.
    pub(crate) async fn has_counted(&mut self, visits: u64) {
        let reply = self.ask("/look").await;
        assert_eq!(reply.body, visits.to_string(), "{reply:?}");
    }

    /// The session has counted one visit, and every request works.
    pub(crate) async fn goes_on(mut self) {
        self.has_counted(1).await;
        self.ask("/count").await.is(StatusCode::OK);
        self.ask("/renew").await.is(StatusCode::OK);
        self.has_counted(2).await;
        self.ask("/leave").await.is(StatusCode::OK);
        self.has_counted(0).await;
    }
}

impl Reply {
    /// Whether the response reports that the store does not work.
    pub(crate) fn is_refusal(&self) -> bool {
        self.status == StatusCode::SERVICE_UNAVAILABLE
    }

    pub(crate) fn is(&self, status: StatusCode) {
        assert_eq!(self.status, status, "{self:?}");
    }

    /// The response reports that the store does not work, without details, and keeps the cookie.
    pub(crate) fn is_refused(&self) {
        self.is(StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(self.body, "Service Unavailable");
        assert_eq!(self.cookie, None);
    }

    /// The response reports a corrupt record, without details, and keeps the cookie.
    pub(crate) fn is_corrupt(&self) {
        self.is(StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(self.body, "Internal Server Error");
        assert_eq!(self.cookie, None);
    }
}
