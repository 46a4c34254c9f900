//! A single Redis server.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::need::REDIS;
use super::port::BUS;
use super::require::{program, start_if_installed};
use super::server::{Engine, Place, Server};
use super::{Launch, Options};
use crate::certificates::{certificate_file, key_file};
use crate::poll_blocking;

/// Returns the instance that all tests of the program share.
pub async fn shared() -> Option<Server> {
    static SHARED: OnceLock<Server> = OnceLock::new();
    let options = Options::new().fast();
    let start = || Server::start(Box::new(Redis::new(options)));
    start_if_installed(&REDIS, move || SHARED.get_or_init(start).clone()).await
}

/// Starts an instance for one test. It syncs its append-only file once a second, as usual: a killed
/// server may lose the writes of the last second.
pub async fn private(options: Options) -> Option<Server> {
    let start = || Server::start(Box::new(Redis::new(options)));
    start_if_installed(&REDIS, start).await
}

/// The port on which a server with [`Options::tls`] listens for TLS. On that of a Cluster's bus, which a single
/// server does not use.
pub fn tls_port(server: &Server) -> u16 {
    server.port() + BUS
}

/// A Redis server. The nodes of a Cluster and of Sentinel have other arguments.
#[derive(Debug)]
pub(super) struct Redis {
    options: Options,
    /// The first content of the configuration file, which Sentinel rewrites.
    config: Option<String>,
}

impl Redis {
    pub(super) fn new(options: Options) -> Self {
        Self {
            options,
            config: None,
        }
    }

    pub(super) fn sentinel(config: String) -> Self {
        Self {
            options: Options::new(),
            config: Some(config),
        }
    }
}

impl Engine for Redis {
    fn name(&self) -> &'static str {
        "redis"
    }

    fn user(&self) -> &'static str {
        "redis"
    }

    fn prepare(&self, place: &Place) -> Result<(), String> {
        if let Some(certificate) = &self.options.certificate {
            let written = certificate.write(&place.directory, place.user);
            written.map_err(|error| error.to_string())?;
        }
        let Some(config) = &self.config else {
            return Ok(());
        };
        let file = place.directory.join("sentinel.conf");
        let written = std::fs::write(&file, config).and_then(|()| match place.user {
            Some(user) => std::os::unix::fs::chown(&file, Some(user.uid), Some(user.gid)),
            None => Ok(()),
        });
        written.map_err(|error| error.to_string())
    }

    fn launch(&self, place: &Place) -> Launch {
        let mut launch = Launch::new(program("redis-server"));
        launch.user = place.user;
        launch.file_limit = self.options.file_limit;
        if self.config.is_some() {
            launch.arg(place.path("sentinel.conf")).arg("--sentinel");
        } else {
            let durable = if self.options.fast { "no" } else { "yes" };
            launch
                .args(&["--databases", "4096", "--save", "", "--appendonly", durable])
                // The first copy to a replica starts at once instead of after five seconds.
                .args(&["--repl-diskless-sync-delay", "0"]);
        }
        launch
            .args(&["--port", &place.port.to_string(), "--bind", "127.0.0.1"])
            .args(&["--dir", &place.path("")]);
        if self.options.certificate.is_some() {
            launch
                .args(&["--tls-port", &(place.port + BUS).to_string()])
                .args(&["--tls-auth-clients", "no", "--tls-cert-file"])
                .arg(certificate_file(&place.directory))
                .arg("--tls-key-file")
                .arg(key_file(&place.directory));
        }
        for argument in &self.options.arguments {
            launch.arg(argument);
        }
        launch
    }

    fn is_ready(&self, place: &Place, pid: u32, _log: &str) -> bool {
        // Another program may have started a server on the same port.
        let Some(info) = ask(place.port, "INFO") else {
            return false;
        };
        info.contains(&format!("process_id:{pid}\r\n")) && !info.contains("loading:1")
    }

    fn stop_signal(&self) -> Signal {
        Signal::SIGTERM
    }

    fn url(&self, port: u16, database: Option<&str>) -> String {
        match database {
            Some(number) => format!("redis://127.0.0.1:{port}/{number}"),
            None => format!("redis://127.0.0.1:{port}"),
        }
    }

    fn client(&self, port: u16, statement: &str) -> Command {
        let mut client = Command::new(program("redis-cli"));
        client.args(["-h", "127.0.0.1", "-p", &port.to_string()]);
        client.args(statement.split_whitespace());
        client
    }

    fn new_database(&self, number: u32) -> (Option<String>, String) {
        (None, number.to_string())
    }

    fn statement_log(&self, _place: &Place) -> Option<PathBuf> {
        None
    }
}

/// Waits until every connected replica has received the writes that its master has now. `WAIT` covers
/// only the writes of its own connection.
pub(super) fn wait_for_replicas(master: &Server) {
    let info = || master.run_blocking("INFO replication");
    let (offset, _) = replication(&info());
    let is_reached = |replicas: &[u64]| replicas.iter().all(|replica| *replica >= offset);
    poll_blocking(
        || is_reached(&replication(&info()).1).then_some(()),
        || format!("a replica of {master:?} is behind: {}", info()),
    );
}

/// Returns the replication offset of a master, and the last one that each replica reported.
fn replication(info: &str) -> (u64, Vec<u64>) {
    let number = |text: &str| text.parse().ok();
    let master = info
        .lines()
        .find_map(|line| number(line.strip_prefix("master_repl_offset:")?));
    let replicas = info
        .lines()
        .filter(|line| line.starts_with("slave") && line.contains("state="))
        .filter_map(|line| number(line.split_once("offset=")?.1.split(',').next()?))
        .collect();
    (master.expect("a master has an offset"), replicas)
}

/// Sends a command on a new connection and returns its reply, a bulk string.
fn ask(port: u16, command: &str) -> Option<String> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()?;
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .ok()?;
    (&stream)
        .write_all(format!("{command}\r\n").as_bytes())
        .ok()?;
    let mut reader = BufReader::new(&stream);
    let mut header = String::new();
    reader.read_line(&mut header).ok()?;
    let length: usize = header.strip_prefix('$')?.trim_end().parse().ok()?;
    let mut body = vec![0; length];
    std::io::Read::read_exact(&mut reader, &mut body).ok()?;
    String::from_utf8(body).ok()
}
