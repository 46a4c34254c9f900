//! Settings. An input is `SessionConfig` as JSON.

use std::sync::{Arc, Mutex};

use poem::{
    Request,
    http::{HeaderName, HeaderValue, header},
};
use poem_session::{IdSource, SessionConfig};
use serde_json::Value;

use super::site::{Act, Seen, Site, block_on, id};

pub(crate) fn check(input: &[u8]) {
    if let Ok(config) = serde_json::from_slice::<SessionConfig>(input) {
        let json = serde_json::from_slice(input).expect("the input is JSON");
        block_on(two_visits(&config, &json));
    }
}

/// If the first response carries an id, a second request with this id finds the session and destroys it, and the
/// second response removes the id.
async fn two_visits(config: &SessionConfig, json: &Value) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let handler = {
        let seen = Arc::clone(&seen);
        Act(move |session, _| {
            let seen = Arc::clone(&seen);
            async move {
                let saw = Seen::of(&session)?;
                if saw.is_alice() {
                    session.destroy();
                } else {
                    session.set_name("Alice".into())?;
                }
                seen.lock().expect("no thread has panicked").push(saw);
                Ok(())
            }
        })
    };
    let Some(site) = Site::with(handler, |builder| builder.config(config.clone())) else {
        return;
    };
    let first = site.call(Request::default()).await;
    assert!(first.status().is_success(), "{}", first.status());
    let Some(carrier) = first_carrier(&config.id_source) else {
        assert!(!first.headers().contains_key(header::SET_COOKIE));
        return;
    };
    let mut again = Request::default();
    let (name, value) = match &carrier {
        IdSource::Header(name) => {
            let name = HeaderName::try_from(name).expect("the builder checked the name");
            let sent = first.headers().get(&name).expect("the response has an id");
            (name, sent.clone())
        }
        _ => (header::COOKIE, sent_back(&first, config, json)),
    };
    again.headers_mut().insert(name, value);
    let second = site.call(again).await;
    assert!(second.status().is_success(), "{}", second.status());
    if matches!(carrier, IdSource::Cookie) {
        assert_eq!(the_cookie(&second, config, json).value(), "");
    }
    let seen = seen.lock().expect("no thread has panicked");
    let known: Vec<bool> = seen.iter().map(Seen::is_alice).collect();
    assert_eq!(known, [false, true], "the session was not found again");
}

fn first_carrier(sources: &[IdSource]) -> Option<IdSource> {
    sources.iter().find_map(|source| match source {
        IdSource::Cookie | IdSource::Header(_) => Some(source.clone()),
        IdSource::Chain(sources) => first_carrier(sources),
        _ => None,
    })
}

fn sent_back(response: &poem::Response, config: &SessionConfig, json: &Value) -> HeaderValue {
    let cookie = the_cookie(response, config, json);
    id(cookie.value().as_bytes()).expect("its value is an id");
    let pair = format!("{}={}", cookie.name(), cookie.value());
    HeaderValue::try_from(pair).expect("a cookie can be sent back")
}

/// The only cookie of a response. Checks that it has the requested attributes and no others.
fn the_cookie<'r>(
    response: &'r poem::Response,
    config: &SessionConfig,
    json: &Value,
) -> cookie::Cookie<'r> {
    let cookies: Vec<_> = response
        .headers()
        .get_all(header::SET_COOKIE)
        .iter()
        .collect();
    let [text] = cookies[..] else {
        panic!("{} cookies instead of one", cookies.len());
    };
    let text = text.to_str().expect("a cookie is text");
    let cookie = cookie::Cookie::parse(text).expect("a cookie is well formed");
    assert_eq!(cookie.name(), config.cookie.full_name());
    let asked = |name: &str| json["cookie"].get(name).filter(|value| !value.is_null());
    let asked_text = |name| asked(name).map(|value| value.as_str().expect("the value is a string"));
    let asked_flag = |name| asked(name).is_some_and(|value| value == true);
    let secure = asked("secure").is_none_or(|value| value == true);
    assert_eq!(cookie.path(), asked_text("path").or(Some("/")));
    let domain = asked_text("domain").map(|domain| domain.strip_prefix('.').unwrap_or(domain));
    assert_eq!(cookie.domain(), domain);
    assert_eq!(cookie.secure().unwrap_or(false), secure);
    assert_eq!(
        cookie.partitioned().unwrap_or(false),
        asked_flag("partitioned")
    );
    if cookie.name().starts_with("__Host-") {
        assert!(secure && domain.is_none() && cookie.path() == Some("/"));
    }
    cookie
}
