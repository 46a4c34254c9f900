//! Hostile requests and records. The properties in `fuzz/` cover headers, URLs, forms and records of any bytes.

use std::{io, time::Duration};

use bytes::Bytes;
use futures_util::stream::pending;
use poem::{
    Body,
    http::{Method, header},
};
use poem_session::SessionId;

use crate::support::{App, COOKIE, form_request, request};

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
