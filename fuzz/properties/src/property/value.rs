//! Values of every kind of type. An input is the bytes under each key of a session.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    path::PathBuf,
    time::{Duration, SystemTime},
};

use poem_session::{GetError, LoadError, OpenError, Session, SessionData, store::MAX_RECORD};
use serde::{Deserialize, Serialize};

use super::site::{Act, Site, alice, block_on};

/// A type that nests without a limit.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Tree {
    #[serde(default)]
    branches: Vec<Tree>,
}

#[derive(Clone, Serialize, Deserialize)]
pub(crate) enum Shape {
    Point,
    /// Nests without a limit, and the decoder does not count it as a level.
    Not(Box<Shape>),
    Circle(f32),
    Line(i16, i16),
    Named {
        name: String,
        inner: Box<Shape>,
    },
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Guess {
    Number(i64),
    Text(String),
    List(Vec<Option<i64>>),
    Map(BTreeMap<String, f32>),
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Tagged {
    Empty,
    Full { items: Vec<u32> },
}

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Loose {
    known: Option<u64>,
    #[serde(flatten)]
    others: HashMap<String, serde_json::Value>,
}

macro_rules! any {
    ($($field:ident / $set:ident: $ty:ty,)+) => {
        /// One key for each kind of type.
        #[derive(SessionData)]
        #[session(namespace = "any")]
        pub(crate) struct Any {
            $($field: Option<$ty>,)+
        }

        /// Reads each key. Checks that it decodes or that the error names it.
        pub(crate) fn read_all(session: &Session<Any>) {
            $(let _ = read(stringify!($field), session.$field());)+
        }

        /// Sets each key to its own value. Returns the encoded values.
        fn rewrite_all(session: &Session<Any>) -> Vec<Option<Vec<u8>>> {
            vec![$(
                read(stringify!($field), session.$field()).map(|value| {
                    let bytes = encoded(&value);
                    session.$set(value).expect("the value is within the limit");
                    bytes
                })
            ),+]
        }

        fn values(session: &Session<Any>) -> Vec<Option<Vec<u8>>> {
            vec![$(read(stringify!($field), session.$field()).map(|value| encoded(&value))),+]
        }

        const NAMES: &[&str] = &[$(stringify!($field)),+];
    };
}

any! {
    flag / set_flag: bool,
    byte / set_byte: u8,
    number / set_number: i64,
    large / set_large: u128,
    float / set_float: f64,
    letter / set_letter: char,
    text / set_text: String,
    bytes / set_bytes: Vec<u8>,
    unit / set_unit: (),
    nothing / set_nothing: Vec<()>,
    perhaps / set_perhaps: (Option<u8>,),
    pair / set_pair: (u16, String),
    array / set_array: [u32; 3],
    lists / set_lists: Vec<Vec<String>>,
    table / set_table: HashMap<String, Vec<u8>>,
    sorted / set_sorted: BTreeMap<i32, (bool, Option<String>)>,
    tree / set_tree: Tree,
    shape / set_shape: Shape,
    guess / set_guess: Guess,
    tagged / set_tagged: Tagged,
    loose / set_loose: Loose,
    json / set_json: serde_json::Value,
    span / set_span: Duration,
    moment / set_moment: SystemTime,
    address / set_address: IpAddr,
    path / set_path: PathBuf,
}

pub(crate) fn check(input: &[u8]) {
    block_on(async {
        let site = Site::with(Act(|_, _| async { Ok(()) }), |builder| {
            // The record has no `$created`, so it is as old as the epoch.
            builder.max_session_size(MAX_RECORD).no_absolute_timeout()
        });
        let site = site.expect("the settings are valid");
        site.plant(alice(), record_of(input)).await;
        let id = alice();
        let open = || site.sessions.open::<Any>(&id);
        let session = match open().await {
            Ok(session) => session,
            Err(OpenError::Load(LoadError::Corrupt { .. })) => return,
            Err(error) => panic!("{error}"),
        };
        let before = rewrite_all(&session);
        session.save().await.expect("no other request runs");
        let after = values(&open().await.expect("a saved session opens"));
        for ((before, after), name) in before.iter().zip(&after).zip(NAMES) {
            assert_eq!(
                before, after,
                "the value of `{name}` changed when it was saved"
            );
        }
    });
}

fn read<T>(name: &str, value: Result<Option<T>, GetError>) -> Option<T> {
    match value {
        Ok(value) => value,
        Err(GetError::Decode { key, .. }) => {
            assert_eq!(key.strip_prefix("any."), Some(name));
            None
        }
        Err(error) => panic!("{error}"),
    }
}

/// The encoded value, to compare values: NaN is not equal to itself, but has one encoding. Sorts the entries of maps,
/// because their order varies.
fn encoded<T: Serialize>(value: &T) -> Vec<u8> {
    let bytes = rmp_serde::to_vec_named(value).expect("a decoded value encodes");
    let value = rmpv::decode::read_value(&mut &*bytes).expect("an encoded value decodes");
    sorted(value)
}

fn sorted(value: rmpv::Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    match value {
        rmpv::Value::Array(values) => bytes.extend(values.into_iter().flat_map(sorted)),
        rmpv::Value::Map(entries) => {
            let entries = entries.into_iter();
            let mut entries: Vec<_> = entries.map(|(k, v)| (sorted(k), sorted(v))).collect();
            entries.sort();
            bytes.extend(entries.into_iter().flat_map(|(k, v)| [k, v]).flatten());
        }
        other => rmpv::encode::write_value(&mut bytes, &other).expect("writing to memory succeeds"),
    }
    bytes
}

/// A record with the same bytes under every key.
fn record_of(value: &[u8]) -> Vec<u8> {
    let mut record = Vec::new();
    let count = u32::try_from(NAMES.len()).expect("there are few keys");
    rmp::encode::write_map_len(&mut record, count).expect("writing to memory succeeds");
    for name in NAMES {
        rmp::encode::write_str(&mut record, &format!("any.{name}"))
            .expect("writing to memory succeeds");
        record.extend_from_slice(value);
    }
    record
}
