//! The store contract, for every SQL database.

use sqlx::error::DatabaseError;

use super::{
    SqlDatabase, SqlStore,
    database::Written,
    driver::{Row, Value, millis, time, version, version_from},
    error::{is_broken, store_error},
    statement::Statement,
};
use crate::{
    clock::Timestamp,
    id::PublicId,
    store::{
        Created, LockOwner, Locked, Rename, Replaced, SessionStore, StoreError, StoreErrorKind,
        StoreFuture, Stored, Version, Write,
    },
};

/// The largest number of attempts at a read over broken connections: the usual size of a pool, and one more.
const READS: u32 = 33;

impl<DB: SqlDatabase> SessionStore for SqlStore<DB> {
    fn load(&self, key: PublicId, now: Timestamp) -> StoreFuture<'_, Option<Stored>> {
        Box::pin(async move {
            let current = self.current(key, now).await;
            current.map_err(|error| store_error::<DB>(DB::ACTIONS.load, error))
        })
    }

    fn create(&self, key: PublicId, write: Write, now: Timestamp) -> StoreFuture<'_, Created> {
        Box::pin(async move {
            let values = [
                Value::Bytes(key.as_bytes()),
                time(now),
                Value::Bytes(&write.data),
                time(write.expires_at),
                version(Version::random_first()),
            ];
            match DB::upsert(self, &values).await {
                Ok(Some(version)) => Ok(Created::Created(version_from(version))),
                Ok(None) => Ok(Created::Exists),
                Err(error) => Err(store_error::<DB>(DB::ACTIONS.create, error)),
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
            let next = expected.random_next();
            let values = [
                Value::Bytes(key.as_bytes()),
                time(now),
                version(expected),
                Value::Bytes(&write.data),
                time(write.expires_at),
                version(next),
            ];
            let written = DB::replace(self, &values).await;
            self.settle(written, key, [expected, next], now)
                .await
                .map_err(|error| store_error::<DB>(DB::ACTIONS.replace, error))
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
            let values = [
                Value::Bytes(key.as_bytes()),
                time(now),
                version(expected),
                time(expires_at),
            ];
            self.changes_one(&self.shared.touch, &values, DB::ACTIONS.touch)
                .await
        })
    }

    fn rename(&self, rename: Rename, now: Timestamp) -> StoreFuture<'_, Replaced> {
        Box::pin(self.move_record(rename, now))
    }

    fn delete_expired(&self, limit: usize, now: Timestamp) -> StoreFuture<'_, usize> {
        Box::pin(async move {
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            match DB::sweep(self, limit, millis(now)).await {
                Ok(deleted) => Ok(usize::try_from(deleted).unwrap_or(usize::MAX)),
                Err(error) => Err(store_error::<DB>(DB::ACTIONS.delete_expired, error)),
            }
        })
    }

    fn clear(&self) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            DB::clear(self)
                .await
                .map_err(|error| store_error::<DB>(DB::ACTIONS.clear, error))
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
            let action = DB::ACTIONS.lock;
            let owner = owner.get().to_be_bytes();
            let values = [
                Value::Bytes(key.as_bytes()),
                time(now),
                Value::Bytes(&owner),
                time(until),
                version(Version::new(Version::random_step())),
            ];
            if self.changes_one(&self.shared.lock, &values, action).await? {
                return Ok(Locked::Acquired);
            }
            match self.fetch(&self.shared.exists, &values[..2]).await {
                Ok(Some(_)) => Ok(Locked::Held),
                Ok(None) => Ok(Locked::Gone),
                Err(error) => Err(store_error::<DB>(action, error)),
            }
        })
    }

    fn unlock(&self, key: PublicId, owner: LockOwner) -> StoreFuture<'_, bool> {
        Box::pin(async move {
            let owner = owner.get().to_be_bytes();
            let values = [Value::Bytes(key.as_bytes()), Value::Bytes(&owner)];
            self.changes_one(&self.shared.unlock, &values, DB::ACTIONS.unlock)
                .await
        })
    }
}

impl<DB: SqlDatabase> SqlStore<DB> {
    /// Returns the live record under `key`.
    async fn current(&self, key: PublicId, now: Timestamp) -> sqlx::Result<Option<Stored>> {
        let values = [Value::Bytes(key.as_bytes()), time(now)];
        let mut attempts = 0;
        loop {
            attempts += 1;
            // A restarted server leaves a pool of broken connections. A read can be repeated; a write cannot,
            // as it may have been executed.
            match self.fetch(&self.shared.load, &values).await {
                Err(error) if attempts < READS && is_broken(&error) => {}
                row => return Ok(row?.and_then(Row::into_stored)),
            }
        }
    }

    async fn move_record(&self, rename: Rename, now: Timestamp) -> Result<Replaced, StoreError> {
        let action = DB::ACTIONS.rename;
        let next = rename.expected.random_next();
        let values = [
            Value::Bytes(rename.from.as_bytes()),
            time(now),
            version(rename.expected),
            Value::Bytes(&rename.write.data),
            time(rename.write.expires_at),
            Value::Bytes(rename.to.as_bytes()),
            Value::Bytes(&rename.leave.data),
            time(rename.leave.expires_at),
            version(next),
        ];
        let mut written = DB::rename(self, &values).await;
        if written.as_ref().is_err_and(is_occupied) {
            // An expired record under the new key is deleted. A live one is an error: two random ids are
            // never the same.
            let occupied = [Value::Bytes(rename.to.as_bytes()), time(now)];
            let statement = &self.shared.delete_one_expired;
            if !self.changes_one(statement, &occupied, action).await? {
                return Err(StoreError::new(StoreErrorKind::Corrupt, action));
            }
            written = DB::rename(self, &values).await;
        }
        self.settle(written, rename.from, [rename.expected, next], now)
            .await
            .map_err(|error| {
                if is_occupied(&error) {
                    StoreError::new(StoreErrorKind::Corrupt, action)
                } else {
                    store_error::<DB>(action, error)
                }
            })
    }

    /// Converts the result of a conditional write. Loads the current record if the write did not return it.
    async fn settle(
        &self,
        written: sqlx::Result<Written>,
        key: PublicId,
        [expected, next]: [Version; 2],
        now: Timestamp,
    ) -> sqlx::Result<Replaced> {
        let current = match written? {
            Written::Yes => return Ok(Replaced::Replaced(next)),
            // The statement read the expected version and wrote nothing: a concurrent transaction changed the
            // record after the statement had read it.
            Written::No(Some(stored)) if stored.version == expected => {
                self.current(key, now).await?
            }
            Written::No(found) => found,
            Written::Unknown => self.current(key, now).await?,
        };
        Ok(current.map_or(Replaced::Gone, Replaced::Conflict))
    }

    /// Runs a statement and returns whether it changed a row.
    async fn changes_one(
        &self,
        statement: &Statement,
        values: &[Value<'_>],
        action: &'static str,
    ) -> Result<bool, StoreError> {
        let rows = self.execute(statement, values).await;
        rows.map(|rows| rows == 1)
            .map_err(|error| store_error::<DB>(action, error))
    }
}

fn is_occupied(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .is_some_and(DatabaseError::is_unique_violation)
}
