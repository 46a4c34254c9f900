//! Requests that bring several ids: cookies of one name, and ids in several sources of a chain.

use std::time::Duration;

use poem::{
    Request,
    http::{HeaderValue, Method, header},
};
use poem_session::{IdSource, Session, SessionId};

use crate::support::{App, COOKIE, Op, Reply, Shop, request};

fn random_id() -> SessionId {
    SessionId::random()
}

/// Stores a session of this user and returns its id.
async fn session_of(app: &App, user: u64) -> SessionId {
    let session = app.create();
    session.set_user(user).expect("it fits");
    session.save().await.expect("the store works");
    session.id()
}

/// Stores a session, destroys it, and returns the id, which is now that of an ended session.
async fn ended_id(app: &App) -> SessionId {
    let id = session_of(app, 1).await;
    let revoked = app.sessions.revoke(id).await;
    assert_eq!(revoked.ok(), Some(true));
    id
}

/// A request with these headers.
fn with_headers<const N: usize>(headers: [(&'static str, String); N]) -> Request {
    let mut request = request(Method::GET, "/");
    for (name, value) in headers {
        let value = HeaderValue::from_str(&value).expect("a header value");
        request.headers_mut().append(name, value);
    }
    request
}

/// A request with these ids in one `Cookie` header.
fn with_cookies(ids: &[SessionId]) -> Request {
    let pairs = ids.iter().map(|id| format!("{COOKIE}={}", id.expose()));
    let pairs: Vec<_> = pairs.collect();
    with_headers([("cookie", pairs.join("; "))])
}

fn bearer(id: &SessionId) -> (&'static str, String) {
    ("authorization", format!("Bearer {}", id.expose()))
}

fn cookie(id: &SessionId) -> (&'static str, String) {
    ("cookie", format!("{COOKIE}={}", id.expose()))
}

fn in_header(id: &SessionId) -> (&'static str, String) {
    ("x-session", id.expose().to_owned())
}

/// Sends a request whose handler uses the session.
async fn act(app: &App, request: Request, act: fn(&Session<Shop>)) -> Reply {
    app.browser().does_by(request, act).await
}

fn chain<const N: usize>(sources: [IdSource; N]) -> App {
    App::with(|builder| builder.id_source(IdSource::Chain(sources.into())))
}

fn bearer_source() -> IdSource {
    IdSource::Authorization("Bearer".into())
}

/// Conformance 1.34, 1.21
#[tokio::test]
async fn the_first_live_one_of_several_cookies_is_used_in_any_order() {
    let app = App::new();
    let (live, other) = (session_of(&app, 7).await, session_of(&app, 8).await);
    let (unknown, ended) = (random_id(), ended_id(&app).await);
    for (ids, found) in [
        (vec![live, unknown], Some(7)),
        (vec![unknown, live], Some(7)),
        (vec![ended, live], Some(7)),
        (vec![live, ended], Some(7)),
        (vec![unknown, ended, live, other], Some(7)),
        (vec![other, unknown, live], Some(8)),
        (vec![unknown, ended], None),
    ] {
        assert_eq!(
            app.browser().user_by(with_cookies(&ids)).await,
            found,
            "{ids:?}"
        );
    }
    // In headers of their own, as HTTP/2 allows.
    let split = with_headers([cookie(&ended), cookie(&live)]);
    assert_eq!(app.browser().user_by(split).await, Some(7));
}

/// Conformance 1.34
#[tokio::test]
async fn a_change_by_the_second_cookie_is_saved_in_its_session() {
    let app = App::new();
    for dead in [random_id(), ended_id(&app).await] {
        let live = session_of(&app, 7).await;
        app.pass(Duration::from_mins(5));
        let reply = act(&app, with_cookies(&[dead, live]), |s| {
            s.set_visits(1).expect("it fits");
        })
        .await;
        let cookie = reply.cookie().expect("its expiry moves");
        assert_eq!(cookie.value(), live.expose());
        let opened = app.sessions.open::<Shop>(&live).await.expect("it lives");
        assert_eq!(opened.visits(), Ok(1));
    }
    let live = session_of(&app, 7).await;
    let moved = act(
        &app,
        with_cookies(&[random_id(), live]),
        Session::regenerate,
    )
    .await;
    let new = moved.cookie().expect("a new id");
    let new: SessionId = new.value().parse().expect("an id");
    assert_eq!(
        app.browser().user_by(with_cookies(&[live, new])).await,
        Some(7)
    );
    let ended = act(&app, with_cookies(&[live, new]), Session::destroy).await;
    assert_eq!(ended.cookie().expect("it is cleared").value(), "");
    assert!(!app.exists(&new).await);
}

/// Conformance 1.34
#[tokio::test]
async fn the_store_is_loaded_once_for_each_id_that_is_tried_and_at_most_four_times() {
    let app = App::new();
    let live = session_of(&app, 7).await;
    let dead = [(); 5].map(|()| random_id());
    for (ids, found, loads) in [
        (vec![live], Some(7), 1),
        (vec![live, dead[0]], Some(7), 1),
        (vec![dead[0]], None, 1),
        (vec![dead[0], dead[0], dead[0], dead[0], live], Some(7), 2),
        (vec![dead[0], dead[1], dead[2], live], Some(7), 4),
        (vec![dead[0], dead[1], dead[2], dead[3], live], None, 4),
        (dead.to_vec(), None, 4),
    ] {
        app.store.calls();
        assert_eq!(
            app.browser().user_by(with_cookies(&ids)).await,
            found,
            "{ids:?}"
        );
        assert_eq!(app.store.calls(), vec![Op::Load; loads], "{ids:?}");
    }
    // A malformed id is not one of the four.
    let malformed = format!("{COOKIE}=short; ").repeat(9);
    let value = format!("{malformed}{COOKIE}={}", live.expose());
    assert_eq!(
        app.browser()
            .user_by(with_headers([("cookie", value)]))
            .await,
        Some(7)
    );
}

/// Conformance 1.34, 1.18, 1.19
#[tokio::test]
async fn a_dead_cookie_does_not_hide_a_live_id_in_a_later_source() {
    let app = chain([IdSource::Cookie, bearer_source()]);
    for dead in [random_id(), ended_id(&app).await] {
        let live = session_of(&app, 7).await;
        let request = || with_headers([cookie(&dead), bearer(&live)]);
        assert_eq!(app.browser().user_by(request()).await, Some(7));
        // The id that counts is in a read-only source, and is not copied to the cookie.
        let handlers: [fn(&Session<Shop>); 3] = [
            |s| s.set_visits(1).expect("it fits"),
            Session::regenerate,
            Session::destroy,
        ];
        for handler in handlers {
            let live = session_of(&app, 7).await;
            let request = with_headers([cookie(&dead), bearer(&live)]);
            let reply = act(&app, request, handler).await;
            assert_eq!((reply.status.as_u16(), reply.cookie()), (200, None));
        }
    }
    let live = session_of(&app, 7).await;
    let both = with_headers([cookie(&live), bearer(&session_of(&app, 8).await)]);
    assert_eq!(app.browser().user_by(both).await, Some(7));
}

/// Conformance 1.34, 1.18
#[tokio::test]
async fn the_update_is_sent_on_the_carrier_of_the_id_that_was_used() {
    let app = chain([
        bearer_source(),
        IdSource::Header("X-Session".into()),
        IdSource::Cookie,
    ]);
    let dead = random_id();
    let live = session_of(&app, 7).await;
    let all = with_headers([bearer(&dead), in_header(&dead), cookie(&live)]);
    let reply = act(&app, all, Session::regenerate).await;
    assert!(
        reply
            .cookie()
            .is_some_and(|cookie| !cookie.value().is_empty())
    );
    assert_eq!(reply.header("x-session"), None);

    let live = session_of(&app, 7).await;
    let all = with_headers([bearer(&dead), in_header(&live), cookie(&dead)]);
    let reply = act(&app, all, Session::regenerate).await;
    assert_eq!(reply.cookie(), None);
    assert!(reply.header("x-session").is_some_and(|id| !id.is_empty()));
}

/// Conformance 1.34, 1.2
#[tokio::test]
async fn a_request_with_dead_ids_only_begins_a_session_where_the_first_one_was() {
    let app = chain([IdSource::Header("X-Session".into()), IdSource::Cookie]);
    let (one, two) = (random_id(), random_id());
    let both = with_headers([cookie(&two), in_header(&one)]);
    let reply = act(&app, both, |s| s.set_user(7).expect("it fits")).await;
    assert_eq!(reply.cookie(), None);
    let id = reply.header("x-session").expect("a new session");
    assert!(id != one.expose() && id != two.expose());
}

/// Conformance 1.34, 2.3
#[tokio::test]
async fn an_id_whose_session_has_just_ended_refuses_changes_beside_an_unknown_one() {
    let app = App::new();
    let (unknown, ended) = (random_id(), ended_id(&app).await);
    // The client may have a newer cookie by now, which a new session would replace.
    for ids in [[unknown, ended], [ended, unknown]] {
        let reply = act(&app, with_cookies(&ids), |s| {
            s.set_user(7).expect("it fits");
        })
        .await;
        assert_eq!((reply.status.as_u16(), reply.cookie()), (409, None));
    }
}

/// Conformance 1.34, 5.11
#[tokio::test]
async fn a_store_that_fails_at_the_second_id_is_an_error() {
    let app = App::new();
    let live = session_of(&app, 7).await;
    let mut first = app.store.pause(Op::Load);
    let visitor = app.browser();
    let request = with_cookies(&[random_id(), live]);
    let reply = tokio::spawn(async move { visitor.does_by(request, |_| {}).await });
    first.arrived().await;
    // The first load is past the point at which it would fail.
    app.store.fail(&[Op::Load]);
    first.release();
    let reply = reply.await.expect("no panic");
    assert_eq!((reply.status.as_u16(), reply.cookie()), (503, None));
    assert_eq!(app.store.calls().len(), 3, "a create and two loads");
}

/// Conformance 1.34, 1.18
#[tokio::test]
async fn each_id_of_a_repeated_header_parameter_or_field_is_tried() {
    let header = app_with(IdSource::Header("X-Session".into()));
    let live = session_of(&header, 7).await;
    let twice = with_headers([in_header(&random_id()), in_header(&live)]);
    assert_eq!(header.browser().user_by(twice).await, Some(7));

    let query = app_with(IdSource::Query("sid".into()));
    let live = session_of(&query, 7).await;
    let path = format!("/?sid={}&sid={}", random_id().expose(), live.expose());
    assert_eq!(
        query.browser().user_by(request(Method::GET, &path)).await,
        Some(7)
    );

    let form = app_with(IdSource::Form("sid".into()));
    let live = session_of(&form, 7).await;
    let fields = format!("sid={}&sid={}", random_id().expose(), live.expose());
    let posted = crate::support::form_request("/", &fields);
    assert_eq!(form.browser().user_by(posted).await, Some(7));

    // A repeated `Authorization` header is no credential (RFC 9110, section 11.6.2).
    let scheme = app_with(bearer_source());
    let live = session_of(&scheme, 7).await;
    let twice = with_headers([bearer(&random_id()), bearer(&live)]);
    assert_eq!(
        twice
            .headers()
            .get_all(header::AUTHORIZATION)
            .iter()
            .count(),
        2
    );
    assert_eq!(scheme.browser().user_by(twice).await, None);
}

fn app_with(source: IdSource) -> App {
    App::with(|builder| builder.id_source(source))
}
