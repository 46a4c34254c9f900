//! The statements, written once for all databases.

use std::sync::Arc;

use sqlx::{AssertSqlSafe, SqlSafeStr as _, SqlStr};

use super::Value;

/// The statement that creates a record or puts it in the place of an expired one, where the database
/// knows `ON CONFLICT` and `RETURNING`.
///
/// The version goes on from that of the expired record: a write that still speaks of that one must not
/// take this one for it.
pub(in crate::store) const UPSERT: &str = "\
    INSERT INTO {table} AS old (id, data, version, expires_at) VALUES ($1, $3, 1, $4) \
    ON CONFLICT (id) DO UPDATE SET data = excluded.data, version = old.version + 1, \
    expires_at = excluded.expires_at, lock_owner = NULL, lock_until = NULL \
    WHERE old.expires_at <= $2 RETURNING version, NULL, NULL";

/// The data of a record, or `NULL` where it is larger than [`MAX_RECORD`](crate::store::MAX_RECORD): that
/// is looked at before it is sent.
pub(in crate::store) const DATA: &str =
    "CASE WHEN octet_length(data) <= 8388608 THEN data END AS data";

/// How a database marks the places of values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Placeholders {
    /// `$1`, `$2`: a value may have several places.
    Numbered,
    /// `?`, one value each.
    Positional,
}

/// A statement, ready to be prepared.
#[derive(Debug)]
pub(in crate::store) struct Statement {
    text: Arc<str>,
    /// Which value goes to which place, counted from 0.
    order: Vec<usize>,
}

impl Statement {
    /// `template` numbers its values as `$1` to `$9`, and has `{table}` for the table's quoted name.
    pub(in crate::store) fn new(template: &str, table: &str, placeholders: Placeholders) -> Self {
        let mut parts = template.split('$');
        let mut text = parts.next().unwrap_or_default().to_owned();
        let mut order = Vec::new();
        for part in parts {
            let (number, rest) = part.split_at(1);
            let value = number.parse::<usize>().expect("a digit follows each `$`") - 1;
            match placeholders {
                Placeholders::Numbered => {
                    text.push('$');
                    text.push_str(number);
                    // In the order of the numbers, with those that this statement leaves out.
                    order.extend(order.len()..=value);
                }
                Placeholders::Positional => {
                    text.push('?');
                    order.push(value);
                }
            }
            text.push_str(rest);
        }
        // Last, as a name may hold anything.
        let text = text.replace("{table}", table).into();
        Self { text, order }
    }

    /// The text for the driver.
    pub(in crate::store) fn sql(&self) -> SqlStr {
        // Nothing in it came from outside but the table's name, which `TableName` has quoted.
        AssertSqlSafe(Arc::clone(&self.text)).into_sql_str()
    }

    /// The values in the order of their places.
    pub(in crate::store) fn places<'a>(
        &self,
        values: &[Value<'a>],
    ) -> impl Iterator<Item = Value<'a>> {
        self.order.iter().map(|value| values[*value])
    }
}

/// What every database is asked in the same words. `$1` is the key and `$2` the time, but where said.
#[derive(Debug)]
pub(in crate::store) struct Statements {
    /// Nothing, from all columns: whether the table is one that a store made.
    pub(in crate::store) columns: Statement,
    /// Version, data and expiry of the live record.
    pub(in crate::store) load: Statement,
    /// The version of the live record.
    pub(in crate::store) exists: Statement,
    /// `$3` the expected version, `$4` data, `$5` expiry.
    pub(in crate::store) replace: Statement,
    /// `$3` the expected version, `$4` expiry.
    pub(in crate::store) touch: Statement,
    /// `$3` the expected version, `$4` data, `$5` expiry, `$6` the new key.
    pub(in crate::store) rename: Statement,
    pub(in crate::store) delete: Statement,
    /// Deletes an expired record.
    pub(in crate::store) make_way: Statement,
    pub(in crate::store) clear: Statement,
    /// `$3` the owner, `$4` the end of the lease.
    pub(in crate::store) lock: Statement,
    /// `$2` the owner.
    pub(in crate::store) unlock: Statement,
}

impl Statements {
    /// The statements on the table of this quoted name. Where the database can return the current
    /// record from a write that lost, `or_current` makes it do so.
    pub(in crate::store) fn new(
        table: &str,
        placeholders: Placeholders,
        or_current: fn(&str) -> String,
    ) -> Self {
        let statement = |template: &str| Statement::new(template, table, placeholders);
        Self {
            columns: statement(
                "SELECT id, data, version, expires_at, lock_owner, lock_until FROM {table} LIMIT 0",
            ),
            load: statement(&format!(
                "SELECT version, {DATA}, expires_at FROM {{table}} WHERE id = $1 AND expires_at > $2",
            )),
            exists: statement(
                "SELECT version, NULL, NULL FROM {table} WHERE id = $1 AND expires_at > $2",
            ),
            replace: statement(&or_current(
                "UPDATE {table} SET data = $4, version = version + 1, expires_at = $5 \
                 WHERE id = $1 AND version = $3 AND expires_at > $2",
            )),
            touch: statement(
                "UPDATE {table} SET expires_at = CASE WHEN expires_at < $4 THEN $4 ELSE expires_at END \
                 WHERE id = $1 AND version = $3 AND expires_at > $2",
            ),
            // One row changes its key: at no moment are there two, or none.
            rename: statement(&or_current(
                "UPDATE {table} SET id = $6, data = $4, version = version + 1, expires_at = $5, \
                 lock_owner = NULL, lock_until = NULL \
                 WHERE id = $1 AND version = $3 AND expires_at > $2",
            )),
            delete: statement("DELETE FROM {table} WHERE id = $1 AND expires_at > $2"),
            make_way: statement("DELETE FROM {table} WHERE id = $1 AND expires_at <= $2"),
            clear: statement("DELETE FROM {table}"),
            // The version first: MySQL sets one column after the other.
            lock: statement(
                "UPDATE {table} SET \
                 version = version + CASE WHEN lock_owner <> $3 THEN 1 ELSE 0 END, \
                 lock_owner = $3, lock_until = $4 \
                 WHERE id = $1 AND expires_at > $2 \
                 AND (lock_owner IS NULL OR lock_owner = $3 OR lock_until <= $2)",
            ),
            unlock: statement(
                "UPDATE {table} SET lock_owner = NULL, lock_until = NULL \
                 WHERE id = $1 AND lock_owner = $2",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn integers(statement: &Statement, values: &[i64]) -> Vec<i64> {
        let values: Vec<_> = values.iter().map(|n| Value::Integer(*n)).collect();
        let places = statement.places(&values).map(|value| match value {
            Value::Integer(n) => n,
            Value::Bytes(_) => panic!("all are integers"),
        });
        places.collect()
    }

    #[test]
    fn positions_repeat_what_numbers_name_once() {
        let template = "SELECT $3 FROM {table} WHERE a = $1 AND b < $3";
        let numbered = Statement::new(template, "\"t\"", Placeholders::Numbered);
        assert_eq!(
            &*numbered.text,
            "SELECT $3 FROM \"t\" WHERE a = $1 AND b < $3"
        );
        assert_eq!(integers(&numbered, &[1, 2, 3]), [1, 2, 3]);

        let positional = Statement::new(template, "`t`", Placeholders::Positional);
        assert_eq!(&*positional.text, "SELECT ? FROM `t` WHERE a = ? AND b < ?");
        assert_eq!(integers(&positional, &[1, 2, 3]), [3, 1, 3]);
    }

    #[test]
    fn a_name_is_not_taken_for_a_place() {
        let statement = Statement::new("DELETE FROM {table}", "`$1?`", Placeholders::Positional);
        assert_eq!(&*statement.text, "DELETE FROM `$1?`");
        assert!(statement.order.is_empty());
    }
}
