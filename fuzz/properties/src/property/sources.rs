//! Requests with ids in any carrier.
//!
//! An input is a line of settings followed by an HTTP/1.1 request. In the line, a capital letter is an id source, a
//! parenthesis begins or ends a nested chain, and a small letter is the action of the handler.

use std::{
    iter::Peekable,
    slice::Iter,
    sync::{Arc, Mutex},
};

use poem::{
    Body, Request, Response, Result, Route,
    http::{HeaderName, HeaderValue, Method, Uri, header},
};
use poem_session::{IdSource, Session, SessionId};

use super::site::{ALICE, Act, Seen, Site, Visit, alice, block_on, id, ids_in};

const HEADER: &str = "x-session-id";

/// The number of bytes of a form that the form source searches for an id.
const FORM_LIMIT: usize = 64 * 1024;

pub(crate) fn check(input: &[u8]) {
    let Some(line) = input.iter().position(|byte| *byte == b'\n') else {
        return;
    };
    let (settings, message) = (&input[..line], &input[line + 1..]);
    let sources = chain(&mut settings.iter().peekable());
    let action = settings
        .iter()
        .copied()
        .find_map(Action::of)
        .unwrap_or(Action::Read);
    if let Some((request, body)) = request(message) {
        block_on(visit(input, &sources, action, request, body));
    }
}

/// The action of the handler on its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Read,
    Write,
    Regenerate,
    Reset,
    Destroy,
}

impl Action {
    fn of(letter: u8) -> Option<Self> {
        Some(match letter {
            b'r' => Self::Read,
            b'w' => Self::Write,
            b'g' => Self::Regenerate,
            b'x' => Self::Reset,
            b'd' => Self::Destroy,
            _ => return None,
        })
    }
}

fn chain(letters: &mut Peekable<Iter<'_, u8>>) -> Vec<IdSource> {
    let mut sources = Vec::new();
    while let Some(letter) = letters.next() {
        sources.push(match letter {
            b'C' => IdSource::Cookie,
            b'H' => IdSource::Header(HEADER.into()),
            b'A' => IdSource::Authorization("Bearer".into()),
            b'Q' => IdSource::Query("sid".into()),
            b'P' => IdSource::Path("sid".into()),
            b'F' => IdSource::Form("sid".into()),
            b'X' => IdSource::custom(|request| {
                let bytes = request.headers().get("x-custom")?.as_bytes();
                Some(String::from_utf8_lossy(bytes).into_owned())
            }),
            b'(' => IdSource::Chain(chain(letters)),
            b')' => break,
            _ => continue,
        });
    }
    sources
}

/// Reads a request as it stands on the wire, and its body.
fn request(message: &[u8]) -> Option<(Request, Vec<u8>)> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut head = httparse::Request::new(&mut headers);
    let length = match head.parse(message) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) | Err(_) => return None,
    };
    let body = message[length..].to_vec();
    let mut request = Request::builder()
        .method(head.method?.parse::<Method>().ok()?)
        .uri(head.path?.parse::<Uri>().ok()?)
        .body(Body::from_vec(body.clone()));
    for header in head.headers {
        let name = HeaderName::from_bytes(header.name.as_bytes()).ok()?;
        let value = HeaderValue::from_bytes(header.value).ok()?;
        request.headers_mut().append(name, value);
    }
    Some((request, body))
}

async fn visit(
    input: &[u8],
    sources: &[IdSource],
    action: Action,
    request: Request,
    sent: Vec<u8>,
) {
    let seen = Notes::default();
    let route = || Act(handler(action, Arc::clone(&seen)));
    let routes = Route::new()
        .at("/", route())
        .at("/s/:sid", route())
        .at("/a/*", route());
    let chain = IdSource::Chain(sources.to_vec());
    let Some(site) = Site::with(routes, |builder| builder.id_source(chain)) else {
        assert!(sources.iter().all(is_empty), "a source was refused");
        return;
    };
    let site = site.with_alice().await;
    let mut brought = Vec::new();
    for name in [header::COOKIE, HeaderName::from_static(HEADER)] {
        let values = request.headers().get_all(&name).iter();
        brought.push(values.map(|value| value.as_bytes().to_vec()).collect());
    }
    let response = site.call(request).await;
    let carried = Carried::read(&response);

    let Some((seen, body)) = seen.lock().expect("no thread has panicked").take() else {
        assert_eq!(response.status(), 404);
        assert_eq!(
            carried,
            Carried::default(),
            "a response without a session carries an id"
        );
        return;
    };
    assert!(response.status().is_success(), "{}", response.status());
    let is_alice = seen.is_alice();
    let cut = sent.len() > FORM_LIMIT && body.is_empty() && input.contains(&b'F');
    assert!(body == sent || cut, "the handler read another body");

    if is_alice {
        let plain = percent_decoded(input);
        assert!(contains(input, ALICE) || contains(&plain, ALICE));
        // A carrier in the response must have carried the id in the request.
        for (carried, brought) in [&carried.cookie, &carried.header].into_iter().zip(&brought) {
            let brought: &Vec<Vec<u8>> = brought;
            assert!(
                carried.is_none() || brought.iter().any(|value| contains(value, ALICE)),
                "an id was copied to another carrier"
            );
        }
    }
    assert!(
        carried.cookie.is_none() || carried.header.is_none(),
        "two carriers have an id"
    );
    session_fits_the_action(&site, is_alice, action, &carried).await;
    for id in ids_in(input).filter(|id| *id != alice()) {
        assert!(
            carried.ids().all(|carried| carried != id),
            "an id was adopted"
        );
        assert!(!site.has(id).await, "an id was adopted");
    }
}

/// Checks that Alice's session ended if the action ends it, and that each id in the response has the right session.
async fn session_fits_the_action(site: &Site, is_alice: bool, action: Action, carried: &Carried) {
    let goes_on = !is_alice || matches!(action, Action::Read | Action::Write);
    assert_eq!(
        site.sessions.open::<Visit>(&alice()).await.is_ok(),
        goes_on,
        "{action:?}"
    );
    for id in carried.ids() {
        let session = site
            .sessions
            .open::<Visit>(&id)
            .await
            .expect("each id in the response has a record");
        let name = session.name().expect("the name decodes");
        let keeps = is_alice && !matches!(action, Action::Reset | Action::Destroy);
        assert_eq!(name.is_some(), keeps, "{action:?}");
    }
    if !is_alice && matches!(action, Action::Read | Action::Regenerate) {
        assert!(
            carried.ids().next().is_none(),
            "a session was created without a change"
        );
    }
}

/// The data that the handler read: its session, and the body of the request.
type Notes = Arc<Mutex<Option<(Seen, Vec<u8>)>>>;

fn handler(
    action: Action,
    seen: Notes,
) -> impl Fn(Session<Visit>, Request) -> futures_util::future::BoxFuture<'static, Result<()>> {
    move |session, mut request| {
        let seen = Arc::clone(&seen);
        Box::pin(async move {
            let body = request.take_body().into_vec().await?;
            let saw = (Seen::of(&session)?, body);
            *seen.lock().expect("no thread has panicked") = Some(saw);
            match action {
                Action::Read => {}
                Action::Write => session.update_visits(|visits| *visits += 1)?,
                Action::Regenerate => session.regenerate(),
                Action::Reset => session.reset(),
                Action::Destroy => session.destroy(),
            }
            Ok(())
        })
    }
}

/// The id that a response carries in its cookie and in its header; empty if the session has ended.
#[derive(Debug, Default, PartialEq, Eq)]
struct Carried {
    cookie: Option<String>,
    header: Option<String>,
}

impl Carried {
    fn read(response: &Response) -> Self {
        let once = |name: &str| {
            let mut values = response.headers().get_all(name).iter();
            let value = values.next()?.to_str().expect("the header is text");
            assert!(values.next().is_none(), "{name} twice");
            Some(value)
        };
        let cookie = once("set-cookie").map(|text| {
            let cookie = cookie::Cookie::parse(text).expect("a cookie is well formed");
            cookie.value().to_owned()
        });
        let carried = Self {
            cookie,
            header: once(HEADER).map(ToOwned::to_owned),
        };
        let texts = [&carried.cookie, &carried.header].into_iter().flatten();
        assert!(texts.filter(|text| !text.is_empty()).count() == carried.ids().count());
        carried
    }

    fn ids(&self) -> impl Iterator<Item = SessionId> {
        let texts = [&self.cookie, &self.header].into_iter().flatten();
        texts.filter_map(|text| id(text.as_bytes()))
    }
}

/// Whether a chain contains no source.
fn is_empty(source: &IdSource) -> bool {
    matches!(source, IdSource::Chain(sources) if sources.iter().all(is_empty))
}

fn contains(text: &[u8], part: &str) -> bool {
    text.windows(part.len())
        .any(|window| window == part.as_bytes())
}

fn percent_decoded(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(byte) = rest.first() {
        let code = rest.get(1..3).and_then(|digits| {
            let digits = std::str::from_utf8(digits).ok()?;
            u8::from_str_radix(digits, 16).ok()
        });
        match code {
            Some(code) if *byte == b'%' => {
                out.push(code);
                rest = &rest[3..];
            }
            _ => {
                out.push(*byte);
                rest = &rest[1..];
            }
        }
    }
    out
}
