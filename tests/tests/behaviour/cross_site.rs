//! Requests that another site sends, and the preflights by which a browser asks for them.

use poem::{
    EndpointExt, Request, Response, Route, get,
    http::{HeaderName, HeaderValue, Method, StatusCode},
    middleware::Cors,
};
use poem_session::{
    CookieConfig, IdSource, RequestError, SameSite, SaveError, Session, SessionId, session,
};

use crate::support::{App, COOKIE, Logs, Scripted, Shop, count, request, settings};

/// A request with these headers.
fn with_headers(method: Method, headers: &[(&'static str, &str)]) -> Request {
    let mut request = request(method, "/");
    for (name, value) in headers {
        let value = HeaderValue::from_str(value).expect("a header value");
        let name = HeaderName::from_static(name);
        request.headers_mut().append(name, value);
    }
    request
}

/// A form of another site, which the browser sends without the cookie.
fn cross_site(method: Method) -> Request {
    with_headers(method, &[("sec-fetch-site", "cross-site")])
}

fn sign_in(session: &Session<Shop>) {
    session.set_user(8).expect("it fits");
}

/// Conformance 5.17
#[tokio::test]
async fn a_form_of_another_site_begins_no_session() {
    let app = App::new();
    for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
        let logs = Logs::capture();
        let visitor = app.browser();
        let reply = visitor.does_by(cross_site(method), sign_in).await;
        assert_eq!(reply.status, StatusCode::FORBIDDEN);
        assert_eq!((reply.body.as_str(), reply.cookie()), ("Forbidden", None));
        let logs = logs.text();
        for part in ["WARN", "login CSRF", "allow_cross_site"] {
            assert!(logs.contains(part), "{logs}");
        }
    }
    assert!(app.store.sessions(app.now()).await.is_empty());
}

/// Conformance 5.17
#[tokio::test]
async fn a_dead_id_does_not_let_another_site_begin_a_session() {
    let app = App::new();
    let unknown = SessionId::random();
    let cookie = format!("{COOKIE}={}", unknown.expose());
    let headers = [("sec-fetch-site", "cross-site"), ("cookie", &cookie)];
    let visitor = app.browser();
    let posted = with_headers(Method::POST, &headers);
    let reply = visitor.does_by(posted, sign_in).await;
    assert_eq!((reply.status.as_u16(), reply.cookie()), (403, None));
    let posted = with_headers(Method::POST, &headers);
    let reply = visitor.does_by(posted, Session::reset).await;
    assert_eq!((reply.status.as_u16(), reply.cookie()), (403, None));
}

/// Conformance 5.17
#[tokio::test]
async fn other_requests_begin_a_session() {
    let app = App::new();
    let requests = [
        cross_site(Method::GET),
        cross_site(Method::HEAD),
        cross_site(Method::OPTIONS),
        with_headers(Method::POST, &[("sec-fetch-site", "same-site")]),
        with_headers(Method::POST, &[("sec-fetch-site", "same-origin")]),
        with_headers(Method::POST, &[("sec-fetch-site", "none")]),
        // A client that is no browser.
        with_headers(Method::POST, &[]),
    ];
    for request in requests {
        let name = format!("{request:?}");
        let reply = app.browser().does_by(request, sign_in).await;
        assert_eq!(reply.status, StatusCode::OK, "{name}");
        assert!(reply.cookie().is_some(), "{name}");
    }
}

/// Conformance 5.17
#[tokio::test]
async fn another_site_may_post_to_a_handler_that_does_not_change_the_session() {
    let app = App::new();
    let visitor = app.browser();
    let posted = cross_site(Method::POST);
    let reply = visitor
        .act_by(posted, |s| Ok(format!("{:?}", s.user()?)))
        .await;
    assert_eq!((reply.status.as_u16(), reply.body.as_str()), (200, "None"));
}

/// Conformance 5.17
#[tokio::test]
async fn a_cross_site_request_with_a_live_session_changes_and_replaces_it() {
    let app = App::new();
    let acts: [fn(&Session<Shop>); 4] = [sign_in, Session::regenerate, Session::reset, |session| {
        session.destroy();
        sign_in(session);
    }];
    for act in acts {
        let alice = app.sign_in().await;
        let reply = alice.does_by(cross_site(Method::POST), act).await;
        assert_eq!(reply.status, StatusCode::OK);
        assert!(alice.id().is_some());
    }
}

/// Conformance 5.17
#[tokio::test]
async fn the_application_can_allow_other_sites_to_begin_a_session() {
    let none = CookieConfig::default().same_site(SameSite::None);
    let for_frames = App::with(|builder| builder.cookie(none));
    let routes = Route::new()
        .at("/", Scripted)
        .nest("/saml", Route::new().at("/acs", Scripted));
    let by_rule = App::serving(routes, |builder| {
        builder.allow_cross_site(|req| req.uri().path() == "/saml/acs")
    });
    for (app, path, status) in [
        (&for_frames, "/", 200),
        (&by_rule, "/saml/acs", 200),
        (&by_rule, "/", 403),
    ] {
        let mut posted = cross_site(Method::POST);
        *posted.uri_mut() = path.parse().expect("a URI");
        let reply = app.browser().does_by(posted, sign_in).await;
        assert_eq!(reply.status, status, "{path}");
        assert_eq!(reply.cookie().is_some(), status == 200, "{path}");
    }
}

/// Conformance 5.17, 1.18
#[tokio::test]
async fn only_the_cookie_is_protected_as_browsers_keep_no_other_carrier() {
    let header = || IdSource::Header("X-Session".into());
    let dead = SessionId::random();
    let dead_header = [("x-session", dead.expose())];
    let no_header: [(&'static str, &str); 0] = [];
    for (sources, headers, status) in [
        (vec![header()], &no_header[..], 200),
        (vec![header(), IdSource::Cookie], &no_header, 200),
        (vec![IdSource::Cookie, header()], &no_header, 403),
        // The new id is sent where the dead one was.
        (vec![IdSource::Cookie, header()], &dead_header, 200),
        (
            vec![IdSource::Authorization("Bearer".into())],
            &no_header,
            200,
        ),
    ] {
        let name = format!("{sources:?} {headers:?}");
        let app = App::with(|builder| builder.id_source(IdSource::Chain(sources)));
        let mut posted = with_headers(Method::POST, headers);
        let site = HeaderValue::from_static("cross-site");
        posted.headers_mut().insert("sec-fetch-site", site);
        let reply = app.browser().does_by(posted, sign_in).await;
        assert_eq!(reply.status, status, "{name}");
        assert_eq!(reply.cookie(), None, "{name}");
    }
}

/// Conformance 5.17, 1.32
#[tokio::test]
async fn a_handler_that_saves_at_once_is_told_that_the_session_is_refused() {
    let app = App::with(|builder| {
        builder.on_error(|error| {
            let refused = matches!(error, RequestError::Save(SaveError::CrossSite));
            Response::builder().body(format!("refused: {refused}"))
        })
    });
    let visitor = app.browser();
    let reply = visitor
        .visit_by(
            cross_site(Method::POST),
            |session: Session<Shop>| async move {
                sign_in(&session);
                let saved = session.save().await;
                assert!(matches!(saved, Err(SaveError::CrossSite)), "{saved:?}");
                Ok(())
            },
        )
        .await;
    assert_eq!(reply.body, "refused: true");
    assert!(app.store.sessions(app.now()).await.is_empty());
}

/// A CORS preflight.
fn preflight() -> Request {
    let headers = [
        ("origin", "https://app.example"),
        ("access-control-request-method", "POST"),
    ];
    with_headers(Method::OPTIONS, &headers)
}

/// Conformance 1.39
#[tokio::test]
async fn a_preflight_neither_loads_nor_begins_a_session() {
    let app = App::new();
    let alice = app.sign_in().await;
    let id = alice.signed_id();
    app.store.calls();
    for visitor in [&alice, &app.browser()] {
        let reply = visitor
            .act_by(preflight(), |session| {
                // As a middleware of the application does with every request.
                count(session);
                assert!(session.is_new());
                Ok(format!("{:?}", session.user()?))
            })
            .await;
        assert_eq!((reply.status.as_u16(), reply.body.as_str()), (200, "None"));
        assert_eq!(reply.cookie(), None);
        let ended = visitor.does_by(preflight(), Session::destroy).await;
        assert_eq!((ended.status.as_u16(), ended.cookie()), (200, None));
    }
    assert_eq!(app.store.calls(), []);
    assert!(app.exists(&id).await);
}

/// Conformance 1.39
#[tokio::test]
async fn saving_at_once_in_a_preflight_is_an_error() {
    let app = App::new();
    let visitor = app.browser();
    let reply = visitor
        .visit_by(preflight(), |session: Session<Shop>| async move {
            count(&session);
            let saved = session.save().await;
            assert!(matches!(saved, Err(SaveError::Preflight)), "{saved:?}");
            Ok(saved?)
        })
        .await;
    assert_eq!((reply.status.as_u16(), reply.cookie()), (403, None));
    assert_eq!(app.store.calls(), []);
}

/// Conformance 1.39
#[tokio::test]
async fn an_options_request_that_is_no_preflight_has_a_session() {
    let app = App::new();
    let alice = app.sign_in().await;
    for headers in [
        &[][..],
        &[("origin", "https://app.example")],
        &[("access-control-request-method", "POST")],
    ] {
        let asked = with_headers(Method::OPTIONS, headers);
        let reply = alice
            .act_by(asked, |s| Ok(format!("{:?}", s.user()?)))
            .await;
        assert_eq!(reply.body, "Some(7)", "{headers:?}");
    }
}

/// Conformance 1.39, 1.35
#[tokio::test]
async fn a_cors_middleware_inside_of_the_sessions_responds_to_preflights() {
    #[session]
    async fn user(#[key(Shop::USER)] user: u64) -> String {
        user.to_string()
    }

    let cors = Cors::new().allow_origin("https://app.example");
    let routes = Route::new()
        .at("/", Scripted)
        .at("/user", get(user))
        .with(cors.allow_credentials(true));
    let app = App::serving(routes, settings);
    let alice = app.sign_in().await;
    app.store.calls();
    let mut asked = preflight();
    *asked.uri_mut() = "/user".parse().expect("a URI");
    let reply = alice.send(asked).await;
    let origin = reply.header("access-control-allow-origin");
    assert_eq!(origin, Some("https://app.example"));
    assert_eq!(app.store.calls(), []);
}
