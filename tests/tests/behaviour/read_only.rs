//! Id sources on which a response cannot send an id: a form whose body breaks off, and new ids that no client is
//! told.

use std::{collections::BTreeMap, io, time::Duration};

use bytes::Bytes;
use poem::{
    Body, Request, Route,
    http::{HeaderValue, Method, StatusCode, header},
    post,
    web::Form,
};
use poem_session::{
    BuildError, IdSource, Session, SessionId, Sessions, session, store::MemoryStore,
};

use crate::support::{App, COOKIE, End, Logs, Shop, form_request, request};

#[session]
async fn read_fields(shop: Session<Shop>, Form(fields): Form<BTreeMap<String, String>>) -> String {
    format!("{} {fields:?}", shop.is_new())
}

#[session]
async fn read_body(shop: Session<Shop>, body: Body) -> String {
    let error = body.into_bytes().await.expect_err("it breaks off");
    format!("{} {error}", shop.is_new())
}

#[session]
async fn without_body(shop: Session<Shop>) -> String {
    shop.is_new().to_string()
}

/// A form with this id, whose body breaks off.
fn broken_form(path: &str, id: &SessionId) -> Request {
    let mut request = form_request(path, &"x".repeat(1000));
    let chunks = [
        Ok(Bytes::from(format!("sid={}&a=1", id.expose()))),
        Err(io::Error::new(
            io::ErrorKind::ConnectionReset,
            "the line is cut",
        )),
    ];
    let body = Body::from_bytes_stream(futures_util::stream::iter(chunks));
    request.set_body(body);
    request
}

/// Conformance 1.22, 1.18
#[tokio::test]
async fn a_form_that_breaks_off_is_an_error_and_not_an_empty_form() {
    let routes = Route::new()
        .at("/fields", post(read_fields))
        .at("/body", post(read_body))
        .at("/no-body", post(without_body));
    let app = App::serving(routes, |builder| {
        builder.id_source(IdSource::Form("sid".into()))
    });
    let id = saved(&app).await;
    let whole = form_request("/fields", &format!("sid={}", id.expose()));
    assert_eq!(app.browser().send(whole).await.status, StatusCode::OK);
    let reply = app.browser().send(broken_form("/fields", &id)).await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{reply:?}");
    // The source of the id has failed, so no session is found.
    let reply = app.browser().send(broken_form("/body", &id)).await;
    assert!(reply.body.starts_with("true "), "{reply:?}");
    assert!(reply.body.contains("the line is cut"), "{reply:?}");
    let reply = app.browser().send(broken_form("/no-body", &id)).await;
    assert_eq!(reply.body, "true");
}

/// Conformance 1.22, 1.18
#[tokio::test]
async fn a_form_that_breaks_off_does_not_hide_an_id_in_another_source() {
    let routes = Route::new().at("/no-body", post(without_body));
    let sources = vec![IdSource::Form("sid".into()), IdSource::Cookie];
    let app = App::serving(routes, |builder| {
        builder.id_source(IdSource::Chain(sources))
    });
    let id = saved(&app).await;
    let mut broken = broken_form("/no-body", &id);
    let cookie = format!("{COOKIE}={}", id.expose());
    let cookie = HeaderValue::from_str(&cookie).expect("a header value");
    broken.headers_mut().insert(header::COOKIE, cookie);
    assert_eq!(app.browser().send(broken).await.body, "false");
}

/// Stores a session of user 7 and returns its id.
async fn saved(app: &App) -> SessionId {
    let session = app.create();
    session.set_user(7).expect("it fits");
    session.save().await.expect("the store works");
    session.id()
}

/// Conformance 1.19
#[test]
fn rotation_without_a_carrier_for_the_new_id_is_refused() {
    let build = |sources: Vec<IdSource>| {
        let builder = Sessions::builder(MemoryStore::new()).rotate_every(Duration::from_mins(10));
        builder.id_source(IdSource::Chain(sources)).build()
    };
    let bearer = || IdSource::Authorization("Bearer".into());
    let query = || IdSource::Query("sid".into());
    let error = build(vec![bearer(), query()]).expect_err("no response sends the new id");
    assert!(matches!(
        error,
        BuildError::Contradiction {
            first: "rotate_every",
            second: "id_source",
            ..
        }
    ));
    assert!(build(vec![bearer(), IdSource::Cookie]).is_ok());
    assert!(build(vec![query(), IdSource::Header("X-Session".into())]).is_ok());
}

fn bearer(id: &SessionId) -> Request {
    let mut request = request(Method::GET, "/");
    let value = format!("Bearer {}", id.expose());
    let value = HeaderValue::from_str(&value).expect("a header value");
    request.headers_mut().insert(header::AUTHORIZATION, value);
    request
}

fn warnings(logs: &Logs) -> usize {
    let logs = logs.text();
    let lines = logs.lines().filter(|line| line.contains("WARN"));
    lines.filter(|line| line.contains("`Session::id`")).count()
}

/// Conformance 1.19
#[tokio::test]
async fn a_new_id_that_its_client_is_not_told_is_logged_as_a_warning() {
    let sources = [
        vec![IdSource::Authorization("Bearer".into())],
        vec![IdSource::Authorization("Bearer".into()), IdSource::Cookie],
    ];
    for sources in sources {
        let app = App::with(|builder| builder.id_source(IdSource::Chain(sources)));
        let ways: [(End, usize); 6] = [
            (Session::regenerate, 1),
            (Session::reset, 1),
            (
                |session| {
                    session.id();
                    session.regenerate();
                },
                1,
            ),
            (
                |session| {
                    session.regenerate();
                    session.id();
                },
                0,
            ),
            (|session| session.set_visits(1).expect("it fits"), 0),
            (Session::destroy, 0),
        ];
        for (case, (act, expected)) in ways.into_iter().enumerate() {
            let id = saved(&app).await;
            let logs = Logs::capture();
            let reply = app.browser().does_by(bearer(&id), act).await;
            assert_eq!((reply.status, reply.cookie()), (StatusCode::OK, None));
            assert_eq!(warnings(&logs), expected, "case {case}");
            assert!(!logs.text().contains(id.expose()));
        }
    }
}

/// Conformance 1.19, 1.2
#[tokio::test]
async fn a_new_session_that_its_client_is_not_told_is_logged_as_a_warning() {
    let source = IdSource::Authorization("Bearer".into());
    let app = App::with(|builder| builder.id_source(source));
    let logs = Logs::capture();
    app.browser()
        .act_by(
            request(Method::GET, "/"),
            |session| Ok(session.set_user(7)?),
        )
        .await;
    assert_eq!(warnings(&logs), 1);
    // As the response to a sign-in of an API client.
    let reply = app
        .browser()
        .act_by(request(Method::GET, "/"), |session| {
            session.set_user(7)?;
            Ok(session.id().expose().to_owned())
        })
        .await;
    assert_eq!(warnings(&logs), 1);
    let id: SessionId = reply.body.parse().expect("an id");
    assert!(app.exists(&id).await);
}
