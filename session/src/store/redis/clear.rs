//! Removes every record of a namespace: all masters are searched for its keys, each of which is then
//! removed with a command of its own, which goes to whichever node is in charge by then.

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
    fault::{Fault, judge},
    link::{Connection, Link},
};
use crate::store::StoreErrorKind::Unavailable;

/// How many keys a server looks at in one step of a search, which nobody else is served during.
const STEP: usize = 1000;

/// How many keys are being removed at a time.
const AT_ONCE: usize = 128;

/// A search can miss what moves from node to node, or to a new master, while it runs. So it is repeated
/// until nothing is found, but not for ever: an application that goes on creates new sessions.
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
        removal.map_err(|_| Fault::NONSENSE)??;
    }
    Ok(())
}

/// A search under way.
struct Search<'a> {
    link: &'a Arc<Link>,
    connection: Connection,
    prefix: &'a str,
    /// Where it still has to go on: the node (none where there is one server), and the cursor there.
    open: Vec<(Option<SingleNodeRoutingInfo>, u64)>,
    /// What was found on the way here.
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

    /// Takes one step: the keys that it found, or nothing at the end.
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
            .map_err(|error| judge(&error, node.is_some()).1)?;
        if cursor != 0 {
            self.open.push((node, cursor));
        }
        keys.extend(found.into_iter().filter(|key| is_record(self.prefix, key)));
        Ok(())
    }
}

const INCOMPLETE: Fault = Fault::new(Unavailable, "a part of the Cluster is not connected");

/// Begins the search on every master. Nothing if one could not be asked.
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
    let anyone = RoutingInfo::SingleNode(SingleNodeRoutingInfo::Random);
    let slots = cluster
        .route_command(slots, anyone)
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
    // The client passes over a node that it is not connected to, without a word.
    let complete = |pages: &Vec<_>| pages.len() == masters_in(&slots);
    Ok(pages.filter(complete))
}

/// How many masters an answer to `CLUSTER SLOTS` names.
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
    let step = timeout(link.limit(), step).await;
    step.map_err(|_| Fault::TIMED_OUT)?
        .map_err(|error: RedisError| judge(&error, cluster).1)
}

/// The pattern of all keys of a namespace, and of few others.
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

/// Whether a key is that of a record: what follows the prefix must be a name.
fn is_record(prefix: &str, key: &[u8]) -> bool {
    key.strip_prefix(prefix.as_bytes())
        .and_then(|name| name.strip_prefix(b"{"))
        .and_then(|name| name.strip_suffix(b"}"))
        .is_some_and(|name| name.len() == 64 && name.iter().all(u8::is_ascii_hexdigit))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{PublicId, store::redis::value};

    #[test]
    fn a_prefix_is_no_pattern() {
        assert_eq!(pattern("shop:"), "shop:{*}");
        assert_eq!(pattern(r"a*b?[c]\-^"), r"a\*b\?\[c\]\\-^{*}");
    }

    #[test]
    fn only_records_of_the_namespace_are_removed() {
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
