//! Removes every record of a namespace.
//!
//! The store searches all masters for the namespace's keys, and removes each key with a command of its own,
//! sent to the node that is responsible for the key at that time.

use std::sync::Arc;

use redis::{
    Cmd, RedisError, RedisResult, Value,
    cluster_async::ClusterConnection,
    cluster_routing::{MultipleNodeRoutingInfo, RoutingInfo, SingleNodeRoutingInfo},
    from_redis_value,
};
use tokio::{task::JoinSet, time::timeout};

use super::{
    command::Command,
    fault::{Fault, classify},
    link::{Connection, Link},
};
use crate::store::StoreErrorKind::Unavailable;

/// The number of keys that a server checks in one step of a search. It serves no other client meanwhile.
const STEP: usize = 1000;

/// The number of keys that are removed concurrently.
const AT_ONCE: usize = 128;

/// The largest number of searches. A search can miss keys that move to another node while it runs, so it is
/// repeated until it finds nothing. The limit is needed because the application may create new sessions.
const SEARCHES: usize = 4;

/// Removes the records of the namespace `prefix`.
pub(super) async fn clear(link: &Arc<Link>, prefix: &str) -> Result<(), Fault> {
    for _ in 0..SEARCHES {
        if clear_once(link, prefix).await? == 0 {
            break;
        }
    }
    Ok(())
}

async fn clear_once(link: &Arc<Link>, prefix: &str) -> Result<usize, Fault> {
    let mut search = Search::begin(link, prefix).await?;
    let mut removed = 0;
    while let Some(keys) = search.step().await? {
        for keys in keys.chunks(AT_ONCE) {
            removed += keys.len();
            unlink(link, keys).await?;
        }
    }
    Ok(removed)
}

async fn unlink(link: &Arc<Link>, keys: &[Vec<u8>]) -> Result<(), Fault> {
    let mut removals = JoinSet::new();
    for key in keys {
        let (link, command) = (Arc::clone(link), Command::unlink(key));
        removals.spawn(async move { link.call(&command).await.map(drop) });
    }
    while let Some(removal) = removals.join_next().await {
        removal.map_err(|_| Fault::UNEXPECTED)??;
    }
    Ok(())
}

/// A search in progress.
struct Search<'a> {
    link: &'a Arc<Link>,
    connection: Connection,
    prefix: &'a str,
    /// The nodes that are not searched completely, each with its cursor. The node is `None` without a Cluster.
    open: Vec<(Option<SingleNodeRoutingInfo>, u64)>,
    /// The keys that the first step found, if not yet returned.
    found: Option<Vec<Vec<u8>>>,
}

impl<'a> Search<'a> {
    async fn begin(link: &'a Arc<Link>, prefix: &'a str) -> Result<Self, Fault> {
        let begin = async {
            let (_, connection) = link.connection().await?;
            Ok(connection)
        };
        let connection = limited(link, false, begin).await?;
        let mut search = Self {
            link,
            connection,
            prefix,
            open: vec![(None, 0)],
            found: None,
        };
        if let Connection::Cluster(cluster) = &search.connection {
            let first_steps = first_steps(cluster.clone(), search.scan(0));
            let pages = limited(link, true, first_steps).await?.ok_or(INCOMPLETE)?;
            let mut keys = Vec::new();
            search.open.clear();
            for (node, page) in pages {
                search.note(Some(node), page, &mut keys)?;
            }
            search.found = Some(keys);
        }
        Ok(search)
    }

    /// Executes one step. Returns the keys that it found, or `None` at the end of the search.
    async fn step(&mut self) -> Result<Option<Vec<Vec<u8>>>, Fault> {
        if let Some(found) = self.found.take() {
            return Ok(Some(found));
        }
        let Some((node, cursor)) = self.open.pop() else {
            return Ok(None);
        };
        let scan = self.scan(cursor);
        let mut connection = self.connection.clone();
        let page = match (&mut connection, node.clone()) {
            (Connection::Cluster(cluster), Some(node)) => {
                let page = cluster.route_command(scan, RoutingInfo::SingleNode(node));
                limited(self.link, true, page).await?
            }
            (connection, _) => limited(self.link, false, connection.send(&scan)).await?,
        };
        let mut keys = Vec::new();
        self.note(node, page, &mut keys)?;
        Ok(Some(keys))
    }

    fn scan(&self, cursor: u64) -> Cmd {
        let mut scan = redis::cmd("SCAN");
        scan.arg(cursor).arg("MATCH").arg(pattern(self.prefix));
        scan.arg("COUNT").arg(STEP);
        scan
    }

    fn note(
        &mut self,
        node: Option<SingleNodeRoutingInfo>,
        page: Value,
        keys: &mut Vec<Vec<u8>>,
    ) -> Result<(), Fault> {
        let (cursor, found): (u64, Vec<Vec<u8>>) = page
            .extract_error()
            .and_then(|page| Ok(from_redis_value(page)?))
            .map_err(|error| classify(&error, node.is_some()).1)?;
        if cursor != 0 {
            self.open.push((node, cursor));
        }
        keys.extend(found.into_iter().filter(|key| is_record(self.prefix, key)));
        Ok(())
    }
}

const INCOMPLETE: Fault = Fault::new(Unavailable, "a part of the Cluster is not connected");

/// Starts the search on every master. Returns `None` if a master could not be reached.
async fn first_steps(
    mut cluster: ClusterConnection,
    scan: Cmd,
) -> RedisResult<Option<Vec<(SingleNodeRoutingInfo, Value)>>> {
    let masters = MultipleNodeRoutingInfo::AllMasters;
    let pages = cluster
        .route_command(scan, RoutingInfo::MultiNode((masters, None)))
        .await?;
    let mut slots = redis::cmd("CLUSTER");
    slots.arg("SLOTS");
    let any_node = RoutingInfo::SingleNode(SingleNodeRoutingInfo::Random);
    let slots = cluster
        .route_command(slots, any_node)
        .await?
        .extract_error()?;

    let pages: Vec<(String, Value)> = from_redis_value(pages)?;
    let pages: Option<Vec<_>> = pages
        .into_iter()
        .map(|(address, page)| {
            let (host, port) = address.rsplit_once(':')?;
            let (host, port) = (host.to_owned(), port.parse().ok()?);
            Some((SingleNodeRoutingInfo::ByAddress { host, port }, page))
        })
        .collect();
    // The client silently skips a node that it is not connected to.
    let complete = |pages: &Vec<_>| pages.len() == masters_in(&slots);
    Ok(pages.filter(complete))
}

/// Returns the number of masters in a reply to `CLUSTER SLOTS`.
fn masters_in(slots: &Value) -> usize {
    let Value::Array(ranges) = slots else {
        return 0;
    };
    let mut masters: Vec<&Value> = Vec::new();
    for range in ranges {
        if let Value::Array(range) = range
            && let Some(master) = range.get(2)
            && !masters.contains(&master)
        {
            masters.push(master);
        }
    }
    masters.len()
}

async fn limited<T>(
    link: &Link,
    cluster: bool,
    step: impl Future<Output = RedisResult<T>>,
) -> Result<T, Fault> {
    let step = timeout(link.call_timeout(), step).await;
    step.map_err(|_| Fault::TIMED_OUT)?
        .map_err(|error: RedisError| classify(&error, cluster).1)
}

/// Returns a pattern that matches all keys of a namespace and few others.
fn pattern(prefix: &str) -> String {
    let mut pattern = String::with_capacity(prefix.len() + 4);
    for c in prefix.chars() {
        if matches!(c, '*' | '?' | '[' | ']' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern.push_str("{*}");
    pattern
}

/// Returns whether a key is that of a record: the prefix and a public id in braces.
fn is_record(prefix: &str, key: &[u8]) -> bool {
    key.strip_prefix(prefix.as_bytes())
        .and_then(|name| name.strip_prefix(b"{"))
        .and_then(|name| name.strip_suffix(b"}"))
        .is_some_and(|name| name.len() == 64 && name.iter().all(u8::is_ascii_hexdigit))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{id::PublicId, store::redis::value};

    #[test]
    fn a_prefix_is_not_read_as_a_pattern() {
        assert_eq!(pattern("shop:"), "shop:{*}");
        assert_eq!(pattern(r"a*b?[c]\-^"), r"a\*b\?\[c\]\\-^{*}");
    }

    #[test]
    fn only_keys_of_the_namespace_are_records() {
        let id = PublicId::from_bytes([0xAB; 32]);
        let key = value::key("shop:", id);
        assert!(is_record("shop:", &key));
        assert!(!is_record("sho", &key));
        assert!(!is_record("shop:", &value::key("shop:eu:", id)));
        assert!(!is_record("shop:", b"shop:{settings}"));
        assert!(!is_record("shop:", b"shop:{"));
        let companion = [&key[..], b":more"].concat();
        assert!(!is_record("shop:", &companion));
    }

    #[test]
    fn masters_are_counted_once() {
        let node = |name: &str| Value::Array(vec![Value::BulkString(name.into())]);
        let range = |master: &str| {
            let range = vec![Value::Int(0), Value::Int(1), node(master), node("replica")];
            Value::Array(range)
        };
        let slots = Value::Array(vec![range("a"), range("b"), range("a")]);
        assert_eq!(masters_in(&slots), 2);
        assert_eq!(masters_in(&Value::Nil), 0);
    }
}
