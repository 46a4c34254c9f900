//! A Redis Cluster: three masters, each with a replica.

use std::sync::OnceLock;

use super::need::REDIS;
use super::redis::{Redis, wait_for_replicas};
use super::require::start_if_installed;
use super::{Options, Server, blocking};
use crate::poll_blocking;

/// How long a master may be silent before a replica replaces it, in milliseconds. So long that it does not
/// happen by accident on a busy machine.
const NODE_TIMEOUT: &str = "600000";

/// The same for tests of a failover. A healthy node on a busy machine may be silent for seconds.
const SHORT_NODE_TIMEOUT: &str = "6000";

/// Six nodes. A clone is the same cluster.
#[derive(Clone, Debug)]
pub struct Cluster {
    nodes: Vec<Server>,
}

/// Returns the cluster that all tests of the program share.
pub async fn shared() -> Option<Cluster> {
    static SHARED: OnceLock<Cluster> = OnceLock::new();
    let start = || Cluster::start(&Options::new().fast(), NODE_TIMEOUT);
    start_if_installed(&REDIS, move || SHARED.get_or_init(start).clone()).await
}

/// Starts a cluster for one test. The options apply to each node. Replicas do not replace masters.
pub async fn private(options: Options) -> Option<Cluster> {
    start_if_installed(&REDIS, move || Cluster::start(&options, NODE_TIMEOUT)).await
}

/// The same, but a replica replaces a master that is silent for six seconds.
pub async fn private_that_fails_over(options: Options) -> Option<Cluster> {
    start_if_installed(&REDIS, move || Cluster::start(&options, SHORT_NODE_TIMEOUT)).await
}

impl Cluster {
    fn start(options: &Options, node_timeout: &str) -> Self {
        let options = options.clone().arguments([
            "--cluster-enabled",
            "yes",
            "--cluster-config-file",
            "nodes.conf",
            "--cluster-node-timeout",
            node_timeout,
            // A replica may take over however old its data is.
            "--cluster-replica-validity-factor",
            "0",
        ]);
        let start = |_| Server::start(Box::new(Redis::new(options.clone())));
        let cluster = Self {
            nodes: (0..6).map(start).collect(),
        };
        cluster.join();
        cluster.settle_blocking();
        cluster
    }

    fn join(&self) {
        let nodes = self.addresses().join(" ");
        let create = format!("--cluster create {nodes} --cluster-replicas 1 --cluster-yes");
        let said = self.nodes[0].run_blocking(&create);
        assert!(
            said.contains("All 16384 slots covered"),
            "the cluster is not created: {said}"
        );
    }

    /// The URL with the addresses of all nodes: `redis+cluster://127.0.0.1:PORT,127.0.0.1:PORT,…`.
    pub fn url(&self) -> String {
        format!("redis+cluster://{}", self.addresses().join(","))
    }

    fn addresses(&self) -> Vec<String> {
        self.nodes
            .iter()
            .map(|node| node.address().to_string())
            .collect()
    }

    /// All six nodes, masters and replicas.
    pub fn nodes(&self) -> &[Server] {
        &self.nodes
    }

    /// Returns the running nodes that are masters now.
    pub async fn masters(&self) -> Vec<Server> {
        let cluster = self.clone();
        blocking(move || {
            let is_master = |node: &&Server| {
                node.pid().is_some() && node.run_blocking("ROLE").starts_with("master")
            };
            cluster.nodes.iter().filter(is_master).cloned().collect()
        })
        .await
    }

    /// Returns the master that owns a key now.
    pub async fn owner(&self, key: &str) -> Server {
        let command = format!("CLUSTER KEYSLOT {key}");
        for master in self.masters().await {
            let slot: u16 = master
                .run(command.as_str())
                .await
                .trim()
                .parse()
                .expect("a number");
            if slots(&master.run("CLUSTER NODES").await)
                .iter()
                .any(|range| range.contains(&slot))
            {
                return master;
            }
        }
        panic!("no master owns the slot of {key}");
    }

    /// Waits until every replica has received the writes that its master has now, so that they survive a
    /// failover.
    pub async fn replicate(&self) {
        for master in self.masters().await {
            blocking(move || wait_for_replicas(&master)).await;
        }
    }

    /// Waits until every running node considers all slots served, and every replica is connected to its
    /// master.
    pub async fn settle(&self) {
        let cluster = self.clone();
        blocking(move || cluster.settle_blocking()).await;
    }

    fn settle_blocking(&self) {
        for node in self.nodes.iter().filter(|node| node.pid().is_some()) {
            poll_blocking(
                || is_settled(node).then_some(()),
                || {
                    let state = node.run_blocking("CLUSTER NODES");
                    format!("{node:?} does not settle: {state}")
                },
            );
        }
    }
}

fn is_settled(node: &Server) -> bool {
    let replication = node.run_blocking("INFO replication");
    node.run_blocking("CLUSTER INFO")
        .contains("cluster_state:ok")
        && (replication.contains("role:master") || replication.contains("master_link_status:up"))
}

/// Returns the slots of the node that returned this list: the words from the ninth on in the line with
/// `myself`.
fn slots(cluster_nodes: &str) -> Vec<std::ops::RangeInclusive<u16>> {
    let line = cluster_nodes
        .lines()
        .find(|line| line.contains("myself"))
        .unwrap_or_default();
    let ranges = line.split(' ').skip(8).filter_map(|word| {
        let (first, last) = word.split_once('-').unwrap_or((word, word));
        Some(first.parse().ok()?..=last.parse().ok()?)
    });
    ranges.collect()
}
