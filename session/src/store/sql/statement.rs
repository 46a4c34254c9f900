//! SQL statements, and those that all databases share.

use std::sync::Arc;

use sqlx::{AssertSqlSafe, SqlSafeStr as _, SqlStr};

use super::{PoolMode, Value};

/// Creates a record or overwrites an expired one, in databases with `ON CONFLICT` and `RETURNING`.
///
/// The version continues from that of the expired record, so that a late write which expects the expired record
/// does not replace the new one. `$5` is the version of a new record.
pub(in crate::store) const UPSERT: &str = "\
    INSERT INTO {table} AS old (id, data, version, expires_at) VALUES ($1, $3, $5, $4) \
    ON CONFLICT (id) DO UPDATE SET data = excluded.data, version = old.version + excluded.version, \
    expires_at = excluded.expires_at, lock_owner = NULL, lock_until = NULL \
    WHERE old.expires_at <= $2 RETURNING version, NULL, NULL";

/// The column with a record's data, or `NULL` if it is larger than [`MAX_RECORD`](crate::store::MAX_RECORD).
/// The database checks the size before it sends the data.
pub(in crate::store) const DATA: &str =
    "CASE WHEN octet_length(data) <= 8388608 THEN data END AS data";

/// The form of placeholders for values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placeholders {
    /// `$1`, `$2`: a value can be used several times.
    Numbered,
    /// `?`: each placeholder has a value of its own.
    Positional,
}

/// The text of a statement and the order of its values.
#[derive(Debug)]
pub struct Statement {
    text: Arc<str>,
    /// The index of the value for each placeholder.
    order: Vec<usize>,
    pool_mode: PoolMode,
}

impl Statement {
    /// Creates a statement from a template with the values `$1` to `$9` and `{table}` for the quoted name of
    /// the table.
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
                    // Numbers that the template leaves out are bound too.
                    order.extend(order.len()..=value);
                }
                Placeholders::Positional => {
                    text.push('?');
                    order.push(value);
                }
            }
            text.push_str(rest);
        }
        // The table's name is inserted last, because it may contain any character.
        let text = text.replace("{table}", table).into();
        Self {
            text,
            order,
            pool_mode: PoolMode::Session,
        }
    }

    pub(in crate::store) fn in_pool_mode(self, pool_mode: PoolMode) -> Self {
        Self { pool_mode, ..self }
    }

    pub(in crate::store) fn pool_mode(&self) -> PoolMode {
        self.pool_mode
    }

    /// Returns the text for the driver.
    pub(in crate::store) fn sql(&self) -> SqlStr {
        // The only part that comes from the application is the table's name, which `TableName` has quoted.
        AssertSqlSafe(Arc::clone(&self.text)).into_sql_str()
    }

    /// Returns the values in the order of the placeholders.
    pub(in crate::store) fn places<'a>(
        &self,
        values: &[Value<'a>],
    ) -> impl Iterator<Item = Value<'a>> {
        self.order.iter().map(|value| values[*value])
    }
}

/// The statements that are the same for every database. `$1` is the key and `$2` the time, unless noted.
#[derive(Debug)]
pub(in crate::store) struct Statements {
    /// Selects no row. It fails if the table lacks a column.
    pub(in crate::store) columns: Statement,
    /// Selects version, data and expiry of the live record.
    pub(in crate::store) load: Statement,
    /// Selects the version of the live record.
    pub(in crate::store) exists: Statement,
    /// `$3` is the expected version, `$4` the data, `$5` the expiry, `$6` the new version.
    pub(in crate::store) replace: Statement,
    /// `$3` is the expected version, `$4` the expiry.
    pub(in crate::store) touch: Statement,
    /// Deletes the record under the key if it has expired.
    pub(in crate::store) delete_one_expired: Statement,
    /// Deletes all records.
    pub(in crate::store) clear: Statement,
    /// `$3` is the owner, `$4` the end of the lease, `$5` what to add to the version if the lease of another owner
    /// is taken over.
    pub(in crate::store) lock: Statement,
    /// `$2` is the owner.
    pub(in crate::store) unlock: Statement,
}

impl Statements {
    /// Creates the statements from their templates. `or_current` extends a conditional update so that it returns
    /// the current record if it writes nothing, in databases that can do so.
    pub(in crate::store) fn new(
        statement: impl Fn(&str) -> Statement,
        or_current: fn(&str) -> String,
    ) -> Self {
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
                "UPDATE {table} SET data = $4, version = $6, expires_at = $5 \
                 WHERE id = $1 AND version = $3 AND expires_at > $2",
            )),
            touch: statement(
                "UPDATE {table} SET expires_at = CASE WHEN expires_at < $4 THEN $4 ELSE expires_at END \
                 WHERE id = $1 AND version = $3 AND expires_at > $2",
            ),
            delete_one_expired: statement("DELETE FROM {table} WHERE id = $1 AND expires_at <= $2"),
            clear: statement("DELETE FROM {table}"),
            // The version is set first, because MySQL assigns columns in order.
            lock: statement(
                "UPDATE {table} SET \
                 version = CASE WHEN lock_owner <> $3 THEN version + $5 ELSE version END, \
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
            Value::Bytes(_) => panic!("all values are integers"),
        });
        places.collect()
    }

    #[test]
    fn a_value_used_twice_has_two_positional_placeholders() {
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
    fn a_table_name_is_not_read_as_a_placeholder() {
        let statement = Statement::new("DELETE FROM {table}", "`$1?`", Placeholders::Positional);
        assert_eq!(&*statement.text, "DELETE FROM `$1?`");
        assert!(statement.order.is_empty());
    }
}
