//! Passwords, privileges, and connections of the application.

use ::redis::{aio::ConnectionManagerConfig, cluster::ClusterClient};
use poem_session::store::{
    RedisSource, SessionStore, StoreError,
    StoreErrorKind::{Misconfigured, Unavailable},
};
use poem_session_tests::{
    PATIENCE,
    records::{create, data, key, now, recovery},
    servers::{Options, Server, redis, redis_cluster, redis_sentinel},
};

use crate::{Database, builder, open, use_all};

fn assert_does_not_contain(error: &StoreError, words: &[&str]) {
    let text = format!("{error} {error:?} {:?}", std::error::Error::source(error));
    for word in words {
        assert!(!text.contains(word), "{text}");
    }
}

/// Conformance 5.10
#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_misconfigured_and_no_error_contains_it() {
    let Some(server) = redis::private(Options::new().fast()).await else {
        return;
    };
    server.run("ACL SETUSER app on >open-sesame ~* +@all").await;
    let port = server.port();
    let url = |login: &str| format!("redis://{login}127.0.0.1:{port}");
    let store = open(&url("app:open-sesame@")).await;
    create(&store, b"data").await;

    for login in [
        "app:wrong-secret@",
        "nobody:wrong-secret@",
        ":wrong-secret@",
    ] {
        let error = builder(url(login)).connect().await.expect_err(login);
        assert_eq!(error.kind(), Misconfigured, "{login} {error:?}");
        assert_does_not_contain(&error, &["wrong-secret", &port.to_string(), "nobody"]);
    }
    // The password changes while the application runs.
    server.run("ACL SETUSER app resetpass >changed").await;
    server.run("CLIENT KILL TYPE normal").await;
    let error = store.load(key(), now()).await.expect_err("a refusal");
    assert_eq!(error.kind(), Misconfigured);
    server.run("ACL SETUSER app resetpass >open-sesame").await;
    recovery(&store).await;

    server.run("CONFIG SET requirepass open-sesame").await;
    let error = builder(url("")).connect().await.expect_err("no password");
    assert_eq!(error.kind(), Misconfigured);
    open(&url(":open-sesame@")).await;
    let debug = format!("{store:?}");
    assert!(!debug.contains("sesame") && !debug.contains("127.0.0.1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_url_is_an_error_without_addresses() {
    let Some(server) = redis::shared().await else {
        return;
    };
    let server = server.url();
    for (url, kind) in [
        (&*format!("{server}/9999"), Misconfigured),
        (&server.replace("redis:", "redis+cluster:"), Misconfigured),
        ("redis://127.0.0.1:1", Unavailable),
        ("redis://no-such-host.invalid", Unavailable),
        ("redis+cluster://127.0.0.1:1,127.0.0.1:2", Unavailable),
        (
            "redis+sentinel://127.0.0.1:1,127.0.0.1:2/primary",
            Unavailable,
        ),
    ] {
        let error = builder(url).connect().await.expect_err(url);
        assert_eq!(error.kind(), kind, "{url}");
        assert_does_not_contain(&error, &["127.0.0.1", "no-such-host"]);
    }
    for prefix in ["", "a{b", "}"] {
        let refused = builder(&server).prefix(prefix).connect().await;
        assert_eq!(refused.unwrap_err().kind(), Misconfigured, "{prefix:?}");
    }
}

/// Every call works with the privileges that the documentation names, and with `more` on this kind of server.
async fn documented_privileges_are_enough(servers: &[Server], url: &str, more: &str) {
    for server in servers {
        let user = "ACL SETUSER app on >pw ~poem-session:*";
        let commands = "+get +getrange +set +setrange +pexpire +pttl +unlink +scan +eval +evalsha";
        let created = server.run(format!("{user} {commands} {more}")).await;
        assert_eq!(created.trim(), "OK");
    }
    let url = url.replace("://", "://app:pw@");
    let store = builder(&url).prefix("poem-session:app:").connect().await;
    let store = store.expect("the server is ready");
    use_all(&store).await;
    store.clear().await.expect("clear");

    let other = builder(&url).prefix("other:").connect().await;
    let error = other.expect_err("no privilege for these keys");
    assert_eq!(error.kind(), Misconfigured);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_documented_privileges_are_enough() {
    if let Some(server) = redis::private(Options::new().fast()).await {
        let url = server.url();
        documented_privileges_are_enough(&[server], &url, "").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_documented_privileges_are_enough_on_a_cluster() {
    if let Some(cluster) = redis_cluster::shared().await {
        let more = "+ping +asking +cluster|slots";
        documented_privileges_are_enough(cluster.nodes(), &cluster.url(), more).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_documented_privileges_are_enough_with_sentinel() {
    if let Some(sentinel) = redis_sentinel::shared().await {
        documented_privileges_are_enough(sentinel.servers(), &sentinel.url(), "+role").await;
    }
}

/// A store on a connection of the application works, and shares its records with a store on a client.
async fn works(connection: impl Into<RedisSource>, client: impl Into<RedisSource>) {
    let own = builder(connection).prefix("own:").connect().await;
    let own = own.expect("the prefix is valid");
    use_all(&own).await;
    let (key, _) = create(&own, b"data").await;
    let other = builder(client).prefix("own:").connect().await;
    let other = other.expect("the server is ready");
    assert_eq!(data(&other, key).await.as_deref(), Some(&b"data"[..]));
    other.clear().await.expect("clear");
    assert_eq!(data(&own, key).await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_of_the_application_works() {
    let Some(database) = Database::new().await else {
        return;
    };
    let client = ::redis::Client::open(database.url).expect("a valid URL");
    let config = ConnectionManagerConfig::new()
        .set_connection_timeout(Some(PATIENCE))
        .set_response_timeout(Some(PATIENCE));
    let connection = client.get_connection_manager_with_config(config).await;
    works(connection.expect("connect"), client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_connection_of_the_application_works() {
    let Some(cluster) = redis_cluster::shared().await else {
        return;
    };
    let client = ClusterClient::builder(cluster.nodes().iter().map(Server::url))
        .retries(0)
        .connection_timeout(PATIENCE)
        .response_timeout(PATIENCE)
        .build()
        .expect("valid URLs");
    let connection = client.get_async_connection().await.expect("connect");
    works(connection, client).await;
}
