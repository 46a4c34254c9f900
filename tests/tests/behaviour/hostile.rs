//! Hostile requests and records.

use std::{io, time::Duration};

use bytes::Bytes;
use futures_util::stream::pending;
use poem::{
    Body, Request, Route,
    http::{HeaderValue, Method, header},
};
use poem_session::{IdSource, SessionId};

use crate::support::{App, COOKIE, Scripted, form_request, request};

/// Conformance 1.22, 5.13
#[tokio::test(start_paused = true)]
async fn a_request_does_not_wait_for_its_body_if_ids_are_not_in_forms() {
    let app = App::new();
    let mut slow = form_request("/", "a=b");
    slow.set_body(Body::from_bytes_stream(pending::<io::Result<Bytes>>()));
    let visitor = app.browser();
    let visit = visitor.act_by(slow, |s| Ok(s.is_new().to_string()));
    let reply = tokio::time::timeout(Duration::from_secs(1), visit).await;
    assert_eq!(reply.expect("the handler runs").body, "true");
}

/// Bytes that a header can contain.
fn hostile_values() -> [Vec<u8>; 13] {
    [
        vec![],
        b"=".to_vec(),
        b";;;;".to_vec(),
        b"\"".to_vec(),
        b"\"\"".to_vec(),
        b"%00%0d%0aSet-Cookie:%20a=b".to_vec(),
        b"\xff\xfe\xfd".to_vec(),
        "ü".repeat(43).into_bytes(),
        vec![b'\t'; 43],
        vec![b'a'; 10_000],
        vec![b'"'; 9_999],
        b"a=b; ".repeat(2_000),
        vec![0x80; 10_000],
    ]
}

/// An application with every id source.
fn all_sources() -> App {
    let routes = Route::new().at("/", Scripted).at("/s/:sid", Scripted);
    App::serving(routes, |builder| {
        builder.id_source(IdSource::Chain(vec![
            IdSource::Cookie,
            IdSource::Header("X-Session".into()),
            IdSource::Authorization("Bearer".into()),
            IdSource::Query("sid".into()),
            IdSource::Path("sid".into()),
            IdSource::Form("sid".into()),
            IdSource::custom(|req| {
                let bytes = req.headers().get("x-custom")?.as_bytes();
                Some(String::from_utf8_lossy(bytes).into_owned())
            }),
        ]))
    })
}

/// Checks that the request has no session, and gets a new one.
async fn gets_a_new_session(app: &App, request: Request, what: &str) {
    let reply = app
        .browser()
        .act_by(request, |session| {
            assert!(session.is_new());
            session.set_user(1)?;
            Ok(session.id().expose().to_owned())
        })
        .await;
    assert_eq!(reply.status, 200, "{what}");
    assert_eq!(reply.body.len(), 43, "{what}");
    let cookie = reply.cookie().expect("a new session");
    assert_eq!(cookie.value(), reply.body, "{what}");
}

/// Conformance 5.13, 1.21
#[tokio::test]
async fn hostile_headers_get_a_new_session() {
    let app = all_sources();
    for value in hostile_values() {
        for (name, before) in [
            ("cookie", &b""[..]),
            ("cookie", b"__Host-id="),
            ("cookie", b"a=b; __Host-id="),
            ("x-session", b""),
            ("authorization", b""),
            ("authorization", b"Bearer "),
            ("x-custom", b""),
            ("content-type", b""),
            ("content-length", b""),
        ] {
            let value = [before, &value].concat();
            let what = format!("{name}: {}", String::from_utf8_lossy(&value));
            let Ok(value) = HeaderValue::from_bytes(&value) else {
                continue;
            };
            let mut request = form_request("/", "a=b");
            request
                .headers_mut()
                .insert(header::HeaderName::from_static(name), value);
            gets_a_new_session(&app, request, &what).await;
        }
    }
}

/// Conformance 5.13
#[tokio::test]
async fn hostile_urls_and_forms_get_a_new_session() {
    let app = all_sources();
    let long = "a".repeat(10_000);
    let texts = ["", "%", "%zz", "%ff%fe", "&&&&", "=", "sid", "sid=&sid="];
    for text in texts.into_iter().chain([long.as_str()]) {
        for pattern in ["?", "?sid=", "?a=b&sid="] {
            let path = format!("/{pattern}{text}");
            gets_a_new_session(&app, request(Method::GET, &path), &path).await;
        }
        let form = format!("sid={text}");
        gets_a_new_session(&app, form_request("/", &form), &form).await;
        gets_a_new_session(&app, form_request("/", text), text).await;
    }
    for id in [long.as_str(), "%", "%ff", "a"] {
        let path = format!("/s/{id}");
        gets_a_new_session(&app, request(Method::GET, &path), &path).await;
    }
}

/// Conformance 5.13, 1.22
#[tokio::test]
async fn forms_with_a_wrong_length_get_a_new_session() {
    let app = all_sources();
    let too_long = "99999999999999999999";
    for length in ["0", "1", "64000", "65537", too_long, "-1", "x", "1, 2"] {
        let mut request = form_request("/", &format!("sid={}", "a".repeat(43)));
        let value = length.parse().expect("a header value");
        request.headers_mut().insert(header::CONTENT_LENGTH, value);
        gets_a_new_session(&app, request, length).await;
    }
    let mut large = form_request("/", &"a".repeat(10 << 20));
    large
        .headers_mut()
        .insert(header::CONTENT_LENGTH, 10.into());
    gets_a_new_session(&app, large, "ten megabytes with a length of ten bytes").await;
}

/// Conformance 5.13, 1.21, 1.34
#[tokio::test]
async fn a_request_with_a_hundred_ids_makes_at_most_four_store_calls() {
    let app = App::new();
    let id = app.sign_in().await.signed_id();
    let own = format!("{COOKIE}={}", id.expose());
    let others = (0..100).map(|_| format!("{COOKIE}={}", SessionId::random().expose()));
    let others = others.collect::<Vec<_>>().join("; ");
    app.store.calls();
    for (cookies, calls) in [
        (format!("{own}; {others}"), 1),
        (format!("{others}; {own}"), 4),
    ] {
        let mut request = request(Method::GET, "/");
        let value = cookies.parse().expect("a header value");
        request.headers_mut().insert(header::COOKIE, value);
        let reply = app
            .browser()
            .act_by(request, |s| Ok(s.user().map(drop)?))
            .await;
        assert_eq!(reply.status, 200);
        assert_eq!(app.store.calls().len(), calls);
    }
}

/// Conformance 5.13
#[tokio::test]
async fn a_hostile_record_is_an_error_or_a_session() {
    let app = App::new();
    let id = app.sign_in().await.signed_id();
    let record = app.store.record(&id, app.now()).await;
    let good = record.expect("it lives").data;
    let mut records = Vec::new();
    for place in 0..good.len() {
        records.push(good[..place].to_vec());
        for byte in [0x00, 0x7f, 0x80, 0x9f, 0xc0, 0xc1, 0xc6, 0xdd, 0xdf, 0xff] {
            let mut bytes = good.to_vec();
            bytes[place] = byte;
            records.push(bytes);
        }
    }
    for own in ["$created", "$idle", "$ended", "$moved", "$rotated"] {
        let huge = b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff".as_slice();
        for value in [huge, b"\xc0", b"\xa1x", b"\xff", b"\x00", b"\x90"] {
            let length = 0xa0 + u8::try_from(own.len()).expect("short");
            records.push([&[0x81, length][..], own.as_bytes(), value].concat());
        }
    }
    for bytes in records {
        let visitor = app.sign_in().await;
        let id = visitor.signed_id();
        app.store.plant(&id, bytes.clone(), app.now()).await;
        let read = visitor.act(|s| Ok(format!("{:?}{:?}", s.user()?, s.notice()?)));
        let read = read.await;
        let written = visitor.act(|s| Ok(s.set_visits(1)?)).await;
        for reply in [read, written] {
            assert!(
                matches!(reply.status.as_u16(), 200 | 409 | 500),
                "{bytes:?}: {reply:?}"
            );
        }
        app.sessions.revoke(id).await.expect("it ends");
    }
}

/// Conformance 5.13
#[tokio::test]
async fn a_ring_of_forwards_is_an_error() {
    let app = App::new();
    let (alice, bob) = (app.sign_in().await, app.sign_in().await);
    for (from, to) in [(&alice, &bob), (&bob, &alice)] {
        let to = to.signed_id().public();
        let record = [b"\x81\xa6$moved\xc4\x20".as_slice(), to.as_bytes()].concat();
        app.store.plant(&from.signed_id(), record, app.now()).await;
    }
    let reply = alice.act(|s| Ok(s.set_user(8)?)).await;
    assert_eq!((reply.status.as_u16(), reply.cookie()), (500, None));
}

/// Conformance 5.13
#[tokio::test]
async fn a_record_with_a_duplicate_key_is_read_and_written_as_one() {
    let app = App::with(|builder| builder.no_absolute_timeout());
    let alice = app.sign_in().await;
    let record = b"\x82\xa9shop.user\x01\xa9shop.user\x02".as_slice();
    app.store.plant(&alice.signed_id(), record, app.now()).await;
    alice
        .act(|s| Ok(s.update_user(|user| *user = user.map(|n| n + 10))?))
        .await;
    assert_eq!(alice.user().await, Some(11));
    alice.does(|session| session.remove_user()).await;
    assert_eq!(alice.user().await, None);
}
