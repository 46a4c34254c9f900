//! The mode of a pooler between a store and its server.

/// How a pooler between a `PostgresStore` and its server, such as PgBouncer, assigns connections of the server to its
/// clients.
///
/// Without a pooler, the mode is [`Session`](Self::Session).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum PoolMode {
    /// A client has the same connection of the server until it disconnects. Every call is one statement, which
    /// the server prepares once per connection.
    #[default]
    Session,
    /// A client may have another connection of the server after each transaction. Every statement is prepared
    /// and run in a transaction of its own, which takes four round trips instead of one.
    Transaction,
}

impl PoolMode {
    /// Parses the value of the URL's parameter.
    pub(in crate::store) fn parse(text: &str) -> Option<Self> {
        match text {
            "session" => Some(Self::Session),
            "transaction" => Some(Self::Transaction),
            _ => None,
        }
    }
}
