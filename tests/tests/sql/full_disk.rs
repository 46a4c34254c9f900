//! A full disk.

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
    application::{App, Browser, Reply},
    records::{key, now, write},
    servers::Options,
};

use crate::{
    Database, Home,
    client::Client,
    outage::{goes_on, is_unchanged},
    table, text,
};

#[tokio::test(flavor = "multi_thread")]
async fn postgres() {
    let options = Options::new().fast().file_limit(4 << 20);
    if let Some(home) = Database::Postgres.private(options).await {
        let store = home.open().await;
        let client = Client::connect(&home).await;
        let free_space = async || home.server().lift_file_limit();
        a_full_disk_is_an_error_until_there_is_space(store, client, free_space).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb() {
    // MariaDB needs most of this space for itself.
    let options = Options::new().fast().file_limit(32 << 20);
    if let Some(home) = Database::MariaDb.private(options).await {
        let store = home.open().await;
        let client = Client::connect(&home).await;
        let others = "INSERT INTO poem_sessions (id, data, version, expires_at) \
            SELECT UNHEX(SHA2(seq, 256)), REPEAT(MD5(seq), 1000), 1, 9999999999999 \
            FROM seq_1_to_550";
        client.run(others).await;
        let free_space = async || home.server().lift_file_limit();
        a_full_disk_is_an_error_until_there_is_space(store, client, free_space).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite() {
    let home = Home::new_file();
    let client = Client::pool(&home, 1, PATIENCE).await;
    // SQLite returns the same error if the disk is full and if the file has its maximum size.
    client.run("PRAGMA max_page_count = 500").await;
    let store = client.store(table("poem_sessions"));
    store.migrate().await.expect("a table");
    let free_space = async || client.run("PRAGMA max_page_count = 100000").await;
    a_full_disk_is_an_error_until_there_is_space(store, client.clone(), free_space).await;
}

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
async fn a_full_disk_is_an_error_until_there_is_space(
    store: Arc<dyn SessionStore>,
    client: Client,
    free_space: impl AsyncFnOnce(),
) {
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

    free_space().await;
    assert_eq!(leave_note(&guest).await.status, 200);
    goes_on(&guest).await;
}
