//! What each SQL store would otherwise repeat word for word.

/// Implements [`SessionStore`](crate::store::SessionStore) for a [`Backend`](super::Backend).
macro_rules! session_store {
    ($store:ty) => {
        impl $crate::store::SessionStore for $store {
            fn load(
                &self,
                key: $crate::id::PublicId,
                now: $crate::clock::Timestamp,
            ) -> $crate::store::StoreFuture<'_, Option<$crate::store::Stored>> {
                Box::pin($crate::store::sql::load(self, key, now))
            }

            fn create(
                &self,
                key: $crate::id::PublicId,
                write: $crate::store::Write,
                now: $crate::clock::Timestamp,
            ) -> $crate::store::StoreFuture<'_, $crate::store::Created> {
                Box::pin($crate::store::sql::create(self, key, write, now))
            }

            fn replace(
                &self,
                key: $crate::id::PublicId,
                expected: $crate::store::Version,
                write: $crate::store::Write,
                now: $crate::clock::Timestamp,
            ) -> $crate::store::StoreFuture<'_, $crate::store::Replaced> {
                Box::pin($crate::store::sql::replace(self, key, expected, write, now))
            }

            fn touch(
                &self,
                key: $crate::id::PublicId,
                expected: $crate::store::Version,
                expires_at: $crate::clock::Timestamp,
                now: $crate::clock::Timestamp,
            ) -> $crate::store::StoreFuture<'_, bool> {
                Box::pin($crate::store::sql::touch(
                    self, key, expected, expires_at, now,
                ))
            }

            fn rename(
                &self,
                from: $crate::id::PublicId,
                expected: $crate::store::Version,
                to: $crate::id::PublicId,
                write: $crate::store::Write,
                leave: Option<$crate::store::Write>,
                now: $crate::clock::Timestamp,
            ) -> $crate::store::StoreFuture<'_, $crate::store::Replaced> {
                Box::pin($crate::store::sql::rename(
                    self, from, expected, to, write, leave, now,
                ))
            }

            fn delete(
                &self,
                key: $crate::id::PublicId,
                now: $crate::clock::Timestamp,
            ) -> $crate::store::StoreFuture<'_, bool> {
                Box::pin($crate::store::sql::delete(self, key, now))
            }

            fn delete_expired(
                &self,
                limit: usize,
                now: $crate::clock::Timestamp,
            ) -> $crate::store::StoreFuture<'_, usize> {
                Box::pin($crate::store::sql::delete_expired(self, limit, now))
            }

            fn clear(&self) -> $crate::store::StoreFuture<'_, ()> {
                Box::pin($crate::store::sql::clear(self))
            }

            fn lock(
                &self,
                key: $crate::id::PublicId,
                owner: $crate::store::LockOwner,
                until: $crate::clock::Timestamp,
                now: $crate::clock::Timestamp,
            ) -> $crate::store::StoreFuture<'_, $crate::store::Locked> {
                Box::pin($crate::store::sql::lock(self, key, owner, until, now))
            }

            fn unlock(
                &self,
                key: $crate::id::PublicId,
                owner: $crate::store::LockOwner,
            ) -> $crate::store::StoreFuture<'_, bool> {
                Box::pin($crate::store::sql::unlock(self, key, owner))
            }
        }
    };
}
pub(in crate::store) use session_store;

/// Defines `execute` and `fetch`, which run a [`Statement`](super::Statement) on a pool or a
/// connection of one driver. The driver's types are in too many bounds for a generic function.
macro_rules! statement_calls {
    ($database:ty) => {
        fn bound(
            statement: &$crate::store::sql::Statement,
            values: &[$crate::store::sql::Value<'_>],
        ) -> sqlx::query::Query<'static, $database, <$database as sqlx::Database>::Arguments> {
            let query = sqlx::query(statement.sql());
            statement
                .places(values)
                .fold(query, |query, value| match value {
                    $crate::store::sql::Value::Bytes(bytes) => query.bind(bytes),
                    $crate::store::sql::Value::Integer(integer) => query.bind(integer),
                })
        }

        async fn execute(
            executor: impl sqlx::Executor<'_, Database = $database>,
            statement: &$crate::store::sql::Statement,
            values: &[$crate::store::sql::Value<'_>],
        ) -> sqlx::Result<u64> {
            let done = bound(statement, values).execute(executor).await?;
            Ok(done.rows_affected())
        }

        async fn fetch(
            executor: impl sqlx::Executor<'_, Database = $database>,
            statement: &$crate::store::sql::Statement,
            values: &[$crate::store::sql::Value<'_>],
        ) -> sqlx::Result<Option<$crate::store::sql::Row>> {
            // To the end, and not to the first row: before it a write may still fail to commit.
            let rows = bound(statement, values).fetch_all(executor).await?;
            rows.into_iter()
                .next()
                .map(|row| {
                    $crate::store::sql::Row::new(
                        sqlx::Row::try_get(&row, 0)?,
                        sqlx::Row::try_get(&row, 1)?,
                        sqlx::Row::try_get(&row, 2)?,
                    )
                })
                .transpose()
        }
    };
}
pub(in crate::store) use statement_calls;
