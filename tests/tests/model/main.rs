//! Random histories of parallel requests of one browser to two processes of an application. Each history must
//! have the properties that sessions promise.
//!
//! Requests stop before and after each call of the store and in their handlers ([`board`]). The history decides
//! which one goes on, whose client disconnects, whose call fails, which process crashes, when the store is full, and
//! which clock is ahead. After each call, [`ledger`] reads the store. [`request`] checks what each request reads,
//! [`handler`] whether it may be acknowledged, [`writes`] each of its writes, [`save`] those of a repeated save,
//! [`sections`] those that need a lock, and [`client`] the update that its client is sent. No check predicts the
//! next call: a request may save its changes in any way that loses nothing.
//!
//! Each run plays the same histories. `MODEL_SEED` and `MODEL_HISTORIES` choose others: `cargo xtask model`
//! sets them to play new ones. A history that failed once is kept in [`failed_before`].

mod application;
mod board;
mod client;
mod clocks;
mod failed_before;
mod full;
mod handler;
mod history;
mod ledger;
mod lock;
mod pending;
mod play;
mod presented;
mod request;
mod rules;
mod save;
mod sections;
mod writes;

use std::{cell::Cell, future::Future, sync::Arc};

use poem_session::store::{MemoryStore, SessionStore, SqliteStore, connect};
use poem_session_tests::servers::{Server, mariadb, postgres, redis};
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

/// The seed of the histories that every run plays.
const SEED: u64 = 1;

/// Plays histories, each on a store that `store` returns.
fn explain_all(
    stage: &Stage,
    name: &str,
    histories: u32,
    store: impl Fn() -> Arc<dyn SessionStore>,
) {
    let histories = setting("MODEL_HISTORIES").map_or(histories, |n| u32::try_from(n).unwrap());
    let seed = setting("MODEL_SEED").unwrap_or(SEED);
    println!("{name}: {histories} histories, MODEL_SEED={seed}");
    // Not all zero: this generator would return zeros only.
    let mut bytes = [1; 16];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config {
        cases: histories,
        failure_persistence: None,
        max_shrink_iters: 4000,
        ..Config::default()
    };
    let rng = TestRng::from_seed(RngAlgorithm::XorShift, &bytes);
    // After the first failure, the runner looks for a shorter history.
    let (number, failed) = (Cell::new(0), Cell::new(None));
    let outcome = TestRunner::new_with_rng(config, rng).run(&history::strategy(), |history| {
        number.set(number.get() + 1);
        let played = stage.block_on(play::play(store(), &history));
        played.map_err(|why| {
            failed.set(failed.get().or(Some(number.get())));
            TestCaseError::fail(why)
        })
    });
    match outcome {
        Ok(()) => {}
        Err(TestError::Fail(why, history)) => {
            let number = failed.get().expect("one has failed");
            panic!(
                "{name}: history {number} of MODEL_SEED={seed} breaks a promise. It comes down to\n\
                 {why}\n{history:?}"
            )
        }
        Err(error) => panic!("{name}: {error}"),
    }
}

fn setting(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// A runtime of one thread, on which time does not pass by itself.
struct Stage {
    // Dropped before the runtime, which waits for the thread of the blocking task.
    _hold: std::sync::mpsc::Sender<()>,
    runtime: tokio::runtime::Runtime,
}

impl Stage {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        let (hold, end) = std::sync::mpsc::channel();
        // While a blocking task runs, Tokio does not skip time.
        runtime.spawn_blocking(move || end.recv());
        Self {
            _hold: hold,
            runtime,
        }
    }

    fn block_on<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }
}

/// Conformance 1.34, 2.1, 2.3, 2.4, 2.5, 2.6, 2.7, 2.8, 2.9, 2.11, 2.12, 2.14, 5.14
#[test]
fn the_model_explains_every_history_on_memory() {
    let new = || Arc::new(MemoryStore::new()) as _;
    explain_all(&Stage::new(), "memory", 3000, new);
}

/// Conformance 1.34, 2.1, 2.3, 2.4, 2.5, 2.6, 2.7, 2.8, 2.9, 2.11, 2.12, 2.14, 5.14
#[test]
fn the_model_explains_every_history_on_sqlite() {
    let directory = tempfile::tempdir().unwrap();
    // The file need not survive a power failure.
    let file = SqliteStore::builder(directory.path().join("model.db")).survives_power_loss(false);
    let stage = Stage::new();
    let store: Arc<dyn SessionStore> = Arc::new(stage.block_on(file.open()).unwrap());
    // One store for all histories, as ids are random.
    explain_all(&stage, "SQLite", 2000, || Arc::clone(&store));
}

/// Plays histories in a database of a server, if the server is installed.
fn explain_all_on(name: &str, histories: u32, server: impl Future<Output = Option<Server>>) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let Some(server) = runtime.block_on(server) else {
        return;
    };
    let url = runtime.block_on(server.new_database());
    let stage = Stage::new();
    let store = stage.block_on(connect(&url)).unwrap();
    explain_all(&stage, name, histories, || Arc::clone(&store));
}

/// Conformance 1.34, 2.1, 2.3, 2.4, 2.5, 2.6, 2.7, 2.8, 2.9, 2.11, 2.12, 2.14, 5.14
#[test]
fn the_model_explains_every_history_on_redis() {
    explain_all_on("Redis", 300, redis::shared());
}

/// Conformance 1.34, 2.1, 2.3, 2.4, 2.5, 2.6, 2.7, 2.8, 2.9, 2.11, 2.12, 2.14, 5.14
#[test]
fn the_model_explains_every_history_on_postgres() {
    explain_all_on("PostgreSQL", 300, postgres::shared());
}

/// Conformance 1.34, 2.1, 2.3, 2.4, 2.5, 2.6, 2.7, 2.8, 2.9, 2.11, 2.12, 2.14, 5.14
#[test]
fn the_model_explains_every_history_on_mariadb() {
    explain_all_on("MariaDB", 250, mariadb::shared());
}
