//! The connection to the servers, kept alive.
//!
//! All commands share one multiplexed connection (in a Cluster one to each node). When it breaks, the
//! first command that needs it makes the next one and the others wait for that, so that an outage is
//! met with one attempt at a time and an application recovers without anybody's help.

use std::{sync::Arc, time::Duration};

use parking_lot::RwLock;
use redis::{
    AsyncConnectionConfig, Client, Cmd, RedisError, RedisResult, Value,
    aio::{ConnectionManager, MultiplexedConnection},
    cluster::ClusterClient,
    cluster_async::ClusterConnection,
    cluster_routing::SingleNodeRoutingInfo,
    sentinel::SentinelClient,
};
use tokio::{
    sync::Mutex,
    time::{Instant, timeout},
};

/// Where connections come from.
pub(super) enum Source {
    Server(Box<Client>),
    Cluster(Box<ClusterClient>),
    /// Finding the master remembers connections to the sentinels, hence the lock.
    Sentinel(Box<Mutex<SentinelClient>>),
    /// From the application, which is in charge of it.
    Application,
}

/// What commands are sent over. A clone shares it.
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

    /// Sends a command to the node that is in charge of its key.
    pub(super) async fn send(&mut self, cmd: &Cmd) -> RedisResult<Value> {
        match self {
            Self::Multiplexed(connection) => cmd.query_async(connection).await,
            Self::Manager(connection) => cmd.query_async(connection).await,
            Self::Cluster(connection) => cmd.query_async(connection).await,
        }
    }

    /// Follows a node's advice to ask another one for a key that is being moved there.
    pub(super) async fn ask(&mut self, cmd: &Cmd, advice: &RedisError) -> RedisResult<Value> {
        let node = advice.redirect_node().and_then(|(address, _slot)| {
            let (host, port) = address.rsplit_once(':')?;
            let host = host
                .trim_start_matches('[')
                .trim_end_matches(']')
                .to_owned();
            Some((host, port.parse().ok()?))
        });
        let (Self::Cluster(connection), Some((host, port))) = (self, node) else {
            return Err(advice.clone());
        };
        // `ASKING` holds for the next command of the connection, so the two must go together.
        let mut both = redis::pipe();
        both.cmd("ASKING").add_command(cmd.clone());
        let node = SingleNodeRoutingInfo::ByAddress { host, port };
        let answers = connection.route_pipeline(both, 0, 2, node).await?;
        answers
            .into_iter()
            .last()
            .unwrap_or_default()
            .extract_error()
    }
}

/// The connection in use, and the way to the next one.
pub(super) struct Link {
    source: Source,
    limit: Duration,
    current: RwLock<Current>,
    /// Held while a connection is being made.
    connecting: Mutex<()>,
}

struct Current {
    connection: Option<Connection>,
    /// Counts the connections, so that a broken one is given up once.
    number: u64,
    failed: Option<(Instant, RedisError)>,
}

/// How long a failed attempt to connect stands for all that come after it.
const PAUSE: Duration = Duration::from_millis(100);

impl Link {
    pub(super) fn new(
        source: Source,
        connection: Option<Connection>,
        limit: Duration,
    ) -> Arc<Self> {
        Arc::new(Self {
            source,
            limit,
            current: RwLock::new(Current {
                connection,
                number: 0,
                failed: None,
            }),
            connecting: Mutex::new(()),
        })
    }

    /// How long a command may take.
    pub(super) fn limit(&self) -> Duration {
        self.limit
    }

    /// The name of the kind of installation.
    pub(super) fn kind(&self) -> &'static str {
        match &self.source {
            Source::Server(_) => "server",
            Source::Cluster(_) => "cluster",
            Source::Sentinel(_) => "sentinel",
            Source::Application => "application's connection",
        }
    }

    /// The connection and its number; makes one where there is none.
    pub(super) async fn connection(&self) -> RedisResult<(u64, Connection)> {
        if let Some(found) = self.current.read().usable() {
            return Ok(found);
        }
        let _connecting = self.connecting.lock().await;
        {
            // Another one may have made it, or failed to, while this one waited.
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
        let made = self.connect().await;
        let mut current = self.current.write();
        match made {
            Ok(connection) => Ok(current.put(connection)),
            Err(error) => {
                current.failed = Some((Instant::now(), error.clone()));
                Err(error)
            }
        }
    }

    /// Gives connection `number` up: it broke, does not answer, or leads to the wrong server.
    ///
    /// That of a Cluster mends itself where a node is lost, and is needed for the others until a new one,
    /// which knows the nodes of today, is there.
    pub(super) fn give_up(self: &Arc<Self>, number: u64) {
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
        // Well within the limit of the command that waits, so that it is told why it failed.
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.limit / 3))
            .set_response_timeout(Some(self.limit));
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
        timeout(self.limit, connect)
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
