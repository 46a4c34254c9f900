//! Redis Sentinel: a master with two replicas, and three sentinels that watch it.

use std::sync::OnceLock;

use super::need::REDIS;
use super::redis::{Redis, wait_for_replicas};
use super::require::start_if_installed;
use super::{Options, Server, blocking};
use crate::poll_blocking;

/// How long a master may be silent before a replica replaces it, in milliseconds. So long that it does not
/// happen by accident on a busy machine.
const DOWN_AFTER: &str = "600000";

/// The same for tests of a failover. A healthy master on a busy machine may be silent for seconds.
const SHORT_DOWN_AFTER: &str = "6000";

/// The name of the master in the configuration of the sentinels.
const MASTER: &str = "primary";

/// Three servers and three sentinels. A clone is the same group.
#[derive(Clone, Debug)]
pub struct Sentinel {
    servers: Vec<Server>,
    sentinels: Vec<Server>,
}

/// Returns the group that all tests of the program share.
pub async fn shared() -> Option<Sentinel> {
    static SHARED: OnceLock<Sentinel> = OnceLock::new();
    let start = || Sentinel::start(&Options::new().fast(), DOWN_AFTER);
    start_if_installed(&REDIS, move || SHARED.get_or_init(start).clone()).await
}

/// Starts a group for one test. A replica replaces a master that is silent for six seconds. The options
/// apply to the three servers.
pub async fn private(options: Options) -> Option<Sentinel> {
    start_if_installed(&REDIS, move || Sentinel::start(&options, SHORT_DOWN_AFTER)).await
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
        // Sentinels read the list of replicas from the master only every ten seconds.
        let info = || master.run_blocking("INFO replication");
        poll_blocking(
            || info().contains("connected_slaves:2").then_some(()),
            || format!("the replicas do not connect to {master:?}: {}", info()),
        );
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
        sentinel.settle();
        sentinel
    }

    /// The URL with the addresses of all sentinels and the name of the master:
    /// `redis+sentinel://127.0.0.1:PORT,127.0.0.1:PORT,127.0.0.1:PORT/primary`.
    pub fn url(&self) -> String {
        let addresses: Vec<_> = self
            .sentinels
            .iter()
            .map(|node| node.address().to_string())
            .collect();
        format!("redis+sentinel://{}/{MASTER}", addresses.join(","))
    }

    /// The three servers that store data, the master and its replicas.
    pub fn servers(&self) -> &[Server] {
        &self.servers
    }

    /// Returns the master, according to the first sentinel.
    pub async fn master(&self) -> Server {
        let sentinel = self.clone();
        blocking(move || {
            let command = format!("SENTINEL GET-MASTER-ADDR-BY-NAME {MASTER}");
            let reply = sentinel.sentinels[0].run_blocking(&command);
            let port = reply
                .lines()
                .nth(1)
                .and_then(|line| line.trim().parse().ok());
            let is_master = |server: &&Server| Some(server.port()) == port;
            sentinel
                .servers
                .iter()
                .find(is_master)
                .expect("the master is one of the three")
                .clone()
        })
        .await
    }

    /// Waits until every replica has received the writes that the master has now, so that they survive a
    /// failover.
    pub async fn replicate(&self) {
        let master = self.master().await;
        blocking(move || wait_for_replicas(&master)).await;
    }

    /// Waits until every sentinel knows the two others and both replicas.
    fn settle(&self) {
        for sentinel in &self.sentinels {
            let info = || sentinel.run_blocking("INFO sentinel");
            let is_settled =
                |info: String| info.contains("status=ok") && info.contains("slaves=2,sentinels=3");
            poll_blocking(
                || is_settled(info()).then_some(()),
                || format!("{sentinel:?} does not settle: {}", info()),
            );
        }
    }
}
