//! Records in a store that other programs write to as well. An input is a record.

use std::time::SystemTime;

use poem::{
    Request,
    http::{HeaderValue, StatusCode, header},
};
use poem_session::{
    GetError, LoadError, OpenError, PublicId, Session, SessionData, store::SessionStore as _,
};

use super::{
    site::{ALICE, Act, NOW, Seen, Site, alice, block_on, id},
    value::{Any, read_all},
};

/// The id of another session, which a record may forward to.
const BOB: &str = "bob-bob-bob-bob-bob-bob-bob";

/// The id of a record that forwards to itself.
const RING: &str = "ring-ring-ring-ring-ring-ring";

#[derive(SessionData)]
#[session(namespace = "own")]
struct Own {
    #[session(alias = "old_note", alias = "site.note")]
    note: Option<String>,
}

pub(crate) fn check(input: &[u8]) {
    block_on(async {
        let site = site(input).await;
        request_gets_a_response(&site).await;
        let site = self::site(input).await;
        change_keeps_other_keys(&site).await;
    });
}

async fn site(input: &[u8]) -> Site {
    let handler = Act(|session, _| async move {
        Seen::of(&session)?;
        Ok(session.update_visits(|visits| *visits = visits.wrapping_add(1))?)
    });
    let site = Site::with(handler, |builder| {
        // A record without `$created` is as old as the epoch.
        builder.max_session_size(1 << 20).no_absolute_timeout()
    });
    let site = site.expect("the settings are valid");
    site.plant(alice(), input.to_vec()).await;
    let bob = b"\x82\xa8$created\x00\xa8own.note\xa3Bob".as_slice();
    site.plant(id(BOB.as_bytes()).expect("well formed"), bob)
        .await;
    let ring = id(RING.as_bytes()).expect("well formed");
    let forward = [
        b"\x81\xa6$moved\xc4\x20".as_slice(),
        ring.public().as_bytes(),
    ]
    .concat();
    site.plant(ring, forward).await;
    site
}

/// A request with the id of the record gets a response, and the handler does not panic.
async fn request_gets_a_response(site: &Site) {
    let mut request = Request::default();
    let cookie = HeaderValue::try_from(format!("__Host-id={ALICE}")).expect("the id is ASCII");
    request.headers_mut().insert(header::COOKIE, cookie);
    let response = site.call(request).await;
    assert!(
        matches!(
            response.status(),
            StatusCode::OK
                | StatusCode::CONFLICT
                | StatusCode::PAYLOAD_TOO_LARGE
                | StatusCode::INTERNAL_SERVER_ERROR
        ),
        "{}",
        response.status()
    );
}

/// The record opens or is corrupt. If it opens, another MessagePack reader accepts it too, and a change of one key
/// does not change the others.
async fn change_keeps_other_keys(site: &Site) {
    let before = load(site, alice().public()).await;
    let session = match site.sessions.open::<Own>(&alice()).await {
        Ok(session) => session,
        Err(OpenError::Load(LoadError::Corrupt { .. })) => {
            let well_formed = matches!(entries(&before), Known::Entries(entries)
                if !entries.iter().any(|(key, _)| key == "$moved"));
            // The other reader accepts this byte as a value, although MessagePack never uses it.
            let unused = before.contains(&0xc1);
            assert!(
                !well_formed || unused,
                "a well-formed record was refused as corrupt"
            );
            let after = load(site, alice().public()).await;
            assert_eq!(after, before, "a corrupt record was changed");
            return;
        }
        Err(OpenError::NotFound) => {
            assert!(matches!(entries(&before), Known::Entries(entries)
                if entries.iter().any(|(key, _)| key == "$ended" || key == "$moved")));
            return;
        }
        Err(error) => panic!("{error}"),
    };
    let key = session.public_id();
    let before = entries(&load(site, key).await);
    assert_ne!(before, Known::NoRecord, "a malformed record was opened");
    let any = site.sessions.open::<Any>(&alice()).await;
    read_all(&any.expect("the record opens as before"));
    show(&session);

    session
        .set_note("changed".into())
        .expect("the value is within the limit");
    session.save().await.expect("no other request runs");
    assert_eq!(session.public_id(), key, "the id changed");
    if session
        .expires_at()
        .is_some_and(|end| end <= SystemTime::from(NOW))
    {
        // The record sets an idle timeout of zero, so the session has expired.
        return;
    }
    let again = site.sessions.open::<Own>(&alice()).await;
    let again = again.expect("a saved session opens");
    assert_eq!(again.note(), Ok(Some("changed".into())));
    let after = entries(&load(site, key).await);
    if let (Known::Entries(before), Known::Entries(after)) = (before, after) {
        // A record without entries is a session that begins with this change.
        let begins = before.is_empty();
        let is_other = |(key, _): &&Entry| match &**key {
            // The session has data now, so its class may have changed.
            "$class" | "own.note" | "own.old_note" | "site.note" => false,
            "$created" => !begins,
            _ => true,
        };
        assert!(
            before
                .iter()
                .filter(is_other)
                .eq(after.iter().filter(is_other)),
            "another key changed"
        );
    }
}

/// A key and the bytes of its value.
type Entry = (String, Vec<u8>);

/// A record as another MessagePack reader (`rmpv`) reads it.
#[derive(Debug, PartialEq, Eq)]
enum Known {
    Entries(Vec<Entry>),
    NoRecord,
    /// The other reader has a depth limit that our reader does not have.
    TooDeep,
}

fn entries(record: &[u8]) -> Known {
    const DEPTH: usize = 512;
    let mut rest = record;
    let Ok(count) = rmp::decode::read_map_len(&mut rest) else {
        return Known::NoRecord;
    };
    let mut entries = Vec::new();
    for _ in 0..count {
        let key = match rmpv::decode::read_value_with_max_depth(&mut rest, DEPTH) {
            Ok(rmpv::Value::String(key)) if key.is_str() => {
                key.into_str().expect("the key is UTF-8")
            }
            _ => return Known::NoRecord,
        };
        let value = rest;
        match rmpv::decode::read_value_with_max_depth(&mut rest, DEPTH) {
            Ok(_) => {}
            Err(rmpv::decode::Error::DepthLimitExceeded) => return Known::TooDeep,
            Err(_) => return Known::NoRecord,
        }
        entries.push((key, value[..value.len() - rest.len()].to_vec()));
    }
    if rest.is_empty() {
        Known::Entries(entries)
    } else {
        Known::NoRecord
    }
}

/// Reads what a page with a list of sessions would show.
fn show(session: &Session<Own>) {
    let _ = (session.created_at(), session.expires_at());
    let text = format!("{session:?} {:?}", session.keys());
    assert!(!text.contains(ALICE));
    match session.note() {
        Ok(_) => {}
        Err(GetError::Decode { key, .. }) => assert_eq!(key, "own.note"),
        Err(error) => panic!("{error}"),
    }
}

async fn load(site: &Site, key: PublicId) -> bytes::Bytes {
    let found = site
        .store
        .load(key, NOW)
        .await
        .expect("the memory store does not fail");
    found.expect("the record exists").data
}
