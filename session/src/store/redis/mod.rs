//! A store in Redis or Valkey: on one server, behind Sentinel, or in a Cluster.

mod address;
mod builder;
mod call;
mod clear;
mod command;
mod fault;
mod link;
mod source;
mod value;

use std::{fmt, sync::Arc};

use redis::Value;
use tokio::time::Instant;

pub use self::{builder::RedisStoreBuilder, source::RedisSource};
use self::{
    command::{Command, Lease, WhenFull},
    fault::Fault,
    link::Link,
    value::{Foreign, key},
};
use super::{
    Created, LockOwner, Locked, Rename, Replaced, SessionStore, StoreError,
    StoreErrorKind::{Corrupt, Unavailable},
    StoreFuture, Stored, Version, Write,
};
use crate::{clock::Timestamp, id::PublicId};

/// A store in Redis (6.2 or later, no modules) or Valkey: on one server, behind Sentinel, or in a Cluster.
///
/// Needs the Cargo feature `redis`, and `redis-tls` for TLS.
///
/// ```no_run
/// use poem_session::store::RedisStore;
///
/// # async fn open() -> Result<(), Box<dyn std::error::Error>> {
/// let store = RedisStore::connect("redis://127.0.0.1").await?;
/// let store = RedisStore::builder("redis+cluster://10.0.0.1:6379,10.0.0.2:6379")
///     .prefix("shop:")
///     .connect()
///     .await?;
/// # Ok(())
/// # }
/// ```
///
/// # Keys and commands
/// A session is one string value. Its key is the prefix and the session's [`PublicId`] in braces:
/// `poem-session:{5f3a…}`. The server removes the value when it expires, but only the application's clock
/// decides whether a record is live, so the server's clock need not agree with it. A value under such a key
/// that the store did not write is an error ([`Corrupt`](super::StoreErrorKind::Corrupt)) and stays
/// unchanged. An empty value reads as no record, and a write to it is an error.
///
/// | operation | commands |
/// |---|---|
/// | load | `GETRANGE` |
/// | create, replace, touch, lock, unlock | one script |
/// | rename (regenerate, rotate) | two scripts; one `UNLINK` more if a concurrent request wrote first |
/// | clear | `SCAN` on every master, an `UNLINK` for each session |
/// | delete expired | none |
///
/// Each command uses one key, so that all of them run on a Cluster, also while slots move. Scripts are sent
/// as hashes (`EVALSHA`), and as text to a server that does not know them. A user of the server needs only
/// the rights `~poem-session:* +get +getrange +set +setrange +pexpire +pttl +unlink +scan +eval +evalsha`; on a
/// Cluster also `+ping +asking +cluster|slots`, and behind Sentinel also `+role`.
///
/// # Memory
/// A session takes its data and about 240 bytes, measured on Redis 7.0 with 20,000 sessions: 340 bytes for
/// 100 bytes of data, 433 for 200, 657 for 400, 1234 for 1000. Set `maxmemory-policy noeviction`: with any
/// other policy, a full server signs users out at random. If the server evicts a tombstone, the session does not
/// exist again, but a late request with the ended id may begin a new session.
///
/// With `noeviction`, a full server refuses new sessions and changes that enlarge a session, with
/// [`Full`](super::StoreErrorKind::Full). Everything else works: reads, other changes, locks, sign-out, revoke, and
/// moves to a new id. A full server refuses a script at its first write if that write needs memory, and runs the
/// whole script otherwise. If the server has refused one of these operations, its script makes a write that needs
/// no memory first. So these operations may exceed `maxmemory`: a lock by 24 bytes, and a move to a new id by a
/// tombstone, which expires soon, and by the bytes that it adds to the session.
///
/// # Failures
/// A call ends within the [call timeout](RedisStoreBuilder::call_timeout), if necessary with an error. All
/// calls share one connection, or in a Cluster one connection per node. If it breaks, or does not respond
/// within the timeout, the next call opens a new one. With Sentinel, the new connection uses the current
/// master.
///
/// The store sends a command again if the server refused it because another server is responsible or because
/// it cannot serve at the moment, and if the connection broke before the reply arrived: once to a single
/// server, several times in a Cluster. No write is applied twice. A script recognises its own earlier write
/// by the version, which is random, and returns success. A repeated replace that finds another
/// version cannot know whether its earlier attempt was executed and then overwritten. It returns an error
/// instead of a conflict, because after a conflict the caller would apply the change again. The repetition of
/// the client library, which cannot make that distinction, is off.
///
/// # Data loss
/// Redis acknowledges a write before the write is on disk and before replicas have it.
///
/// - **One server** keeps what its configuration makes it keep. If the machine fails, `appendonly yes` loses
///   at most the last second, and `appendfsync always` nothing. Without either, the last snapshot remains.
/// - **Sentinel and Cluster**: if a master fails, the writes that it acknowledged and did not replicate yet
///   are lost, and sessions have their earlier state. This includes a sign-out: that session exists again. On
///   one machine, a master killed under load lost none of 50,000 writes; one whose replica was paused for a
///   moment lost 27 to 65 of about 130 records that were written meanwhile (6 MB). `min-replicas-to-write 1`
///   with `min-replicas-max-lag` stops a master that has no up-to-date replica, which limits the loss. The
///   writes that it refuses are errors ([`Unavailable`](super::StoreErrorKind::Unavailable)).
///
/// No record is ever written partly. A request that has read a version which was lost gets a conflict, and
/// never overwrites a later write. A failover took three to seven seconds on one machine with a node timeout
/// of two seconds. Meanwhile a call fails if it cannot finish within its timeout. The application needs no
/// restart.
///
/// If an ended session must never exist again, use a database that acknowledges only durable writes.
#[derive(Clone)]
pub struct RedisStore {
    link: Arc<Link>,
    prefix: Arc<str>,
}

impl RedisStore {
    /// Connects by URL with the default settings, and reads once to check the connection.
    ///
    /// - `redis://[[user]:password@]host[:port][/database]`: one server.
    /// - `redis+unix:///path/to/socket[?db=database&user=user&pass=password]`: one server on this machine, by its
    ///   Unix socket.
    /// - `redis+cluster://[[user]:password@]host[:port],host[:port],…`: a Cluster, by some of its nodes.
    /// - `redis+sentinel://[[user]:password@]host[:port],host[:port],…/master[/database]`: the master that
    ///   these sentinels monitor by that name. User and password are the master's. Those of the sentinels are
    ///   given as `?sentinel_username=…&sentinel_password=…`.
    ///
    /// `rediss`, `rediss+cluster` and `rediss+sentinel` use TLS. The server's certificate must be for the host in
    /// the URL, and from an authority of the system; for another authority, use a [`redis::Client`] as the
    /// [source](RedisSource). `valkey` and `valkeys` are the same as `redis` and `rediss`.
    ///
    /// `?prefix=shop:` sets the prefix of the keys, which is `poem-session:` otherwise. Each application that
    /// shares the server needs a prefix of its own. `?protocol=resp3` selects the newer protocol. An unknown
    /// parameter is an error. In a user name or password, percent-encode every character that is not a letter or
    /// a digit.
    ///
    /// # Errors
    /// [`Misconfigured`](super::StoreErrorKind::Misconfigured) if the URL is invalid or has an unknown parameter, or
    /// if the server's certificate or the credentials are refused; and any error of the read.
    pub async fn connect(url: &str) -> Result<Self, StoreError> {
        Self::builder(url).connect().await
    }

    /// Returns a builder with the default settings for a URL, a client or a connection: see [`RedisSource`].
    pub fn builder(source: impl Into<RedisSource>) -> RedisStoreBuilder {
        RedisStoreBuilder::new(source.into())
    }

    fn key(&self, id: PublicId) -> Vec<u8> {
        key(&self.prefix, id)
    }

    async fn number(&self, command: Command) -> Result<i64, Fault> {
        self.link.call(&command).await?.number()
    }

    async fn read(&self, key: PublicId, now: Timestamp) -> Result<Option<Stored>, Fault> {
        match self.link.call(&Command::get(&self.key(key))).await?.value {
            Value::BulkString(value) if value.is_empty() => Ok(None),
            Value::BulkString(value) => Ok(value::read(value, now)?),
            _ => Err(Fault::UNEXPECTED),
        }
    }

    /// Calls the script that writes `version` if the record has the expected version.
    async fn put(
        &self,
        deadline: Instant,
        command: Command,
        version: Version,
        now: Timestamp,
    ) -> Result<Replaced, Fault> {
        let reply = self.link.call_by(deadline, &command).await?;
        match reply.value {
            Value::BulkString(_) if !reply.sent_once => Err(UNCERTAIN),
            Value::BulkString(value) => Ok(match value::read(value, now)? {
                Some(stored) => Replaced::Conflict(stored),
                None => Replaced::Gone,
            }),
            _ => Ok(match reply.number()? {
                1 => Replaced::Replaced(version),
                _ => Replaced::Gone,
            }),
        }
    }

    /// Writes `to`, then replaces `from`. In a Cluster the two keys can be on different nodes.
    ///
    /// If `from` has changed, `to` is removed again. If it is unknown whether `from` was replaced, both
    /// records stay: no client knows the id of `to`, so nobody loads it before it expires.
    async fn move_record(&self, rename: Rename, now: Timestamp) -> Result<Replaced, Fault> {
        let deadline = self.link.deadline();
        let (from, to) = (self.key(rename.from), self.key(rename.to));
        let version = rename.expected.random_next();
        let create = Command::create(&to, version, &rename.write, WhenFull::Accepts, now);
        if self.link.call_by(deadline, &create).await?.number()? != 1 {
            return Err(OCCUPIED);
        }
        let leave = Command::replace(
            &from,
            rename.expected,
            version,
            &rename.leave,
            Lease::Ends,
            WhenFull::Accepts,
            now,
        );
        let replaced = self.put(deadline, leave, version, now).await;
        let undo = match &replaced {
            Ok(Replaced::Replaced(_)) => false,
            Ok(Replaced::Conflict(_) | Replaced::Gone) => true,
            Err(fault) => fault.not_executed,
        };
        if undo && let Err(fault) = self.link.call_by(deadline, &Command::unlink(&to)).await {
            let error = fault.during(RENAMING);
            tracing::warn!(%error, "could not remove the record of a failed rename; it stays until it expires");
        }
        replaced
    }
}

const RENAMING: &str = "renaming a session in Redis";

const UNCERTAIN: Fault = Fault::new(
    Unavailable,
    "the connection was lost and the record has changed since; the write may or may not have been executed",
);

const OCCUPIED: Fault = Fault::new(Corrupt, "a record already exists under the new key");

impl From<Foreign> for Fault {
    fn from(Foreign: Foreign) -> Self {
        Self::FOREIGN
    }
}

impl SessionStore for RedisStore {
    fn load(&self, key: PublicId, now: Timestamp) -> StoreFuture<'_, Option<Stored>> {
        Box::pin(async move {
            let stored = self.read(key, now).await;
            stored.map_err(|fault| fault.during("loading a session from Redis"))
        })
    }

    fn create(&self, key: PublicId, write: Write, now: Timestamp) -> StoreFuture<'_, Created> {
        Box::pin(async move {
            let version = Version::random_first();
            let key = self.key(key);
            let command = Command::create(&key, version, &write, WhenFull::MayRefuse, now);
            match self.number(command).await {
                Ok(1) => Ok(Created::Created(version)),
                Ok(_) => Ok(Created::Exists),
                Err(fault) => Err(fault.during("creating a session in Redis")),
            }
        })
    }

    fn replace(
        &self,
        key: PublicId,
        expected: Version,
        write: Write,
        now: Timestamp,
    ) -> StoreFuture<'_, Replaced> {
        Box::pin(async move {
            let (key, version) = (self.key(key), expected.random_next());
            let (lease, when_full) = (Lease::Stays, WhenFull::of(&write));
            let command = Command::replace(&key, expected, version, &write, lease, when_full, now);
            let replaced = self.put(self.link.deadline(), command, version, now).await;
            replaced.map_err(|fault| fault.during("replacing a session in Redis"))
        })
    }

    fn touch(
        &self,
        key: PublicId,
        expected: Version,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> StoreFuture<'_, bool> {
        Box::pin(async move {
            let command = Command::touch(&self.key(key), expected, expires_at, now);
            let number = self.number(command).await;
            number
                .map(|number| number == 1)
                .map_err(|fault| fault.during("touching a session in Redis"))
        })
    }

    fn rename(&self, rename: Rename, now: Timestamp) -> StoreFuture<'_, Replaced> {
        let store = self.clone();
        Box::pin(async move {
            // A task of its own: if the caller drops the future, the second command is still sent.
            let job = async move {
                let renamed = store.move_record(rename, now).await;
                renamed.map_err(|fault| fault.during(RENAMING))
            };
            match tokio::spawn(job).await {
                Ok(renamed) => renamed,
                Err(error) => Err(StoreError::new(Unavailable, RENAMING).with_source(error)),
            }
        })
    }

    /// Returns 0: the server removes expired records by itself.
    fn delete_expired(&self, _limit: usize, _now: Timestamp) -> StoreFuture<'_, usize> {
        Box::pin(async { Ok(0) })
    }

    fn clear(&self) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            let cleared = clear::clear(&self.link, &self.prefix).await;
            cleared.map_err(|fault| fault.during("deleting all sessions from Redis"))
        })
    }

    fn lock(
        &self,
        key: PublicId,
        owner: LockOwner,
        until: Timestamp,
        now: Timestamp,
    ) -> StoreFuture<'_, Locked> {
        Box::pin(async move {
            let command = Command::lock(&self.key(key), owner, until, now);
            match self.number(command).await {
                Ok(1) => Ok(Locked::Acquired),
                Ok(2) => Ok(Locked::Held),
                Ok(_) => Ok(Locked::Gone),
                Err(fault) => Err(fault.during("locking a session in Redis")),
            }
        })
    }

    /// Returns true also if an earlier sending of the command may have released the lease.
    fn unlock(&self, key: PublicId, owner: LockOwner) -> StoreFuture<'_, bool> {
        Box::pin(async move {
            let reply = self
                .link
                .call(&Command::unlock(&self.key(key), owner))
                .await;
            reply
                .and_then(|reply| Ok(reply.number()? == 1 || !reply.sent_once))
                .map_err(|fault| fault.during("unlocking a session in Redis"))
        })
    }
}

/// Shows neither addresses nor credentials.
impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore")
            .field("prefix", &self.prefix)
            .field("connection", &self.link.kind())
            .finish()
    }
}
