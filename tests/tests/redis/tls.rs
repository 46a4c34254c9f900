//! TLS: which servers a store accepts.

use ::redis::{Client, TlsCertificates};
use poem_session::store::{RedisSource, StoreErrorKind::Misconfigured};
use poem_session_tests::{
    certificates::Authority,
    servers::{Options, redis},
};

use crate::{builder, use_all};

async fn is_refused(source: impl Into<RedisSource>) {
    let error = builder(source).connect().await.expect_err("a refusal");
    assert_eq!(error.kind(), Misconfigured, "{error:?}");
}

/// Conformance 5.15
#[tokio::test(flavor = "multi_thread")]
async fn certificate_and_name_of_a_server_with_tls_are_verified() {
    let authority = Authority::new();
    let options = Options::new().fast().tls(authority.issue("127.0.0.1"));
    let Some(server) = redis::private(options).await else {
        return;
    };
    let port = redis::tls_port(&server);
    let url = |host: &str| format!("rediss://{host}:{port}");
    let client = |host: &str, authority: &Authority| {
        let certificates = TlsCertificates {
            client_tls: None,
            root_cert: Some(authority.pem().into_bytes()),
        };
        Client::build_with_tls(url(host), certificates).expect("a client")
    };
    let store = builder(client("127.0.0.1", &authority)).connect().await;
    use_all(&store.expect("the authority is trusted")).await;

    is_refused(client("127.0.0.1", &Authority::new())).await;
    is_refused(client("localhost", &authority)).await;
    is_refused(url("127.0.0.1")).await;
    is_refused(url("127.0.0.1").replace("rediss:", "valkeys:")).await;
    // The client verifies nothing only if the application enables a feature of `redis`, which this one does not.
    is_refused(url("127.0.0.1") + "/#insecure").await;
}
