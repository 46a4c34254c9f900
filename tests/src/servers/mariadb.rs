//! MariaDB.

use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use nix::sys::signal::Signal;

use super::need::MARIADB;
use super::postgres::run_as;
use super::require::{program, start_if_installed};
use super::server::{Engine, Place, Server};
use super::{Launch, Options};
use crate::certificates::{certificate_file, key_file};

/// The administrator and the first database.
const USER: &str = "sessions";
const PASSWORD: &str = "maria-password";
const DATABASE: &str = "sessions";

/// Returns the instance that all tests of the program share.
pub async fn shared() -> Option<Server> {
    static SHARED: OnceLock<Server> = OnceLock::new();
    let options = Options::new().fast();
    let start = || Server::start(Box::new(MariaDb { options }));
    start_if_installed(&MARIADB, move || SHARED.get_or_init(start).clone()).await
}

/// Starts an instance for one test. It flushes its log to disk at each commit.
pub async fn private(options: Options) -> Option<Server> {
    let start = || Server::start(Box::new(MariaDb { options }));
    start_if_installed(&MARIADB, start).await
}

#[derive(Debug)]
struct MariaDb {
    options: Options,
}

/// The set-up takes most of its time for a log of the default size of 96 MiB.
const LOG_SIZE: &str = "--innodb-log-file-size=16M";

impl Engine for MariaDb {
    fn name(&self) -> &'static str {
        "mariadb"
    }

    fn user(&self) -> &'static str {
        "mysql"
    }

    fn prepare(&self, place: &Place) -> Result<(), String> {
        // The server runs this file at each start. Each line is one statement.
        let statements = format!(
            "CREATE USER IF NOT EXISTS '{USER}'@'127.0.0.1' IDENTIFIED BY '{PASSWORD}';\n\
             GRANT ALL ON *.* TO '{USER}'@'127.0.0.1' WITH GRANT OPTION;\n\
             CREATE DATABASE IF NOT EXISTS {DATABASE} CHARACTER SET utf8mb4;\n"
        );
        let file = place.directory.join("init.sql");
        fs::write(&file, statements).map_err(|error| error.to_string())?;
        if let Some(certificate) = &self.options.certificate {
            let written = certificate.write(&place.directory, place.user);
            written.map_err(|error| error.to_string())?;
        }
        let mut install = Command::new(program("mariadb-install-db"));
        install
            .args([
                "--no-defaults",
                "--auth-root-authentication-method=normal",
                "--skip-test-db",
            ])
            .args([&format!("--datadir={}", place.path("data")), LOG_SIZE])
            // A server that starts in a shared directory removes the temporary tables of others.
            .arg(format!("--tmpdir={}", place.path("")))
            .current_dir(&place.directory);
        run_as(install, place.user)
    }

    fn launch(&self, place: &Place) -> Launch {
        let mut launch = Launch::new(program("mariadbd"));
        launch.user = place.user;
        launch.file_limit = self.options.file_limit;
        let flush = if self.options.fast { "0" } else { "1" };
        launch
            .arg("--no-defaults")
            .arg(format!("--datadir={}", place.path("data")))
            .arg(format!("--tmpdir={}", place.path("")))
            .arg(format!("--socket={}", place.path("socket")))
            .arg(format!("--pid-file={}", place.path("mariadbd.pid")))
            .arg(format!("--init-file={}", place.path("init.sql")))
            .arg(format!("--port={}", place.port))
            .args(&["--bind-address=127.0.0.1", "--skip-name-resolve", LOG_SIZE])
            .args(&[
                "--innodb-buffer-pool-size=32M",
                "--character-set-server=utf8mb4",
            ])
            .arg(format!("--innodb-flush-log-at-trx-commit={flush}"));
        if let Some(file) = self.statement_log(place) {
            launch
                .arg("--general-log")
                .arg(format!("--general-log-file={}", file.display()));
        }
        if self.options.certificate.is_some() {
            let (certificate, key) = (
                certificate_file(&place.directory),
                key_file(&place.directory),
            );
            launch
                .arg(format!("--ssl-cert={}", certificate.display()))
                .arg(format!("--ssl-key={}", key.display()));
        }
        for argument in &self.options.arguments {
            launch.arg(argument);
        }
        launch
    }

    fn is_ready(&self, place: &Place, _pid: u32, log: &str) -> bool {
        log.contains("ready for connections")
            && TcpStream::connect((Ipv4Addr::LOCALHOST, place.port)).is_ok()
    }

    fn stop_signal(&self) -> Signal {
        Signal::SIGTERM
    }

    fn url(&self, port: u16, database: Option<&str>) -> String {
        let database = database.unwrap_or(DATABASE);
        let url = format!("mysql://{USER}:{PASSWORD}@127.0.0.1:{port}/{database}");
        match self.options.certificate {
            Some(_) => url,
            None => url + "?ssl-mode=DISABLED",
        }
    }

    fn client(&self, port: u16, statement: &str) -> Command {
        let mut client = Command::new(program("mariadb"));
        client
            .args([
                "--no-defaults",
                "--batch",
                "--skip-column-names",
                "--host=127.0.0.1",
            ])
            .arg(format!("--port={port}"))
            .args([format!("--user={USER}"), format!("--password={PASSWORD}")])
            .args([&format!("--execute={statement}"), DATABASE]);
        client
    }

    fn new_database(&self, number: u32) -> (Option<String>, String) {
        let name = format!("test_{number}");
        (
            Some(format!("CREATE DATABASE {name} CHARACTER SET utf8mb4")),
            name,
        )
    }

    fn statement_log(&self, place: &Place) -> Option<PathBuf> {
        self.options
            .log_statements
            .then(|| place.directory.join("data/statements.log"))
    }
}
