//! Random histories of parallel requests of one browser, checked against a sequential model of a session.
//!
//! A request is begun (its session is loaded and its handler runs), stands at a gate, and is finished (its
//! session is saved) or dropped; between the two any number of others begin and finish. [`world`] says what
//! each must see, what the client must be told, and what must be stored in the end.
//!
//! `MODEL_HISTORIES` sets how many histories are tried, `MODEL_SEED` repeats a run.

mod history;
mod play;
mod world;

use std::sync::Arc;

use poem_session::store::{MemoryStore, SessionStore, SqliteStore};
use proptest::test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner};
use tokio::sync::OnceCell;

fn explain_all(store: &str, histories: u32, open: impl AsyncFn() -> Arc<dyn SessionStore>) {
    let histories = number("MODEL_HISTORIES").map_or(histories, |n| u32::try_from(n).unwrap());
    let seed = number("MODEL_SEED").unwrap_or_else(rand::random);
    println!("{store}: {histories} histories, MODEL_SEED={seed}");
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config {
        cases: histories,
        failure_persistence: None,
        max_shrink_iters: 2000,
        ..Config::default()
    };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let outcome = TestRunner::new_with_rng(config, rng).run(&history::strategy(), |history| {
        runtime
            .block_on(async { play::play(open().await, &history).await })
            .map_err(proptest::test_runner::TestCaseError::fail)
    });
    match outcome {
        Ok(()) => {}
        Err(TestError::Fail(why, history)) => {
            panic!(
                "{store}: the model cannot explain, with MODEL_SEED={seed}:\n{why}\n{history:#?}"
            )
        }
        Err(error) => panic!("{store}: {error}"),
    }
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// Conformance 2.3, 2.5, 2.8
#[test]
fn the_model_explains_every_history_on_memory() {
    explain_all("memory", 2000, async || Arc::new(MemoryStore::new()) as _);
}

/// Conformance 2.3, 2.5, 2.8
#[test]
fn the_model_explains_every_history_on_sqlite() {
    let directory = tempfile::tempdir().unwrap();
    // One file for all: ids do not meet. It need not survive a loss of power.
    let file = SqliteStore::builder(directory.path().join("model.db")).survives_power_loss(false);
    let store: OnceCell<Arc<dyn SessionStore>> = OnceCell::new();
    explain_all("sqlite", 1000, async || {
        let open = async || Arc::new(file.clone().open().await.unwrap()) as _;
        Arc::clone(store.get_or_init(open).await)
    });
}
