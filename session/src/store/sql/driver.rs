//! Runs a [`Statement`] on a connection of any driver.

use std::pin::Pin;

use bytes::Bytes;
use sqlx::{
    ColumnIndex, Connection as _, Database, Decode, Encode, Execute, Executor, IntoArguments,
    Row as _, Transaction, Type, database::HasStatementCache, query::Query,
};

use super::{PoolMode, statement::Statement};
use crate::{
    clock::Timestamp,
    store::{Stored, Version},
};

/// A value to bind.
#[derive(Clone, Copy)]
pub enum Value<'a> {
    /// An id, an owner or a record's data.
    Bytes(&'a [u8]),
    /// A version, a time in milliseconds or a limit.
    Integer(i64),
}

/// A row of a result. Every statement that returns rows returns these columns, in this order.
pub struct Row {
    pub(in crate::store) version: i64,
    /// The data and the expiry, if the statement returns more than a version.
    pub(in crate::store) record: Option<(Vec<u8>, i64)>,
}

/// A statement with its values. It borrows nothing, so that it can be executed without its caller.
pub(in crate::store) type Bound<DB> = Query<'static, DB, <DB as Database>::Arguments>;

/// The future of a call to a driver.
pub(in crate::store) type DriverFuture<'c, T> =
    Pin<Box<dyn Future<Output = sqlx::Result<T>> + Send + 'c>>;

/// A driver that can bind a [`Value`] and read a [`Row`].
///
/// It is implemented for every database whose driver supports these types, so that the bounds are written
/// once.
pub trait Driver: Database {
    /// Binds the values of a statement.
    fn bind(statement: &Statement, values: &[Value<'_>]) -> Bound<Self>;

    /// Runs a statement that returns no rows.
    fn execute(
        connection: &mut Self::Connection,
        statement: Bound<Self>,
    ) -> DriverFuture<'_, Self::QueryResult>;

    /// Runs a statement that returns at most one row.
    fn fetch(
        connection: &mut Self::Connection,
        statement: Bound<Self>,
    ) -> DriverFuture<'_, Option<Row>>;
}

impl<DB> Driver for DB
where
    DB: Database + HasStatementCache,
    DB::Arguments: IntoArguments<DB>,
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
    for<'v> &'v [u8]: Encode<'v, DB> + Type<DB>,
    for<'v> i64: Encode<'v, DB> + Decode<'v, DB> + Type<DB>,
    for<'v> Vec<u8>: Decode<'v, DB> + Type<DB>,
    usize: ColumnIndex<DB::Row>,
{
    /// In transaction mode, the server keeps no prepared statement: it would stay on a connection that the pooler
    /// gives to another client, which may use the same name.
    fn bind(statement: &Statement, values: &[Value<'_>]) -> Bound<DB> {
        let keep = statement.pool_mode() == PoolMode::Session;
        let query = sqlx::query(statement.sql()).persistent(keep);
        statement
            .places(values)
            .fold(query, |query, value| match value {
                Value::Bytes(bytes) => query.bind(bytes),
                Value::Integer(integer) => query.bind(integer),
            })
    }

    fn execute(
        connection: &mut DB::Connection,
        statement: Bound<DB>,
    ) -> DriverFuture<'_, DB::QueryResult> {
        if is_kept(&statement) {
            return connection.execute(statement);
        }
        Box::pin(async move {
            let mut transaction = connection.begin().await?;
            let connection: &mut DB::Connection = &mut transaction;
            let result = connection.execute(statement).await;
            end(transaction, result).await
        })
    }

    fn fetch(
        connection: &mut DB::Connection,
        statement: Bound<DB>,
    ) -> DriverFuture<'_, Option<Row>> {
        // All rows are fetched, not only the first: a write may fail to commit after its first row.
        Box::pin(async move {
            let rows = if is_kept(&statement) {
                connection.fetch_all(statement).await?
            } else {
                let mut transaction = connection.begin().await?;
                let connection: &mut DB::Connection = &mut transaction;
                let rows = connection.fetch_all(statement).await;
                end(transaction, rows).await?
            };
            rows.first()
                .map(|row| Row::new(row.try_get(0)?, row.try_get(1)?, row.try_get(2)?))
                .transpose()
        })
    }
}

/// Returns whether the server keeps a statement. Otherwise the statement runs in a transaction of its own: only there
/// does a pooler in transaction mode run it on the connection that has prepared it.
fn is_kept<DB: Database>(statement: &impl Execute<'static, DB>) -> bool {
    statement.persistent()
}

/// Commits a transaction if its statement succeeded. Otherwise rolls it back and returns the statement's error.
async fn end<DB: Database, T>(
    transaction: Transaction<'_, DB>,
    result: sqlx::Result<T>,
) -> sqlx::Result<T> {
    match &result {
        Ok(_) => transaction.commit().await?,
        // If this fails, the connection is broken, and the pool finds that out.
        Err(_) => drop(transaction.rollback().await),
    }
    result
}

impl Row {
    /// Creates a row from its columns. Returns an error if no store can have written it.
    fn new(version: i64, data: Option<Vec<u8>>, expires_at: Option<i64>) -> sqlx::Result<Self> {
        let record = match (data, expires_at) {
            (Some(data), Some(expires_at)) => Some((data, expires_at)),
            (None, None) => None,
            _ => {
                return Err(foreign(
                    "it has no data or no expiry, or is larger than 8 MiB",
                ));
            }
        };
        if version < 1 {
            return Err(foreign("its version is below 1"));
        }
        Ok(Self { version, record })
    }

    pub(in crate::store) fn into_stored(self) -> Option<Stored> {
        let version = version_from(self.version);
        self.record.map(|(data, expires_at)| Stored {
            data: Bytes::from(data),
            version,
            expires_at: Timestamp::from_millis(u64::try_from(expires_at).unwrap_or(0)),
        })
    }
}

/// Creates the error of a record that no store wrote.
fn foreign(why: &'static str) -> sqlx::Error {
    sqlx::Error::Decode(why.into())
}

/// Returns a time as the table stores it. A time beyond the largest number is stored as that number.
pub(super) fn millis(time: Timestamp) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

pub(super) fn time<'a>(time: Timestamp) -> Value<'a> {
    Value::Integer(millis(time))
}

/// Returns the value of a version. A version that the table cannot contain becomes -1, which matches none.
pub(super) fn version<'a>(version: Version) -> Value<'a> {
    Value::Integer(i64::try_from(version.get()).unwrap_or(-1))
}

pub(super) fn version_from(number: i64) -> Version {
    Version::new(u64::try_from(number).unwrap_or(0))
}
