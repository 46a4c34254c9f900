//! The memory of a session.

use poem_session::store::SessionStore;
use poem_session_tests::{
    records::{key, now, write},
    servers::{Options, Server, redis},
};

use crate::{name, open};

async fn used(server: &Server) -> f64 {
    let info = server.run("INFO memory").await;
    let mut lines = info.lines();
    let used = lines.find_map(|line| line.strip_prefix("used_memory:"));
    used.and_then(|used| used.trim().parse().ok())
        .expect("a number")
}

const BATCH: u32 = 200;
const BATCHES: u32 = 100;

/// Prints the numbers in the documentation.
#[tokio::test(flavor = "multi_thread")]
async fn bytes_per_session() {
    let Some(server) = redis::private(Options::new().fast()).await else {
        return;
    };
    let store = open(&server.url()).await;
    for length in [100_u16, 200, 400, 1000, 4000] {
        server.run("FLUSHALL SYNC").await;
        let before = used(&server).await;
        let mut last = key();
        for _ in 0..BATCHES {
            let mut creations = tokio::task::JoinSet::new();
            for _ in 0..BATCH {
                let (store, key) = (store.clone(), key());
                last = key;
                creations.spawn(async move {
                    let created = store
                        .create(key, write(vec![7; length.into()]), now())
                        .await;
                    created.expect("create");
                });
            }
            creations.join_all().await;
        }
        let sessions = BATCH * BATCHES;
        let each = (used(&server).await - before) / f64::from(sessions);
        let usage = server.run(format!("MEMORY USAGE {}", name(last))).await;
        println!(
            "{length} bytes of data: MEMORY USAGE {}, {each:.0} bytes each of {sessions}",
            usage.trim()
        );
        let most = f64::from(length) * 1.3 + 300.0;
        assert!(each < most, "{each} bytes for {length}");
    }
}
