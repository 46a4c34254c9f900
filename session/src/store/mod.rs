//! Session stores: the [`SessionStore`] contract and the stores that come with this crate.
//!
//! A store keeps opaque bytes under a [`PublicId`], each record with a [`Version`] and the time at which it
//! expires. It knows nothing about cookies, session keys or merging, so a store of your own is nine short
//! methods. The Cargo feature `conformance` contains the test suite to run on it.
//!
//! # Which store to use
//! | store | use it for | Cargo feature |
//! |---|---|---|
//! | [`MemoryStore`] | one process whose sessions may end with the process; tests | – |
//! | `SqliteStore` | one machine without a database server; sessions survive a restart | `sqlite` |
//! | `PostgresStore`, `MySqlStore` | several machines and an existing database; a sign-out must hold after any failure | `postgres`, `mysql` |
//! | `RedisStore` | several machines, many requests per second; sessions may be lost when a server fails | `redis` |
//!
//! [`connect`] opens any of them by URL, for applications that read the URL from their configuration. To
//! change the store, change the URL. Sessions are not copied to the new store, so users sign in again.
//!
//! # Guarantees
//! | | memory | SQLite | PostgreSQL | MySQL, MariaDB | Redis, Valkey |
//! |---|---|---|---|---|---|
//! | an acknowledged write survives the end of the application's process | no | yes | yes | yes | yes |
//! | … a crash of the server's process | – | – | yes | yes (`innodb_flush_log_at_trx_commit` not 0) | only with `appendonly` |
//! | … a power failure | no | yes, unless turned off | yes (`synchronous_commit`, `fsync`) | yes (`innodb_flush_log_at_trx_commit = 1`) | with `appendfsync always` |
//! | a lost node loses | all sessions | all sessions | nothing with a synchronous standby; otherwise the writes not yet replicated | nothing with Galera, or with semi-synchronous replication that never falls back; otherwise the writes not yet replicated | the writes not yet replicated: replication is asynchronous |
//! | after a failover | – | – | new connections reach the new primary if the address resolves to it | as PostgreSQL | the store follows Sentinel and the Cluster |
//! | two concurrent writes of one record | one succeeds, the other gets a conflict | the same | the same | the same | the same |
//! | a write of a reader whose record a failover or a restored backup has undone | – | conflict | conflict | conflict | conflict |
//! | clock that decides expiry | the application's | the application's | the application's | the application's | the application's |
//! | clock that removes expired records | the application's | the slower of the application's and the machine's | the slower of the application's and the server's | the slower of the application's and the server's | the server's |
//! | expired records are removed | by later writes | by sweeps | by sweeps | by sweeps | by the server |
//! | processes that can share the store | one | those of one machine | any number | any number | any number |
//!
//! The clocks of application servers should agree to well below the idle timeout: a server whose clock is
//! ahead expires sessions early, for its own requests. It does not remove them for the other servers.
//!
//! A write that returned an error may still have been executed, if the connection broke before the response
//! arrived. It was then executed completely.
//!
//! # Store calls per request
//! | | memory | SQLite | PostgreSQL | MySQL, MariaDB | Redis, Valkey |
//! |---|---|---|---|---|---|
//! | a visitor without a session, a handler that takes none | 0 | 0 | 0 | 0 | 0 |
//! | a new session | 1 | 1 | 1 | 1 | 1 |
//! | a read | 1 | 1 | 1 | 1 | 1 |
//! | a change, a sign-out (one read, one write) | 2 | 2 | 2 | 2 | 2 |
//! | a regenerate | 2 | 3, in a transaction | 2 | 3 | 3 |
//!
//! A scheduled id rotation needs one call more than a regenerate, to lock the session.
//!
//! Each call is one statement or command, and one round trip if there is a network, or four to PostgreSQL behind a
//! pooler in transaction mode. A read is followed by a
//! write of the expiry at most once per tenth of the idle timeout. A write that loses against a concurrent
//! request is read and written again.
//!
//! # Storage per session
//! Bytes per session, including indexes, by the size of the record's data in bytes:
//!
//! | | 100 | 400 | 1000 |
//! |---|---|---|---|
//! | memory | 217 | 519 | 1112 |
//! | SQLite | 220 | 518 | 1431 |
//! | PostgreSQL 15 | 282 | 612 | 1271 |
//! | MariaDB 10.11 | 347 | 820 | 1756 |
//! | Redis 7.0 | 340 | 657 | 1234 |
//!
//! Measured with 400,000 sessions in memory, 20,000 in Redis, and 100,000 in the others. Expired sessions
//! count until they are swept. PostgreSQL writes a new row version for each change and removes the old ones
//! later: sessions of 100 bytes that were changed ten times each took between 600 and 2000 bytes before the
//! first vacuum, which makes that space available to the table again.
//!
//! # When a store fails
//! Each call ends within its timeout. If it fails, the request gets a response with a status and no
//! details. The client keeps its cookie, and no write is applied partly. When the store works again, the
//! session is unchanged and the application needs no restart.
//!
//! | cause | [`StoreErrorKind`] | response |
//! |---|---|---|
//! | the server is down, starting or shutting down, or closes connections; it is a replica or read-only | [`Unavailable`](StoreErrorKind::Unavailable) | 503 |
//! | the server does not respond in time; all connections of the pool are in use; another transaction or process holds a lock | [`TimedOut`](StoreErrorKind::TimedOut) | 503 |
//! | the disk is full (Redis reports that as unavailable), or the store has reached its memory limit | [`Full`](StoreErrorKind::Full) | 503 |
//! | the password is wrong, the server's certificate is refused, privileges are missing, or the table is missing or has other columns | [`Misconfigured`](StoreErrorKind::Misconfigured) | 503 |
//! | the record was not written by the store or is larger than 8 MiB; the store leaves it unchanged | [`Corrupt`](StoreErrorKind::Corrupt) | 500 |
//! | the store does not implement the operation | [`Unsupported`](StoreErrorKind::Unsupported) | 500 |
//!
//! Sessions can still be read while the store can read: for example from a database that is read-only or
//! full, or whose user has lost the privilege to write.
//!
//! # When a store is full
//! A [`MemoryStore`] at its limits, or a Redis server at `maxmemory` with the policy `noeviction`, refuses two
//! things: new sessions, and changes that enlarge a session ([`Full`](StoreErrorKind::Full), 503). Sign-out,
//! [`revoke`](crate::Sessions::revoke), regenerate, reset, scheduled id rotation, locks, reads, and changes that
//! do not enlarge a session work as usual. So a user can sign out at any time, and can sign in with a session that
//! exists. The stores recognise these writes by their [`RecordClass`].
//!
//! A database whose disk is full refuses every write, and a store of another crate may refuse a rename. If a
//! handler has destroyed a session and set values that begin another one, and the store refuses the rename because
//! it is full, the library ends the session without beginning the other one. The response is then a 503 that
//! clears the client's id.
//!
//! # Rules for every store
//! - **The caller passes the time.** A record is live while `now < expires_at`. A record that is not live is
//!   never returned and never prevents a write, whether it has been swept or not.
//! - **A write is applied completely or not at all**, and increases the version. No two writes of a key have the
//!   same version, also if one of them is lost: see [`Version`].
//! - **A key never returns the record of another namespace.** A table, a key prefix or an instance is one
//!   namespace, and [`clear`](SessionStore::clear) removes the records of that namespace only.
//! - **A failure is an error.** A store that cannot execute a call returns a [`StoreError`]. It never reports
//!   a record as missing because a server did not respond.

mod connect;
mod error;
mod memory;
#[cfg(feature = "mysql")]
mod mysql;
#[cfg(any(
    feature = "sqlite",
    feature = "postgres",
    feature = "mysql",
    feature = "redis"
))]
#[cfg_attr(
    not(all(feature = "sqlite", feature = "postgres", feature = "redis")),
    allow(dead_code, reason = "some items are used by some stores only")
)]
mod parameters;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "redis")]
mod redis;
#[cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql"))]
#[cfg_attr(
    not(all(feature = "sqlite", feature = "postgres", feature = "mysql")),
    allow(
        dead_code,
        unused_imports,
        reason = "some items are used by some databases only"
    )
)]
mod sql;
#[cfg(feature = "sqlite")]
mod sqlite;
#[cfg(any(feature = "postgres-tls", feature = "mysql-tls", feature = "redis-tls"))]
mod tls;
mod version;
mod write;

use std::{fmt, future::Future, pin::Pin, sync::Arc};

use bytes::Bytes;

#[cfg(feature = "mysql")]
pub use self::mysql::{MySqlStore, MySqlStoreBuilder};
#[cfg(feature = "postgres")]
pub use self::postgres::{PostgresStore, PostgresStoreBuilder};
#[cfg(feature = "redis")]
pub use self::redis::{RedisSource, RedisStore, RedisStoreBuilder};
#[cfg(any(feature = "postgres", feature = "mysql"))]
pub use self::sql::ServerDatabase;
#[cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql"))]
pub use self::sql::{PoolMode, SqlDatabase, SqlStore, SqlStoreBuilder, TableName};
#[cfg(feature = "sqlite")]
pub use self::sqlite::{SqliteStore, SqliteStoreBuilder};
pub use self::{
    connect::connect,
    error::{StoreError, StoreErrorKind},
    memory::{MemoryStore, MemoryStoreBuilder, OnFull},
    version::Version,
    write::{RecordClass, Write},
};
use crate::{clock::Timestamp, id::PublicId, random};

/// The largest record in bytes that a store returns: 8 MiB. The setting for the largest session cannot
/// exceed it.
///
/// A larger value under a session's key in a database or in Redis was not written by a store. It is not
/// read, so that it takes no memory in the application.
pub const MAX_RECORD: usize = 8 * 1024 * 1024;

/// The longest timeout of a store's calls: 24 days. Drivers and the kernel count milliseconds in a signed number of
/// 32 bits.
#[cfg(any(
    feature = "sqlite",
    feature = "postgres",
    feature = "mysql",
    feature = "redis"
))]
const LONGEST_TIMEOUT: std::time::Duration = std::time::Duration::from_millis(0x7FFF_FFFF);

/// The boxed future that a store's methods return, so that the store can be chosen at run time.
/// Create it with `Box::pin(async move { … })`.
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// A live record, as a store returns it.
#[derive(Clone, PartialEq, Eq)]
pub struct Stored {
    /// The record's bytes, exactly as they were written. A clone shares them.
    pub data: Bytes,
    /// The record's version, to pass as `expected` when replacing it.
    pub version: Version,
    /// The time from which on the record no longer exists.
    pub expires_at: Timestamp,
}

impl fmt::Debug for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stored")
            .field("data", &format_args!("{} bytes", self.data.len()))
            .field("version", &self.version)
            .field("expires_at", &self.expires_at)
            .finish()
    }
}

/// The arguments of [`SessionStore::rename`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rename {
    /// The record's current key.
    pub from: PublicId,
    /// The version that the record under `from` must have.
    pub expected: Version,
    /// The record's new key. No live record may be stored under it.
    pub to: PublicId,
    /// The record to write under `to`.
    pub write: Write,
    /// The record to write under `from`, in place of the old one.
    pub leave: Write,
}

impl Rename {
    /// Creates a rename from `from`, at version `expected`, to `to`. It writes `write` under `to` and
    /// `leave` under `from`.
    pub fn new(
        from: PublicId,
        expected: Version,
        to: PublicId,
        write: Write,
        leave: Write,
    ) -> Self {
        Self {
            from,
            expected,
            to,
            write,
            leave,
        }
    }
}

/// The result of [`create`](SessionStore::create).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Created {
    /// The record was written with this version.
    Created(Version),
    /// A live record already exists under the key. Nothing was changed.
    Exists,
}

/// The result of a conditional write: [`replace`](SessionStore::replace) or
/// [`rename`](SessionStore::rename).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Replaced {
    /// The record was written. It has this version now.
    Replaced(Version),
    /// The record has another version than expected: this is the current record. Nothing was changed.
    Conflict(Stored),
    /// No live record exists under the key. Nothing was changed, and nothing was created.
    Gone,
}

/// The result of [`lock`](SessionStore::lock).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Locked {
    /// The caller holds the lease until the requested time.
    Acquired,
    /// Another owner holds a lease that has not expired.
    Held,
    /// No live record exists under the key.
    Gone,
}

/// Identifies the owner of a lease. Each attempt to acquire a lease uses a new random owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LockOwner(u128);

impl LockOwner {
    /// Creates a random owner.
    pub fn random() -> Self {
        Self(u128::from_ne_bytes(random::bytes()))
    }

    /// Creates an owner from its number.
    pub const fn new(number: u128) -> Self {
        Self(number)
    }

    /// Returns the owner's number.
    pub const fn get(self) -> u128 {
        self.0
    }
}

/// A place that keeps session records. The [module documentation](self) lists the rules for every store.
///
/// Each method should need one round trip if the backend allows it. If a returned future is dropped before
/// it completes, its write may be applied or not, but never partly.
///
/// # Errors
/// Every method returns a [`StoreError`] if the backend fails. A store returns
/// [`StoreErrorKind::Unsupported`] from an operation that it cannot implement.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a session store",
    label = "this is not a `SessionStore`",
    note = "use `MemoryStore::new()`, a store of a Cargo feature, `store::connect(url)`, or implement `poem_session::store::SessionStore`"
)]
pub trait SessionStore: fmt::Debug + Send + Sync + 'static {
    /// Returns the live record under `key`, or `None` if there is none.
    fn load(&self, key: PublicId, now: Timestamp) -> StoreFuture<'_, Option<Stored>>;

    /// Writes a record under `key` if no live record exists there. An expired record is overwritten.
    fn create(&self, key: PublicId, write: Write, now: Timestamp) -> StoreFuture<'_, Created>;

    /// Writes the record under `key` if its version is `expected`.
    ///
    /// A full store should accept a record that is not larger than the one it replaces, and a
    /// [retired](RecordClass::Retired) one in any case.
    fn replace(
        &self,
        key: PublicId,
        expected: Version,
        write: Write,
        now: Timestamp,
    ) -> StoreFuture<'_, Replaced>;

    /// Moves the expiry of the record under `key` to `expires_at` if its version is `expected`.
    ///
    /// The expiry never moves to an earlier time, and the data and the version stay the same. Returns
    /// whether a live record of that version exists. If it returns false, nothing was changed, and the
    /// caller must not extend the client's cookie.
    fn touch(
        &self,
        key: PublicId,
        expected: Version,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> StoreFuture<'_, bool>;

    /// Moves a record to another key if the version under [`from`](Rename::from) is
    /// [`expected`](Rename::expected).
    ///
    /// Writes [`write`](Rename::write) under [`to`](Rename::to) and [`leave`](Rename::leave) under `from`.
    /// A lease of `from` ends. If a live record exists under `to`, the store returns an error
    /// ([`Corrupt`](StoreErrorKind::Corrupt)) and changes nothing.
    ///
    /// A backend that cannot write both records at once writes `to` before `from`, and removes `to` again
    /// if the version of `from` has changed. So a reader that finds `leave` also finds the record under
    /// `to`, and a record exists under `from` at every moment.
    ///
    /// A full store should accept a rename, because a user signs in or out by it. A store that must refuse changes
    /// nothing and returns [`Full`](StoreErrorKind::Full).
    fn rename(&self, rename: Rename, now: Timestamp) -> StoreFuture<'_, Replaced>;

    /// Removes up to `limit` expired records and returns how many it removed.
    ///
    /// A number below `limit` means that no expired record is left. A backend that removes expired records
    /// by itself returns 0.
    ///
    /// A backend that has a clock of its own, such as a database, removes only records that have expired by that
    /// clock as well as by `now`. Otherwise one machine whose clock is ahead would remove the live sessions of
    /// all. A record that has expired by `now` alone stays until a later sweep, and is not returned meanwhile.
    fn delete_expired(&self, limit: usize, now: Timestamp) -> StoreFuture<'_, usize>;

    /// Removes every record of this store's namespace, and no other record.
    fn clear(&self) -> StoreFuture<'_, ()>;

    /// Acquires the lease of the record under `key` for `owner` until `until`. If `owner` already holds the
    /// lease, sets its end to `until`.
    ///
    /// A lease has expired if its end is at or before `now`, and is free then. A lease is stored beside the
    /// record: it does not block reads or writes, does not change the version or the expiry, and ends with
    /// the record.
    ///
    /// One rule is different: **taking over an expired lease that was not released increases the record's
    /// version**, and changes nothing else. The new version is a fence: a write that the previous owner
    /// sent and that arrives late is a conflict.
    fn lock(
        &self,
        key: PublicId,
        owner: LockOwner,
        until: Timestamp,
        now: Timestamp,
    ) -> StoreFuture<'_, Locked>;

    /// Releases the lease if `owner` holds it. Returns whether it did.
    fn unlock(&self, key: PublicId, owner: LockOwner) -> StoreFuture<'_, bool>;
}

impl<T: SessionStore + ?Sized> SessionStore for Arc<T> {
    fn load(&self, key: PublicId, now: Timestamp) -> StoreFuture<'_, Option<Stored>> {
        (**self).load(key, now)
    }

    fn create(&self, key: PublicId, write: Write, now: Timestamp) -> StoreFuture<'_, Created> {
        (**self).create(key, write, now)
    }

    fn replace(
        &self,
        key: PublicId,
        expected: Version,
        write: Write,
        now: Timestamp,
    ) -> StoreFuture<'_, Replaced> {
        (**self).replace(key, expected, write, now)
    }

    fn touch(
        &self,
        key: PublicId,
        expected: Version,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> StoreFuture<'_, bool> {
        (**self).touch(key, expected, expires_at, now)
    }

    fn rename(&self, rename: Rename, now: Timestamp) -> StoreFuture<'_, Replaced> {
        (**self).rename(rename, now)
    }

    fn delete_expired(&self, limit: usize, now: Timestamp) -> StoreFuture<'_, usize> {
        (**self).delete_expired(limit, now)
    }

    fn clear(&self) -> StoreFuture<'_, ()> {
        (**self).clear()
    }

    fn lock(
        &self,
        key: PublicId,
        owner: LockOwner,
        until: Timestamp,
        now: Timestamp,
    ) -> StoreFuture<'_, Locked> {
        (**self).lock(key, owner, until, now)
    }

    fn unlock(&self, key: PublicId, owner: LockOwner) -> StoreFuture<'_, bool> {
        (**self).unlock(key, owner)
    }
}
