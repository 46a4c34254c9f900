//! A disk with no more room.

use std::sync::Arc;

use poem::http::StatusCode;
use poem_session::{
    PublicId,
    store::{
        SessionStore, SqliteStore, StoreError,
        StoreErrorKind::{Full, Unavailable},
        Write,
    },
};
use poem_session_tests::servers::Options;
use sqlx::sqlite::SqlitePoolOptions;

use crate::{
    Database,
    client::{Client, sqlite_options},
    key, now, said,
    site::Site,
    write,
};

crate::on_each_database!(a_disk_that_is_full_refuses_what_it_cannot_keep);

/// So large that the disk is soon full. MariaDB 10.11 gives up altogether when there is no room for what it
/// keeps apart from its rows, half a page and more.
const LARGE: usize = 6000;

/// Random, as some databases would make little of anything else.
fn large() -> String {
    let digits = || format!("{:032x}", rand::random::<u128>());
    let digits: String = (0..LARGE / 32).map(|_| digits()).collect();
    digits
}

/// Writes records until there is no room.
async fn fill(store: &Arc<dyn SessionStore>) -> (Vec<(PublicId, Write)>, StoreError) {
    let mut written = Vec::new();
    loop {
        let (key, write) = (key(), write(large()));
        match store.create(key, write.clone(), now()).await {
            Ok(_) => written.push((key, write)),
            Err(error) => return (written, error),
        }
        assert!(written.len() < 2000, "12 MB fit");
    }
}

async fn a_disk_that_is_full_refuses_what_it_cannot_keep(database: Database) {
    // MariaDB needs most of its room for itself, before there is any session.
    let room = match database {
        Database::Postgres => 4 << 20,
        Database::MariaDb => 32 << 20,
    };
    let options = Options::new().fast().file_limit(room);
    let Some(server) = database.private(options).await else {
        return;
    };
    let store = database.open(&server.url()).await;
    let client = Client::connect(database, &server.url()).await;
    if let Database::MariaDb = database {
        // Most of the room is taken at once, by sessions that nobody will ask for.
        let others = "INSERT INTO poem_sessions (id, data, version, expires_at) \
            SELECT UNHEX(SHA2(seq, 256)), REPEAT(MD5(seq), 1000), 1, 9999999999999 \
            FROM seq_1_to_550";
        client.run(others).await;
    }
    serves_what_it_can(store, client, async || server.lift_file_limit()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_on_a_disk_that_is_full_refuses_what_it_cannot_keep() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("sessions.db");
    // To SQLite both are one error: the disk is full, and the file as large as it may be.
    let options = sqlite_options(&file).pragma("max_page_count", "500");
    let pool = SqlitePoolOptions::new().max_connections(1);
    let pool = pool.connect_lazy_with(options);
    let store = SqliteStore::from_pool(pool.clone());
    store.migrate().await.expect("a table");
    let client = Client::Sqlite(pool);
    let make_room = async || client.run("PRAGMA max_page_count = 100000").await;
    serves_what_it_can(Arc::new(store), client.clone(), make_room).await;
}

/// Conformance 5.11, 6.10
async fn serves_what_it_can(
    store: Arc<dyn SessionStore>,
    client: Client,
    make_room: impl AsyncFnOnce(),
) {
    let site = Site::on(Arc::clone(&store));
    let mut guest = site.guest().await;
    let before = client.records().await;
    let (written, error) = fill(&store).await;
    match client {
        // What limits the size of its files here is no full disk by name; that would be `Full`.
        Client::Postgres(_) => {
            assert_eq!(error.kind(), Unavailable, "{error:?}");
            assert!(said(&error).contains("could not extend"), "{error:?}");
        }
        Client::MariaDb(_) | Client::Sqlite(_) => {
            assert_eq!(error.kind(), Full, "{error:?}");
            assert!(said(&error).contains("full"), "{error:?}");
        }
    }
    // Others may have made room meanwhile, if only a little: what InnoDB undoes it gives back.
    let mut strangers = 0;
    loop {
        let reply = site.stranger().leave_note(large()).await;
        if reply.is_refusal() {
            break reply.is_refused();
        }
        strangers += 1;
        assert!(strangers < 100, "there is room");
    }
    guest.has_counted(1).await;
    // What is there is whole, and what was refused is not there.
    let kept = i64::try_from(written.len() + strangers).expect("not so many");
    assert_eq!(client.records().await, before + kept);
    for (key, write) in written {
        let stored = store.load(key, now()).await.expect("reads go on");
        assert!(stored.is_some_and(|stored| stored.data == write.data));
    }

    make_room().await;
    guest.leave_note(large()).await.is(StatusCode::OK);
    guest.goes_on(1).await;
}
