//! Connections that are taken from a pool for one call.

use sqlx::{Pool, error::DatabaseError, pool::PoolConnection};

use super::{
    SqlDatabase, SqlStore,
    driver::{Row, Value},
    statement::Statement,
};

/// How the use of a connection ended.
#[derive(Clone, Copy)]
pub enum Ended<'a> {
    /// The statement succeeded.
    Ok,
    /// The statement failed.
    Err(&'a sqlx::Error),
    /// The caller dropped its future before the statement was done.
    Cancelled,
}

/// A connection that is taken from a pool. The database decides whether it can be used again.
pub(in crate::store) struct Lent<DB: SqlDatabase>(Option<PoolConnection<DB>>);

impl<DB: SqlDatabase> Lent<DB> {
    pub(in crate::store) async fn take(pool: &Pool<DB>) -> sqlx::Result<Self> {
        pool.acquire()
            .await
            .map(|connection| Self(Some(connection)))
    }

    pub(in crate::store) fn get(&mut self) -> &mut DB::Connection {
        self.0
            .as_mut()
            .expect("the connection is present until it is released")
    }

    /// Releases the connection and returns `result`.
    pub(in crate::store) fn release<T>(mut self, result: sqlx::Result<T>) -> sqlx::Result<T> {
        if let Some(connection) = self.0.take() {
            DB::release(
                connection,
                result.as_ref().map_or_else(Ended::Err, |_| Ended::Ok),
            );
        }
        result
    }
}

impl<DB: SqlDatabase> Drop for Lent<DB> {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take() {
            DB::release(connection, Ended::Cancelled);
        }
    }
}

impl<DB: SqlDatabase> SqlStore<DB> {
    /// Runs a statement that writes. Returns the number of rows that it changed.
    pub(in crate::store) async fn execute(
        &self,
        statement: &Statement,
        values: &[Value<'_>],
    ) -> sqlx::Result<u64> {
        let mut attempts = Attempts::default();
        loop {
            let mut lent = Lent::take(&self.writer).await?;
            let result = DB::execute(lent.get(), statement, values).await;
            let result = lent.release(result);
            if !attempts.again(&result) {
                return result.map(|result| DB::rows(&result));
            }
        }
    }

    /// Runs a statement that only reads, and returns its row.
    pub(in crate::store) async fn fetch(
        &self,
        statement: &Statement,
        values: &[Value<'_>],
    ) -> sqlx::Result<Option<Row>> {
        fetch_from(&self.readers, statement, values).await
    }

    /// Runs a statement that writes, and returns its row.
    pub(in crate::store) async fn fetch_written(
        &self,
        statement: &Statement,
        values: &[Value<'_>],
    ) -> sqlx::Result<Option<Row>> {
        fetch_from(&self.writer, statement, values).await
    }
}

async fn fetch_from<DB: SqlDatabase>(
    pool: &Pool<DB>,
    statement: &Statement,
    values: &[Value<'_>],
) -> sqlx::Result<Option<Row>> {
    let mut attempts = Attempts::default();
    loop {
        let mut lent = Lent::take(pool).await?;
        let result = DB::fetch(lent.get(), statement, values).await;
        let result = lent.release(result);
        if !attempts.again(&result) {
            return result;
        }
    }
}

/// The largest number of attempts at a statement that the database rolls back in favor of another
/// transaction. The rollback is complete, so the statement can be repeated.
const ATTEMPTS: u32 = 5;

/// Counts the attempts at one statement.
#[derive(Default)]
struct Attempts(u32);

impl Attempts {
    /// Returns whether to try again.
    fn again<T>(&mut self, result: &sqlx::Result<T>) -> bool {
        self.0 += 1;
        self.0 < ATTEMPTS && result.as_ref().is_err_and(was_rolled_back)
    }
}

/// Returns whether the database rolled the statement back because of a deadlock or a serialization failure.
fn was_rolled_back(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(DatabaseError::code);
    matches!(code.as_deref(), Some("40001" | "40P01"))
}
