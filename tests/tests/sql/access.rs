//! Access to the database that is lost while the application runs, and given back.

use poem_session::store::StoreErrorKind::{self, Misconfigured, Unavailable};

use poem_session_tests::{
    PATIENCE, eventually,
    records::{key, now, write},
};

use crate::{
    Database, Home,
    client::{Account, Client, PASSWORD},
    site::{ALL, Site, WRITES},
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
    says: &'static str,
}

fn losses(database: Database, user: &Account<'_>) -> [Loss; 4] {
    let name = &user.user;
    let of = |postgres: String, mariadb: String| match database {
        Database::MariaDb => mariadb,
        _ => postgres,
    };
    // As on a primary that became a replica. An open connection does not notice the change.
    let read_only = |on: u8| {
        of(
            format!("ALTER USER {name} SET default_transaction_read_only = {on}"),
            format!("SET GLOBAL read_only = {on}"),
        )
    };
    let entry = |login: &str, account: &str| {
        of(
            format!("ALTER USER {name} {login}"),
            format!("ALTER USER {name} ACCOUNT {account}"),
        )
    };
    [
        Loss {
            take: user.password("ALTER", "changed"),
            give_back: user.password("ALTER", PASSWORD),
            reads_fail: true,
            kind: Misconfigured,
            says: "porter",
        },
        Loss {
            take: entry("NOLOGIN", "LOCK"),
            give_back: entry("LOGIN", "UNLOCK"),
            reads_fail: true,
            kind: Misconfigured,
            says: if database == Database::MariaDb {
                "locked"
            } else {
                "porter"
            },
        },
        Loss {
            take: format!("REVOKE INSERT, UPDATE, DELETE ON poem_sessions FROM {name}"),
            give_back: format!("GRANT INSERT, UPDATE, DELETE ON poem_sessions TO {name}"),
            reads_fail: false,
            kind: Misconfigured,
            says: "denied",
        },
        Loss {
            take: read_only(1),
            give_back: read_only(0),
            reads_fail: false,
            kind: Unavailable,
            says: "read-only",
        },
    ]
}

/// Conformance 5.10, 5.11, 6.10
async fn lost_access_is_an_error_until_it_is_given_back(home: Home) {
    home.open().await;
    let user = Account::create(&home, "porter").await;
    let store = home.open_at(&user.url, PATIENCE).await;
    let site = Site::on(store.clone());
    let guest = site.guest().await;
    let client = Client::connect(&home).await;
    for loss in losses(home.database, &user) {
        let records = client.records().await;
        client.run(&loss.take).await;
        user.disconnect().await;
        if loss.reads_fail {
            site.refuses(&guest, &ALL).await;
        } else {
            guest.clone().has_counted(1).await;
            site.refuses(&guest, &WRITES).await;
            guest.clone().has_counted(1).await;
        }
        for _ in 0..10 {
            let error = eventually("an error that names the cause", async || {
                let error = store.create(key(), write("x"), now()).await.unwrap_err();
                // The pool may still contain connections that `disconnect` has closed.
                let is_closed = error.kind() == Unavailable && !text(&error).contains(loss.says);
                (!is_closed).then_some(error)
            })
            .await;
            assert_eq!(error.kind(), loss.kind, "{}: {error:?}", loss.take);
            let text = text(&error);
            assert!(text.contains(loss.says), "{}: {text}", loss.take);
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
        guest.clone().has_counted(1).await;
    }
    guest.goes_on().await;
}
