//! Parses Redis URLs. `RedisStore::connect` documents their forms.

use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _, RedisConnectionInfo};

use super::fault::Fault;
use crate::store::{
    StoreErrorKind::Misconfigured,
    parameters::{Parameters, Parts},
};

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
    /// Parses a URL. Returns the servers, and the prefix of the keys if the URL has one.
    pub(super) fn parse(url: &str) -> Result<(Self, Option<String>), Fault> {
        let parts = Parts::of(url);
        let (scheme, rest) = parts.base.split_once("://").ok_or(NOT_A_URL)?;
        let (family, kind) = scheme.split_once('+').unwrap_or((scheme, ""));
        let base = match family {
            "redis" | "valkey" => "redis",
            "rediss" | "valkeys" if cfg!(feature = "redis-tls") => "rediss",
            "rediss" | "valkeys" => return Err(TLS_IS_OFF),
            _ => return Err(NOT_A_URL),
        };
        let others: &[&str] = match kind {
            "" | "cluster" => &["protocol"],
            "unix" if base == "redis" => &["protocol", "db", "user", "pass"],
            "sentinel" => &["protocol", "sentinel_username", "sentinel_password"],
            _ => return Err(NOT_A_URL),
        };
        let mut parameters = Parameters::parse(parts.query, &[PREFIX], others)
            .map_err(|why| Fault::with_text(Misconfigured, why))?;
        let prefix = parameters.take(PREFIX).map(Into::into);
        let end = format!("?{}{}", parameters.query(), parts.fragment);
        let address = match kind {
            "cluster" => Place::of(rest).cluster(base, &end).map(Self::Cluster),
            "sentinel" => Place::of(rest)
                .sentinel(base, &end, parts.fragment)
                .map(Self::Sentinel),
            "unix" => node(&format!("redis+unix://{rest}{end}")).map(Self::Server),
            _ => node(&format!("{base}://{rest}{end}")).map(Self::Server),
        };
        Ok((address?, prefix))
    }
}

/// The parameter with the prefix of the keys.
const PREFIX: &str = "prefix";

const NOT_A_URL: Fault = Fault::new(Misconfigured, "the URL is not a valid Redis URL");
const TLS_IS_OFF: Fault = Fault::new(Misconfigured, "TLS needs the Cargo feature `redis-tls`");
const NO_MASTER: Fault = Fault::new(
    Misconfigured,
    "a Sentinel URL ends with the name of the master: redis+sentinel://host:port/name",
);

fn node(url: &str) -> Result<ConnectionInfo, Fault> {
    url.into_connection_info().map_err(|_| NOT_A_URL)
}

/// The part of a URL between the scheme and the parameters. It can name several hosts, unlike a standard URL.
struct Place<'a> {
    /// User and password including the `@`, or empty.
    user: &'a str,
    hosts: std::str::Split<'a, char>,
    path: &'a str,
}

impl<'a> Place<'a> {
    fn of(rest: &'a str) -> Self {
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, hosts) = authority.split_at(authority.rfind('@').map_or(0, |at| at + 1));
        Self {
            user,
            hosts: hosts.split(','),
            path,
        }
    }

    /// `end` is the end of the URL: the parameters and the fragment.
    fn cluster(self, base: &str, end: &str) -> Result<Vec<ConnectionInfo>, Fault> {
        let Self { user, hosts, path } = self;
        hosts
            .map(|host| node(&format!("{base}://{user}{host}/{path}{end}")))
            .collect()
    }

    /// `end` is the end of the URL: the parameters and the fragment.
    fn sentinel(self, base: &str, end: &str, fragment: &str) -> Result<Sentinel, Fault> {
        let Self { user, hosts, path } = self;
        let (master, db) = path.split_once('/').unwrap_or((path, ""));
        if master.is_empty() {
            return Err(NO_MASTER);
        }
        // The first host replaces the master's address, which is not known yet.
        let first = hosts.clone().next().unwrap_or_default();
        let server = format!("{base}://{user}{first}/{db}{end}");
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
            let Ok((Address::Server(info), None)) = Address::parse(&url) else {
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
        let Ok((Address::Server(info), None)) = Address::parse("redis+unix:///run/redis.sock")
        else {
            panic!("the URL is valid");
        };
        assert_eq!(*info.addr(), ConnectionAddr::Unix("/run/redis.sock".into()));
    }

    #[test]
    fn parses_the_url_of_a_cluster() {
        let url = "redis+cluster://:secret@10.0.0.1:7000,node-2,[::1]:7002";
        let Ok((Address::Cluster(nodes), None)) = Address::parse(url) else {
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
        let Ok((Address::Sentinel(sentinel), None)) = Address::parse(url) else {
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
    fn every_url_can_have_a_prefix() {
        for url in [
            "redis://host/1?prefix=shop%3A&protocol=resp3",
            "redis+unix:///run/redis.sock?db=1&prefix=shop:",
            "redis+cluster://a,b?prefix=shop:",
            "redis+sentinel://a/master?sentinel_password=x&prefix=shop:",
        ] {
            let (_, prefix) = Address::parse(url).expect(url);
            assert_eq!(prefix.as_deref(), Some("shop:"), "{url}");
        }
        let (_, prefix) = Address::parse("redis://host?prefix=").expect("a URL");
        assert_eq!(prefix.as_deref(), Some(""));
    }

    #[test]
    fn an_unknown_parameter_is_refused_by_name() {
        for (url, known) in [
            ("redis://host?prefx=secret", "prefix, protocol"),
            ("redis://host?db=secret&prefx", "prefix, protocol"),
            ("redis+cluster://host?prefx=secret", "prefix, protocol"),
            (
                "redis+unix:///run/redis.sock?prefx=secret",
                "prefix, protocol, db, user, pass",
            ),
            (
                "redis+sentinel://host/master?prefx=secret",
                "prefix, protocol, sentinel_username, sentinel_password",
            ),
        ] {
            let error = Address::parse(url).expect_err(url).during("connecting");
            assert_eq!(error.kind(), Misconfigured, "{url}");
            let text = format!("{error:?}");
            let name = if url.contains("host?db") {
                "db"
            } else {
                "prefx"
            };
            assert!(text.contains(&format!("`{name}`")), "{text}");
            assert!(text.contains(known), "{text}");
            assert!(!text.contains("secret"), "{text}");
        }
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
            "redis://:pass?secret@host",
            "redis://host?prefix=a&prefix=secret",
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
