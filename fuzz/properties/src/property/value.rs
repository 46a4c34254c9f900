//! Values of every kind of type. An input is what lies under each key of a session.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    path::PathBuf,
    time::{Duration, SystemTime},
};

use poem_session::{GetError, LoadError, OpenError, Session, SessionData, store::MAX_RECORD};
use serde::{Deserialize, Serialize};

use super::site::{Act, Site, alice, block_on};

/// Nests as deep as its sender likes.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Tree {
    #[serde(default)]
    branches: Vec<Tree>,
}

#[derive(Clone, Serialize, Deserialize)]
pub(crate) enum Shape {
    Point,
    /// As deep as its sender likes, without being counted as a level by the decoder.
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
        /// A key of each kind of type.
        #[derive(SessionData)]
        #[session(namespace = "any")]
        pub(crate) struct Any {
            $($field: Option<$ty>,)+
        }

        /// Reads each key: it decodes, or the error names it.
        pub(crate) fn read_all(session: &Session<Any>) {
            $(let _ = read(stringify!($field), session.$field());)+
        }

        /// Writes what each key holds over it. Answers what that was, as it is encoded.
        fn rewrite_all(session: &Session<Any>) -> Vec<Option<Vec<u8>>> {
            vec![$(
                read(stringify!($field), session.$field()).map(|value| {
                    let bytes = encoded(&value);
                    session.$set(value).expect("it is within the limit");
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
            builder.max_size(MAX_RECORD)
        });
        let site = site.expect("the settings go together");
        site.plant(alice(), record_of(input)).await;
        let id = alice();
        let open = || site.sessions.open::<Any>(&id);
        let session = match open().await {
            Ok(session) => session,
            Err(OpenError::Load(LoadError::Corrupt { .. })) => return,
            Err(error) => panic!("{error}"),
        };
        let before = rewrite_all(&session);
        session.save().await.expect("nobody else is here");
        let after = values(&open().await.expect("what was saved opens"));
        for ((before, after), name) in before.iter().zip(&after).zip(NAMES) {
            assert_eq!(before, after, "`{name}` is another value when it was saved");
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

/// For comparison: not a number is not equal to itself, but is written the same way. The entries of maps,
/// which are in any order, are sorted.
fn encoded<T: Serialize>(value: &T) -> Vec<u8> {
    let bytes = rmp_serde::to_vec_named(value).expect("what was read can be written");
    let value = rmpv::decode::read_value(&mut &*bytes).expect("what was written can be read");
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
        other => rmpv::encode::write_value(&mut bytes, &other).expect("memory takes it"),
    }
    bytes
}

/// A record that holds the same bytes under every key.
fn record_of(value: &[u8]) -> Vec<u8> {
    let mut record = Vec::new();
    let count = u32::try_from(NAMES.len()).expect("a few");
    rmp::encode::write_map_len(&mut record, count).expect("memory takes it");
    for name in NAMES {
        rmp::encode::write_str(&mut record, &format!("any.{name}")).expect("memory takes it");
        record.extend_from_slice(value);
    }
    record
}
