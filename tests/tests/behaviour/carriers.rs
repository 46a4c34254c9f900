//! The sources of ids, and the carrier on which a response sends its update.

use std::time::Duration;

use poem::{
    Request, Route,
    http::{HeaderValue, Method, header},
    post,
    web::Form,
};
use poem_session::{IdSource, Session, SessionId, session};
use serde::Deserialize;

use crate::support::{App, Reply, Scripted, Shop, form_request, request};

/// An application with this id source.
fn app(source: IdSource) -> App {
    let routes = Route::new().at("/", Scripted).at("/s/:sid", Scripted);
    App::serving(routes, |builder| builder.id_source(source))
}

/// An application with these id sources.
fn chain<const N: usize>(sources: [IdSource; N]) -> App {
    app(IdSource::Chain(sources.into()))
}

/// Stores a session of user 7 and returns its id.
async fn session_in(app: &App) -> String {
    let session = app.create();
    session.set_user(7).expect("it fits");
    session.save().await.expect("the store works");
    session.id().expose().to_owned()
}

fn random_id() -> String {
    SessionId::random().expose().to_owned()
}

fn get(path: &str) -> Request {
    request(Method::GET, path)
}

fn with_header(name: &str, value: &str) -> Request {
    let mut request = get("/");
    let name: header::HeaderName = name.parse().expect("a header name");
    let value = HeaderValue::from_str(value).expect("a header value");
    request.headers_mut().append(name, value);
    request
}

fn by_header(id: &str) -> Request {
    with_header("x-session", id)
}

/// Sends a request whose handler uses the session and returns its id.
async fn act(app: &App, request: Request, act: fn(&Session<Shop>)) -> Reply {
    let handler = move |session: &Session<Shop>| {
        act(session);
        Ok(session.id().expose().to_owned())
    };
    app.browser().act_by(request, handler).await
}

/// Sends a request whose handler changes the session.
async fn change(app: &App, request: Request) -> Reply {
    act(app, request, |s| s.set_visits(1).expect("it fits")).await
}

/// Makes a request that carries an id.
type Carry = fn(&str) -> Request;

/// Each source on which a response can send no id, with a request that carries an id there.
fn read_only() -> Vec<(IdSource, Carry)> {
    vec![
        (IdSource::Query("sid".into()), |id| {
            get(&format!("/?a=1&sid={id}"))
        }),
        (IdSource::Path("sid".into()), |id| get(&format!("/s/{id}"))),
        (IdSource::Form("sid".into()), |id| {
            form_request("/", &format!("a=1&sid={id}&b=2"))
        }),
        (IdSource::Authorization("Bearer".into()), |id| {
            with_header("authorization", &format!("Bearer {id}"))
        }),
        (
            IdSource::custom(|req| req.header("x-custom").map(str::to_owned)),
            |id| with_header("x-custom", id),
        ),
    ]
}

/// Conformance 1.18, 1.19, 1.21
#[tokio::test]
async fn a_session_from_every_source_is_read_changed_and_ended() {
    let mut sources = read_only();
    sources.push((IdSource::Cookie, |id| {
        with_header("cookie", &format!("__Host-id={id}"))
    }));
    for name in ["x-session", "X-Session", "X-SESSION"] {
        sources.push((IdSource::Header(name.into()), by_header));
        let upper: Carry = |id| with_header("X-SESSION", id);
        sources.push((IdSource::Header(name.into()), upper));
    }
    for (source, request) in sources {
        let name = format!("{source:?}");
        let app = app(source);
        let id = session_in(&app).await;
        assert_eq!(app.browser().user_by(request(&id)).await, Some(7), "{name}");
        assert_eq!(
            app.browser().user_by(request(&random_id())).await,
            None,
            "{name}"
        );
        assert_eq!(
            app.browser().user_by(request("short")).await,
            None,
            "{name}"
        );
        change(&app, request(&id)).await;
        let parsed = id.parse().expect("an id");
        let session = app.sessions.open::<Shop>(&parsed).await.expect("it lives");
        assert_eq!(session.visits(), Ok(1), "{name}");
        act(&app, request(&id), Session::destroy).await;
        assert!(!app.exists(&parsed).await, "{name}");
    }
}

/// Conformance 1.18, 1.9
#[tokio::test]
async fn an_id_from_a_header_is_updated_and_cleared_in_that_header() {
    let app = app(IdSource::Header("X-Session".into()));
    let created = change(&app, get("/")).await;
    let id = created.header("x-session").expect("a new session");
    assert_eq!(created.cookie(), None);
    assert_eq!(created.header("cache-control"), Some("no-store"));
    let regenerated = act(&app, by_header(id), Session::regenerate).await;
    let new = regenerated.header("x-session").expect("a new id");
    assert_ne!(new, id);
    // An unchanged id is not sent again: unlike a cookie, a header has no expiry to update.
    let changed = act(&app, by_header(new), |s| s.set_user(7).expect("it fits")).await;
    app.pass(Duration::from_mins(20));
    let read = act(&app, by_header(new), |_| {}).await;
    for reply in [changed, read] {
        assert_eq!(reply.header("x-session"), None);
        assert_eq!(reply.header("cache-control"), None);
    }
    assert_eq!(app.browser().user_by(by_header(new)).await, Some(7));
    let ended = act(&app, by_header(new), Session::destroy).await;
    assert_eq!(ended.header("x-session"), Some(""));
    assert_eq!(app.browser().user_by(by_header(new)).await, None);
}

/// Conformance 1.18
#[tokio::test]
async fn the_new_id_of_an_early_save_is_sent_after_later_saves() {
    let app = app(IdSource::Header("X-Session".into()));
    let known = session_in(&app).await;
    for request in [get("/"), by_header(&known)] {
        let handler = |session: Session<Shop>| async move {
            session.regenerate();
            session.set_user(8)?;
            session.save().await?;
            Ok(session.set_visits(2)?)
        };
        let reply = app.browser().visit_by(request, handler).await;
        let id = reply.header("x-session").expect("a new id");
        assert_eq!(app.browser().user_by(by_header(id)).await, Some(8));
    }
}

/// Conformance 1.18, 1.34
#[tokio::test]
async fn the_first_source_with_a_live_id_is_used() {
    let app = chain([
        IdSource::custom(|_| Some("not an id".into())),
        IdSource::custom(|_| None),
        IdSource::Query("sid".into()),
        IdSource::Header("X-Session".into()),
        IdSource::Cookie,
    ]);
    let (id, unknown) = (session_in(&app).await, random_id());
    for path in [
        format!("/?sid={id}"),
        format!("/?sid=short&sid={id}"),
        format!("/?sid={id}&sid={unknown}"),
    ] {
        assert_eq!(app.browser().user_by(get(&path)).await, Some(7), "{path}");
    }
    for query in ["short", &unknown] {
        let mut both = by_header(&id);
        *both.uri_mut() = format!("/?sid={query}").parse().expect("a URI");
        assert_eq!(app.browser().user_by(both).await, Some(7), "{query}");
    }
}

/// Conformance 1.18
#[tokio::test]
async fn a_response_sends_the_id_on_the_carrier_that_the_request_used() {
    let app = chain([IdSource::Cookie, IdSource::Header("X-Session".into())]);
    let on_cookie = |reply: &Reply| reply.cookie().map(|cookie| cookie.value().to_owned());
    let on_header = |reply: &Reply| reply.header("x-session").map(str::to_owned);
    let reply = change(&app, get("/")).await;
    assert!(on_cookie(&reply).is_some() && on_header(&reply).is_none());
    let id = session_in(&app).await;
    let reply = act(&app, by_header(&id), Session::regenerate).await;
    let found = (on_cookie(&reply), on_header(&reply));
    assert_eq!(found, (None, Some(reply.body.clone())));
    let cookie = format!("__Host-id={}", reply.body);
    app.pass(Duration::from_mins(5));
    let reply = change(&app, with_header("cookie", &cookie)).await;
    assert!(on_cookie(&reply).is_some() && on_header(&reply).is_none());
    let unknown = random_id();
    let reply = change(&app, by_header(&unknown)).await;
    assert!(on_header(&reply).is_some_and(|id| id != unknown));
    assert_eq!(on_cookie(&reply), None);
}

/// Conformance 1.19
#[tokio::test]
async fn an_id_from_a_read_only_source_is_never_copied_to_another_carrier() {
    for (source, request) in read_only() {
        let name = format!("{source:?}");
        let nested = IdSource::Chain(vec![IdSource::Header("X-Session".into())]);
        let app = chain([IdSource::Chain(vec![source, nested, IdSource::Cookie])]);
        let id = session_in(&app).await;
        let changed = change(&app, request(&id)).await;
        let moved = act(&app, request(&id), Session::regenerate).await;
        let ended = act(&app, request(&moved.body), |session| {
            session.destroy();
            session.set_visits(5).expect("it fits");
        })
        .await;
        for reply in [changed, moved, ended] {
            assert_eq!(reply.status, 200, "{name}");
            assert_eq!(reply.cookie(), None, "{name}");
            assert_eq!(reply.header("x-session"), None, "{name}");
        }
    }
}

/// Conformance 1.19
#[tokio::test]
async fn an_unknown_id_from_a_read_only_source_is_not_used_and_removes_no_cookie() {
    for (source, request) in read_only() {
        let name = format!("{source:?}");
        let app = chain([source, IdSource::Cookie]);
        let planted = random_id();
        let reply = change(&app, request(&planted)).await;
        let cookie = reply.cookie().expect("a new session");
        assert_ne!(cookie.value(), planted, "{name}");
        assert_eq!(
            app.browser().user_by(request(&planted)).await,
            None,
            "{name}"
        );
        let reply = act(&app, request(&planted), Session::destroy).await;
        let found = (reply.status.as_u16(), reply.cookie());
        assert_eq!(found, (200, None), "{name}");
    }
}

/// Conformance 1.20
#[tokio::test]
async fn an_authorization_header_must_have_the_exact_form() {
    let app = app(IdSource::Authorization("Session".into()));
    let id = session_in(&app).await;
    for good in ["Session ID", "session ID", "SESSION ID"] {
        let value = good.replace("ID", &id);
        let request = with_header("authorization", &value);
        assert_eq!(app.browser().user_by(request).await, Some(7), "{good}");
    }
    for bad in [
        "Session  ID",
        "Session\tID",
        "SessionID",
        "Session",
        "Session ",
        "ID",
        "Bearer ID",
        "Session ID,",
        "Session ID extra",
        "Session \"ID\"",
        "Session sid=ID",
        "Session ID=",
        "Session Session ID",
    ] {
        let value = bad.replace("ID", &id);
        let request = with_header("authorization", &value);
        assert_eq!(app.browser().user_by(request).await, None, "{bad}");
    }
    for second in ["Session ID", "Basic eDp5"] {
        let mut request = with_header("authorization", &format!("Session {id}"));
        let second = second.replace("ID", &id);
        let second = second.parse().expect("a header value");
        request.headers_mut().append(header::AUTHORIZATION, second);
        assert_eq!(
            app.browser().user_by(request).await,
            None,
            "there are two headers"
        );
    }
}

#[derive(Deserialize)]
struct Note {
    text: String,
}

#[session]
async fn session_then_form(shop: Session<Shop>, Form(note): Form<Note>) -> poem::Result<String> {
    Ok(format!("{:?} {}", shop.user()?, note.text))
}

#[session]
async fn form_then_session(Form(note): Form<Note>, shop: Session<Shop>) -> poem::Result<String> {
    Ok(format!("{:?} {}", shop.user()?, note.text))
}

#[session(idle_timeout = "2h")]
async fn form_with_option(Form(note): Form<Note>) -> String {
    note.text
}

/// An application with ids in forms, the id of a session, and a form with it.
async fn with_forms() -> (App, String, String) {
    let routes = Route::new()
        .at("/session-first", post(session_then_form))
        .at("/form-first", post(form_then_session))
        .at("/option", post(form_with_option));
    let app = App::serving(routes, |builder| {
        builder.id_source(IdSource::Form("sid".into()))
    });
    let id = session_in(&app).await;
    let form = format!("text=a+b%26c&sid={id}");
    (app, id, form)
}

/// Conformance 1.22
#[tokio::test]
async fn a_handler_gets_the_form_that_the_id_came_from_before_and_after_the_session() {
    let (app, _, form) = with_forms().await;
    for path in ["/session-first", "/form-first"] {
        let reply = app.browser().post(path, &form).await;
        assert_eq!(reply.body, "Some(7) a b&c", "{path}");
    }
}

/// Conformance 1.18, 1.22
#[tokio::test]
async fn an_id_in_a_form_does_not_precede_an_id_from_an_earlier_source() {
    let form = IdSource::Form("sid".into());
    for earlier in [IdSource::Path("sid".into()), IdSource::Query("sid".into())] {
        let name = format!("{earlier:?}");
        let app = chain([earlier, form.clone()]);
        let id = session_in(&app).await;
        let path = format!("/s/{id}?sid={id}");
        let request = form_request(&path, &format!("sid={}", random_id()));
        assert_eq!(app.browser().user_by(request).await, Some(7), "{name}");
    }
}

/// Conformance 1.22
#[tokio::test]
async fn an_option_of_a_handler_finds_the_id_in_a_form_that_the_handler_takes() {
    let (app, id, form) = with_forms().await;
    let reply = app.browser().post("/option", &form).await;
    assert_eq!(reply.body, "a b&c");
    let id = id.parse().expect("an id");
    let session = app.sessions.open::<Shop>(&id).await.expect("it lives");
    let end = app.now().saturating_add(Duration::from_hours(2));
    assert_eq!(session.expires_at(), Some(end.into()));
}

/// Conformance 1.22
#[tokio::test]
async fn only_small_bodies_with_the_type_of_a_form_are_searched_for_an_id() {
    let app = app(IdSource::Form("sid".into()));
    let id = session_in(&app).await;
    let large = format!("sid={id}&filler={}", "x".repeat(64 * 1024));
    let mut claims_less = form_request("/", &large);
    let length = claims_less.headers_mut();
    length.insert(header::CONTENT_LENGTH, 10.into());
    for large in [form_request("/", &large), claims_less] {
        assert_eq!(app.browser().user_by(large).await, None);
    }
    let small = format!("filler={}&sid={id}", "x".repeat(60 * 1024));
    assert_eq!(
        app.browser().user_by(form_request("/", &small)).await,
        Some(7)
    );

    let form = || form_request("/", &format!("sid={id}"));
    let typed = |kind: &'static str| {
        let mut form = form();
        let kind = HeaderValue::from_static(kind);
        form.headers_mut().insert(header::CONTENT_TYPE, kind);
        form
    };
    let without = |name: header::HeaderName| {
        let mut form = form();
        form.headers_mut().remove(name);
        form
    };
    for (request, found) in [
        (typed("application/json"), None),
        (without(header::CONTENT_LENGTH), None),
        (without(header::CONTENT_TYPE), None),
        (
            typed("Application/X-WWW-Form-Urlencoded; charset=utf-8"),
            Some(7),
        ),
    ] {
        assert_eq!(app.browser().user_by(request).await, found);
    }
}

/// Conformance 1.22
#[tokio::test]
async fn a_form_that_is_too_large_to_search_reaches_the_handler_whole() {
    let routes = Route::new().at("/", post(session_then_form));
    let app = App::serving(routes, |builder| {
        builder.id_source(IdSource::Form("sid".into()))
    });
    let text = "x".repeat(100 * 1024);
    let reply = app.browser().post("/", &format!("text={text}")).await;
    assert_eq!(reply.body, format!("None {text}"));
}

/// Conformance 5.2
#[tokio::test]
async fn an_id_in_the_url_is_ignored_by_default() {
    let app = App::new();
    let id = session_in(&app).await;
    for name in ["id", "__Host-id", "sid", "session"] {
        let path = format!("/?{name}={id}");
        assert_eq!(app.browser().user_by(get(&path)).await, None);
    }
}
