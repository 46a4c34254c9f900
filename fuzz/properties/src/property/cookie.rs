//! `Cookie` headers. An input has one header per line.

use std::sync::{Arc, Mutex};

use poem::{
    Request,
    http::{HeaderValue, header},
};
use poem_session::Session;

use super::site::{ALICE, Act, Seen, Site, Visit, alice, block_on, id, ids_in};

const NAME: &str = "__Host-id";

pub(crate) fn check(input: &[u8]) {
    let headers: Vec<HeaderValue> = input
        .split(|byte| *byte == b'\n')
        .filter_map(|line| HeaderValue::from_bytes(line).ok())
        .collect();
    block_on(visit(input, &headers));
}

async fn visit(input: &[u8], headers: &[HeaderValue]) {
    let seen = Arc::new(Mutex::new(None));
    let site = Site::with(handler(Arc::clone(&seen)), |builder| builder)
        .expect("the default settings are valid")
        .with_alice()
        .await;
    let mut request = Request::default();
    for header in headers {
        request.headers_mut().append(header::COOKIE, header.clone());
    }
    let response = site.call(request).await;
    assert!(response.status().is_success(), "{}", response.status());
    let seen = seen.lock().expect("no thread has panicked").take();
    let is_alice = seen.expect("the handler has run").is_alice();

    let presented: Vec<&[u8]> = headers
        .iter()
        .flat_map(|header| cookies_named(header.as_bytes()))
        .collect();
    if is_alice {
        assert!(
            presented.contains(&ALICE.as_bytes()),
            "the request without Alice's cookie got her session"
        );
    } else {
        let first = presented.iter().find_map(|value| id(value));
        assert_ne!(first, Some(alice()), "Alice's cookie was not found");
    }

    let cookies: Vec<_> = response
        .headers()
        .get_all(header::SET_COOKIE)
        .iter()
        .collect();
    let [cookie] = cookies[..] else {
        panic!("{} cookies instead of one", cookies.len());
    };
    let cookie = cookie.to_str().expect("a cookie is text");
    let cookie = cookie::Cookie::parse(cookie).expect("a cookie is well formed");
    assert_eq!(cookie.name(), NAME);
    let sent = id(cookie.value().as_bytes()).expect("its value is an id");
    assert_eq!(is_alice, sent == alice());
    assert!(site.has(sent).await);
    for id in ids_in(input).filter(|id| *id != alice()) {
        assert!(id != sent && !site.has(id).await, "an id was adopted");
    }
}

fn handler(seen: Arc<Mutex<Option<Seen>>>) -> Act<impl Fn(Session<Visit>, Request) -> Done> {
    Act(move |session: Session<Visit>, _| {
        let saw = Seen::of(&session).and_then(|saw| {
            *seen.lock().expect("no thread has panicked") = Some(saw);
            Ok(session.update_visits(|visits| *visits += 1)?)
        });
        std::future::ready(saw)
    })
}

type Done = std::future::Ready<poem::Result<()>>;

/// The values of the session's cookie in a header, as browsers write it (RFC 6265, section 4.2.1).
///
/// Browsers trim only ASCII space. A name with other space around it is another name, which the prefix rules of
/// browsers do not protect.
fn cookies_named(header: &[u8]) -> impl Iterator<Item = &[u8]> {
    header.split(|byte| *byte == b';').filter_map(|pair| {
        let at = pair.iter().position(|byte| *byte == b'=')?;
        let (name, value) = (pair[..at].trim_ascii(), pair[at + 1..].trim_ascii());
        let quoted = value
            .strip_prefix(b"\"")
            .and_then(|value| value.strip_suffix(b"\""));
        (name == NAME.as_bytes()).then_some(quoted.unwrap_or(value))
    })
}
