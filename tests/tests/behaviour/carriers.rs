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

/// Stores a session of user 7 and returns its id.
async fn session_in(app: &App) -> SessionId {
    let session = app.create();
    session.set_user(7).expect("it fits");
    session.save().await.expect("the store works");
    session.id()
}

fn with_header(name: &str, value: &str) -> Request {
    let mut request = request(Method::GET, "/");
    let name: header::HeaderName = name.parse().expect("a header name");
    let value = HeaderValue::from_str(value).expect("a header value");
    request.headers_mut().append(name, value);
    request
}

async fn user(app: &App, request: Request) -> Option<u64> {
    let reply = app
        .browser()
        .act_by(request, |session| {
            Ok(session.user()?.unwrap_or_default().to_string())
        })
        .await;
    let user = reply.body.parse().expect("the handler answers a number");
    Some(user).filter(|user| *user != 0)
}

/// Sends a request whose handler changes the session.
async fn change(app: &App, request: Request) -> Reply {
    app.browser()
        .act_by(request, |session| Ok(session.set_visits(1)?))
        .await
}

/// Makes a request that carries an id.
type Carry = fn(&str) -> Request;

/// Each source on which a response can send no id, with a request that carries an id there.
fn read_only() -> Vec<(IdSource, Carry)> {
    vec![
        (IdSource::Query("sid".into()), |id| {
            request(Method::GET, &format!("/?a=1&sid={id}"))
        }),
        (IdSource::Path("sid".into()), |id| {
            request(Method::GET, &format!("/s/{id}"))
        }),
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

/// Conformance 1.18
#[tokio::test]
async fn every_source_finds_its_id() {
    let cookie: Carry = |id| with_header("cookie", &format!("__Host-id={id}"));
    let header: Carry = |id| with_header("x-session", id);
    let mut sources = read_only();
    sources.push((IdSource::Cookie, cookie));
    sources.push((IdSource::Header("X-Session".into()), header));
    for (source, request) in sources {
        let name = format!("{source:?}");
        let app = app(source);
        let id = session_in(&app).await;
        assert_eq!(user(&app, request(id.expose())).await, Some(7), "{name}");
        let stranger = SessionId::random();
        assert_eq!(user(&app, request(stranger.expose())).await, None, "{name}");
        assert_eq!(user(&app, request("short")).await, None, "{name}");
    }
}

/// Conformance 1.18, 1.9
#[tokio::test]
async fn an_id_from_a_header_is_updated_and_cleared_in_that_header() {
    let app = app(IdSource::Header("X-Session".into()));
    let alice = app.browser();
    let begun = alice.act(|s| Ok(s.set_user(7)?)).await;
    let id = begun.header("x-session").expect("a new session").to_owned();
    assert_eq!(begun.cookie(), None);
    assert_eq!(begun.header("cache-control"), Some("no-store"));
    let moved = alice
        .does_by(with_header("x-session", &id), Session::regenerate)
        .await;
    let new = moved.header("x-session").expect("a new id").to_owned();
    assert_ne!(new, id);
    assert_eq!(user(&app, with_header("x-session", &new)).await, Some(7));
    let ended = alice
        .does_by(with_header("x-session", &new), Session::destroy)
        .await;
    assert_eq!(ended.header("x-session"), Some(""));
    assert_eq!(user(&app, with_header("x-session", &new)).await, None);
}

/// Conformance 1.18
#[tokio::test]
async fn the_new_id_of_an_early_save_is_sent_after_later_saves() {
    let app = app(IdSource::Header("X-Session".into()));
    let begun = app
        .browser()
        .visit(|session| async move {
            session.set_user(7)?;
            session.save().await?;
            Ok(session.set_visits(1)?)
        })
        .await;
    let id = begun.header("x-session").expect("a new session").to_owned();
    let moved = app
        .browser()
        .visit_by(
            with_header("x-session", &id),
            |session: Session<Shop>| async move {
                session.regenerate();
                session.save().await?;
                Ok(session.set_visits(2)?)
            },
        )
        .await;
    let id = moved.header("x-session").expect("a new id").to_owned();
    assert_eq!(user(&app, with_header("x-session", &id)).await, Some(7));
}

/// A cookie is sent again with its new expiry. A header has no expiry.
///
/// Conformance 1.18
#[tokio::test]
async fn an_unchanged_id_from_a_header_is_not_sent_again() {
    let app = app(IdSource::Header("X-Session".into()));
    let id = session_in(&app).await.expose().to_owned();
    let changed = change(&app, with_header("x-session", &id)).await;
    app.pass(Duration::from_mins(20));
    let read = app
        .browser()
        .act_by(with_header("x-session", &id), |session| {
            Ok(session.user()?.unwrap_or(0).to_string())
        })
        .await;
    assert_eq!(read.body, "7");
    for reply in [changed, read] {
        assert_eq!(reply.header("x-session"), None);
        assert_eq!(reply.header("cache-control"), None);
    }
}

/// Conformance 1.18
#[tokio::test]
async fn the_first_source_with_a_well_formed_id_is_used() {
    let app = app(IdSource::Chain(vec![
        IdSource::custom(|_| Some("not an id".into())),
        IdSource::custom(|_| None),
        IdSource::Query("sid".into()),
        IdSource::Header("X-Session".into()),
        IdSource::Cookie,
    ]));
    let id = session_in(&app).await;
    let id = id.expose();
    let none = SessionId::random();
    let broken = [
        format!("/?sid={id}"),
        format!("/?sid=short&sid={id}"),
        format!("/?sid={id}&sid={}", none.expose()),
    ];
    for path in broken {
        assert_eq!(
            user(&app, request(Method::GET, &path)).await,
            Some(7),
            "{path}"
        );
    }
    let mut later = request(Method::GET, "/?sid=short");
    later
        .headers_mut()
        .insert("x-session", id.parse().expect("a header value"));
    assert_eq!(user(&app, later).await, Some(7));
    // A well-formed id is used whether or not its session exists.
    let mut first = with_header("x-session", id);
    *first.uri_mut() = format!("/?sid={}", none.expose()).parse().expect("a URI");
    assert_eq!(user(&app, first).await, None);
}

/// Conformance 1.18
#[tokio::test]
async fn a_response_sends_the_id_on_the_carrier_that_the_request_used() {
    let app = app(IdSource::Chain(vec![
        IdSource::Cookie,
        IdSource::Header("X-Session".into()),
    ]));
    let first = change(&app, request(Method::GET, "/")).await;
    assert!(first.cookie().is_some() && first.header("x-session").is_none());
    let id = session_in(&app).await;
    let by_header = app
        .browser()
        .act_by(with_header("x-session", id.expose()), |session| {
            session.regenerate();
            Ok(session.id().expose().to_owned())
        })
        .await;
    assert_eq!(by_header.header("x-session"), Some(&*by_header.body));
    assert_eq!(by_header.cookie(), None);
    let id: SessionId = by_header.body.parse().expect("an id");
    let cookie = format!("__Host-id={}", id.expose());
    let by_cookie = app
        .browser()
        .act_by(with_header("cookie", &cookie), |session| {
            Ok(session.set_visits(2)?)
        })
        .await;
    assert!(by_cookie.cookie().is_some() && by_cookie.header("x-session").is_none());
    let unknown = SessionId::random();
    let begun = change(&app, with_header("x-session", unknown.expose())).await;
    assert!(
        begun
            .header("x-session")
            .is_some_and(|id| id != unknown.expose())
    );
    assert_eq!(begun.cookie(), None);
}

/// Conformance 1.19
#[tokio::test]
async fn an_id_from_a_read_only_source_is_never_copied_to_another_carrier() {
    for (source, request) in read_only() {
        let name = format!("{source:?}");
        let chain = IdSource::Chain(vec![
            source,
            IdSource::Chain(vec![IdSource::Header("X-Session".into())]),
            IdSource::Cookie,
        ]);
        let app = app(IdSource::Chain(vec![IdSource::Chain(vec![chain])]));
        let id = session_in(&app).await;
        let changed = change(&app, request(id.expose())).await;
        let moved = app
            .browser()
            .act_by(request(id.expose()), |session| {
                session.regenerate();
                Ok(session.id().expose().to_owned())
            })
            .await;
        let ended = app
            .browser()
            .act_by(request(&moved.body), |session| {
                session.destroy();
                Ok(session.set_visits(5)?)
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
        let app = app(IdSource::Chain(vec![source, IdSource::Cookie]));
        let planted = SessionId::random();
        let reply = change(&app, request(planted.expose())).await;
        let cookie = reply.cookie().expect("a new session");
        assert_ne!(cookie.value(), planted.expose(), "{name}");
        assert_eq!(user(&app, request(planted.expose())).await, None, "{name}");
        let reply = app
            .browser()
            .does_by(request(planted.expose()), Session::destroy)
            .await;
        let found = (reply.status.as_u16(), reply.cookie());
        assert_eq!(found, (200, None), "{name}");
    }
}

/// Conformance 1.19
#[tokio::test]
async fn a_session_from_a_read_only_source_can_be_changed_and_ended() {
    for (source, request) in read_only() {
        let name = format!("{source:?}");
        let app = app(source);
        let id = session_in(&app).await;
        change(&app, request(id.expose())).await;
        let session = app.sessions.open::<Shop>(&id).await.expect("it lives");
        assert_eq!(session.visits(), Ok(1), "{name}");
        app.browser()
            .does_by(request(id.expose()), Session::destroy)
            .await;
        assert!(app.sessions.open::<Shop>(&id).await.is_err(), "{name}");
    }
}

/// Conformance 1.20
#[tokio::test]
async fn an_authorization_header_must_have_the_exact_form() {
    let app = app(IdSource::Authorization("Session".into()));
    let id = session_in(&app).await;
    for good in ["Session ID", "session ID", "SESSION ID"] {
        let value = good.replace("ID", id.expose());
        let request = with_header("authorization", &value);
        assert_eq!(user(&app, request).await, Some(7), "{good}");
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
        let value = bad.replace("ID", id.expose());
        let request = with_header("authorization", &value);
        assert_eq!(user(&app, request).await, None, "{bad}");
    }
    for second in ["Session ID", "Basic eDp5"] {
        let mut request = with_header("authorization", &format!("Session {}", id.expose()));
        let second = second.replace("ID", id.expose());
        let second = second.parse().expect("a header value");
        request.headers_mut().append(header::AUTHORIZATION, second);
        assert_eq!(user(&app, request).await, None, "there are two headers");
    }
}

/// Conformance 1.21
#[tokio::test]
async fn header_names_are_case_insensitive() {
    for name in ["x-session", "X-Session", "X-SESSION"] {
        let app = app(IdSource::Header(name.into()));
        let id = session_in(&app).await;
        for sent in ["x-session", "X-Session", "X-SESSION"] {
            let request = with_header(sent, id.expose());
            assert_eq!(user(&app, request).await, Some(7), "{name} {sent}");
        }
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
async fn with_forms() -> (App, SessionId, String) {
    let routes = Route::new()
        .at("/session-first", post(session_then_form))
        .at("/form-first", post(form_then_session))
        .at("/option", post(form_with_option));
    let app = App::serving(routes, |builder| {
        builder.id_source(IdSource::Form("sid".into()))
    });
    let id = session_in(&app).await;
    let form = format!("text=a+b%26c&sid={}", id.expose());
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
        let app = app(IdSource::Chain(vec![earlier, form.clone()]));
        let id = session_in(&app).await;
        let other = SessionId::random();
        let path = format!("/s/{}?sid={}", id.expose(), id.expose());
        let request = form_request(&path, &format!("sid={}", other.expose()));
        assert_eq!(user(&app, request).await, Some(7), "{name}");
    }
}

/// Conformance 1.22
#[tokio::test]
async fn an_option_of_a_handler_finds_the_id_in_a_form_that_the_handler_takes() {
    let (app, id, form) = with_forms().await;
    let reply = app.browser().post("/option", &form).await;
    assert_eq!(reply.body, "a b&c");
    let session = app.sessions.open::<Shop>(&id).await.expect("it lives");
    let end = app.now().saturating_add(Duration::from_hours(2));
    assert_eq!(session.expires_at(), Some(end.into()));
}

/// Conformance 1.22
#[tokio::test]
async fn only_small_bodies_with_the_type_of_a_form_are_searched_for_an_id() {
    let app = app(IdSource::Form("sid".into()));
    let id = session_in(&app).await;
    let id = id.expose();
    let large = format!("sid={id}&filler={}", "x".repeat(64 * 1024));
    assert_eq!(user(&app, form_request("/", &large)).await, None);
    let small = format!("filler={}&sid={id}", "x".repeat(60 * 1024));
    assert_eq!(user(&app, form_request("/", &small)).await, Some(7));

    let text = format!("sid={id}");
    let mut json = form_request("/", &text);
    let kind = HeaderValue::from_static("application/json");
    json.headers_mut().insert(header::CONTENT_TYPE, kind);
    let mut unsized_form = form_request("/", &text);
    unsized_form.headers_mut().remove(header::CONTENT_LENGTH);
    let mut untyped = form_request("/", &text);
    untyped.headers_mut().remove(header::CONTENT_TYPE);
    for request in [json, unsized_form, untyped] {
        assert_eq!(user(&app, request).await, None);
    }
    let mut with_charset = form_request("/", &text);
    let kind = HeaderValue::from_static("Application/X-WWW-Form-Urlencoded; charset=utf-8");
    with_charset
        .headers_mut()
        .insert(header::CONTENT_TYPE, kind);
    assert_eq!(user(&app, with_charset).await, Some(7));
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
        let path = format!("/?{name}={}", id.expose());
        assert_eq!(user(&app, request(Method::GET, &path)).await, None);
    }
}
