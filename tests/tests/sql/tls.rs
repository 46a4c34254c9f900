//! TLS: which servers a store accepts.

use std::fs;

use poem_session::store::{StoreError, StoreErrorKind::Misconfigured};
use poem_session_tests::{
    PATIENCE, certificates::Authority, eventually, records::create, servers::Options,
};
use tempfile::TempDir;

use crate::{Database, Home, load, text};

crate::on_servers!(a_server_without_tls_is_refused_unless_the_url_turns_tls_off);

/// A server whose certificate is for 127.0.0.1, and the files of two authorities.
struct Secured {
    home: Home,
    directory: TempDir,
}

impl Secured {
    async fn start(database: Database) -> Option<Self> {
        let authority = Authority::new();
        let options = Options::new().fast().tls(authority.issue("127.0.0.1"));
        let home = database.private(options).await?;
        let directory = tempfile::tempdir().expect("a directory");
        for (name, authority) in [("right", authority), ("other", Authority::new())] {
            fs::write(directory.path().join(name), authority.pem()).expect("a file");
        }
        Some(Self { home, directory })
    }

    /// The URL of the server by this host name. `authority` names the file of an authority to trust.
    fn url(&self, host: &str, mode: Option<&str>, authority: Option<&str>) -> String {
        let (mode_name, authority_name) = match self.home.database {
            Database::MariaDb => ("ssl-mode", "ssl-ca"),
            _ => ("sslmode", "sslrootcert"),
        };
        let mode = mode.map_or(String::new(), |mode| format!("{mode_name}={mode}&"));
        let authority = authority.map_or(String::new(), |name| {
            let file = self.directory.path().join(name);
            format!("{authority_name}={}&", file.display())
        });
        let url = self.home.url.replace("@127.0.0.1:", &format!("@{host}:"));
        format!("{url}?{mode}{authority}")
    }

    async fn is_accepted(&self, host: &str, mode: Option<&str>, authority: Option<&str>) {
        let url = self.url(host, mode, authority);
        let store = self.home.open_at(&url, PATIENCE).await;
        let (key, _) = create(&store, "kept").await;
        assert_eq!(load(&store, key).await.as_deref(), Some("kept"));
    }

    async fn is_refused(
        &self,
        host: &str,
        mode: Option<&str>,
        authority: Option<&str>,
        why: &str,
    ) -> StoreError {
        let url = self.url(host, mode, authority);
        let error = self.home.connect_to(&url, PATIENCE).await.expect_err(why);
        assert_eq!(error.kind(), Misconfigured, "{error:?}");
        let text = text(&error);
        assert!(text.contains(why), "{text}");
        assert!(!text.contains("password") && !text.contains(host), "{text}");
        error
    }
}

const UNTRUSTED: &str = "is from an authority that is not trusted";
const OTHER_NAME: &str = "is for another name than the URL's host";

/// The tests of both databases. `verify_ca` is the mode that verifies all but the name, `require` the one that only
/// encrypts.
async fn verification(secured: &Secured, verify_ca: &str, require: &str) {
    let (verify_ca, require) = (Some(verify_ca), Some(require));
    let (right, other) = (Some("right"), Some("other"));
    secured.is_accepted("127.0.0.1", None, right).await;
    for (host, mode, authority, why) in [
        ("127.0.0.1", None, None, UNTRUSTED),
        ("127.0.0.1", None, other, UNTRUSTED),
        ("localhost", None, right, OTHER_NAME),
        ("localhost", verify_ca, other, UNTRUSTED),
        ("127.0.0.1", None, Some("missing"), "cannot be read"),
    ] {
        secured.is_refused(host, mode, authority, why).await;
    }
    secured.is_accepted("localhost", verify_ca, right).await;
    secured.is_accepted("localhost", require, None).await;
}

/// Conformance 5.15
#[tokio::test(flavor = "multi_thread")]
async fn postgres_certificate_and_name_are_verified_unless_the_url_says_otherwise() {
    let Some(secured) = Secured::start(Database::Postgres).await else {
        return;
    };
    verification(&secured, "verify-ca", "require").await;
    // As libpq: a named authority is used.
    let require = Some("require");
    secured
        .is_accepted("localhost", require, Some("right"))
        .await;
    let error = secured
        .is_refused("localhost", require, Some("other"), UNTRUSTED)
        .await;
    assert!(text(&error).contains("sslrootcert"), "{error:?}");

    for (mode, authority, encrypted) in [
        (None, Some("right"), "t"),
        (require, None, "t"),
        (Some("disable"), None, "f"),
    ] {
        let url = secured.url("127.0.0.1", mode, authority) + "application_name=poem";
        let store = secured.home.open_at(&url, PATIENCE).await;
        let connections = "SELECT DISTINCT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
             WHERE application_name = 'poem'";
        eventually("the connections are as the URL says", async || {
            // The connections of the store before are still being closed.
            let ssl = secured.home.server().run(connections).await;
            (ssl.trim() == encrypted).then_some(())
        })
        .await;
        drop(store);
    }
}

/// Conformance 5.15
#[tokio::test(flavor = "multi_thread")]
async fn mariadb_certificate_and_name_are_verified_unless_the_url_says_otherwise() {
    let Some(secured) = Secured::start(Database::MariaDb).await else {
        return;
    };
    verification(&secured, "VERIFY_CA", "REQUIRED").await;
    let error = secured.is_refused("127.0.0.1", None, None, UNTRUSTED).await;
    assert!(text(&error).contains("ssl-ca"), "{error:?}");

    let disabled = Some("DISABLED");
    secured.is_accepted("127.0.0.1", disabled, None).await;
    let refuse_others = "SET GLOBAL require_secure_transport = 1";
    secured.home.server().run(refuse_others).await;
    let url = secured.url("127.0.0.1", disabled, None);
    let refused = secured.home.connect_to(&url, PATIENCE).await;
    refused.expect_err("the server accepts encrypted connections only");
    secured.is_accepted("127.0.0.1", None, Some("right")).await;
    let required = Some("REQUIRED");
    secured.is_accepted("127.0.0.1", required, None).await;
    // Unlike libpq, the clients of MySQL ignore the authority in this mode.
    secured
        .is_accepted("localhost", required, Some("other"))
        .await;
}

/// Conformance 5.15
async fn a_server_without_tls_is_refused_unless_the_url_turns_tls_off(home: Home) {
    let (url, parameter) = home.url.split_once('?').expect("a parameter");
    home.open_at(&home.url, PATIENCE).await;
    let error = home.connect_to(url, PATIENCE).await.expect_err("no TLS");
    assert_eq!(error.kind(), Misconfigured, "{error:?}");
    assert!(text(&error).contains(parameter), "{error:?}");
    assert!(!text(&error).contains("password"), "{error:?}");
}
