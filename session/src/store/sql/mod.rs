//! What the SQL stores share: one table, one set of statements, one reading of their answers.
//!
//! A [`Backend`] adds what its database has of its own. It may leave everything to the statements
//! here, and says in its own way only what would otherwise cost another round trip or take a lock:
//! creating over an expired record, returning the current record from a write that lost, moving a
//! record while leaving another, and sweeping beside other sweeps.

mod fault;
mod forward;
#[cfg(any(feature = "postgres", feature = "mysql"))]
mod server;
mod statement;
mod table;

use std::{fmt, future::Future};

use bytes::Bytes;
use sqlx::error::DatabaseError;

#[cfg(any(feature = "postgres", feature = "mysql"))]
pub use self::server::DatabaseBuilder;
#[cfg(any(feature = "postgres", feature = "mysql"))]
pub(super) use self::server::{Attempts, InUse, server_store};
pub use self::table::TableName;
pub(super) use self::{
    fault::{by_sqlstate, is_broken, misconfigured, store_error},
    forward::{session_store, statement_calls},
    statement::{DATA, Placeholders, Statement, Statements, UPSERT},
    table::quoted,
};
use super::{
    Created, LockOwner, Locked, Replaced, StoreError, StoreErrorKind, Stored, Version, Write,
};
use crate::{clock::Timestamp, id::PublicId};

/// One value to bind.
#[derive(Clone, Copy)]
pub(super) enum Value<'a> {
    Bytes(&'a [u8]),
    Integer(i64),
}

/// What a statement that returns a row returns: always these three columns, in this order.
pub(super) struct Row {
    pub(super) version: i64,
    /// The bytes and the expiry, where the statement tells more than a version.
    pub(super) record: Option<(Vec<u8>, i64)>,
}

/// What is known after a conditional write.
pub(super) enum Written {
    Yes,
    /// It was not written, as this was there when the statement began: no record, or this one.
    No(Option<Stored>),
    /// It was not written. What is there has to be read.
    NotKnown,
}

/// How an error names what was being done, with the name of the database.
pub(super) struct Actions {
    pub(super) load: &'static str,
    pub(super) create: &'static str,
    pub(super) replace: &'static str,
    pub(super) touch: &'static str,
    pub(super) rename: &'static str,
    pub(super) delete: &'static str,
    pub(super) delete_expired: &'static str,
    pub(super) clear: &'static str,
    pub(super) lock: &'static str,
    pub(super) unlock: &'static str,
    pub(super) open: &'static str,
    pub(super) migrate: &'static str,
}

/// The [`Actions`] of a database of this name.
macro_rules! actions {
    ($database:literal) => {
        $crate::store::sql::Actions {
            load: concat!("loading a session from ", $database),
            create: concat!("creating a session in ", $database),
            replace: concat!("replacing a session in ", $database),
            touch: concat!("prolonging a session in ", $database),
            rename: concat!("renaming a session in ", $database),
            delete: concat!("deleting a session from ", $database),
            delete_expired: concat!("deleting expired sessions from ", $database),
            clear: concat!("deleting all sessions from ", $database),
            lock: concat!("locking a session in ", $database),
            unlock: concat!("unlocking a session in ", $database),
            open: concat!("opening ", $database, " for sessions"),
            migrate: concat!("creating the table of sessions in ", $database),
        }
    };
}
pub(super) use actions;

/// What one database has of its own.
///
/// Values are bound in the order that the statements of [`Statements`] number them in: the key first,
/// then the time.
pub(super) trait Backend: fmt::Debug + Send + Sync + 'static {
    const ACTIONS: Actions;

    /// What kind of trouble a value of another type is than its column should have: one of the whole
    /// table, where columns have types.
    const OF_ANOTHER_TYPE: StoreErrorKind = StoreErrorKind::Misconfigured;

    fn statements(&self) -> &Statements;

    /// What kind of trouble an error of the database is.
    fn kind_of(error: &dyn DatabaseError) -> StoreErrorKind;

    /// Whether the server, or the part of it that the connection leads to, is for reading only.
    fn refuses_writes(error: &dyn DatabaseError) -> bool {
        error.code().as_deref() == Some("25006")
    }

    /// Whether the text of an error may hold a value that was bound.
    fn quotes_values(_error: &dyn DatabaseError) -> bool {
        false
    }

    /// Runs a statement. Answers how many rows it has met.
    fn execute(
        &self,
        statement: &Statement,
        values: &[Value<'_>],
    ) -> impl Future<Output = sqlx::Result<u64>> + Send;

    /// Runs a statement that returns one row or none.
    fn fetch(
        &self,
        statement: &Statement,
        values: &[Value<'_>],
    ) -> impl Future<Output = sqlx::Result<Option<Row>>> + Send;

    /// Inserts a record, or puts it in the place of an expired one. Answers its version, or none where
    /// a live record is. Values: key, now, data, expiry.
    fn upsert(
        &self,
        values: &[Value<'_>],
    ) -> impl Future<Output = sqlx::Result<Option<i64>>> + Send;

    /// Runs a write that is to meet one row or none.
    fn write_if(
        &self,
        statement: &Statement,
        values: &[Value<'_>],
    ) -> impl Future<Output = sqlx::Result<Written>> + Send {
        async {
            let met = self.execute(statement, values).await?;
            Ok(if met == 1 {
                Written::Yes
            } else {
                Written::NotKnown
            })
        }
    }

    /// Moves a record and leaves another in its place. Values: those of [`Statements::rename`], then
    /// the data and the expiry of what is left.
    fn rename_and_leave(
        &self,
        values: &[Value<'_>],
    ) -> impl Future<Output = sqlx::Result<Written>> + Send;

    /// Deletes up to `limit` expired records. Answers how many.
    fn sweep(&self, limit: i64, now: i64) -> impl Future<Output = sqlx::Result<u64>> + Send;
}

pub(super) async fn load<B: Backend>(
    backend: &B,
    key: PublicId,
    now: Timestamp,
) -> Result<Option<Stored>, StoreError> {
    let action = B::ACTIONS.load;
    current(backend, key, now)
        .await
        .map_err(|error| store_error::<B>(action, error))
}

async fn current<B: Backend>(
    backend: &B,
    key: PublicId,
    now: Timestamp,
) -> sqlx::Result<Option<Stored>> {
    let values = [bytes(key.as_bytes()), time(now)];
    let mut tries = 0;
    loop {
        tries += 1;
        let row = backend.fetch(&backend.statements().load, &values).await;
        // Reading twice does no harm, and a server that was started again leaves a pool of connections
        // that do not know it yet. A write is not repeated: it may have been done.
        match row {
            Err(error) if tries < READS && is_broken(&error) => {}
            row => return Ok(row?.and_then(Row::into_stored)),
        }
    }
}

/// How often a record is asked for over connections that turn out to be broken; as many as a pool is
/// likely to have, and one more.
const READS: u32 = 33;

pub(super) async fn create<B: Backend>(
    backend: &B,
    key: PublicId,
    write: Write,
    now: Timestamp,
) -> Result<Created, StoreError> {
    let values = [
        bytes(key.as_bytes()),
        time(now),
        bytes(&write.data),
        time(write.expires_at),
    ];
    let version = backend.upsert(&values).await;
    let version = version.map_err(|error| store_error::<B>(B::ACTIONS.create, error))?;
    Ok(version.map_or(Created::Exists, |version| {
        Created::Created(version_from(version))
    }))
}

pub(super) async fn replace<B: Backend>(
    backend: &B,
    key: PublicId,
    expected: Version,
    write: Write,
    now: Timestamp,
) -> Result<Replaced, StoreError> {
    let values = [
        bytes(key.as_bytes()),
        time(now),
        version(expected),
        bytes(&write.data),
        time(write.expires_at),
    ];
    let written = backend
        .write_if(&backend.statements().replace, &values)
        .await;
    settle(backend, written, key, expected, now)
        .await
        .map_err(|error| store_error::<B>(B::ACTIONS.replace, error))
}

pub(super) async fn touch<B: Backend>(
    backend: &B,
    key: PublicId,
    expected: Version,
    expires_at: Timestamp,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let values = [
        bytes(key.as_bytes()),
        time(now),
        version(expected),
        time(expires_at),
    ];
    let statement = &backend.statements().touch;
    meets_one(backend, statement, &values, B::ACTIONS.touch).await
}

pub(super) async fn rename<B: Backend>(
    backend: &B,
    from: PublicId,
    expected: Version,
    to: PublicId,
    write: Write,
    leave: Option<Write>,
    now: Timestamp,
) -> Result<Replaced, StoreError> {
    let mut values = vec![
        bytes(from.as_bytes()),
        time(now),
        version(expected),
        bytes(&write.data),
        time(write.expires_at),
        bytes(to.as_bytes()),
    ];
    if let Some(leave) = &leave {
        values.extend([bytes(&leave.data), time(leave.expires_at)]);
    }
    let action = B::ACTIONS.rename;
    let move_it = || async {
        if leave.is_some() {
            backend.rename_and_leave(&values).await
        } else {
            let statement = &backend.statements().rename;
            backend.write_if(statement, &values).await
        }
    };
    let mut written = move_it().await;
    if written.as_ref().is_err_and(is_occupied) {
        // An expired record may go. A live one may not be there: ids are too long to meet by chance.
        let occupied = [bytes(to.as_bytes()), time(now)];
        let statement = &backend.statements().make_way;
        if !meets_one(backend, statement, &occupied, action).await? {
            return Err(StoreError::new(StoreErrorKind::Corrupt, action));
        }
        written = move_it().await;
    }
    settle(backend, written, from, expected, now)
        .await
        .map_err(|error| {
            if is_occupied(&error) {
                StoreError::new(StoreErrorKind::Corrupt, action)
            } else {
                store_error::<B>(action, error)
            }
        })
}

fn is_occupied(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .is_some_and(DatabaseError::is_unique_violation)
}

/// What a conditional write has come to; reads what is there where that is not known.
async fn settle<B: Backend>(
    backend: &B,
    written: sqlx::Result<Written>,
    key: PublicId,
    expected: Version,
    now: Timestamp,
) -> sqlx::Result<Replaced> {
    let found = match written? {
        Written::Yes => return Ok(Replaced::Replaced(expected.next())),
        // The statement saw the version that was asked for and did not write: another transaction was
        // about to change it, and what it changed it to is to be seen only now.
        Written::No(Some(stored)) if stored.version == expected => {
            current(backend, key, now).await?
        }
        Written::No(found) => found,
        Written::NotKnown => current(backend, key, now).await?,
    };
    Ok(found.map_or(Replaced::Gone, Replaced::Conflict))
}

pub(super) async fn delete<B: Backend>(
    backend: &B,
    key: PublicId,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let values = [bytes(key.as_bytes()), time(now)];
    let statement = &backend.statements().delete;
    meets_one(backend, statement, &values, B::ACTIONS.delete).await
}

pub(super) async fn delete_expired<B: Backend>(
    backend: &B,
    limit: usize,
    now: Timestamp,
) -> Result<usize, StoreError> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let deleted = backend.sweep(limit, millis(now)).await;
    let deleted = deleted.map_err(|error| store_error::<B>(B::ACTIONS.delete_expired, error))?;
    Ok(usize::try_from(deleted).unwrap_or(usize::MAX))
}

pub(super) async fn clear<B: Backend>(backend: &B) -> Result<(), StoreError> {
    let cleared = backend.execute(&backend.statements().clear, &[]).await;
    cleared
        .map(drop)
        .map_err(|error| store_error::<B>(B::ACTIONS.clear, error))
}

pub(super) async fn lock<B: Backend>(
    backend: &B,
    key: PublicId,
    owner: LockOwner,
    until: Timestamp,
    now: Timestamp,
) -> Result<Locked, StoreError> {
    let (action, statements) = (B::ACTIONS.lock, backend.statements());
    let owner = owner.get().to_be_bytes();
    let values = [bytes(key.as_bytes()), time(now), bytes(&owner), time(until)];
    if meets_one(backend, &statements.lock, &values, action).await? {
        return Ok(Locked::Acquired);
    }
    let row = backend.fetch(&statements.exists, &values[..2]).await;
    let row = row.map_err(|error| store_error::<B>(action, error))?;
    Ok(row.map_or(Locked::Gone, |_| Locked::Held))
}

pub(super) async fn unlock<B: Backend>(
    backend: &B,
    key: PublicId,
    owner: LockOwner,
) -> Result<bool, StoreError> {
    let owner = owner.get().to_be_bytes();
    let values = [bytes(key.as_bytes()), bytes(&owner)];
    let statement = &backend.statements().unlock;
    meets_one(backend, statement, &values, B::ACTIONS.unlock).await
}

async fn meets_one<B: Backend>(
    backend: &B,
    statement: &Statement,
    values: &[Value<'_>],
    action: &'static str,
) -> Result<bool, StoreError> {
    let met = backend.execute(statement, values).await;
    met.map(|met| met == 1)
        .map_err(|error| store_error::<B>(action, error))
}

impl Row {
    /// The row of these columns, if a store can have written it.
    pub(super) fn new(
        version: i64,
        data: Option<Vec<u8>>,
        expires_at: Option<i64>,
    ) -> sqlx::Result<Self> {
        let record = match (data, expires_at) {
            (Some(data), Some(expires_at)) => Some((data, expires_at)),
            (None, None) => None,
            _ => {
                return Err(foreign(
                    "it has no data or no end, or it is larger than 8 MiB",
                ));
            }
        };
        if version < 1 {
            return Err(foreign("its version is none"));
        }
        Ok(Self { version, record })
    }

    pub(super) fn into_stored(self) -> Option<Stored> {
        let version = version_from(self.version);
        self.record.map(|(data, expires_at)| Stored {
            data: Bytes::from(data),
            version,
            expires_at: Timestamp::from_millis(u64::try_from(expires_at).unwrap_or(0)),
        })
    }
}

fn bytes(bytes: &[u8]) -> Value<'_> {
    Value::Bytes(bytes)
}

/// A record that no store wrote.
fn foreign(why: &'static str) -> sqlx::Error {
    sqlx::Error::Decode(why.into())
}

/// A moment beyond what the database can count to is as good as never.
fn millis(time: Timestamp) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

fn time<'a>(time: Timestamp) -> Value<'a> {
    Value::Integer(millis(time))
}

/// A version that the database could not have given matches none that it has.
fn version<'a>(version: Version) -> Value<'a> {
    Value::Integer(i64::try_from(version.get()).unwrap_or(-1))
}

fn version_from(number: i64) -> Version {
    Version::new(u64::try_from(number).unwrap_or(0))
}
