//! The builder of the Redis store.

use std::{sync::Arc, time::Duration};

use super::{
    RedisStore,
    command::Command,
    fault::Fault,
    link::Link,
    source::{CONNECTING, Opened, RedisSource},
    value,
};
use crate::{
    id::PublicId,
    store::{LONGEST_TIMEOUT, StoreError, StoreErrorKind::Misconfigured},
};

/// Settings of a [`RedisStore`]: see [`RedisStore::builder`].
///
/// ```no_run
/// use std::time::Duration;
/// use poem_session::store::RedisStore;
///
/// # async fn run() -> Result<(), poem_session::store::StoreError> {
/// let store = RedisStore::builder("redis://127.0.0.1")
///     .prefix("shop:")
///     .call_timeout(Duration::from_secs(1))
///     .connect()
///     .await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use = "the builder does nothing until `connect` is called"]
pub struct RedisStoreBuilder {
    source: RedisSource,
    prefix: Option<String>,
    call_timeout: Duration,
}

const DEFAULT_PREFIX: &str = "poem-session:";

impl RedisStoreBuilder {
    pub(super) fn new(source: RedisSource) -> Self {
        Self {
            source,
            prefix: None,
            call_timeout: Duration::from_secs(3),
        }
    }

    /// Sets the prefix of the store's keys. The default is the URL's `prefix` parameter, or else `poem-session:`.
    /// It is an error to set both. Each application that shares the server needs a prefix of its own: it is the
    /// store's namespace. It must not be empty or contain braces.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = Some(prefix.into());
        self
    }

    /// Sets how long a call may take, including connecting and repeated attempts. The default is 3 seconds, the
    /// longest 24 days. Connecting to a server may take a third of it.
    ///
    /// It should be below the sessions' timeout for a store call, so that the error names the cause.
    pub fn call_timeout(mut self, timeout: Duration) -> Self {
        self.call_timeout = timeout.min(LONGEST_TIMEOUT);
        self
    }

    /// Connects, and reads once to check the connection. If the builder was created with a connection of the
    /// application, this sends nothing.
    ///
    /// # Errors
    /// [`Misconfigured`] if the URL, the credentials, the prefix or the timeout is invalid or the prefix is set
    /// twice, and any error of the read.
    ///
    /// [`Misconfigured`]: crate::store::StoreErrorKind::Misconfigured
    pub async fn connect(self) -> Result<RedisStore, StoreError> {
        let refuse = |why| Err(Fault::new(Misconfigured, why).during(CONNECTING));
        if self.call_timeout.is_zero() {
            return refuse("the call timeout is zero");
        }
        let Opened {
            source,
            connection,
            prefix,
        } = self
            .source
            .open(self.call_timeout)
            .map_err(|fault| fault.during(CONNECTING))?;
        if prefix.is_some() && self.prefix.is_some() {
            return refuse("both the URL and the builder set a prefix");
        }
        let prefix = self.prefix.or(prefix);
        let prefix = prefix.unwrap_or_else(|| DEFAULT_PREFIX.to_owned());
        if prefix.is_empty() || prefix.contains(['{', '}']) {
            return refuse("the prefix is empty or contains braces");
        }
        let is_connected = connection.is_some();
        let store = RedisStore {
            link: Link::new(source, connection, self.call_timeout),
            prefix: Arc::from(prefix),
        };
        if !is_connected {
            let probe = value::key(&store.prefix, PublicId::from_bytes([0; 32]));
            let probed = store.link.call(&Command::get(&probe)).await;
            probed.map_err(|fault| fault.during(CONNECTING))?;
        }
        Ok(store)
    }
}
