//! Where sessions are kept: the [`SessionStore`] contract and the stores that come with it.
//!
//! A store keeps opaque bytes under a [`PublicId`], each record with a [`Version`] and the moment
//! it expires. It knows nothing of cookies, keys or merging, so a store of your own is ten
//! short methods; the feature `conformance` gives you the test suite to run on it.
//!
//! # Which store when
//! | store | for | Cargo feature |
//! |---|---|---|
//! | [`MemoryStore`] | one process whose sessions may end with it; tests | – |
//! | `SqliteStore` | one machine, sessions that outlive a restart, no server to run | `sqlite` |
//! | `PostgresStore`, `MySqlStore` | several machines, a database that is there anyway; a sign-out that must hold whatever fails | `postgres`, `mysql` |
//! | `RedisStore` | several machines, many requests a second, sessions that may be lost with a server | `redis` |
//!
//! [`connect`] opens any of them by its address, for applications that take it from their configuration.
//! Changing the store later is a change of that address; sessions stay behind, and their users sign in
//! again.
//!
//! # What each guarantees
//! | | memory | SQLite | PostgreSQL | MySQL, MariaDB | Redis, Valkey |
//! |---|---|---|---|---|---|
//! | an acknowledged write survives the application's process | no | yes | yes | yes | yes |
//! | … a crash of the server's process | – | – | yes | yes (`innodb_flush_log_at_trx_commit` not 0) | only with `appendonly` |
//! | … a power cut | no | yes, unless turned off | yes (`synchronous_commit`, `fsync`) | yes (`innodb_flush_log_at_trx_commit = 1`) | with `appendfsync always` |
//! | a lost node loses | all | all | nothing with a synchronous standby; else what was not replicated yet | nothing with semi-synchronous replication that does not fall back, or Galera; else what was not replicated yet | what was not replicated yet: replication is asynchronous |
//! | a failover | – | – | is followed by new connections: the address has to lead to the new primary | as PostgreSQL | is followed through Sentinel and in a Cluster |
//! | two writes at once of one record | one is done, the other sees it | the same | the same | the same | the same |
//! | whose clock decides expiry | the application's | the application's | the application's | the application's | the application's; the server's only removes |
//! | expired records are removed | along with writes | by sweeps | by sweeps | by sweeps | by the server |
//! | processes that may share it | one | those of one machine | any number | any number | any number |
//!
//! Clocks of application servers should agree to well below the idle timeout: the one that is ahead ends
//! sessions early. A write that was answered with an error may have been done all the same, if the
//! connection broke before the answer came; it is then done as a whole.
//!
//! # Calls a request
//! | | memory | SQLite | PostgreSQL | MySQL, MariaDB | Redis, Valkey |
//! |---|---|---|---|---|---|
//! | a visitor without a session, a handler that takes none | 0 | 0 | 0 | 0 | 0 |
//! | a new session | 1 | 1 | 1 | 1 | 1 |
//! | a read | 1 | 1 | 1 | 1 | 1 |
//! | a change, a sign-out (one reads, one writes) | 2 | 2 | 2 | 2 | 2 |
//! | a regenerate | 2 | 3, in a transaction | 2 | 3 | 3 |
//!
//! A renewal of the id on schedule costs one more than a regenerate, to lock the session.
//!
//! Each call is one statement or command, and one round trip where there is a network. A read is followed
//! by a write of the expiry at most once in a tenth of the idle timeout. What loses against a parallel
//! request is read and written again.
//!
//! # Room a session takes
//! In bytes, with its indexes, for data of so many bytes:
//!
//! | | 100 | 400 | 1000 |
//! |---|---|---|---|
//! | memory | 217 | 519 | 1112 |
//! | SQLite | 220 | 518 | 1431 |
//! | PostgreSQL 15 | 282 | 612 | 1271 |
//! | MariaDB 10.11 | 347 | 820 | 1756 |
//! | Redis 7.0 | 340 | 657 | 1234 |
//!
//! Measured with 400,000 sessions in memory, 20,000 in Redis, and 100,000 in the others. Sessions that have
//! expired count until they are swept. PostgreSQL writes a row anew with each change and clears the old one
//! away later: sessions of 100 bytes that were changed ten times each took between 600 and 2000 bytes
//! before the first vacuum, which gives the room back to the table.
//!
//! # When a store fails
//! A call ends with an error within its time limit, and the request with a response that says no more than
//! its status. The client keeps its cookie, nothing is written by halves, and when the trouble is over the
//! session is as it was, without a restart of the application.
//!
//! | what is wrong | [`StoreErrorKind`] | response |
//! |---|---|---|
//! | the server is down, starts or shuts down, cuts connections; it is a replica, or was made read-only | [`Unavailable`](StoreErrorKind::Unavailable) | 503 |
//! | it does not answer in time; all connections of the pool are in use; another transaction or process holds a lock | [`TimedOut`](StoreErrorKind::TimedOut) | 503 |
//! | the disk is full (of which Redis only says that it is unavailable), or the memory that may be used | [`Full`](StoreErrorKind::Full) | 503 |
//! | a wrong password, rights that are missing, no table, or a table that is not the store's | [`Misconfigured`](StoreErrorKind::Misconfigured) | 503 |
//! | a record that no store wrote, or of more than 8 MiB; it stays as it is | [`Corrupt`](StoreErrorKind::Corrupt) | 500 |
//!
//! Where a store can still read, sessions are read: from a database that is read-only or full, or that has
//! taken the right to write away.
//!
//! # Rules every store keeps
//! - **Time is an argument.** A record is live while `now < expires_at`; one that is not is never
//!   returned and never stands in the way, whether it was swept yet or not.
//! - **A write is whole or not at all**, and moves the version on by at least one.
//! - **A key never holds another namespace's record**: a table, a key prefix or an instance is one
//!   namespace, and [`clear`](SessionStore::clear) empties that one alone.
//! - **Errors are errors.** A store that cannot answer says so with a [`StoreError`]; it never
//!   reports a record as missing because a server did not answer.

mod connect;
mod error;
mod memory;
#[cfg(feature = "mysql")]
mod mysql;
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
        reason = "each database leaves some of it to the others"
    )
)]
mod sql;
#[cfg(feature = "sqlite")]
mod sqlite;

use std::{fmt, future::Future, pin::Pin, sync::Arc};

use bytes::Bytes;

#[cfg(feature = "mysql")]
pub use self::mysql::{MySqlStore, MySqlStoreBuilder};
#[cfg(feature = "postgres")]
pub use self::postgres::{PostgresStore, PostgresStoreBuilder};
#[cfg(feature = "redis")]
pub use self::redis::{RedisClient, RedisConnection, RedisStore, RedisStoreBuilder};
#[cfg(any(feature = "postgres", feature = "mysql"))]
pub use self::sql::DatabaseBuilder;
#[cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql"))]
pub use self::sql::TableName;
#[cfg(feature = "sqlite")]
pub use self::sqlite::{SqliteStore, SqliteStoreBuilder};
pub use self::{
    connect::connect,
    error::{StoreError, StoreErrorKind},
    memory::{MemoryStore, MemoryStoreBuilder, OnFull},
};
use crate::{clock::Timestamp, id::PublicId};

/// The most bytes of data that a record may have: 8 MiB, which no
/// [`max_size`](crate::SessionsBuilder::max_size) goes beyond. A database or Redis may hold more under a key,
/// whoever put it there; their stores do not read it, so that it takes no memory here.
pub const MAX_RECORD: usize = 8 * 1024 * 1024;

/// What a store's methods return: a boxed future, so that stores can be chosen at run time.
/// Write `Box::pin(async move { … })`.
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Counts the writes of one record. A record begins at some version of the store's choice and every
/// write moves it on.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(u64);

impl Version {
    /// The version that [`create`](SessionStore::create) should give.
    pub const FIRST: Self = Self(1);

    /// The version with this number.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Its number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The version after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{}", self.0)
    }
}

/// A live record, as a store returns it.
#[derive(Clone, PartialEq, Eq)]
pub struct Stored {
    /// The bytes, exactly as they were written. Cloning shares them.
    pub data: Bytes,
    /// The version to name when replacing it.
    pub version: Version,
    /// From this moment on the record is gone.
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

/// What is to be written.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Write {
    /// The record's new bytes; may be empty.
    pub data: Bytes,
    /// From this moment on the record is gone.
    pub expires_at: Timestamp,
}

impl Write {
    /// A write of `data` that lives until `expires_at`.
    pub fn new(data: impl Into<Bytes>, expires_at: Timestamp) -> Self {
        Self {
            data: data.into(),
            expires_at,
        }
    }
}

impl fmt::Debug for Write {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Write")
            .field("data", &format_args!("{} bytes", self.data.len()))
            .field("expires_at", &self.expires_at)
            .finish()
    }
}

/// What became of a [`create`](SessionStore::create).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Created {
    /// The record is there, with this version.
    Created(Version),
    /// A live record was there already; nothing was changed.
    Exists,
}

/// What became of a conditional write: [`replace`](SessionStore::replace) or
/// [`rename`](SessionStore::rename).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Replaced {
    /// Written; this is the new version.
    Replaced(Version),
    /// The record has another version by now; nothing was changed. This is the record.
    Conflict(Stored),
    /// No live record is there; nothing was changed, and nothing created.
    Gone,
}

/// What became of a [`lock`](SessionStore::lock).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Locked {
    /// The lease is ours, until the moment asked for.
    Acquired,
    /// Another owner holds a lease that has not run out.
    Held,
    /// No live record is there to be locked.
    Gone,
}

/// Names who holds a lease: random, one for each attempt to take it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LockOwner(u128);

impl LockOwner {
    /// A new owner, unlike any other.
    pub fn random() -> Self {
        Self(rand::random())
    }

    /// The owner with this number.
    pub const fn new(number: u128) -> Self {
        Self(number)
    }

    /// Its number.
    pub const fn get(self) -> u128 {
        self.0
    }
}

/// The contract between sessions and the place they are kept: see the [module](self) for the rules.
///
/// One round trip each where the backend can. Dropping a returned future may leave its one write done
/// or not done, never half done.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a session store",
    label = "this is not a `SessionStore`",
    note = "use `MemoryStore::new()`, a store of a Cargo feature, `store::connect(url)`, or implement `poem_session::store::SessionStore`"
)]
pub trait SessionStore: fmt::Debug + Send + Sync + 'static {
    /// The live record under `key`.
    fn load(&self, key: PublicId, now: Timestamp) -> StoreFuture<'_, Option<Stored>>;

    /// Writes a record under a key where no live one is. An expired one does not stand in the way.
    fn create(&self, key: PublicId, write: Write, now: Timestamp) -> StoreFuture<'_, Created>;

    /// Writes the record under `key` if its version is still `expected`.
    fn replace(
        &self,
        key: PublicId,
        expected: Version,
        write: Write,
        now: Timestamp,
    ) -> StoreFuture<'_, Replaced>;

    /// Moves the expiry of the record under `key` to `expires_at`, and nothing else, if its version is
    /// still `expected`. An expiry that is later already stays. The version stays. Answers whether a live
    /// record of that version is there: if not, nothing was changed, and the caller must not tell a client
    /// that its session goes on.
    fn touch(
        &self,
        key: PublicId,
        expected: Version,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> StoreFuture<'_, bool>;

    /// Moves a record: if the version under `from` is still `expected`, puts `write` under `to`, where
    /// nothing is, and ends the record under `from`, or puts `leave` in its place. Either way a lease
    /// of `from` ends. A live record under `to` is an error, and then nothing is changed.
    ///
    /// A backend that cannot do both at once writes `to` before it ends `from`, and takes `to` back when
    /// `from` turns out to have changed: at no moment is neither there.
    fn rename(
        &self,
        from: PublicId,
        expected: Version,
        to: PublicId,
        write: Write,
        leave: Option<Write>,
        now: Timestamp,
    ) -> StoreFuture<'_, Replaced>;

    /// Ends the record under `key`, whatever its version. Answers whether a live one was there.
    fn delete(&self, key: PublicId, now: Timestamp) -> StoreFuture<'_, bool>;

    /// Removes up to `limit` records that have expired. Answers how many it removed: fewer than `limit`
    /// means that none are left. A backend that removes them by itself answers 0.
    fn delete_expired(&self, limit: usize, now: Timestamp) -> StoreFuture<'_, usize>;

    /// Removes every record of this store's namespace, and nothing else.
    fn clear(&self) -> StoreFuture<'_, ()>;

    /// Takes the lease of the record under `key` for `owner` until `until`, or sets its end anew where
    /// `owner` has it already. A lease that has run out (`until <= now`) is free. A lease is beside the
    /// record: it bars no reads and writes, moves neither version nor expiry, and ends with the record.
    ///
    /// Except that **taking over a lease that ran out, and was not given back, moves the version on**, and
    /// nothing else. That is the fence: what the owner before had sent, and what is held up on its way, is
    /// a conflict when it arrives.
    fn lock(
        &self,
        key: PublicId,
        owner: LockOwner,
        until: Timestamp,
        now: Timestamp,
    ) -> StoreFuture<'_, Locked>;

    /// Gives the lease back, if `owner` holds it. Answers whether it did.
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

    fn rename(
        &self,
        from: PublicId,
        expected: Version,
        to: PublicId,
        write: Write,
        leave: Option<Write>,
        now: Timestamp,
    ) -> StoreFuture<'_, Replaced> {
        (**self).rename(from, expected, to, write, leave, now)
    }

    fn delete(&self, key: PublicId, now: Timestamp) -> StoreFuture<'_, bool> {
        (**self).delete(key, now)
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
