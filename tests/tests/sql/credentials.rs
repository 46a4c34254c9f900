//! Passwords and rights that change while the application runs.

use poem_session::store::{StoreErrorKind, TableName};

use crate::{
    Database,
    client::{Account, Client, PASSWORD},
    key, now, said,
    site::{Ask, Site},
    write,
};

crate::on_each_database!(
    a_user_who_is_no_longer_let_in_is_an_error_until_it_is,
    a_user_who_may_only_read_is_served_what_that_allows,
);

/// The application's user has no connection, and the statement keeps it from making another.
///
/// Conformance 5.10, 5.11, 6.10
async fn a_user_who_is_no_longer_let_in_is_an_error_until_it_is(database: Database) {
    let Some(server) = database.shared().await else {
        return;
    };
    let url = server.new_database().await;
    database.open(&url).await;
    let rights = "SELECT, INSERT, UPDATE, DELETE";
    let user = Account::create(database, &url, "porter", rights).await;
    let store = database.open(&user.url).await;
    let site = Site::on(store.clone());
    let guest = site.guest().await;
    for (keep_out, let_in) in [
        (user.new_password("changed"), user.new_password(PASSWORD)),
        (user.may_enter(false), user.may_enter(true)),
    ] {
        server.run(keep_out).await;
        user.disconnect(&server).await;
        let error = store.load(key(), now()).await.expect_err("no entry");
        assert_eq!(error.kind(), StoreErrorKind::Misconfigured, "{error:?}");
        let said = said(&error);
        assert!(said.contains("porter") || said.contains("locked"), "{said}");
        assert!(
            !said.contains(PASSWORD) && !said.contains("127.0.0.1:"),
            "{said}"
        );
        site.refuses(&guest, &Ask::ALL).await;
        let debug = format!("{store:?}");
        assert!(
            !debug.contains(PASSWORD) && !debug.contains("porter"),
            "{debug}"
        );

        server.run(let_in).await;
        guest.clone().has_counted(1).await;
    }
    guest.goes_on(1).await;
}

/// Conformance 5.11, 6.10
async fn a_user_who_may_only_read_is_served_what_that_allows(database: Database) {
    let Some(server) = database.shared().await else {
        return;
    };
    let url = server.new_database().await;
    database.open(&url).await;
    let client = Client::connect(database, &url).await;
    let all = "SELECT, INSERT, UPDATE, DELETE";
    let user = Account::create(database, &url, "auditor", all).await;
    let store = database.connect(&user.url, TableName::default());
    let store = store.await.expect("the server answers").sessions();
    let site = Site::on(store.clone());
    let mut guest = site.guest().await;

    let name = user.user();
    let writing = "INSERT, UPDATE, DELETE ON poem_sessions";
    client.run(format!("REVOKE {writing} FROM {name}")).await;
    site.refuses(&guest, &Ask::WRITES).await;
    guest.has_counted(1).await;
    let error = store.create(key(), write("x"), now()).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Misconfigured, "{error:?}");
    assert!(said(&error).contains("denied"), "{error:?}");

    client.run(format!("GRANT {writing} TO {name}")).await;
    guest.goes_on(1).await;
}
