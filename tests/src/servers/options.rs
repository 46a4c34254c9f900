//! The options of a server.

use crate::certificates::Certificate;

/// The options of a private server. By default it runs as in production: an acknowledged write is on disk,
/// as far as the server promises that.
#[derive(Clone, Debug, Default)]
pub struct Options {
    pub(crate) arguments: Vec<String>,
    pub(crate) file_limit: Option<u64>,
    pub(crate) log_statements: bool,
    pub(crate) fast: bool,
    pub(crate) certificate: Option<Certificate>,
}

impl Options {
    /// Returns the default options.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds arguments to the command line of the server: `["--maxmemory", "4mb"]` for Redis,
    /// `["-c", "max_connections=5"]` for PostgreSQL, `["--max-connections=5"]` for MariaDB.
    #[must_use]
    pub fn arguments<const N: usize>(mut self, arguments: [&str; N]) -> Self {
        self.arguments.extend(arguments.map(str::to_owned));
        self
    }

    /// Limits the size of each file, which simulates a full disk. The files that exist at the start must
    /// fit. [`Server::lift_file_limit`](super::Server::lift_file_limit) removes the limit.
    #[must_use]
    pub fn file_limit(mut self, bytes: u64) -> Self {
        self.file_limit = Some(bytes);
        self
    }

    /// Logs every statement, for [`monitor`](crate::monitor). Redis does not need this.
    #[must_use]
    pub fn log_statements(mut self) -> Self {
        self.log_statements = true;
        self
    }

    /// Offers TLS with this certificate. Redis listens for it on [another port](super::redis::tls_port).
    #[must_use]
    pub fn tls(mut self, certificate: Certificate) -> Self {
        self.certificate = Some(certificate);
        self
    }

    /// Acknowledges writes before they are on disk. For tests that do not kill the server.
    #[must_use]
    pub fn fast(mut self) -> Self {
        self.fast = true;
        self
    }
}
