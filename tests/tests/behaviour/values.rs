//! The types of values in a session.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::{IpAddr, Ipv6Addr, SocketAddr},
    num::NonZeroU32,
    time::{Duration, SystemTime},
};

use poem_session::{Session, SessionData};
use serde::{Deserialize, Serialize};

use crate::support::App;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Shape {
    Unit,
    Newtype(u32),
    Tuple(u8, String),
    Struct { x: i64, y: Option<Box<Shape>> },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "data", rename_all = "kebab-case")]
enum Adjacent {
    SomeThing(u32),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind")]
enum Internal {
    Circle { radius: u32 },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Untagged {
    Number(u64),
    Text(String),
    Many(Vec<u64>),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Flattened {
    own: u8,
    #[serde(flatten)]
    rest: BTreeMap<String, u32>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    maybe: Option<u8>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Unit;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Wrapper(u64);

/// Stores each value and reads it at the next request.
macro_rules! keeps {
    ($($ty:ty: $($value:expr),+;)+) => {
        $({
            #[derive(SessionData)]
            #[session(namespace = "types")]
            struct Types {
                value: Option<$ty>,
            }
            // The structs share one key, so each needs an application of its own.
            let app = App::new();
            let alice = app.browser();
            for value in [$($value),+] {
                let value: $ty = value;
                let kept = value.clone();
                alice.with(move |s: &Session<Types>| Ok(s.set_value(kept)?)).await;
                let found = alice.with(|s: &Session<Types>| Ok(s.value()?)).await;
                assert_eq!(found, Some(value));
            }
        })+
    };
}

/// Conformance 1.1
#[tokio::test]
async fn every_serde_type_round_trips() {
    keeps! {
        bool: true, false;
        u8: 0, u8::MAX;
        u64: 0, 127, 128, 1 << 33, u64::MAX;
        i64: i64::MIN, -129, -1, i64::MAX;
        u128: u128::MAX, 5;
        i128: i128::MIN, i128::MAX;
        f32: 0.1, f32::MAX, f32::NEG_INFINITY;
        f64: 0.1, f64::MIN_POSITIVE;
        char: 'a', '🦀', '\0';
        String: String::new(), "ü\0\u{10ffff}".into(), "x".repeat(300), "y".repeat(60_000);
        (): ();
        Unit: Unit;
        Wrapper: Wrapper(u64::MAX);
        (u8, String, (i8, bool)): (1, "a".into(), (-1, true));
        [u8; 3]: [0, 1, 255];
        Vec<u8>: vec![], vec![0xc1; 300];
        Vec<Vec<Option<u8>>>: vec![vec![None, Some(1)], vec![]];
        Option<u8>: None, Some(0);
        BTreeMap<u32, String>: BTreeMap::from([(1, "a".into()), (2, "b".into())]);
        HashMap<String, Vec<f64>>: HashMap::from([("k".into(), vec![0.5])]);
        BTreeSet<(u8, u8)>: BTreeSet::from([(1, 2), (3, 4)]);
        Shape: Shape::Unit, Shape::Newtype(1), Shape::Tuple(2, "b".into()),
            Shape::Struct { x: -5, y: Some(Box::new(Shape::Unit)) };
        Adjacent: Adjacent::SomeThing(7);
        Internal: Internal::Circle { radius: 3 };
        Untagged: Untagged::Number(3), Untagged::Text("x".into()), Untagged::Many(vec![1, 2]);
        Flattened: Flattened { own: 1, rest: BTreeMap::from([("a".into(), 2)]), maybe: None };
        Duration: Duration::new(5, 7);
        SystemTime: SystemTime::UNIX_EPOCH + Duration::from_secs(1);
        IpAddr: IpAddr::V6(Ipv6Addr::LOCALHOST);
        SocketAddr: "127.0.0.1:80".parse().expect("an address");
        NonZeroU32: NonZeroU32::MIN;
        Result<u8, String>: Ok(1), Err("no".into());
        serde_json::Value: serde_json::json!({"a": [1, -2, 0.5, null, {"b": "c"}]});
    }
}

/// Conformance 1.1
#[tokio::test]
async fn a_value_that_does_not_serialize_is_an_error_and_is_not_set() {
    #[derive(Debug)]
    struct Stubborn;

    impl Serialize for Stubborn {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("no, a-secret"))
        }
    }

    impl<'de> Deserialize<'de> for Stubborn {
        fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
            Ok(Self)
        }
    }

    #[derive(SessionData)]
    #[session(namespace = "odd")]
    struct Odd {
        value: Option<Stubborn>,
    }

    let app = App::new();
    let alice = app.browser();
    alice
        .with(|session: &Session<Odd>| {
            let error = session.set_value(Stubborn).expect_err("it refuses");
            let text = format!("{error} {error:?}");
            assert!(
                text.contains("odd.value") && text.contains("Stubborn"),
                "{text}"
            );
            assert!(!text.contains("a-secret"), "{text}");
            assert!(session.keys().is_empty());
            Ok(())
        })
        .await;
    assert!(app.store.records(app.now()).await.is_empty());
}
