//! The name of the session table.

use super::misconfigured;
use crate::store::StoreError;

/// The name of a SQL store's table. Each application needs a table of its own.
///
/// The name is always quoted, so it may contain any characters except control characters. It is case-sensitive.
/// The default is `poem_sessions`.
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

/// The largest length of a name in bytes. PostgreSQL cuts names after 63 bytes, and the name of the index adds
/// `_expires_at`.
const LONGEST: usize = 50;
const ACTION: &str = "naming the session table";

impl TableName {
    /// Creates a name without a schema. The database's search path or current database applies.
    ///
    /// # Errors
    /// [`Misconfigured`](crate::store::StoreErrorKind::Misconfigured) if the name is empty, longer than 50
    /// bytes, or contains a control character.
    pub fn new(table: impl Into<String>) -> Result<Self, StoreError> {
        Ok(Self {
            schema: None,
            table: checked(table.into())?,
        })
    }

    /// Parses the value of a URL's parameter: `TABLE` or `SCHEMA.TABLE`.
    pub(in crate::store) fn parse(text: &str) -> Result<Self, StoreError> {
        match text.split_once('.') {
            None => Self::new(text),
            Some((schema, table)) if !table.contains('.') => Self::new(table)?.in_schema(schema),
            Some(_) => Err(misconfigured(
                ACTION,
                "the parameter `table` must be TABLE or SCHEMA.TABLE; for a name that contains a dot, use the \
                 store's builder",
            )),
        }
    }

    /// Adds a schema: for PostgreSQL a schema, for MySQL and MariaDB a database. SQLite has no schemas.
    ///
    /// # Errors
    /// See [`new`](Self::new).
    pub fn in_schema(mut self, schema: impl Into<String>) -> Result<Self, StoreError> {
        self.schema = Some(checked(schema.into())?);
        Ok(self)
    }

    pub(in crate::store) fn schema(&self) -> Option<&str> {
        self.schema.as_deref()
    }

    /// Returns the full name, quoted.
    pub(in crate::store) fn quoted(&self, quote: char) -> String {
        match &self.schema {
            Some(schema) => format!("{}.{}", quoted(schema, quote), quoted(&self.table, quote)),
            None => quoted(&self.table, quote),
        }
    }

    /// Returns the quoted name of the table's index on the expiry.
    pub(in crate::store) fn quoted_index(&self, quote: char) -> String {
        quoted(&format!("{}_expires_at", self.table), quote)
    }
}

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
        let rule = format!("a name must have 1 to {LONGEST} bytes and no control characters");
        return Err(misconfigured(ACTION, rule));
    }
    Ok(name)
}

/// Quotes a name and doubles the quotation marks in it.
pub(in crate::store) fn quoted(name: &str, quote: char) -> String {
    let doubled: String = [quote, quote].iter().collect();
    format!("{quote}{}{quote}", name.replace(quote, &doubled))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotation_marks_are_doubled() {
        let table = TableName::new("a\"; DROP TABLE b; --").expect("any characters are allowed");
        assert_eq!(table.quoted('"'), "\"a\"\"; DROP TABLE b; --\"");
        let table = TableName::new("a`b").and_then(|table| table.in_schema("c`"));
        assert_eq!(
            table.expect("any characters are allowed").quoted('`'),
            "`c```.`a``b`"
        );
    }

    #[test]
    fn a_parameter_names_a_table_and_perhaps_its_schema() {
        let parsed = |text| TableName::parse(text).expect(text).quoted('"');
        assert_eq!(parsed("shop sessions"), "\"shop sessions\"");
        assert_eq!(parsed("app.sessions"), "\"app\".\"sessions\"");
        for text in ["", ".", "a.", ".b", "a.b.c", "a\0b"] {
            let error = TableName::parse(text).expect_err(text);
            assert_eq!(error.kind(), crate::store::StoreErrorKind::Misconfigured);
        }
    }

    #[test]
    fn a_name_that_a_database_cuts_or_refuses_is_refused() {
        for name in ["", "a\0b", "a\nb", &"a".repeat(51)] {
            assert!(TableName::new(name).is_err(), "{name:?}");
            assert!(TableName::default().in_schema(name).is_err(), "{name:?}");
        }
        let longest = TableName::new("a".repeat(50)).expect("fifty bytes");
        assert!(longest.quoted_index('"').len() <= 63 + 2);
    }
}
