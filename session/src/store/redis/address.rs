//! Parses Redis URLs. `RedisStore::connect` documents their forms.

use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _, RedisConnectionInfo};

use super::fault::Fault;
use crate::store::StoreErrorKind::Misconfigured;

/// The servers that a URL names.
#[derive(Debug)]
pub(super) enum Address {
    Server(ConnectionInfo),
    Cluster(Vec<ConnectionInfo>),
    Sentinel(Sentinel),
}

/// A master that sentinels monitor, with the credentials for both.
#[derive(Debug)]
pub(super) struct Sentinel {
    pub(super) sentinels: Vec<ConnectionAddr>,
    pub(super) master: String,
    pub(super) server: RedisConnectionInfo,
    pub(super) username: Option<String>,
    pub(super) password: Option<String>,
}

impl Address {
    /// Parses a URL.
    pub(super) fn parse(url: &str) -> Result<Self, Fault> {
        let (scheme, rest) = url.split_once("://").ok_or(NOT_A_URL)?;
        let (family, kind) = scheme.split_once('+').unwrap_or((scheme, ""));
        let base = match family {
            "redis" | "valkey" => "redis",
            "rediss" | "valkeys" if cfg!(feature = "redis-tls") => "rediss",
            "rediss" | "valkeys" => return Err(TLS_IS_OFF),
            _ => return Err(NOT_A_URL),
        };
        match kind {
            "" => node(&format!("{base}://{rest}")).map(Self::Server),
            "unix" if base == "redis" => node(&format!("redis+unix://{rest}")).map(Self::Server),
            "cluster" => Parts::of(rest).cluster(base).map(Self::Cluster),
            "sentinel" => Parts::of(rest).sentinel(base).map(Self::Sentinel),
            _ => Err(NOT_A_URL),
        }
    }
}

const NOT_A_URL: Fault = Fault::new(Misconfigured, "the URL is not a valid Redis URL");
const TLS_IS_OFF: Fault = Fault::new(Misconfigured, "TLS needs the Cargo feature `redis-tls`");
const NO_MASTER: Fault = Fault::new(
    Misconfigured,
    "a Sentinel URL ends with the name of the master: redis+sentinel://host:port/name",
);

fn node(url: &str) -> Result<ConnectionInfo, Fault> {
    url.into_connection_info().map_err(|_| NOT_A_URL)
}

/// The part of a URL after the scheme. It can name several hosts, unlike a standard URL.
struct Parts<'a> {
    /// User and password including the `@`, or empty.
    user: &'a str,
    hosts: std::str::Split<'a, char>,
    path: &'a str,
    query: &'a str,
    /// The fragment including the `#`, or empty.
    fragment: &'a str,
}

impl<'a> Parts<'a> {
    fn of(rest: &'a str) -> Self {
        let (rest, fragment) = rest.split_at(rest.find('#').unwrap_or(rest.len()));
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, hosts) = authority.split_at(authority.rfind('@').map_or(0, |at| at + 1));
        Self {
            user,
            hosts: hosts.split(','),
            path,
            query,
            fragment,
        }
    }

    fn cluster(self, base: &str) -> Result<Vec<ConnectionInfo>, Fault> {
        let Self {
            user,
            hosts,
            path,
            query,
            fragment,
        } = self;
        hosts
            .map(|host| node(&format!("{base}://{user}{host}/{path}?{query}{fragment}")))
            .collect()
    }

    fn sentinel(self, base: &str) -> Result<Sentinel, Fault> {
        let Self {
            user,
            hosts,
            path,
            query,
            fragment,
        } = self;
        let (master, db) = path.split_once('/').unwrap_or((path, ""));
        if master.is_empty() {
            return Err(NO_MASTER);
        }
        // The first host replaces the master's address, which is not known yet.
        let first = hosts.clone().next().unwrap_or_default();
        let server = format!("{base}://{user}{first}/{db}?{query}{fragment}");
        let options = redis::parse_redis_url(&server).ok_or(NOT_A_URL)?;
        let option = |name: &str| {
            let mut pairs = options.query_pairs();
            pairs.find_map(|(key, value)| (key == name).then(|| value.into_owned()))
        };
        Ok(Sentinel {
            sentinels: hosts
                .map(|host| {
                    let port = if has_port(host) { "" } else { ":26379" };
                    let sentinel = node(&format!("{base}://{host}{port}/{fragment}"))?;
                    Ok(sentinel.addr().clone())
                })
                .collect::<Result<_, Fault>>()?,
            master: master.to_owned(),
            server: node(&server)?.redis_settings().clone(),
            username: option("sentinel_username"),
            password: option("sentinel_password"),
        })
    }
}

/// Returns whether a host has a port. The host can be an IPv6 address in brackets.
fn has_port(host: &str) -> bool {
    host.rsplit(']').next().is_some_and(|end| end.contains(':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(host: &str, port: u16) -> ConnectionAddr {
        ConnectionAddr::Tcp(host.into(), port)
    }

    #[test]
    fn parses_the_url_of_one_server() {
        for scheme in ["redis", "valkey"] {
            let url = format!("{scheme}://me:p%40ss@cache.example:7000/3?protocol=resp3");
            let Ok(Address::Server(info)) = Address::parse(&url) else {
                panic!("{url}");
            };
            assert_eq!(*info.addr(), tcp("cache.example", 7000));
            let redis = info.redis_settings();
            assert_eq!(redis.username(), Some("me"));
            assert_eq!(redis.password(), Some("p@ss"));
            assert_eq!(redis.db(), 3);
            assert!(redis.protocol().supports_resp3());
        }
    }

    #[test]
    fn parses_the_url_of_a_unix_socket() {
        let Ok(Address::Server(info)) = Address::parse("redis+unix:///run/redis.sock") else {
            panic!("the URL is valid");
        };
        assert_eq!(*info.addr(), ConnectionAddr::Unix("/run/redis.sock".into()));
    }

    #[test]
    fn parses_the_url_of_a_cluster() {
        let url = "redis+cluster://:secret@10.0.0.1:7000,node-2,[::1]:7002";
        let Ok(Address::Cluster(nodes)) = Address::parse(url) else {
            panic!("the URL is valid");
        };
        let addresses: Vec<_> = nodes.iter().map(|node| node.addr().clone()).collect();
        assert_eq!(
            addresses,
            [tcp("10.0.0.1", 7000), tcp("node-2", 6379), tcp("::1", 7002)]
        );
        assert!(
            nodes
                .iter()
                .all(|node| node.redis_settings().password() == Some("secret"))
        );
    }

    #[test]
    fn parses_the_url_of_sentinels() {
        let url = "redis+sentinel://app:pw@s1,s2:5000,[::1]/my-master/2?sentinel_password=a%2Fb&protocol=3";
        let Ok(Address::Sentinel(sentinel)) = Address::parse(url) else {
            panic!("the URL is valid");
        };
        assert_eq!(
            sentinel.sentinels,
            [tcp("s1", 26379), tcp("s2", 5000), tcp("::1", 26379)]
        );
        assert_eq!(sentinel.master, "my-master");
        assert_eq!(sentinel.server.db(), 2);
        assert_eq!(sentinel.server.username(), Some("app"));
        assert_eq!(sentinel.server.password(), Some("pw"));
        assert!(sentinel.server.protocol().supports_resp3());
        assert_eq!(sentinel.username, None);
        assert_eq!(sentinel.password.as_deref(), Some("a/b"));
    }

    #[test]
    fn an_invalid_url_is_refused_and_not_shown() {
        for url in [
            "",
            "localhost:6379",
            "http://secret.example",
            "redis+other://secret.example",
            "redis+cluster://",
            "redis+cluster://secret.example:1,,other",
            "redis+cluster://secret.example:99999",
            "redis+sentinel://secret.example",
            "redis+sentinel://secret.example/",
            "redis+sentinel://secret.example/master/not-a-number",
            "redis://secret.example/not-a-number",
        ] {
            let fault = Address::parse(url).expect_err(url);
            let error = fault.during("connecting to Redis");
            assert_eq!(error.kind(), Misconfigured, "{url}");
            assert!(!format!("{error} {error:?}").contains("secret"), "{url}");
        }
    }

    #[test]
    fn tls_needs_its_feature() {
        for url in ["rediss://host", "valkeys+cluster://host"] {
            assert_eq!(
                Address::parse(url).is_ok(),
                cfg!(feature = "redis-tls"),
                "{url}"
            );
        }
    }
}
