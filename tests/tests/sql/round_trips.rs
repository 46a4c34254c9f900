//! How many statements each call is.

use std::{
    fmt,
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use poem_session::store::{LockOwner, Rename, Replaced, StoreError, TableName, Version};
use poem_session_tests::{
    monitor::{Command, Monitor},
    servers::{Options, Server},
};
use tokio::time::sleep;
use tracing::{Event, Metadata, Subscriber, field, span};

use crate::{
    Database, PATIENCE, create, key, now,
    site::{Ask, Site},
    sqlite_file, write,
};

crate::on_each_database!(a_call_is_one_statement);

/// Runs a call and asserts what reached the server because of it.
async fn sends<T>(
    server: &Server,
    expected: &[&str],
    call: impl Future<Output = Result<T, StoreError>>,
) -> T {
    let monitor = Monitor::start(server).await;
    let answer = call.await.expect("the server answers");
    let commands = monitor.finish().await;
    let names: Vec<_> = commands.iter().map(Command::name).collect();
    assert_eq!(names, expected, "{commands:#?}");
    answer
}

fn replaced(answer: Replaced) -> Version {
    match answer {
        Replaced::Replaced(version) => version,
        other => panic!("{other:?}"),
    }
}

async fn a_call_is_one_statement(database: Database) {
    let Some(server) = database.private(Options::new().log_statements()).await else {
        return;
    };
    let server = &server;
    let store = database.open(&server.url()).await;
    let (update, leave): (&str, &[&str]) = match database {
        // A common table expression, which has the update and what is there in spite of it.
        Database::Postgres => ("WITH", &["WITH"]),
        Database::MariaDb => ("UPDATE", &["INSERT", "UPDATE"]),
    };
    let here = key();
    sends(server, &["INSERT"], store.create(here, write("one"), now())).await;
    let stored = sends(server, &["SELECT"], store.load(here, now())).await;
    let version = stored.expect("it was created").version;
    let call = store.replace(here, version, write("two"), now());
    let version = replaced(sends(server, &[update], call).await);
    let later = write("").expires_at;
    let call = store.touch(here, version, later, now());
    assert!(sends(server, &["UPDATE"], call).await);

    let owner = LockOwner::random();
    sends(server, &["UPDATE"], store.lock(here, owner, later, now())).await;
    assert!(sends(server, &["UPDATE"], store.unlock(here, owner)).await);

    let rename = Rename::new(here, version, key(), write("three"), write("left"));
    replaced(sends(server, leave, store.rename(rename, now())).await);

    // What costs more: the write that lost, where the database cannot say what to.
    let (key, version) = create(&store, "one").await;
    let stale: &[&str] = match database {
        Database::Postgres => &["WITH"],
        Database::MariaDb => &["UPDATE", "SELECT"],
    };
    let call = store.replace(key, version.next(), write("stale"), now());
    let answer = sends(server, stale, call).await;
    assert!(matches!(answer, Replaced::Conflict(_)), "{answer:?}");
}

/// SQLite has no server that could be asked what has reached it. Its driver tells what it has run.
struct Driver;

/// The statements on the table of [`COUNTED`].
static RUN: Mutex<Vec<String>> = Mutex::new(Vec::new());
const COUNTED: &str = "statements of sqlite are counted";

impl Subscriber for Driver {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "sqlx::query"
    }

    fn event(&self, event: &Event<'_>) {
        event.record(&mut Statement);
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

fn run() -> MutexGuard<'static, Vec<String>> {
    RUN.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Statement;

impl field::Visit for Statement {
    fn record_str(&mut self, field: &field::Field, text: &str) {
        if field.name() == "db.statement" && text.contains(COUNTED) {
            let verb = text.split_whitespace().next().unwrap_or_default();
            run().push(verb.to_owned());
        }
    }

    fn record_debug(&mut self, _: &field::Field, _: &dyn fmt::Debug) {}
}

/// The beginning and the end of a transaction, which cost nothing where there is no network, are not
/// counted.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_to_sqlite_is_few_statements() {
    let directory = tempfile::tempdir().expect("a directory");
    let table = TableName::new(COUNTED).expect("a name");
    let store = sqlite_file(directory.path().join("sessions.db"));
    let store = store.table(table).open().await.expect("a new file");
    let mut visitor = Site::on(Arc::new(store)).stranger();
    tracing::subscriber::set_global_default(Driver).expect("no other test wants it");
    for (ask, expected) in [
        (Ask::Look, &[][..]),
        (Ask::Count, &["INSERT"]),
        (Ask::Look, &["SELECT"]),
        (Ask::Count, &["SELECT", "UPDATE"]),
        (Ask::Renew, &["SELECT", "UPDATE", "INSERT"]),
        (Ask::Leave, &["SELECT", "UPDATE"]),
    ] {
        visitor.ask(ask).await.is(poem::http::StatusCode::OK);
        // It may tell a moment later than it answers.
        let begun = Instant::now();
        while run().len() < expected.len() && begun.elapsed() < PATIENCE {
            sleep(Duration::from_millis(5)).await;
        }
        sleep(Duration::from_millis(50)).await;
        assert_eq!(std::mem::take(&mut *run()), expected, "{ask:?}");
    }
}
