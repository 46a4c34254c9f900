//! Redis Sentinel: a master with two replicas, and three sentinels that watch it.

use std::sync::OnceLock;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::need::REDIS;
use super::redis::{Redis, wait_for_replicas};
use super::require::is_present;
use super::{Options, Server, blocking};

/// How long the sentinels may take to know one another.
const PATIENCE: Duration = Duration::from_mins(5);

/// A master that is silent for so long, in milliseconds, is replaced: never in a test that wants none
/// replaced, however long the machine keeps it waiting.
const DOWN_AFTER: &str = "600000";

/// The same where the master is to be replaced. A busy machine may keep a healthy one from answering for
/// seconds.
const SHORT_DOWN_AFTER: &str = "6000";

/// The name that the sentinels know the master by.
pub const MASTER: &str = "primary";

/// Three servers and three sentinels. Clones are the same six.
#[derive(Clone, Debug)]
pub struct Sentinel {
    servers: Vec<Server>,
    sentinels: Vec<Server>,
}

/// The one set for all tests of this program.
pub async fn shared() -> Option<Sentinel> {
    static SHARED: OnceLock<Sentinel> = OnceLock::new();
    if !is_present(&REDIS) {
        return None;
    }
    let start = || Sentinel::start(&Options::new().fast(), DOWN_AFTER);
    Some(blocking(move || SHARED.get_or_init(start).clone()).await)
}

/// A set of the test's own, whose master is replaced when it is silent for six seconds; the options are
/// for the three servers.
pub async fn private(options: Options) -> Option<Sentinel> {
    if !is_present(&REDIS) {
        return None;
    }
    Some(blocking(move || Sentinel::start(&options, SHORT_DOWN_AFTER)).await)
}

impl Sentinel {
    fn start(options: &Options, down_after: &str) -> Self {
        let start = |options: Options| Server::start(Box::new(Redis::new(options)));
        let master = start(options.clone());
        let port = master.port().to_string();
        let replica = || {
            start(
                options
                    .clone()
                    .arguments(["--replicaof", "127.0.0.1", port.as_str()]),
            )
        };
        let servers = vec![master.clone(), replica(), replica()];
        // Sentinels learn of replicas from the master, and ask it only every ten seconds.
        let deadline = Instant::now() + PATIENCE;
        while !master
            .run_blocking("INFO replication")
            .contains("connected_slaves:2")
        {
            assert!(
                Instant::now() < deadline,
                "the replicas do not find {master:?}"
            );
            sleep(Duration::from_millis(20));
        }
        let config = format!(
            "sentinel monitor {MASTER} 127.0.0.1 {port} 2\n\
             sentinel down-after-milliseconds {MASTER} {down_after}\n\
             sentinel failover-timeout {MASTER} 15000\n"
        );
        let watch = |_| Server::start(Box::new(Redis::sentinel(config.clone())));
        let sentinel = Self {
            servers,
            sentinels: (0..3).map(watch).collect(),
        };
        sentinel.settle_blocking();
        sentinel
    }

    /// Its URL, naming every sentinel and then the master:
    /// `redis+sentinel://127.0.0.1:PORT,127.0.0.1:PORT,127.0.0.1:PORT/primary`.
    pub fn url(&self) -> String {
        let addresses: Vec<_> = self
            .sentinels
            .iter()
            .map(|node| node.address().to_string())
            .collect();
        format!("redis+sentinel://{}/{MASTER}", addresses.join(","))
    }

    /// The three servers that hold data, whatever their part is.
    pub fn servers(&self) -> &[Server] {
        &self.servers
    }

    /// The three sentinels.
    pub fn sentinels(&self) -> &[Server] {
        &self.sentinels
    }

    /// The master, by the word of the first sentinel that runs.
    pub async fn master(&self) -> Server {
        let sentinel = self.clone();
        blocking(move || {
            let asked = sentinel.running().next().expect("one sentinel runs");
            let said = asked.run_blocking(&format!("SENTINEL GET-MASTER-ADDR-BY-NAME {MASTER}"));
            let port = said
                .lines()
                .nth(1)
                .and_then(|line| line.trim().parse().ok());
            let is_meant = |server: &&Server| Some(server.port()) == port;
            sentinel
                .servers
                .iter()
                .find(is_meant)
                .expect("it is one of ours")
                .clone()
        })
        .await
    }

    /// Waits until every replica has what the master has now: what is written before survives a
    /// failover.
    pub async fn replicate(&self) {
        let master = self.master().await;
        blocking(move || wait_for_replicas(&master, Instant::now() + PATIENCE)).await;
    }

    /// Waits until every sentinel that runs knows the two others and both replicas.
    pub async fn settle(&self) {
        let sentinel = self.clone();
        blocking(move || sentinel.settle_blocking()).await;
    }

    fn settle_blocking(&self) {
        let deadline = Instant::now() + PATIENCE;
        for sentinel in self.running() {
            loop {
                let info = sentinel.run_blocking("INFO sentinel");
                if info.contains("status=ok") && info.contains("slaves=2,sentinels=3") {
                    break;
                }
                assert!(
                    Instant::now() < deadline,
                    "{sentinel:?} does not settle: {info}"
                );
                sleep(Duration::from_millis(50));
            }
        }
    }

    fn running(&self) -> impl Iterator<Item = &Server> {
        self.sentinels
            .iter()
            .filter(|sentinel| sentinel.pid().is_some())
    }
}
