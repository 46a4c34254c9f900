//! How a server is to be started.

/// Choices for a server of one's own. Without any it runs as in production: what it acknowledges is
/// on disk, as far as that engine promises it.
#[derive(Clone, Debug, Default)]
pub struct Options {
    pub(crate) arguments: Vec<String>,
    pub(crate) file_limit: Option<u64>,
    pub(crate) log_statements: bool,
    pub(crate) fast: bool,
}

impl Options {
    /// As in production.
    pub fn new() -> Self {
        Self::default()
    }

    /// More arguments for the server's command line, in its own form: `["--maxmemory", "4mb"]` for
    /// Redis, `["-c", "max_connections=5"]` for PostgreSQL, `["--max-connections=5"]` for MariaDB.
    #[must_use]
    pub fn arguments<const N: usize>(mut self, arguments: [&str; N]) -> Self {
        self.arguments.extend(arguments.map(str::to_owned));
        self
    }

    /// Makes the disk full for the server, in effect: no file of it can grow past this many bytes.
    /// What is there at the start has to fit. [`Server::lift_file_limit`](super::Server::lift_file_limit)
    /// makes room again.
    #[must_use]
    pub fn file_limit(mut self, bytes: u64) -> Self {
        self.file_limit = Some(bytes);
        self
    }

    /// Writes every statement to a log, for [`Monitor`](crate::monitor::Monitor). Redis needs no such
    /// preparation.
    #[must_use]
    pub fn log_statements(mut self) -> Self {
        self.log_statements = true;
        self
    }

    /// Acknowledges writes before they are on disk. For tests that kill nothing.
    #[must_use]
    pub fn fast(mut self) -> Self {
        self.fast = true;
        self
    }
}
