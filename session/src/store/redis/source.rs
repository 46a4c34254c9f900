//! The sources of connections: a URL, a client, or a connection of the application.

use std::{fmt, sync::Arc, time::Duration};

use redis::{
    Client, ConnectionAddr, ConnectionInfo, RedisError, TlsMode,
    aio::ConnectionManager,
    cluster::ClusterClient,
    cluster_async::ClusterConnection,
    io::tcp::{TcpSettings, socket2::TcpKeepalive},
    sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType},
};
use tokio::sync::Mutex;

use super::{
    address::{Address, Sentinel},
    fault::{Fault, classify},
    link::{Connection, Source},
};

pub(super) const CONNECTING: &str = "connecting to Redis";

/// The source of a [`RedisStore`](super::RedisStore)'s connections: a URL, a client or a connection.
///
/// - A **URL** in one of the forms that [`RedisStore::connect`](super::RedisStore::connect) lists.
/// - A **client**, for settings that a URL cannot express, such as client certificates: a [`redis::Client`],
///   [`redis::cluster::ClusterClient`] or [`redis::sentinel::SentinelClient`]. The store opens its own
///   connections with it and replaces them when they break. Create a `ClusterClient` with `retries(0)`: the
///   store repeats commands that are safe to repeat, and must know that it did. A `SentinelClient` must return the
///   master.
/// - A **connection** of the application: a [`redis::aio::ConnectionManager`] or a
///   [`redis::cluster_async::ClusterConnection`]. The connection reconnects by itself, and both its timeouts
///   and the store's apply. A `ConnectionManager` whose login failed when it reconnected never tries again
///   (as of `redis` 1.8). A URL or a client does not have that problem.
///
/// In a Cluster, the store also reads from primaries, whatever the client's `read_routing_strategy` (or
/// `read_from_replicas`) says: a replica may still have a session that has ended.
///
/// `Debug` shows neither addresses nor credentials.
#[derive(Clone)]
pub struct RedisSource(Kind);

#[derive(Clone)]
enum Kind {
    Url(String),
    Client(Source),
    Connection(Connection),
}

impl RedisSource {
    /// Creates the client for a URL.
    pub(super) fn open(self, timeout: Duration) -> Result<Opened, Fault> {
        let (source, connection, prefix) = match self.0 {
            Kind::Url(url) => {
                let (address, prefix) = Address::parse(&url)?;
                (open_address(address, timeout)?, None, prefix)
            }
            Kind::Client(source) => (source, None, None),
            Kind::Connection(connection) => (Source::Application, Some(connection), None),
        };
        Ok(Opened {
            source,
            connection,
            prefix,
        })
    }
}

/// An opened [`RedisSource`].
pub(super) struct Opened {
    /// Where to take connections from.
    pub(super) source: Source,
    /// The connection of the application.
    pub(super) connection: Option<Connection>,
    /// The prefix of the keys that the URL sets.
    pub(super) prefix: Option<String>,
}

fn open_address(address: Address, timeout: Duration) -> Result<Source, Fault> {
    let source = match address {
        Address::Server(info) => {
            prepare_tls(info.addr());
            let info = info.set_tcp_settings(tcp(timeout));
            Client::open(info).map(|client| Source::Server(Box::new(client)))
        }
        Address::Cluster(nodes) => {
            nodes.iter().map(ConnectionInfo::addr).for_each(prepare_tls);
            ClusterClient::builder(nodes)
                .retries(0)
                .connection_timeout(timeout / 3)
                .response_timeout(timeout)
                .tcp_settings(tcp(timeout))
                .build()
                .map(|client| Source::Cluster(Box::new(client)))
        }
        Address::Sentinel(address) => {
            sentinel(address, timeout).map(|client| Source::Sentinel(Arc::new(Mutex::new(client))))
        }
    };
    source.map_err(|error| classify(&error, false).1)
}

fn sentinel(address: Sentinel, timeout: Duration) -> Result<SentinelClient, RedisError> {
    let Sentinel {
        sentinels,
        master,
        server,
        username,
        password,
    } = address;
    sentinels.iter().for_each(prepare_tls);
    let tls = sentinels.iter().find_map(|sentinel| match sentinel {
        ConnectionAddr::TcpTls { insecure: true, .. } => Some(TlsMode::Insecure),
        ConnectionAddr::TcpTls { .. } => Some(TlsMode::Secure),
        _ => None,
    });
    let mut builder = SentinelClientBuilder::new(sentinels, master, SentinelServerType::Master)?
        .set_client_to_redis_db(server.db())
        .set_client_to_redis_protocol(server.protocol())
        .set_client_to_redis_tcp_settings(tcp(timeout))
        .set_client_to_sentinel_tcp_settings(tcp(timeout));
    if let Some(tls) = tls {
        builder = builder.set_client_to_redis_tls_mode(tls);
    }
    if let Some(name) = server.username() {
        builder = builder.set_client_to_redis_username(name);
    }
    if let Some(password) = server.password() {
        builder = builder.set_client_to_redis_password(password);
    }
    if let Some(name) = username {
        builder = builder.set_client_to_sentinel_username(name);
    }
    if let Some(password) = password {
        builder = builder.set_client_to_sentinel_password(password);
    }
    builder.build()
}

/// Returns TCP settings that send commands without delay, and that detect a lost server while the connection
/// is idle.
fn tcp(timeout: Duration) -> TcpSettings {
    let keepalive = TcpKeepalive::new()
        .with_time(Duration::from_secs(30))
        .with_interval(Duration::from_secs(5));
    let tcp = TcpSettings::default()
        .set_nodelay(true)
        .set_keepalive(keepalive);
    #[cfg(any(target_os = "android", target_os = "fuchsia", target_os = "linux"))]
    let tcp = tcp.set_user_timeout(timeout);
    #[cfg(not(any(target_os = "android", target_os = "fuchsia", target_os = "linux")))]
    let _ = timeout;
    tcp
}

/// Prepares the process for TLS if the address needs it.
fn prepare_tls(address: &ConnectionAddr) {
    #[cfg(feature = "redis-tls")]
    if matches!(address, ConnectionAddr::TcpTls { .. }) {
        crate::store::tls::install_provider();
    }
    #[cfg(not(feature = "redis-tls"))]
    let _ = address;
}

impl From<&str> for RedisSource {
    fn from(url: &str) -> Self {
        Self(Kind::Url(url.to_owned()))
    }
}

impl From<&String> for RedisSource {
    fn from(url: &String) -> Self {
        Self(Kind::Url(url.clone()))
    }
}

impl From<String> for RedisSource {
    fn from(url: String) -> Self {
        Self(Kind::Url(url))
    }
}

impl From<Client> for RedisSource {
    fn from(client: Client) -> Self {
        Self(Kind::Client(Source::Server(Box::new(client))))
    }
}

impl From<ClusterClient> for RedisSource {
    fn from(client: ClusterClient) -> Self {
        Self(Kind::Client(Source::Cluster(Box::new(client))))
    }
}

impl From<SentinelClient> for RedisSource {
    fn from(client: SentinelClient) -> Self {
        Self(Kind::Client(Source::Sentinel(Arc::new(Mutex::new(client)))))
    }
}

impl From<ConnectionManager> for RedisSource {
    fn from(connection: ConnectionManager) -> Self {
        Self(Kind::Connection(Connection::Manager(connection)))
    }
}

impl From<ClusterConnection> for RedisSource {
    fn from(connection: ClusterConnection) -> Self {
        Self(Kind::Connection(Connection::Cluster(connection)))
    }
}

impl fmt::Debug for RedisSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.0 {
            Kind::Url(_) => "url",
            Kind::Client(_) => "client",
            Kind::Connection(_) => "connection",
        };
        f.debug_tuple("RedisSource").field(&kind).finish()
    }
}
