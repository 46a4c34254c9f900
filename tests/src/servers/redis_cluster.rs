//! Redis Cluster: three masters, each with a replica.

use std::sync::OnceLock;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::need::REDIS;
use super::redis::{Redis, wait_for_replicas};
use super::require::is_present;
use super::{Options, Server, blocking};

/// How long the nodes may take to agree: on one another at the start, on a new master later.
const PATIENCE: Duration = Duration::from_mins(5);

/// A master that is silent for so long, in milliseconds, is replaced: never in a test that wants none
/// replaced, however long the machine keeps a node waiting.
const NODE_TIMEOUT: &str = "600000";

/// The same where masters are to be replaced. A busy machine may keep a healthy one from answering for
/// seconds.
const SHORT_NODE_TIMEOUT: &str = "6000";

/// Six nodes. Clones are the same cluster.
#[derive(Clone, Debug)]
pub struct Cluster {
    nodes: Vec<Server>,
}

/// The one cluster for all tests of this program.
pub async fn shared() -> Option<Cluster> {
    static SHARED: OnceLock<Cluster> = OnceLock::new();
    if !is_present(&REDIS) {
        return None;
    }
    let start = || Cluster::start(&Options::new().fast(), NODE_TIMEOUT);
    Some(blocking(move || SHARED.get_or_init(start).clone()).await)
}

/// A cluster of the test's own, each node started with the options. No replica takes over.
pub async fn private(options: Options) -> Option<Cluster> {
    private_with(options, NODE_TIMEOUT).await
}

/// The same, whose replicas take over from a master that is silent for six seconds.
pub async fn private_that_fails_over(options: Options) -> Option<Cluster> {
    private_with(options, SHORT_NODE_TIMEOUT).await
}

async fn private_with(options: Options, node_timeout: &'static str) -> Option<Cluster> {
    if !is_present(&REDIS) {
        return None;
    }
    Some(blocking(move || Cluster::start(&options, node_timeout)).await)
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
            // However long a replica was held up, it takes over with what it has.
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
            "the cluster is not made: {said}"
        );
    }

    /// Its URL, naming every node: `redis+cluster://127.0.0.1:PORT,127.0.0.1:PORT,…`.
    pub fn url(&self) -> String {
        format!("redis+cluster://{}", self.addresses().join(","))
    }

    fn addresses(&self) -> Vec<String> {
        self.nodes
            .iter()
            .map(|node| node.address().to_string())
            .collect()
    }

    /// All six nodes, whatever their part is.
    pub fn nodes(&self) -> &[Server] {
        &self.nodes
    }

    /// The nodes that are masters now, by their own word. Those that are down are left out.
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

    /// The master that holds a key now.
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
        panic!("no master holds the slot of {key}");
    }

    /// Waits until every replica has what its master has now: what is written before survives a
    /// failover.
    pub async fn replicate(&self) {
        for master in self.masters().await {
            blocking(move || wait_for_replicas(&master, Instant::now() + PATIENCE)).await;
        }
    }

    /// Waits until every node that runs finds all slots served, and every replica its master.
    pub async fn settle(&self) {
        let cluster = self.clone();
        blocking(move || cluster.settle_blocking()).await;
    }

    fn settle_blocking(&self) {
        let deadline = Instant::now() + PATIENCE;
        for node in self.nodes.iter().filter(|node| node.pid().is_some()) {
            while !is_settled(node) {
                let state = || node.run_blocking("CLUSTER NODES");
                assert!(
                    Instant::now() < deadline,
                    "{node:?} does not settle: {}",
                    state()
                );
                sleep(Duration::from_millis(50));
            }
        }
    }
}

fn is_settled(node: &Server) -> bool {
    let replication = node.run_blocking("INFO replication");
    node.run_blocking("CLUSTER INFO")
        .contains("cluster_state:ok")
        && (replication.contains("role:master") || replication.contains("master_link_status:up"))
}

/// The slots of the node that wrote this list: the line of `myself`, from its ninth word on.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_the_node_that_was_asked() {
        let nodes = "a1 127.0.0.1:7001@17001 master - 0 1 2 connected 5461-10922\n\
                     b2 127.0.0.1:7000@17000 myself,master - 0 1 1 connected 0-5460 7000 [9->-a1]\n";
        assert_eq!(slots(nodes), [0..=5460, 7000..=7000]);
    }
}
