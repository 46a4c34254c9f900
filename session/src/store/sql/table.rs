//! The name of the table that sessions are kept in.

use super::misconfigured;
use crate::store::StoreError;

/// The name of the table that a SQL store keeps its sessions in: one application's, and nothing else's.
///
/// It is quoted wherever it is used, so that it may hold any characters; upper and lower case count.
///
/// ```
/// use poem_session::store::TableName;
///
/// let table = TableName::new("shop sessions")?.in_schema("app")?;
/// assert!(TableName::new("").is_err());
/// # Ok::<(), poem_session::store::StoreError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableName {
    schema: Option<String>,
    table: String,
}

/// Leaves room for `_expires_at`, the name of the index, within the 63 bytes that PostgreSQL keeps of
/// a name.
const LONGEST: usize = 50;
const ACTION: &str = "naming the table of sessions";

impl TableName {
    /// A table of this name, where the database looks for tables by itself.
    ///
    /// # Errors
    /// [`Misconfigured`](crate::store::StoreErrorKind::Misconfigured) if it is empty, longer than 50 bytes, or
    /// holds a control character.
    pub fn new(table: impl Into<String>) -> Result<Self, StoreError> {
        Ok(Self {
            schema: None,
            table: checked(table.into())?,
        })
    }

    /// The table in this schema of PostgreSQL, or this database of MySQL.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn in_schema(mut self, schema: impl Into<String>) -> Result<Self, StoreError> {
        self.schema = Some(checked(schema.into())?);
        Ok(self)
    }

    pub(in crate::store) fn schema(&self) -> Option<&str> {
        self.schema.as_deref()
    }

    /// The whole name, quoted.
    pub(in crate::store) fn quoted(&self, quote: char) -> String {
        match &self.schema {
            Some(schema) => format!("{}.{}", quoted(schema, quote), quoted(&self.table, quote)),
            None => quoted(&self.table, quote),
        }
    }

    /// The name of the table's index on the expiry, quoted.
    pub(in crate::store) fn quoted_index(&self, quote: char) -> String {
        quoted(&format!("{}_expires_at", self.table), quote)
    }
}

/// `poem_sessions`, where the database looks for tables by itself.
impl Default for TableName {
    fn default() -> Self {
        Self {
            schema: None,
            table: "poem_sessions".to_owned(),
        }
    }
}

fn checked(name: String) -> Result<String, StoreError> {
    if name.is_empty() || name.len() > LONGEST || name.chars().any(char::is_control) {
        let rule = format!("a name has 1 to {LONGEST} bytes and no control characters");
        return Err(misconfigured(ACTION, rule));
    }
    Ok(name)
}

/// The name between quotes, with those in it doubled.
pub(in crate::store) fn quoted(name: &str, quote: char) -> String {
    let doubled: String = [quote, quote].iter().collect();
    format!("{quote}{}{quote}", name.replace(quote, &doubled))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_are_doubled() {
        let table = TableName::new("a\"; DROP TABLE b; --").expect("any characters");
        assert_eq!(table.quoted('"'), "\"a\"\"; DROP TABLE b; --\"");
        let table = TableName::new("a`b").and_then(|table| table.in_schema("c`"));
        assert_eq!(table.expect("any characters").quoted('`'), "`c```.`a``b`");
    }

    #[test]
    fn what_databases_would_cut_or_refuse_is_refused() {
        for name in ["", "a\0b", "a\nb", &"a".repeat(51)] {
            assert!(TableName::new(name).is_err(), "{name:?}");
            assert!(TableName::default().in_schema(name).is_err(), "{name:?}");
        }
        let longest = TableName::new("a".repeat(50)).expect("fifty bytes");
        assert!(longest.quoted_index('"').len() <= 63 + 2);
    }
}
