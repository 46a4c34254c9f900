//! How many statements each call is.

use std::future::Future;

use poem_session::store::{LockOwner, Replaced, StoreError, Version};
use poem_session_tests::{
    monitor::{Command, Monitor},
    servers::{Options, Server},
};

use crate::{Database, create, key, now, write};

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

    let there = key();
    let call = store.rename(here, version, there, write("three"), None, now());
    let version = replaced(sends(server, &[update], call).await);
    let (call, left) = (key(), Some(write("left")));
    let call = store.rename(there, version, call, write("four"), left, now());
    replaced(sends(server, leave, call).await);
    assert!(sends(server, &["DELETE"], store.delete(there, now())).await);

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
