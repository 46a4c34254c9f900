//! Records in a store that others write to as well. An input is a record.

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

/// Another session, which a record may lead to.
const BOB: &str = "bob-bob-bob-bob-bob-bob-bob";

/// Whose record is a ring: it leads to itself.
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
        answered(&site).await;
        let site = self::site(input).await;
        changed(&site).await;
    });
}

async fn site(input: &[u8]) -> Site {
    let handler = Act(|session, _| async move {
        Seen::of(&session)?;
        Ok(session.update_visits(|visits| *visits = visits.wrapping_add(1))?)
    });
    let site = Site::with(handler, |builder| builder.max_size(1 << 20));
    let site = site.expect("the settings go together");
    site.plant(alice(), input.to_vec()).await;
    let bob = b"\x82\xa8$created\x00\xa8own.note\xa3Bob".as_slice();
    site.plant(id(BOB.as_bytes()).expect("well formed"), bob)
        .await;
    let ring = id(RING.as_bytes()).expect("well formed");
    let lead = [
        b"\x81\xa6$moved\xc4\x20".as_slice(),
        ring.public().as_bytes(),
    ]
    .concat();
    site.plant(ring, lead).await;
    site
}

/// A request with the id of such a record is answered, and never by a panic.
async fn answered(site: &Site) {
    let mut request = Request::default();
    let cookie = HeaderValue::try_from(format!("__Host-id={ALICE}")).expect("it is text");
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

/// A record opens or is corrupt. If it opens, it is what MessagePack says, and changing one key leaves all
/// others as they are.
async fn changed(site: &Site) {
    let before = load(site, alice().public()).await;
    let session = match site.sessions.open::<Own>(&alice()).await {
        Ok(session) => session,
        Err(OpenError::Load(LoadError::Corrupt { .. })) => {
            let well_formed = matches!(entries(&before), Known::Entries(entries)
                if !entries.iter().any(|(key, _)| key == "$moved"));
            // The reference takes this byte, which MessagePack never uses, for a value.
            let unused = before.contains(&0xc1);
            assert!(!well_formed || unused, "a good record is called corrupt");
            let after = load(site, alice().public()).await;
            assert_eq!(after, before, "a corrupt record was touched");
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
    assert_ne!(before, Known::NoRecord, "what is no record was opened");
    let any = site.sessions.open::<Any>(&alice()).await;
    read_all(&any.expect("as before"));
    in_words(&session);

    session.set_note("changed".into()).expect("it is small");
    session.save().await.expect("nobody else is here");
    assert_eq!(session.public_id(), key, "it moved");
    if session
        .expires_at()
        .is_some_and(|end| end <= SystemTime::from(NOW))
    {
        // Its own idle timeout is none at all.
        return;
    }
    let again = site.sessions.open::<Own>(&alice()).await;
    let again = again.expect("what was saved opens again");
    assert_eq!(again.note(), Ok(Some("changed".into())));
    let after = entries(&load(site, key).await);
    if let (Known::Entries(before), Known::Entries(after)) = (before, after) {
        // Without any entry it has not begun, and does so with this change.
        let begins = before.is_empty();
        let is_other = |(key, _): &&Entry| match &**key {
            "own.note" | "own.old_note" | "site.note" => false,
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

/// A key, and the bytes of what is under it.
type Entry = (String, Vec<u8>);

/// What another reader of MessagePack makes of a record.
#[derive(Debug, PartialEq, Eq)]
enum Known {
    Entries(Vec<Entry>),
    NoRecord,
    /// It gives up at a depth that ours does not know.
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
            Ok(rmpv::Value::String(key)) if key.is_str() => key.into_str().expect("it is"),
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

/// What a page that lists sessions would show of it.
fn in_words(session: &Session<Own>) {
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
    let found = site.store.load(key, NOW).await.expect("memory answers");
    found.expect("it was planted").data
}
