//! Opens a store.

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
    RedisStore,
    address::{Address, Sentinel},
    command::Command,
    fault::{Fault, judge},
    link::{Connection, Link, Source},
    value,
};
use crate::{
    id::PublicId,
    store::{StoreError, StoreErrorKind::Misconfigured},
};

const ACTION: &str = "connecting to Redis";

/// Settings of a [`RedisStore`] to be opened; made by [`RedisStore::builder`].
#[derive(Debug, Clone)]
#[must_use = "nothing is opened until `connect` is called"]
pub struct RedisStoreBuilder {
    prefix: String,
    limit: Duration,
}

impl Default for RedisStoreBuilder {
    fn default() -> Self {
        Self {
            prefix: "poem-session:".to_owned(),
            limit: Duration::from_secs(3),
        }
    }
}

impl RedisStoreBuilder {
    /// What all keys of this store begin with; `poem-session:` by default. It is the store's namespace: two
    /// applications on one server each take a prefix of their own. Braces are not allowed in it.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// How long one operation may take, connecting and sending again included; 3 seconds by default.
    /// Connecting to one server may take a third of it.
    pub fn time_limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Connects by URL, in one of the forms that [`RedisStore::connect`] lists, and reads once to see
    /// whether it works.
    ///
    /// # Errors
    /// [`Misconfigured`](crate::store::StoreErrorKind::Misconfigured) for a URL, credentials or a prefix
    /// that will not do, and any error of a read.
    pub async fn connect(self, url: &str) -> Result<RedisStore, StoreError> {
        let source = self.source(url).map_err(|fault| fault.during(ACTION))?;
        self.open(source).await
    }

    /// Connects by a client of your own, for what a URL cannot say: certificates for example. It is a
    /// [`redis::Client`], [`redis::cluster::ClusterClient`] or [`redis::sentinel::SentinelClient`]. The
    /// store makes connections of its own with it and replaces them when they break.
    ///
    /// Give a `ClusterClient` `retries(0)`: the store sends again what may be sent again, and can tell
    /// that it did.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn connect_with(
        self,
        client: impl Into<RedisClient>,
    ) -> Result<RedisStore, StoreError> {
        self.open(client.into().0).await
    }

    /// Uses a connection that the application has: a [`redis::aio::ConnectionManager`] or a
    /// [`redis::cluster_async::ClusterConnection`]. Reconnecting is up to that connection; the store's time
    /// limit holds in addition to its own. A `ConnectionManager` that could not log in when it reconnected
    /// never tries again (as of `redis` 1.8): [`connect`](Self::connect) has no such trouble.
    ///
    /// # Errors
    /// [`Misconfigured`](crate::store::StoreErrorKind::Misconfigured) for a prefix that will not do.
    pub fn with_connection(
        self,
        connection: impl Into<RedisConnection>,
    ) -> Result<RedisStore, StoreError> {
        self.store(Source::Application, Some(connection.into().0))
    }

    async fn open(self, source: Source) -> Result<RedisStore, StoreError> {
        let store = self.store(source, None)?;
        let probe = value::key(&store.prefix, PublicId::from_bytes([0; 32]));
        match store.link.call(&Command::get(&probe)).await {
            Ok(_) => Ok(store),
            Err(fault) => Err(fault.during(ACTION)),
        }
    }

    fn store(
        self,
        source: Source,
        connection: Option<Connection>,
    ) -> Result<RedisStore, StoreError> {
        let refuse = |why| Err(Fault::new(Misconfigured, why).during(ACTION));
        if self.prefix.is_empty() || self.prefix.contains(['{', '}']) {
            return refuse("a key prefix is not empty and contains no braces");
        }
        if self.limit.is_zero() {
            return refuse("no operation can be done in no time");
        }
        Ok(RedisStore {
            link: Link::new(source, connection, self.limit),
            prefix: Arc::from(self.prefix),
        })
    }

    fn source(&self, url: &str) -> Result<Source, Fault> {
        let source = match Address::parse(url)? {
            Address::Server(info) => {
                prepare_tls(info.addr());
                let info = info.set_tcp_settings(self.tcp());
                Client::open(info).map(|client| Source::Server(Box::new(client)))
            }
            Address::Cluster(nodes) => {
                nodes.iter().map(ConnectionInfo::addr).for_each(prepare_tls);
                ClusterClient::builder(nodes)
                    .retries(0)
                    .connection_timeout(self.limit / 3)
                    .response_timeout(self.limit)
                    .tcp_settings(self.tcp())
                    .build()
                    .map(|client| Source::Cluster(Box::new(client)))
            }
            Address::Sentinel(sentinel) => self
                .sentinel(sentinel)
                .map(|client| Source::Sentinel(Box::new(Mutex::new(client)))),
        };
        source.map_err(|error| judge(&error, false).1)
    }

    fn sentinel(&self, address: Sentinel) -> Result<SentinelClient, RedisError> {
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
        let mut builder =
            SentinelClientBuilder::new(sentinels, master, SentinelServerType::Master)?
                .set_client_to_redis_db(server.db())
                .set_client_to_redis_protocol(server.protocol())
                .set_client_to_redis_tcp_settings(self.tcp())
                .set_client_to_sentinel_tcp_settings(self.tcp());
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

    /// Commands go out at once, and a server that is cut off is noticed also while nothing is sent.
    fn tcp(&self) -> TcpSettings {
        let keepalive = TcpKeepalive::new()
            .with_time(Duration::from_secs(30))
            .with_interval(Duration::from_secs(5));
        let tcp = TcpSettings::default()
            .set_nodelay(true)
            .set_keepalive(keepalive);
        #[cfg(any(target_os = "android", target_os = "fuchsia", target_os = "linux"))]
        let tcp = tcp.set_user_timeout(self.limit);
        tcp
    }
}

/// `rustls` wants one provider of cryptography a process. An application that has chosen keeps its choice.
fn prepare_tls(address: &ConnectionAddr) {
    #[cfg(feature = "redis-tls")]
    if matches!(address, ConnectionAddr::TcpTls { .. }) {
        use rustls::crypto::{CryptoProvider, ring};

        if CryptoProvider::get_default().is_none() {
            // Another thread may have been faster, which is as good.
            let _ = ring::default_provider().install_default();
        }
    }
    #[cfg(not(feature = "redis-tls"))]
    let _ = address;
}

/// A client that a [`RedisStore`] can make its connections with: see
/// [`connect_with`](RedisStoreBuilder::connect_with).
pub struct RedisClient(Source);

/// A connection of the application's that a [`RedisStore`] can use: see
/// [`with_connection`](RedisStoreBuilder::with_connection).
pub struct RedisConnection(Connection);

impl From<Client> for RedisClient {
    fn from(client: Client) -> Self {
        Self(Source::Server(Box::new(client)))
    }
}

impl From<ClusterClient> for RedisClient {
    fn from(client: ClusterClient) -> Self {
        Self(Source::Cluster(Box::new(client)))
    }
}

impl From<SentinelClient> for RedisClient {
    fn from(client: SentinelClient) -> Self {
        Self(Source::Sentinel(Box::new(Mutex::new(client))))
    }
}

impl From<ConnectionManager> for RedisConnection {
    fn from(connection: ConnectionManager) -> Self {
        Self(Connection::Manager(connection))
    }
}

impl From<ClusterConnection> for RedisConnection {
    fn from(connection: ClusterConnection) -> Self {
        Self(Connection::Cluster(connection))
    }
}

/// Addresses and credentials are not shown.
impl fmt::Debug for RedisClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisClient").finish_non_exhaustive()
    }
}

/// Addresses and credentials are not shown.
impl fmt::Debug for RedisConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisConnection").finish_non_exhaustive()
    }
}
