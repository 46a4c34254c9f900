//! Session data of an older or newer version of the application.

use std::collections::BTreeMap;

use poem_session::{GetError, Session, SessionData, SessionsBuilder};
use serde::{Deserialize, Serialize};

use crate::support::{App, Browser, Prefs, Shop, settings};

/// Declares one version of a struct. The versions share their keys, so each is used in an application of its own.
macro_rules! version {
    ($name:ident { $($body:tt)* }) => {
        #[derive(SessionData)]
        #[session(namespace = "shop")]
        struct $name { $($body)* }
    };
}

/// Writes with one version of the application and reads with another.
async fn upgrade<Old: SessionData, New: SessionData, T: Send + 'static>(
    write: impl FnOnce(&Session<Old>) -> poem::Result<()> + Send + 'static,
    read: impl FnOnce(&Session<New>) -> poem::Result<T> + Send + 'static,
) -> (Browser, T) {
    let old = App::new();
    let alice = old.browser();
    alice.with(write).await;
    let alice = alice.at(&old.redeployed(settings));
    let found = alice.with(read).await;
    // A later read is by a process of its own, as each claims the keys for one struct.
    (alice.at(&old.redeployed(settings)), found)
}

/// Conformance 3.3
#[tokio::test]
async fn adding_and_removing_fields_keeps_old_sessions_readable() {
    version!(Before { user: Option<u64>, theme: Option<String>, });
    version!(After { user: Option<u64>, #[session(default = 10)] per_page: u32, });
    let (alice, found) = upgrade(
        |session: &Session<Before>| {
            session.set_user(7)?;
            Ok(session.set_theme("dark".into())?)
        },
        |session: &Session<After>| {
            let found = (session.user()?, session.per_page()?);
            session.set_per_page(50)?;
            Ok(found)
        },
    )
    .await;
    assert_eq!(found, (Some(7), 10));
    // The new version keeps the key that it does not know.
    let theme = alice.with(|s: &Session<Before>| Ok(s.theme()?)).await;
    assert_eq!(theme.as_deref(), Some("dark"));
}

/// Conformance 3.3
#[tokio::test]
async fn a_renamed_field_is_read_by_its_alias_and_written_under_its_name() {
    version!(Before { basket: Option<u32>, });
    version!(After { #[session(alias = "basket", alias = "older")] cart: Option<u32>, });
    for removes in [false, true] {
        let (alice, found) = upgrade(
            |s: &Session<Before>| Ok(s.set_basket(1)?),
            move |session: &Session<After>| {
                assert_eq!(session.keys(), ["shop.cart"]);
                let found = session.cart()?;
                session.update_cart(|cart| *cart = cart.map(|n| n + 1))?;
                if removes {
                    session.remove_cart();
                }
                Ok((found, session.cart()?))
            },
        )
        .await;
        let expected = if removes { None } else { Some(2) };
        assert_eq!(found, (Some(1), expected));
        let basket = alice.with(|s: &Session<Before>| Ok(s.basket()?)).await;
        assert_eq!(basket, None, "the value of the alias is gone");
    }
}

/// Conformance 3.3
#[tokio::test]
async fn a_renamed_struct_or_field_can_keep_its_key() {
    version!(Before { user: Option<u64>, });
    version!(Renamed { #[session(rename = "user")] customer: Option<u64>, });
    #[derive(SessionData)]
    #[session(namespace = "account")]
    struct Moved {
        #[session(alias = "shop.user")]
        user: Option<u64>,
    }
    let write = |s: &Session<Before>| Ok(s.set_user(7)?);
    let (_, found) = upgrade(write, |s: &Session<Renamed>| Ok(s.customer()?)).await;
    assert_eq!(found, Some(7));
    let (_, found) = upgrade(write, |s: &Session<Moved>| Ok(s.user()?)).await;
    assert_eq!(found, Some(7));
}

/// Conformance 3.3
#[tokio::test]
#[allow(clippy::option_option)]
async fn a_widened_type_keeps_old_sessions_readable() {
    #[derive(Serialize, Deserialize)]
    struct Old {
        name: String,
        obsolete: u8,
    }
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct New {
        #[serde(default)]
        count: u32,
        name: String,
    }
    version!(Small { value: Option<u8>, });
    version!(Large { value: Option<u64>, });
    version!(Signed { value: Option<i64>, });
    version!(Float { value: Option<f64>, });
    version!(Nested { value: Option<Option<u8>>, });
    let write = |s: &Session<Small>| Ok(s.set_value(200)?);
    let (_, large) = upgrade(write, |s: &Session<Large>| Ok(s.value()?)).await;
    let (_, signed) = upgrade(write, |s: &Session<Signed>| Ok(s.value()?)).await;
    let (_, float) = upgrade(write, |s: &Session<Float>| Ok(s.value()?)).await;
    let (_, nested) = upgrade(write, |s: &Session<Nested>| Ok(s.value()?)).await;
    assert_eq!((large, signed), (Some(200), Some(200)));
    assert_eq!((float, nested), (Some(200.0), Some(Some(200))));

    version!(Before { value: Option<Old>, });
    version!(After { value: Option<New>, });
    let write = |session: &Session<Before>| {
        let (name, obsolete) = ("tea".into(), 1);
        Ok(session.set_value(Old { name, obsolete })?)
    };
    let (_, value) = upgrade(write, |s: &Session<After>| Ok(s.value()?)).await;
    let (name, count) = ("tea".into(), 0);
    assert_eq!(value, Some(New { count, name }));
}

/// Conformance 3.3
#[tokio::test]
async fn a_value_of_an_incompatible_type_is_an_error_that_names_the_key_and_affects_no_other_key() {
    version!(Before { user: Option<u64>, theme: Option<String>, });
    version!(After { user: Option<String>, theme: Option<String>, });
    for overwrites in [false, true] {
        let (alice, ()) = upgrade(
            |session: &Session<Before>| {
                session.set_user(7)?;
                Ok(session.set_theme("dark".into())?)
            },
            move |session: &Session<After>| {
                let error = session.user().expect_err("it is a number");
                let GetError::Decode { key, type_name } = error else {
                    panic!("{error}");
                };
                assert_eq!((key, type_name), ("shop.user", "alloc::string::String"));
                session.take_user().expect_err("it is a number");
                session
                    .update_user(|user| *user = None)
                    .expect_err("an unreadable value is not overwritten");
                assert_eq!(session.theme()?.as_deref(), Some("dark"));
                assert_eq!(session.keys(), ["shop.user", "shop.theme"]);
                if overwrites {
                    session.set_user("seven".into())?;
                    assert_eq!(session.user()?.as_deref(), Some("seven"));
                }
                Ok(session.set_theme("light".into())?)
            },
        )
        .await;
        let user = alice.with(|s: &Session<Before>| Ok(s.user().ok())).await;
        assert_eq!(user, if overwrites { None } else { Some(Some(7)) });
    }
}

/// Conformance 3.3, 1.25
#[tokio::test]
async fn a_value_that_does_not_decode_is_an_error_and_not_absent() {
    let app = App::with(SessionsBuilder::no_absolute_timeout);
    let alice = app.sign_in().await;
    let record = b"\x81\xa9shop.user\xa5seven".as_slice();
    app.store.plant(&alice.signed_id(), record, app.now()).await;
    let reply = alice
        .act(|session| {
            session.user()?;
            Ok(())
        })
        .await;
    assert_eq!((reply.status.as_u16(), reply.cookie()), (500, None));
    assert!(alice.ask(|s| Ok(s.contains(Shop::USER))).await);
}

/// Conformance 3.3
#[tokio::test]
async fn entries_of_a_newer_version_of_the_library_are_kept() {
    let app = App::new();
    let alice = app.sign_in().await;
    let record = [
        b"\x83\xa8$created\xcf\xff\xff\xff\xff\xff\xff\xff\xff".as_slice(),
        b"\xa7$future\xc4\x03abc",
        b"\xa9shop.user\x07",
    ]
    .concat();
    app.store.plant(&alice.signed_id(), record, app.now()).await;
    alice.act(|s| Ok(s.set_visits(1)?)).await;
    let stored = app.store.record(&alice.signed_id(), app.now()).await;
    let data = stored.expect("it lives").data;
    assert!(data.windows(12).any(|w| w == b"$future\xc4\x03abc"));
    assert_eq!(
        alice.ask(|s| Ok((s.user()?, s.visits()?))).await,
        (Some(7), 1)
    );
}

/// Conformance 3.3
#[tokio::test]
async fn a_record_is_a_plain_message_pack_map() {
    let app = App::new();
    let alice = app.browser();
    alice
        .act(|session| {
            session.set_user(7)?;
            Ok(session.set_cart(vec!["tea".into()])?)
        })
        .await;
    let stored = app.store.record(&alice.signed_id(), app.now()).await;
    let data = stored.expect("it lives").data;
    let map: BTreeMap<String, serde_json::Value> = rmp_serde::from_slice(&data).expect("a map");
    assert_eq!(map["shop.user"], 7);
    assert_eq!(map["shop.cart"], serde_json::json!(["tea"]));
    assert_eq!(map["$created"], app.now().as_millis());
    assert_eq!(map.len(), 3);
}

/// Conformance 1.1
#[tokio::test]
async fn a_skipped_field_is_not_stored() {
    #[derive(SessionData)]
    #[session(namespace = "app")]
    struct WithCache {
        user: Option<u64>,
        #[session(skip)]
        cache: Vec<u8>,
    }

    #[poem_session::session]
    async fn fill(data: &mut WithCache) -> String {
        let before = data.cache.len();
        data.cache.push(1);
        data.user = Some(7);
        before.to_string()
    }

    let app = App::serving(fill, settings);
    let alice = app.browser();
    assert_eq!(alice.get("/").await.body, "0");
    assert_eq!(alice.get("/").await.body, "0");
    let stored = app.store.record(&alice.signed_id(), app.now()).await;
    let data = stored.expect("it lives").data;
    assert!(!data.windows(5).any(|w| w == b"cache"));
}

/// Conformance 1.3
#[tokio::test]
async fn a_struct_sees_only_its_own_keys() {
    let app = App::new();
    let alice = app.browser();
    alice
        .with(|session: &Session<Prefs>| Ok(session.set_theme("dark".into())?))
        .await;
    assert_eq!(alice.ask(|s| Ok(s.keys())).await, Vec::<&str>::new());
    alice.act(|s| Ok(s.set_user(7)?)).await;
    alice
        .with(|session: &Session<Prefs>| {
            assert_eq!(session.theme()?.as_deref(), Some("dark"));
            assert_eq!(session.keys(), ["prefs.theme"]);
            Ok(())
        })
        .await;
}
