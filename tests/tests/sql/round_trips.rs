//! The number of statements of each call.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use poem_session::store::{LockOwner, Rename, Replaced};
use poem_session_tests::{
    PATIENCE,
    application::App,
    eventually,
    monitor::sends,
    records::{create, key, now, replaced, write},
};
use tokio::time::sleep;
use tracing::{Event, Metadata, Subscriber, field, span};

use crate::{Database, Home, outage::ALL, sqlite_file, table};

crate::on_private_servers!(
    Options::new().log_statements();
    a_call_is_one_statement,
);

async fn a_call_is_one_statement(home: Home) {
    let server = home.server();
    let store = home.open().await;
    // PostgreSQL updates and reads the current record in one common table expression. MariaDB reads it
    // after an update that found another version, and renames with two statements.
    let (update, stale, rename): (_, &[_], &[_]) = match home.database {
        Database::Postgres => ("WITH", &["WITH"], &["WITH"]),
        _ => ("UPDATE", &["UPDATE", "SELECT"], &["INSERT", "UPDATE"]),
    };
    let here = key();
    sends(server, &["INSERT"], store.create(here, write("one"), now())).await;
    let stored = sends(server, &["SELECT"], store.load(here, now())).await;
    let version = stored.expect("a record").version;
    let call = store.replace(here, version, write("two"), now());
    let version = replaced(Ok(sends(server, &[update], call).await));
    let later = write("").expires_at;
    let call = store.touch(here, version, later, now());
    assert!(sends(server, &["UPDATE"], call).await);

    let owner = LockOwner::random();
    sends(server, &["UPDATE"], store.lock(here, owner, later, now())).await;
    assert!(sends(server, &["UPDATE"], store.unlock(here, owner)).await);

    let arguments = Rename::new(here, version, key(), write("three"), write("left"));
    replaced(Ok(
        sends(server, rename, store.rename(arguments, now())).await
    ));

    let (key, version) = create(&store, "one").await;
    let call = store.replace(key, version.next(), write("stale"), now());
    let result = sends(server, stale, call).await;
    assert!(matches!(result, Replaced::Conflict(_)), "{result:?}");
}

/// Records the statements that SQLite's driver reports to `tracing`.
struct Recorder;

/// The verbs of the statements on the table [`COUNTED`].
static VERBS: Mutex<Vec<String>> = Mutex::new(Vec::new());
const COUNTED: &str = "statements of sqlite are counted";

fn verbs() -> MutexGuard<'static, Vec<String>> {
    VERBS.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Subscriber for Recorder {
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

struct Statement;

impl field::Visit for Statement {
    fn record_str(&mut self, field: &field::Field, text: &str) {
        if field.name() == "db.statement" && text.contains(COUNTED) {
            let verb = text.split_whitespace().next().unwrap_or_default();
            verbs().push(verb.to_owned());
        }
    }

    fn record_debug(&mut self, _: &field::Field, _: &dyn fmt::Debug) {}
}

/// Does not count the begin and the end of a transaction, which are no round trips in SQLite.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_to_sqlite_is_at_most_three_statements() {
    let home = Home::new_file();
    let store = sqlite_file(home.file()).table(table(COUNTED));
    let store = store.open().await.expect("a new file");
    let visitor = App::in_store(Arc::new(store), PATIENCE).browser();
    let [look, count, regenerate, destroy] = ALL;
    tracing::subscriber::set_global_default(Recorder).expect("no other subscriber");
    for (act, expected) in [
        (look, &[][..]),
        (count, &["INSERT"]),
        (look, &["SELECT"]),
        (count, &["SELECT", "UPDATE"]),
        (regenerate, &["SELECT", "UPDATE", "INSERT"]),
        (destroy, &["SELECT", "UPDATE"]),
    ] {
        assert_eq!(visitor.does(act).await.status, 200);
        // The driver may report a statement after the response.
        eventually("the driver reports the statements", async || {
            (verbs().len() >= expected.len()).then_some(())
        })
        .await;
        sleep(Duration::from_millis(50)).await;
        assert_eq!(std::mem::take(&mut *verbs()), expected);
    }
}
