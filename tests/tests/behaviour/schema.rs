//! Session data of an older or newer version of the application.

use std::collections::BTreeMap;

use poem_session::{GetError, Session, SessionData};
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
async fn upgrade<Old: SessionData, New: SessionData>(
    store: impl FnOnce(&Session<Old>) -> poem::Result<()> + Send + 'static,
    read: impl FnOnce(&Session<New>) -> poem::Result<()> + Send + 'static,
) -> (App, Browser) {
    let old = App::new();
    let alice = old.browser();
    alice.with(store).await;
    let new = old.redeployed(settings);
    let alice = alice.at(&new);
    alice.with(read).await;
    (new, alice)
}

/// Conformance 3.3
#[tokio::test]
async fn adding_and_removing_fields_keeps_old_sessions_readable() {
    version!(Before { user: Option<u64>, theme: Option<String>, });
    version!(After { user: Option<u64>, #[session(default = 10)] per_page: u32, });
    let (app, alice) = upgrade::<Before, After>(
        |session| {
            session.set_user(7)?;
            Ok(session.set_theme("dark".into())?)
        },
        |session| {
            assert_eq!((session.user()?, session.per_page()?), (Some(7), 10));
            Ok(session.set_per_page(50)?)
        },
    )
    .await;
    // The new version keeps the key that it does not know.
    alice
        .at(&app.redeployed(settings))
        .with(|session: &Session<Before>| {
            assert_eq!(session.theme()?.as_deref(), Some("dark"));
            Ok(())
        })
        .await;
}

/// Conformance 3.3
#[tokio::test]
async fn a_renamed_field_is_read_by_its_alias_and_written_under_its_name() {
    version!(Before { basket: Option<u32>, });
    version!(After { #[session(alias = "basket", alias = "older")] cart: Option<u32>, });
    let (app, alice) = upgrade::<Before, After>(
        |s| Ok(s.set_basket(1)?),
        |session| {
            assert_eq!(session.cart()?, Some(1));
            assert_eq!(session.keys(), ["shop.cart"]);
            Ok(session.update_cart(|cart| *cart = cart.map(|n| n + 1))?)
        },
    )
    .await;
    alice
        .with(|session: &Session<After>| {
            assert_eq!(session.cart()?, Some(2));
            session.remove_cart();
            Ok(())
        })
        .await;
    alice
        .with(|session: &Session<After>| {
            assert_eq!(session.cart()?, None, "the value of the alias is gone");
            Ok(())
        })
        .await;
    alice
        .at(&app.redeployed(settings))
        .with(|session: &Session<Before>| {
            assert_eq!(session.basket()?, None);
            Ok(())
        })
        .await;
}

/// Conformance 3.3
#[tokio::test]
async fn a_renamed_struct_or_field_can_keep_its_key() {
    version!(Before { user: Option<u64>, });
    #[derive(SessionData)]
    #[session(namespace = "shop")]
    struct SomethingElse {
        #[session(rename = "user")]
        customer: Option<u64>,
    }
    #[derive(SessionData)]
    #[session(namespace = "account")]
    struct Moved {
        #[session(alias = "shop.user")]
        user: Option<u64>,
    }
    upgrade::<Before, SomethingElse>(
        |s| Ok(s.set_user(7)?),
        |session| {
            assert_eq!(session.customer()?, Some(7));
            Ok(())
        },
    )
    .await;
    upgrade::<Before, Moved>(
        |s| Ok(s.set_user(7)?),
        |session| {
            assert_eq!(session.user()?, Some(7));
            Ok(())
        },
    )
    .await;
}

/// Stores this value under `shop.user`.
async fn plant_value(app: &App, alice: &Browser, value: &[u8]) {
    let record = [b"\x81\xa9shop.user".as_slice(), value].concat();
    app.store.plant(&alice.signed_id(), record, app.now()).await;
}

/// Conformance 3.3
#[tokio::test]
#[allow(clippy::option_option)]
async fn a_widened_type_keeps_old_sessions_readable() {
    version!(Small { value: Option<u8>, });
    version!(Large { value: Option<u64>, });
    version!(Signed { value: Option<i64>, });
    version!(Float { value: Option<f64>, });
    version!(Nested { value: Option<Option<u8>>, });
    let store = |s: &Session<Small>| Ok(s.set_value(200)?);
    upgrade::<Small, Large>(store, |session| {
        assert_eq!(session.value()?, Some(200));
        Ok(())
    })
    .await;
    upgrade::<Small, Signed>(store, |session| {
        assert_eq!(session.value()?, Some(200));
        Ok(())
    })
    .await;
    upgrade::<Small, Float>(store, |session| {
        assert_eq!(session.value()?, Some(200.0));
        Ok(())
    })
    .await;
    upgrade::<Small, Nested>(store, |session| {
        assert_eq!(session.value()?, Some(Some(200)));
        Ok(())
    })
    .await;
}

/// Conformance 3.3
#[tokio::test]
async fn a_struct_that_gained_or_lost_a_field_keeps_old_sessions_readable() {
    #[derive(Serialize, Deserialize)]
    struct Old {
        name: String,
        obsolete: u8,
    }
    #[derive(Serialize, Deserialize)]
    struct New {
        #[serde(default)]
        count: u32,
        name: String,
    }
    version!(Before { value: Option<Old>, });
    version!(After { value: Option<New>, });
    upgrade::<Before, After>(
        |session| {
            Ok(session.set_value(Old {
                name: "tea".into(),
                obsolete: 1,
            })?)
        },
        |session| {
            let value = session.value()?.expect("it is there");
            assert_eq!((value.name.as_str(), value.count), ("tea", 0));
            Ok(())
        },
    )
    .await;
}

/// Conformance 3.3
#[tokio::test]
async fn a_value_of_an_incompatible_type_is_an_error_that_names_the_key_and_affects_no_other_key() {
    version!(Before { user: Option<u64>, theme: Option<String>, });
    version!(After { user: Option<String>, theme: Option<String>, });
    let (app, alice) = upgrade::<Before, After>(
        |session| {
            session.set_user(7)?;
            Ok(session.set_theme("dark".into())?)
        },
        |session| {
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
            Ok(session.set_theme("light".into())?)
        },
    )
    .await;
    alice
        .at(&app.redeployed(settings))
        .with(|session: &Session<Before>| {
            assert_eq!(session.user()?, Some(7), "it is unchanged");
            Ok(())
        })
        .await;
    // A new value can be set.
    alice
        .with(|session: &Session<After>| {
            session.set_user("seven".into())?;
            assert_eq!(session.user()?.as_deref(), Some("seven"));
            Ok(())
        })
        .await;
}

/// Conformance 3.3, 1.25
#[tokio::test]
async fn a_value_that_does_not_decode_is_an_error_and_not_absent() {
    let app = App::new();
    let alice = app.sign_in().await;
    plant_value(&app, &alice, b"\xa5seven").await;
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
