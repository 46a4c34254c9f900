//! A full disk of a server. The unit tests of the SQLite store prove the same for a file.

use std::sync::Arc;

use poem_session::{
    PublicId,
    store::{
        SessionStore, StoreError,
        StoreErrorKind::{Full, Unavailable},
        Write,
    },
};
use poem_session_tests::{
    PATIENCE,
    application::{App, Browser},
    records::{key, now, write},
    reply::Reply,
    servers::Options,
};

use crate::{
    Database, Home,
    client::Client,
    outage::{goes_on, is_unchanged},
    text,
};

// MariaDB needs most of its space for itself.
crate::test_on!(
    postgres,
    a_full_disk_is_an_error_until_there_is_space,
    Database::Postgres.private(Options::new().fast().file_limit(4 << 20))
);
crate::test_on!(
    mariadb,
    a_full_disk_is_an_error_until_there_is_space,
    Database::MariaDb.private(Options::new().fast().file_limit(32 << 20))
);

/// Returns 6 kB that a database cannot compress. MariaDB 10.11 crashes on a full disk if it must store a
/// longer value outside of its row.
fn large() -> String {
    let digits = || format!("{:032x}", rand::random::<u128>());
    (0..188).map(|_| digits()).collect()
}

/// Creates records until one fails.
async fn fill(store: &Arc<dyn SessionStore>) -> (Vec<(PublicId, Write)>, StoreError) {
    let mut written = Vec::new();
    loop {
        let (key, write) = (key(), write(large()));
        match store.create(key, write.clone(), now()).await {
            Ok(_) => written.push((key, write)),
            Err(error) => return (written, error),
        }
        assert!(written.len() < 2000, "the disk is not full after 12 MB");
    }
}

/// Sends a request whose handler stores a large value.
async fn leave_note(visitor: &Browser) -> Reply {
    visitor.act(|s| Ok(s.set_notice(large())?)).await
}

/// Conformance 5.11, 6.10
async fn a_full_disk_is_an_error_until_there_is_space(home: Home) {
    let store = home.open().await;
    let client = Client::connect(&home).await;
    if home.database == Database::MariaDb {
        let others = "INSERT INTO poem_sessions (id, data, version, expires_at) \
            SELECT UNHEX(SHA2(seq, 256)), REPEAT(MD5(seq), 1000), 1, 9999999999999 \
            FROM seq_1_to_550";
        client.run(others).await;
    }
    let app = App::in_store(Arc::clone(&store), PATIENCE);
    let guest = app.sign_in().await;
    let before = client.records().await;
    let (written, error) = fill(&store).await;
    // PostgreSQL reports the limit of file sizes differently from a full disk, which is `Full`.
    let (kind, word) = match client {
        Client::Postgres(_) => (Unavailable, "could not extend"),
        Client::MariaDb(_) | Client::Sqlite(_) => (Full, "full"),
    };
    assert_eq!(error.kind(), kind, "{error:?}");
    assert!(text(&error).contains(word), "{error:?}");
    // A database may still have space for a few records: InnoDB frees that of the failed write.
    let mut strangers = 0;
    loop {
        let reply = leave_note(&app.browser()).await;
        if reply.status != 200 {
            break reply.assert_refused();
        }
        strangers += 1;
        assert!(strangers < 100, "the disk is not full");
    }
    is_unchanged(&guest).await;
    // The acknowledged records are complete, and there are no others.
    let kept = i64::try_from(written.len() + strangers).expect("not so many");
    assert_eq!(client.records().await, before + kept);
    for (key, write) in written {
        let stored = store.load(key, now()).await.expect("a read works");
        assert!(stored.is_some_and(|stored| stored.data == write.data));
    }

    home.server().lift_file_limit();
    assert_eq!(leave_note(&guest).await.status, 200);
    goes_on(&guest).await;
}
