//! Redis and Valkey: one server, Sentinel, or Cluster.

mod address;
mod builder;
mod call;
mod clear;
mod command;
mod fault;
mod link;
mod value;

use std::{fmt, sync::Arc};

use redis::Value;
use tokio::time::Instant;

pub use self::builder::{RedisClient, RedisConnection, RedisStoreBuilder};
use self::{
    command::Command,
    fault::Fault,
    link::Link,
    value::{Foreign, first_version, key, next_version},
};
use super::{
    Created, LockOwner, Locked, Replaced, SessionStore, StoreError,
    StoreErrorKind::{Corrupt, Unavailable},
    StoreFuture, Stored, Version, Write,
};
use crate::{clock::Timestamp, id::PublicId};

/// Sessions in Redis (6.2 or later, no modules) or Valkey: on one server, behind Sentinel, or in a
/// Cluster.
///
/// Needs the Cargo feature `redis`, and `redis-tls` for TLS.
///
/// ```no_run
/// use poem_session::store::RedisStore;
///
/// # async fn open() -> Result<(), Box<dyn std::error::Error>> {
/// let store = RedisStore::connect("redis://127.0.0.1").await?;
/// let store = RedisStore::builder()
///     .prefix("shop:")
///     .connect("redis+cluster://10.0.0.1:6379,10.0.0.2:6379")
///     .await?;
/// # Ok(())
/// # }
/// ```
///
/// # What is stored
/// One string value a session, under the prefix and the session's [`PublicId`] in braces:
/// `poem-session:{5f3a…}`. The server removes it when it expires; what is live is decided by the
/// application's clock alone, so that the server's need not agree with it. A value under such a key
/// that the store did not write is an error ([`Corrupt`](super::StoreErrorKind::Corrupt)) and stays
/// as it is. One that is empty is read as none, and refused to writes.
///
/// | operation | commands |
/// |---|---|
/// | load | `GETRANGE` |
/// | create, replace, touch, delete, lock, unlock | one script |
/// | rename (regenerate, rotate) | two scripts; one more when another request was faster |
/// | clear | `SCAN` on every master, an `UNLINK` for each session |
/// | delete expired | none |
///
/// Each command names one key, so that all of it runs on a Cluster, also while slots move. Scripts
/// travel as hashes (`EVALSHA`) and are sent whole to a server that does not know them. A user of the
/// server needs no more rights than `~poem-session:* +get +getrange +set +setrange +pexpire +del +unlink +scan
/// +eval +evalsha`; on a Cluster `+ping +asking +cluster|slots`, and behind Sentinel `+role`, too.
///
/// # Memory
/// A session takes its data and about 240 bytes, measured on Redis 7.0 with 20,000 sessions: 340
/// bytes for 100 bytes of data, 433 for 200, 657 for 400, 1234 for 1000. Set `maxmemory-policy
/// noeviction`: with any other, a server that is full signs users out at random. With it, a write
/// fails with [`Full`](super::StoreErrorKind::Full), while reads and sign-outs go on.
///
/// # When something fails
/// An operation ends within the [time limit](RedisStoreBuilder::time_limit), with an error at worst.
/// All operations share one connection (in a Cluster one to each node). When it breaks, or does not
/// answer within the limit, the next operation makes a new one; with Sentinel, to whichever server is
/// the master then.
///
/// A command is sent again where the server refused it because another one is in charge, or cannot
/// serve just yet, and where the connection broke before the answer came: once to a single server,
/// some more times in a Cluster. That does no write twice. A write is recognised by its version, half
/// of which is random; one that finds itself done already answers so. A replace that was sent again
/// and finds another version cannot know whether it was overwritten or never done, and is an error
/// instead of a conflict: the caller would make the same change once more. The client library's own
/// repetition, which cannot tell, is switched off.
///
/// # What can be lost
/// Redis acknowledges a write before it is on disk, and before its replicas have it.
///
/// - **One server** keeps what its configuration makes it keep. With `appendonly yes` it is all but
///   the last second, when the machine fails, and with `appendfsync always` all. Without either it is
///   what the last snapshot had.
/// - **Sentinel and Cluster**: when a master dies, what it had acknowledged and not yet passed on is
///   lost, and sessions are as they were before. Also a sign-out: that session is back. On one
///   machine, a master killed under load lost none of 50,000 writes; one whose replica was held up
///   for a moment lost 27 to 65 of some 130 records that were written meanwhile (6 MB).
///   `min-replicas-to-write 1` with `min-replicas-max-lag` keeps a master from going on without a
///   replica that follows, which bounds the loss; the writes it refuses are errors
///   ([`Unavailable`](super::StoreErrorKind::Unavailable)).
///
/// No record is ever half written, and a request that had seen a version which was lost finds a
/// conflict, and never overwrites what others have written since. A failover took three to seven
/// seconds on one machine, with a node timeout of two; operations fail meanwhile where they cannot be
/// done within their limit. The application needs no restart.
///
/// Where a session that has ended must never come back, use a database that acknowledges only what it
/// keeps.
#[derive(Clone)]
pub struct RedisStore {
    link: Arc<Link>,
    prefix: Arc<str>,
}

impl RedisStore {
    /// Connects by URL, with the default settings, and reads once to see whether it works.
    ///
    /// - `redis://[[user]:password@]host[:port][/database]`: one server.
    /// - `redis+unix:///path/to/socket[?db=database]`: the same on this machine.
    /// - `redis+cluster://[[user]:password@]host[:port],host[:port],…`: a Cluster, by some of its nodes.
    /// - `redis+sentinel://[[user]:password@]host[:port],host[:port],…/master[/database]`: the master that these
    ///   sentinels watch by that name. User and password are the master's; those of the sentinels themselves
    ///   follow as `?sentinel_username=…&sentinel_password=…`.
    ///
    /// `rediss`, `rediss+cluster` and `rediss+sentinel` are the same over TLS, certificates being checked
    /// against the system's. `valkey` and `valkeys` stand for `redis` and `rediss`. `?protocol=resp3` chooses the
    /// newer protocol. What is not a letter or digit in a user name or password is percent-encoded.
    ///
    /// # Errors
    /// [`Misconfigured`](super::StoreErrorKind::Misconfigured) where the URL is none, or the server refuses the
    /// credentials; any error of a read.
    pub async fn connect(url: &str) -> Result<Self, StoreError> {
        Self::builder().connect(url).await
    }

    /// A store with settings of its own.
    pub fn builder() -> RedisStoreBuilder {
        RedisStoreBuilder::default()
    }

    fn key(&self, id: PublicId) -> Vec<u8> {
        key(&self.prefix, id)
    }

    async fn number(&self, command: Command) -> Result<i64, Fault> {
        self.link.call(&command).await?.number()
    }

    /// Calls a script that ends something, and answers whether it was there. What an earlier sending of
    /// the command may have ended counts as having been there.
    fn end(&self, action: &'static str, command: Command) -> StoreFuture<'_, bool> {
        Box::pin(async move {
            let answer = self.link.call(&command).await;
            answer
                .and_then(|answer| Ok(answer.number()? == 1 || !answer.certain))
                .map_err(|fault| fault.during(action))
        })
    }

    async fn read(&self, key: PublicId, now: Timestamp) -> Result<Option<Stored>, Fault> {
        match self.link.call(&Command::get(&self.key(key))).await?.value {
            Value::BulkString(value) if value.is_empty() => Ok(None),
            Value::BulkString(value) => Ok(value::read(value, now)?),
            _ => Err(Fault::NONSENSE),
        }
    }

    /// Calls the script that writes `version` in place of the one that is expected.
    async fn put(
        &self,
        deadline: Instant,
        command: Command,
        version: Version,
        now: Timestamp,
    ) -> Result<Replaced, Fault> {
        let answer = self.link.call_by(deadline, &command).await?;
        match answer.value {
            Value::BulkString(_) if !answer.certain => Err(UNCERTAIN),
            Value::BulkString(value) => Ok(match value::read(value, now)? {
                Some(stored) => Replaced::Conflict(stored),
                None => Replaced::Gone,
            }),
            _ => Ok(match answer.number()? {
                1 => Replaced::Replaced(version),
                _ => Replaced::Gone,
            }),
        }
    }

    /// Moves a record, which in a Cluster lies in another slot then: `to` is written before `from` ends, and
    /// taken back where `from` has changed. Where it is not known whether `from` has ended both stay: the
    /// client has not been told of `to`, so that nobody finds it before it expires.
    async fn relocate(
        &self,
        from: PublicId,
        expected: Version,
        to: PublicId,
        write: Write,
        leave: Option<Write>,
        now: Timestamp,
    ) -> Result<Replaced, Fault> {
        let deadline = self.link.deadline();
        let version = next_version(expected);
        let create = Command::create(&self.key(to), version, &write, now);
        if self.link.call_by(deadline, &create).await?.number()? != 1 {
            return Err(TAKEN);
        }
        let leave = Command::leave(&self.key(from), expected, version, leave.as_ref(), now);
        let ended = self.put(deadline, leave, version, now).await;
        let take_back = match &ended {
            Ok(Replaced::Replaced(_)) => false,
            Ok(Replaced::Conflict(_) | Replaced::Gone) => true,
            Err(fault) => fault.refused,
        };
        if take_back {
            let delete = Command::delete(&self.key(to), now);
            if let Err(fault) = self.link.call_by(deadline, &delete).await {
                let error = fault.during(RENAMING);
                tracing::warn!(%error, "a session record that nobody knows stays until it expires");
            }
        }
        ended
    }
}

const RENAMING: &str = "renaming a session in Redis";

const UNCERTAIN: Fault = Fault::new(
    Unavailable,
    "the connection was lost, and the record has changed since: the write may be a part of that",
);

const TAKEN: Fault = Fault::new(Corrupt, "another record has the new name already");

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
            let version = first_version();
            let command = Command::create(&self.key(key), version, &write, now);
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
            let version = next_version(expected);
            let command = Command::replace(&self.key(key), expected, version, &write, now);
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
        let command = Command::touch(&self.key(key), expected, expires_at, now);
        Box::pin(async move {
            let number = self.number(command).await;
            number
                .map(|number| number == 1)
                .map_err(|fault| fault.during("prolonging a session in Redis"))
        })
    }

    fn rename(
        &self,
        from: PublicId,
        expected: Version,
        to: PublicId,
        write: Write,
        leave: Option<Write>,
        now: Timestamp,
    ) -> StoreFuture<'_, Replaced> {
        let store = self.clone();
        Box::pin(async move {
            // Two commands: a caller who loses interest in between must not leave the job half done.
            let job = async move {
                let renamed = store.relocate(from, expected, to, write, leave, now).await;
                renamed.map_err(|fault| fault.during(RENAMING))
            };
            match tokio::spawn(job).await {
                Ok(renamed) => renamed,
                Err(error) => Err(StoreError::new(Unavailable, RENAMING).with_source(error)),
            }
        })
    }

    fn delete(&self, key: PublicId, now: Timestamp) -> StoreFuture<'_, bool> {
        let command = Command::delete(&self.key(key), now);
        self.end("deleting a session in Redis", command)
    }

    /// Answers 0: the server removes what has expired by itself.
    fn delete_expired(&self, _limit: usize, _now: Timestamp) -> StoreFuture<'_, usize> {
        Box::pin(async { Ok(0) })
    }

    fn clear(&self) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            let cleared = clear::clear(&self.link, &self.prefix).await;
            cleared.map_err(|fault| fault.during("clearing the sessions in Redis"))
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

    fn unlock(&self, key: PublicId, owner: LockOwner) -> StoreFuture<'_, bool> {
        let command = Command::unlock(&self.key(key), owner);
        self.end("unlocking a session in Redis", command)
    }
}

/// Addresses and credentials are not shown.
impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore")
            .field("prefix", &self.prefix)
            .field("connection", &self.link.kind())
            .finish()
    }
}
