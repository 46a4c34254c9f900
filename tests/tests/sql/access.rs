//! Access to the database that is lost while the application runs, and given back.

use poem_session::store::StoreErrorKind::{self, Misconfigured, Unavailable};

use poem_session_tests::{
    PATIENCE,
    application::App,
    eventually,
    records::{key, now, write},
};

use crate::{
    Database, Home,
    client::{Account, Client, PASSWORD},
    outage::{ALL, WRITES, goes_on, is_unchanged, refuses},
    text,
};

crate::on_private_servers!(
    Options::new().fast();
    lost_access_is_an_error_until_it_is_given_back,
);

/// A way to lose access.
struct Loss {
    take: String,
    give_back: String,
    /// Whether reads fail too.
    reads_fail: bool,
    kind: StoreErrorKind,
    /// A word in the error.
    word: &'static str,
}

fn losses(database: Database, user: &Account<'_>) -> [Loss; 4] {
    let name = &user.user;
    let alter = |change: &str| format!("ALTER USER {name} {change}");
    let writes = "INSERT, UPDATE, DELETE ON poem_sessions";
    let loss = |[take, give_back]: [String; 2], reads_fail, kind, word| Loss {
        take,
        give_back,
        reads_fail,
        kind,
        word,
    };
    // The last one is a primary that becomes a replica. An open connection does not notice the change.
    let ([no_login, login], word, [read_only, writable]) = match database {
        Database::MariaDb => (
            [alter("ACCOUNT LOCK"), alter("ACCOUNT UNLOCK")],
            "locked",
            [1, 0].map(|on| format!("SET GLOBAL read_only = {on}")),
        ),
        _ => (
            [alter("NOLOGIN"), alter("LOGIN")],
            "porter",
            [1, 0].map(|on| alter(&format!("SET default_transaction_read_only = {on}"))),
        ),
    };
    let passwords = ["changed", PASSWORD].map(|password| user.password("ALTER", password));
    let privileges = [
        format!("REVOKE {writes} FROM {name}"),
        format!("GRANT {writes} TO {name}"),
    ];
    [
        loss(passwords, true, Misconfigured, "porter"),
        loss([no_login, login], true, Misconfigured, word),
        loss(privileges, false, Misconfigured, "denied"),
        loss([read_only, writable], false, Unavailable, "read-only"),
    ]
}

/// Conformance 5.10, 5.11, 6.10
async fn lost_access_is_an_error_until_it_is_given_back(home: Home) {
    home.open().await;
    let user = Account::create(&home, "porter").await;
    let store = home.open_at(&user.url, PATIENCE).await;
    let app = App::in_store(store.clone(), PATIENCE);
    let guest = app.sign_in().await;
    let client = Client::connect(&home).await;
    for loss in losses(home.database, &user) {
        let records = client.records().await;
        client.run(&loss.take).await;
        user.disconnect().await;
        if loss.reads_fail {
            refuses(&app, &guest, &ALL).await;
        } else {
            is_unchanged(&guest).await;
            refuses(&app, &guest, &WRITES).await;
            is_unchanged(&guest).await;
        }
        for _ in 0..10 {
            let error = eventually("an error that names the cause", async || {
                let error = store.create(key(), write("x"), now()).await.unwrap_err();
                // The pool may still contain connections that `disconnect` has closed.
                let is_closed = error.kind() == Unavailable && !text(&error).contains(loss.word);
                (!is_closed).then_some(error)
            })
            .await;
            assert_eq!(error.kind(), loss.kind, "{}: {error:?}", loss.take);
            let text = text(&error);
            assert!(text.contains(loss.word), "{}: {text}", loss.take);
            assert!(!text.contains(PASSWORD) && !text.contains("127.0.0.1:"));
        }
        if loss.kind == Unavailable {
            // The pool keeps no connection to a server that may have become a replica.
            user.is_disconnected().await;
        }
        assert_eq!(client.records().await, records, "nothing was written");
        let debug = format!("{store:?}");
        assert!(!debug.contains(PASSWORD) && !debug.contains("porter"));

        client.run(&loss.give_back).await;
        is_unchanged(&guest).await;
    }
    goes_on(&guest).await;
}
