//! Connections that are taken from a pool for one call.
//!
//! A connection whose statement was broken off cannot be used again, and a new one costs the server a process or a
//! thread. So clients that disconnect while their request waits for the database must not cost a connection each:
//! a connection that is being opened goes to the pool, and a statement that was sent goes on to its end, also if the
//! caller drops the call. A call that is dropped before it has a connection sends no statement.

use sqlx::{Pool, error::DatabaseError, pool::PoolConnection};
use tokio::time::Instant;

use super::{
    SqlDatabase, SqlStore,
    driver::{Bound, DriverFuture, Row, Value},
    statement::Statement,
};
use crate::finish::Finish;

/// How the use of a connection ended.
#[derive(Clone, Copy)]
pub enum Ended<'a> {
    /// The statement succeeded.
    Ok,
    /// The statement failed.
    Err(&'a sqlx::Error),
    /// The caller dropped its future, and the statement was not done within the time that it is given then.
    Cancelled,
}

/// A connection that is taken from a pool. The database decides whether it can be used again.
pub(in crate::store) struct Lent<DB: SqlDatabase>(Option<PoolConnection<DB>>);

impl<DB: SqlDatabase> Lent<DB> {
    /// Takes a connection. If the caller drops this call, a connection that is being opened or checked goes to the
    /// pool.
    pub(in crate::store) async fn take(pool: &Pool<DB>) -> sqlx::Result<Self> {
        let connection = Finish::new(pool.acquire()).await?;
        Ok(Self(Some(connection)))
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
    /// Runs a statement on a connection of a pool.
    ///
    /// If the caller drops this call, the statement goes on until the pool's acquire timeout has passed since it
    /// was sent. A server that does not respond thus keeps a connection for no longer than a call waits for one.
    async fn run<T: Send + 'static>(
        pool: &Pool<DB>,
        statement: &Statement,
        values: &[Value<'_>],
        run: fn(&mut DB::Connection, Bound<DB>) -> DriverFuture<'_, T>,
    ) -> sqlx::Result<T> {
        let mut attempts = Attempts::default();
        loop {
            let statement = DB::bind(statement, values);
            let mut lent = Lent::<DB>::take(pool).await?;
            let end = Instant::now().checked_add(pool.options().get_acquire_timeout());
            let work = async move {
                let result = run(lent.get(), statement).await;
                lent.release(result)
            };
            let result = Finish::until(work, end).await;
            if !attempts.again(&result) {
                return result;
            }
        }
    }

    /// Runs a statement that writes. Returns the number of rows that it changed.
    pub(in crate::store) async fn execute(
        &self,
        statement: &Statement,
        values: &[Value<'_>],
    ) -> sqlx::Result<u64> {
        let result = Self::run(&self.writer, statement, values, DB::execute).await?;
        Ok(DB::rows(&result))
    }

    /// Runs a statement that only reads, and returns its row.
    pub(in crate::store) async fn fetch(
        &self,
        statement: &Statement,
        values: &[Value<'_>],
    ) -> sqlx::Result<Option<Row>> {
        Self::run(&self.readers, statement, values, DB::fetch).await
    }

    /// Runs a statement that writes, and returns its row.
    pub(in crate::store) async fn fetch_written(
        &self,
        statement: &Statement,
        values: &[Value<'_>],
    ) -> sqlx::Result<Option<Row>> {
        Self::run(&self.writer, statement, values, DB::fetch).await
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
