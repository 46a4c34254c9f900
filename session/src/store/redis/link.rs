//! The connection to the servers, and its replacement when it breaks.
//!
//! All commands share one multiplexed connection (in a Cluster one per node). When it breaks, the first
//! command that needs it opens a new one and the others wait. So there is one connection attempt at a time
//! during an outage, and the application recovers by itself.

use std::{sync::Arc, time::Duration};

use parking_lot::RwLock;
use redis::{
    AsyncConnectionConfig, Client, Cmd, RedisError, RedisResult, Value,
    aio::{ConnectionManager, MultiplexedConnection},
    cluster::ClusterClient,
    cluster_async::ClusterConnection,
    cluster_routing::{Route, RoutingInfo, SingleNodeRoutingInfo, SlotAddr},
    sentinel::SentinelClient,
};
use tokio::{
    sync::Mutex,
    time::{Instant, timeout},
};

/// The source of connections.
#[derive(Clone)]
pub(super) enum Source {
    Server(Box<Client>),
    Cluster(Box<ClusterClient>),
    /// The lock is needed because the client keeps its connections to the sentinels.
    Sentinel(Arc<Mutex<SentinelClient>>),
    /// The application provides the connection, and that connection reconnects by itself.
    Application,
}

/// A connection to send commands over. Clones share it.
#[derive(Clone)]
pub(super) enum Connection {
    Multiplexed(MultiplexedConnection),
    Manager(ConnectionManager),
    Cluster(ClusterConnection),
}

impl Connection {
    pub(super) fn is_cluster(&self) -> bool {
        matches!(self, Self::Cluster(_))
    }

    /// Sends a command.
    pub(super) async fn send(&mut self, cmd: &Cmd) -> RedisResult<Value> {
        match self {
            Self::Multiplexed(connection) => cmd.query_async(connection).await,
            Self::Manager(connection) => cmd.query_async(connection).await,
            Self::Cluster(connection) => cmd.query_async(connection).await,
        }
    }

    /// Sends a command on one key to the node that is responsible for it. In a Cluster that is the primary, also if
    /// the application's client reads from replicas.
    pub(super) async fn send_to_primary(&mut self, key: &[u8], cmd: &Cmd) -> RedisResult<Value> {
        let Self::Cluster(connection) = self else {
            return self.send(cmd).await;
        };
        let primary = SingleNodeRoutingInfo::SpecificNode(Route::with_key(key, SlotAddr::Master));
        let reply = connection.route_command(cmd.clone(), RoutingInfo::SingleNode(primary));
        reply.await?.extract_error()
    }

    /// Sends a command to the node that an `ASK` error names: the key is being moved to it.
    pub(super) async fn ask(&mut self, cmd: &Cmd, error: &RedisError) -> RedisResult<Value> {
        let node = error.redirect_node().and_then(|(address, _slot)| {
            let (host, port) = address.rsplit_once(':')?;
            let host = host
                .trim_start_matches('[')
                .trim_end_matches(']')
                .to_owned();
            Some((host, port.parse().ok()?))
        });
        let (Self::Cluster(connection), Some((host, port))) = (self, node) else {
            return Err(error.clone());
        };
        // `ASKING` applies to the next command on the connection, so both are sent as one pipeline.
        let mut both = redis::pipe();
        both.cmd("ASKING").add_command(cmd.clone());
        let node = SingleNodeRoutingInfo::ByAddress { host, port };
        let replies = connection.route_pipeline(both, 0, 2, node).await?;
        replies
            .into_iter()
            .last()
            .unwrap_or_default()
            .extract_error()
    }
}

/// The current connection and the source of the next one.
pub(super) struct Link {
    source: Source,
    call_timeout: Duration,
    current: RwLock<Current>,
    /// Held while a connection is being opened.
    connecting: Mutex<()>,
}

struct Current {
    connection: Option<Connection>,
    /// The number of the connection, so that a broken connection is discarded only once.
    number: u64,
    failed: Option<(Instant, RedisError)>,
}

/// The time after a failed connection attempt in which further attempts return the same error.
const PAUSE: Duration = Duration::from_millis(100);

impl Link {
    pub(super) fn new(
        source: Source,
        connection: Option<Connection>,
        call_timeout: Duration,
    ) -> Arc<Self> {
        Arc::new(Self {
            source,
            call_timeout,
            current: RwLock::new(Current {
                connection,
                number: 0,
                failed: None,
            }),
            connecting: Mutex::new(()),
        })
    }

    /// Returns how long a call may take.
    pub(super) fn call_timeout(&self) -> Duration {
        self.call_timeout
    }

    /// Returns the kind of the source, for `Debug`.
    pub(super) fn kind(&self) -> &'static str {
        match &self.source {
            Source::Server(_) => "server",
            Source::Cluster(_) => "cluster",
            Source::Sentinel(_) => "sentinel",
            Source::Application => "application's connection",
        }
    }

    /// Returns the connection and its number. Opens a connection if there is none.
    pub(super) async fn connection(&self) -> RedisResult<(u64, Connection)> {
        if let Some(found) = self.current.read().usable() {
            return Ok(found);
        }
        let _connecting = self.connecting.lock().await;
        {
            // Another call may have opened a connection, or failed to, while this call waited.
            let current = self.current.read();
            if let Some(found) = current.usable() {
                return Ok(found);
            }
            if let Some((at, error)) = &current.failed
                && at.elapsed() < PAUSE
            {
                return Err(error.clone());
            }
        }
        let connected = self.connect().await;
        let mut current = self.current.write();
        match connected {
            Ok(connection) => Ok(current.put(connection)),
            Err(error) => {
                current.failed = Some((Instant::now(), error.clone()));
                Err(error)
            }
        }
    }

    /// Discards connection `number`: it broke, the server does not respond, or it is the wrong server.
    ///
    /// The connection to a Cluster repairs itself after the loss of a node. It stays in use for the other
    /// nodes until a new connection, which knows the current nodes, replaces it.
    pub(super) fn discard(self: &Arc<Self>, number: u64) {
        match self.source {
            Source::Application => {}
            Source::Server(_) | Source::Sentinel(_) => {
                let mut current = self.current.write();
                if current.number == number {
                    current.connection = None;
                }
            }
            Source::Cluster(_) => {
                let link = Arc::clone(self);
                tokio::spawn(async move {
                    let Ok(_connecting) = link.connecting.try_lock() else {
                        return;
                    };
                    if link.current.read().number != number {
                        return;
                    }
                    if let Ok(connection) = link.connect().await {
                        link.current.write().put(connection);
                    }
                });
            }
        }
    }

    async fn connect(&self) -> RedisResult<Connection> {
        // A third of the call timeout, so that the waiting command can still report why it failed.
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.call_timeout / 3))
            .set_response_timeout(Some(self.call_timeout));
        let connect = async {
            match &self.source {
                Source::Server(client) => client
                    .get_multiplexed_async_connection_with_config(&config)
                    .await
                    .map(Connection::Multiplexed),
                Source::Sentinel(client) => client
                    .lock()
                    .await
                    .get_async_connection_with_config(&config)
                    .await
                    .map(Connection::Multiplexed),
                Source::Cluster(client) => {
                    client.get_async_connection().await.map(Connection::Cluster)
                }
                Source::Application => {
                    Err(std::io::Error::from(std::io::ErrorKind::NotConnected).into())
                }
            }
        };
        timeout(self.call_timeout, connect)
            .await
            .unwrap_or_else(|_| Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()))
    }
}

impl Current {
    fn usable(&self) -> Option<(u64, Connection)> {
        Some((self.number, self.connection.clone()?))
    }

    fn put(&mut self, connection: Connection) -> (u64, Connection) {
        self.number += 1;
        self.failed = None;
        self.connection = Some(connection.clone());
        (self.number, connection)
    }
}
