//! Finds a pooler that does not keep prepared statements, such as PgBouncer in transaction mode.

use sqlx::{
    Connection as _, Executor, PgConnection, PgPool, Postgres,
    error::DatabaseError,
    postgres::{PgConnectOptions, PgDatabaseError, PgSeverity},
};

use crate::store::{
    StoreError,
    sql::{POOLER, SqlDatabase as _, misconfigured},
};

/// How often each of the two connections runs its statement. Once is enough on an idle pooler. On a busy one, the two
/// connections may get different connections of the server by chance.
const ROUNDS: usize = 3;

/// Returns an error if the pool's connections lead to a pooler that does not keep prepared statements.
///
/// Uses two connections in turn. Each prepares another statement under the same name, which the driver counts from 1
/// for each connection. If a pooler gives both the same connection of the server, and does not translate the names,
/// the name exists already. A connection that cannot be opened ends the check.
pub(super) async fn check(pool: &PgPool, options: &PgConnectOptions) -> Result<(), StoreError> {
    let Ok(mut first) = pool.acquire().await else {
        return Ok(());
    };
    let Ok(mut second) = PgConnection::connect_with(options).await else {
        return Ok(());
    };
    let lost = match in_turn(&mut first, &mut second).await {
        Err(sqlx::Error::Database(error)) => is_lost(&*error),
        _ => false,
    };
    if lost {
        // Other clients of the pooler may use the same name.
        let _ = first.clear_cached_statements().await;
        let _ = second.clear_cached_statements().await;
    }
    let _ = second.close().await;
    if lost {
        let _ = first.close().await;
        return Err(misconfigured(Postgres::ACTIONS.open, POOLER));
    }
    Ok(())
}

async fn in_turn(first: &mut PgConnection, second: &mut PgConnection) -> sqlx::Result<()> {
    for _ in 0..ROUNDS {
        first.execute(sqlx::query("SELECT 1")).await?;
        second
            .execute(sqlx::query("SELECT $1::bigint").bind(1_i64))
            .await?;
    }
    Ok(())
}

fn is_lost(error: &dyn DatabaseError) -> bool {
    let Some(error) = error.try_downcast_ref::<PgDatabaseError>() else {
        return false;
    };
    // The statement of that name is the other connection's, which has another number of values. PgBouncer has the
    // same code for errors that end the connection.
    let is_other = error.code() == "08P01" && error.severity() == PgSeverity::Error;
    is_other || lost_statement(error.code())
}

/// Returns whether this SQLSTATE means that the connection's prepared statements are not those that the driver has
/// prepared: one does not exist, or exists already.
pub(in crate::store) fn lost_statement(code: &str) -> bool {
    matches!(code, "26000" | "42P05")
}
