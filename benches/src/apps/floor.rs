//! The least work that sessions on a server can do under Poem: find the id, hash it, look it up, and decode or
//! splice one field. There is no expiry, no version, and no limit.
#![allow(
    clippy::needless_pass_by_value,
    reason = "a handler owns the values that it extracts"
)]

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
    sync::Arc,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use parking_lot::Mutex;
use poem::{
    Endpoint, IntoResponse, Middleware, Request, Response, Result, handler, http::header, web::Data,
};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::{App, poem_app, values};

type Key = [u8; 32];

/// A key is a hash already.
#[derive(Default)]
struct First(u64);

impl Hasher for First {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk() {
            self.0 = u64::from_le_bytes(*first);
        }
    }

    fn write_usize(&mut self, _: usize) {}
}

type Shard = Mutex<HashMap<Key, Bytes, BuildHasherDefault<First>>>;

struct Store {
    shards: Vec<Shard>,
}

impl Store {
    fn shard(&self, key: &Key) -> &Shard {
        &self.shards[usize::from(key[31]) % self.shards.len()]
    }
}

/// The session of a request.
#[derive(Clone)]
struct Session {
    store: Arc<Store>,
    stored: Option<(Key, Bytes)>,
}

impl Session {
    fn count(&self) -> i64 {
        let stored = self.stored.as_ref();
        let range = stored.and_then(|(_, record)| find(record, "count"));
        range.map_or(0, |(_, _, value)| {
            rmp_serde::from_slice(value).expect("a count")
        })
    }

    /// Replaces the value of one field.
    fn splice(&self, name: &str, value: &[u8]) {
        let (key, record) = self.stored.as_ref().expect("a session");
        let (start, end, _) = find(record, name).expect("the field is there");
        let mut next = Vec::with_capacity(record.len() + value.len());
        next.extend_from_slice(&record[..start]);
        next.extend_from_slice(value);
        next.extend_from_slice(&record[end..]);
        self.store.shard(key).lock().insert(*key, next.into());
    }

    /// Stores a new session and returns its id.
    fn create(&self, record: Vec<u8>) -> String {
        let id = URL_SAFE_NO_PAD.encode(rand::random::<Key>());
        let key = hash(id.as_bytes());
        self.store.shard(&key).lock().insert(key, record.into());
        id
    }
}

fn hash(id: &[u8]) -> Key {
    Sha256::digest(id).into()
}

/// The start, the end and the bytes of a field's value.
fn find<'a>(record: &'a [u8], name: &str) -> Option<(usize, usize, &'a [u8])> {
    let mut rest = record;
    let count = rmp::decode::read_map_len(&mut rest).ok()?;
    for _ in 0..count {
        let len = rmp::decode::read_str_len(&mut rest).ok()? as usize;
        let (key, after) = rest.split_at(len);
        let value_len = skip(after)?;
        if key == name.as_bytes() {
            let start = record.len() - after.len();
            return Some((start, start + value_len, &after[..value_len]));
        }
        rest = &after[value_len..];
    }
    None
}

/// The length of the first value. Knows the kinds of values that these sessions have.
fn skip(bytes: &[u8]) -> Option<usize> {
    Some(match bytes.first()? {
        0x00..=0x7f => 1,
        marker @ 0xa0..=0xbf => 1 + usize::from(marker & 0x1f),
        0xd9 => 2 + usize::from(*bytes.get(1)?),
        0xcd | 0xd1 => 3,
        0xce | 0xd2 => 5,
        0xcf | 0xd3 => 9,
        marker @ 0x90..=0x9f => {
            let mut len = 1;
            for _ in 0..marker & 0xf {
                len += skip(&bytes[len..])?;
            }
            len
        }
        _ => return None,
    })
}

struct Floor(Arc<Store>);

struct FloorEndpoint<E> {
    store: Arc<Store>,
    inner: E,
}

impl<E: Endpoint> Middleware<E> for Floor {
    type Output = FloorEndpoint<E>;

    fn transform(&self, inner: E) -> FloorEndpoint<E> {
        let store = Arc::clone(&self.0);
        FloorEndpoint { store, inner }
    }
}

impl<E: Endpoint> Endpoint for FloorEndpoint<E> {
    type Output = Response;

    async fn call(&self, mut req: Request) -> Result<Response> {
        let id = req.headers().get(header::COOKIE).and_then(|cookies| {
            let mut pairs = cookies.as_bytes().split(|byte| *byte == b';');
            pairs.find_map(|pair| pair.trim_ascii().strip_prefix(b"id="))
        });
        let stored = id.filter(|id| id.len() == 43).and_then(|id| {
            let key = hash(id);
            let record = self.store.shard(&key).lock().get(&key).cloned()?;
            Some((key, record))
        });
        let store = Arc::clone(&self.store);
        req.extensions_mut().insert(Session { store, stored });
        self.inner.call(req).await.map(IntoResponse::into_response)
    }
}

#[derive(Serialize)]
struct Values {
    user: u64,
    tags: Vec<String>,
    token: String,
    count: i64,
}

#[handler]
fn read(session: Data<&Session>) -> String {
    session.count().to_string()
}

#[handler]
fn change(session: Data<&Session>) -> &'static str {
    let value = rmp_serde::to_vec(&(session.count() + 1)).expect("a number");
    session.splice("count", &value);
    "ok"
}

#[handler]
fn create(session: Data<&Session>) -> Response {
    let values = Values {
        user: values::USER,
        tags: values::tags(),
        token: values::token(),
        count: values::COUNT,
    };
    let id = session.create(rmp_serde::to_vec_named(&values).expect("values"));
    let cookie = format!("id={id}; Path=/; HttpOnly; Secure; SameSite=Lax; Max-Age=1800");
    Response::builder()
        .header(header::SET_COOKIE, cookie)
        .body("ok")
}

pub(super) fn app() -> Box<dyn App> {
    let shards = (0..64).map(|_| Shard::default()).collect();
    let sessions = Floor(Arc::new(Store { shards }));
    poem_app::app(sessions, read, change, create)
}
