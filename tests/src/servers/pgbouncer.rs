//! PgBouncer, in front of a PostgreSQL server.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use nix::sys::signal::Signal;

use super::need::PGBOUNCER;
use super::postgres::{PASSWORD, USER, psql};
use super::require::{program, start_if_installed};
use super::server::{Engine, Place, Server};
use super::{Launch, blocking};

/// The `pool_mode` of PgBouncer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// A client keeps its connection of the server.
    Session,
    /// A client may get another connection of the server after each transaction.
    Transaction,
}

/// Starts a PgBouncer for one test, in front of a server of [`postgres`](super::postgres). `settings` are lines of its
/// configuration. It keeps no prepared statements, unless they set `max_prepared_statements`.
pub async fn in_front_of(server: &Server, mode: Mode, settings: &str) -> Option<Server> {
    let engine = PgBouncer {
        server: server.clone(),
        mode,
        settings: settings.to_owned(),
    };
    start_if_installed(&PGBOUNCER, move || Server::start(Box::new(engine))).await
}

/// Returns whether the installed PgBouncer can keep prepared statements in transaction mode: version 1.21 and later.
pub async fn can_keep_statements() -> bool {
    blocking(|| version() >= (1, 21)).await
}

/// The version of the installed PgBouncer.
fn version() -> (u32, u32) {
    let output = Command::new(program("pgbouncer")).arg("--version").output();
    let output = output.expect("PgBouncer starts").stdout;
    let text = String::from_utf8_lossy(&output).into_owned();
    let version = || {
        let mut numbers = text.split_whitespace().nth(1)?.split('.');
        Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
    };
    version().unwrap_or_else(|| panic!("not a version: {text}"))
}

#[derive(Debug)]
struct PgBouncer {
    /// PgBouncer uses the server until it ends.
    server: Server,
    mode: Mode,
    settings: String,
}

impl PgBouncer {
    fn configuration(&self, place: &Place) -> String {
        let mode = match self.mode {
            Mode::Session => "session",
            Mode::Transaction => "transaction",
        };
        // Later versions keep prepared statements by default. Earlier ones do not know the setting.
        let statements = if version() >= (1, 21) && !self.settings.contains("max_prepared") {
            "max_prepared_statements = 0"
        } else {
            ""
        };
        format!(
            "[databases]\n* = host=127.0.0.1 port={server}\n\
             [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
             auth_type = md5\nauth_file = {users}\npool_mode = {mode}\nmax_client_conn = 1000\n\
             {statements}\n{settings}\n",
            server = self.server.port(),
            port = place.port,
            users = place.path("users"),
            settings = self.settings,
        )
    }
}

impl Engine for PgBouncer {
    fn name(&self) -> &'static str {
        "pgbouncer"
    }

    fn user(&self) -> &'static str {
        "postgres"
    }

    fn prepare(&self, place: &Place) -> Result<(), String> {
        let users = format!("\"{USER}\" \"{PASSWORD}\"\n");
        fs::write(place.directory.join("users"), users).map_err(|error| error.to_string())
    }

    fn launch(&self, place: &Place) -> Launch {
        // The file contains the port, which can change between two attempts to start.
        let file = place.directory.join("pgbouncer.ini");
        fs::write(&file, self.configuration(place)).expect("a file can be written");
        let mut launch = Launch::new(program("pgbouncer"));
        launch.user = place.user;
        launch.arg(file);
        launch
    }

    fn is_ready(&self, _place: &Place, _pid: u32, log: &str) -> bool {
        log.contains("process up")
    }

    fn stop_signal(&self) -> Signal {
        Signal::SIGTERM
    }

    fn url(&self, port: u16, database: Option<&str>) -> String {
        let database = database.unwrap_or("postgres");
        format!("postgres://{USER}:{PASSWORD}@127.0.0.1:{port}/{database}?sslmode=disable")
    }

    fn client(&self, port: u16, statement: &str) -> Command {
        psql(port, statement)
    }

    fn new_database(&self, number: u32) -> (Option<String>, String) {
        let name = format!("pooled_{number}_{}", std::process::id());
        (Some(format!("CREATE DATABASE {name}")), name)
    }

    fn statement_log(&self, _place: &Place) -> Option<PathBuf> {
        None
    }
}
