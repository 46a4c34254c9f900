//! PostgreSQL.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use nix::sys::signal::Signal;

use super::need::POSTGRES;
use super::require::{program, start_if_installed};
use super::server::{Engine, Place, Server};
use super::user::{User, become_user};
use super::{Launch, Options, log_file};
use crate::certificates::{certificate_file, key_file};

/// The administrator of the server.
pub(super) const USER: &str = "sessions";
pub(super) const PASSWORD: &str = "pg-password";

/// The password as the server stores it (SCRAM-SHA-256, RFC 5803), with one iteration instead of 4096: an
/// unoptimised client needs almost 0.1 s for those at each connection.
const VERIFIER: &str = "SCRAM-SHA-256$1:cG9lbS1zZXNzaW9uLXRlcw==\
    $cmuWgrkg+crmSJzpdOAPo5aOykrLv9/BR5KWXpBb+s0=:k1VTnQF0TCGi0Wd3OlHjOeilMYcKRQ8ZSHNuf6/b58g=";

/// Returns the instance that all tests of the program share.
pub async fn shared() -> Option<Server> {
    static SHARED: OnceLock<Server> = OnceLock::new();
    let options = Options::new().fast();
    let start = || Server::start(Box::new(Postgres { options }));
    start_if_installed(&POSTGRES, move || SHARED.get_or_init(start).clone()).await
}

/// Starts an instance for one test, with `fsync` and `synchronous_commit` on.
pub async fn private(options: Options) -> Option<Server> {
    let start = || Server::start(Box::new(Postgres { options }));
    start_if_installed(&POSTGRES, start).await
}

#[derive(Debug)]
struct Postgres {
    options: Options,
}

impl Engine for Postgres {
    fn name(&self) -> &'static str {
        "postgres"
    }

    fn user(&self) -> &'static str {
        "postgres"
    }

    fn prepare(&self, place: &Place) -> Result<(), String> {
        let password = place.directory.join("password");
        fs::write(&password, VERIFIER).map_err(|error| error.to_string())?;
        if let Some(certificate) = &self.options.certificate {
            let written = certificate.write(&place.directory, place.user);
            written.map_err(|error| error.to_string())?;
        }
        let mut initdb = Command::new(program("initdb"));
        initdb
            .args(["--pgdata", &place.path("data"), "--username", USER])
            .args([
                "--pwfile",
                &place.path("password"),
                "--auth",
                "scram-sha-256",
            ])
            .args(["--encoding", "UTF8", "--locale", "C"])
            // Small segments stay below a limit of file sizes. The first files need no sync.
            .args(["--wal-segsize", "1", "--no-sync"])
            .current_dir(&place.directory);
        run_as(initdb, place.user)
    }

    fn launch(&self, place: &Place) -> Launch {
        let mut launch = Launch::new(program("postgres"));
        launch.user = place.user;
        launch.file_limit = self.options.file_limit;
        // An immediate shutdown, which ends the children and frees shared memory.
        launch.end = Signal::SIGQUIT;
        launch.args(&["-D", &place.path("data"), "-p", &place.port.to_string()]);
        let durable = if self.options.fast { "off" } else { "on" };
        let log = if self.options.log_statements {
            "all"
        } else {
            "none"
        };
        let settings = [
            ("listen_addresses", "127.0.0.1"),
            ("unix_socket_directories", ""),
            ("shared_buffers", "32MB"),
            // In the directory, which is removed even after a crash.
            ("dynamic_shared_memory_type", "mmap"),
            ("fsync", durable),
            ("synchronous_commit", durable),
            ("full_page_writes", durable),
            ("log_statement", log),
            ("log_line_prefix", "%p: "),
        ];
        for (name, value) in settings {
            launch.arg("-c").arg(format!("{name}={value}"));
        }
        if self.options.certificate.is_some() {
            let (certificate, key) = (
                certificate_file(&place.directory),
                key_file(&place.directory),
            );
            launch
                .args(&["-c", "ssl=on", "-c"])
                .arg(format!("ssl_cert_file={}", certificate.display()))
                .arg("-c")
                .arg(format!("ssl_key_file={}", key.display()));
        }
        for argument in &self.options.arguments {
            launch.arg(argument);
        }
        launch
    }

    fn is_ready(&self, place: &Place, pid: u32, _log: &str) -> bool {
        // The first line is the process id, the eighth the state.
        let file = place.directory.join("data/postmaster.pid");
        let text = fs::read_to_string(file).unwrap_or_default();
        let line = |number| text.lines().nth(number).map(str::trim);
        line(0) == Some(pid.to_string().as_str()) && line(7) == Some("ready")
    }

    fn stop_signal(&self) -> Signal {
        // A fast shutdown, which does not wait for the clients.
        Signal::SIGINT
    }

    fn url(&self, port: u16, database: Option<&str>) -> String {
        let database = database.unwrap_or("postgres");
        let url = format!("postgres://{USER}:{PASSWORD}@127.0.0.1:{port}/{database}");
        match self.options.certificate {
            Some(_) => url,
            None => url + "?sslmode=disable",
        }
    }

    fn client(&self, port: u16, statement: &str) -> Command {
        psql(port, statement)
    }

    fn new_database(&self, number: u32) -> (Option<String>, String) {
        let name = format!("test_{number}");
        (Some(format!("CREATE DATABASE {name}")), name)
    }

    fn statement_log(&self, place: &Place) -> Option<PathBuf> {
        self.options
            .log_statements
            .then(|| log_file(&place.directory))
    }
}

/// Returns the command that runs a statement on the server, or on a pooler in front of it.
pub(super) fn psql(port: u16, statement: &str) -> Command {
    let mut client = Command::new(program("psql"));
    client
        .env("PGPASSWORD", PASSWORD)
        .args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align"])
        .args(["--host", "127.0.0.1", "--port", &port.to_string()])
        .args(["--username", USER, "--dbname", "postgres"])
        .args(["--set", "ON_ERROR_STOP=1", "--command", statement]);
    client
}

/// Runs a set-up program as the user of the server.
pub(super) fn run_as(mut command: Command, user: Option<User>) -> Result<(), String> {
    become_user(&mut command, user);
    let output = command.output().map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    Err(text(&output.stdout) + &text(&output.stderr))
}
