//! Redis, one server.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::need::REDIS;
use super::require::{is_present, program};
use super::server::{Engine, Place, Server, blocking};
use super::{Launch, Options};

/// The one instance for all tests of this program.
pub async fn shared() -> Option<Server> {
    static SHARED: OnceLock<Server> = OnceLock::new();
    if !is_present(&REDIS) {
        return None;
    }
    let start = || Server::start(Box::new(Redis::new(Options::new().fast())));
    Some(blocking(move || SHARED.get_or_init(start).clone()).await)
}

/// An instance of the test's own, with the append-only file written every second, as is usual: a
/// killed server may lose the last second of what it acknowledged.
pub async fn private(options: Options) -> Option<Server> {
    if !is_present(&REDIS) {
        return None;
    }
    Some(blocking(move || Server::start(Box::new(Redis::new(options)))).await)
}

/// Redis in its three forms; Cluster and Sentinel differ by arguments.
#[derive(Debug)]
pub(super) struct Redis {
    options: Options,
    /// A configuration file that the server rewrites, and its first content. Sentinel needs one.
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
                // A replica's first copy starts at once and not after five seconds.
                .args(&["--repl-diskless-sync-delay", "0"]);
        }
        launch
            .args(&["--port", &place.port.to_string(), "--bind", "127.0.0.1"])
            .args(&["--dir", &place.path("")]);
        for argument in &self.options.arguments {
            launch.arg(argument);
        }
        launch
    }

    fn is_ready(&self, place: &Place, pid: u32, _log: &str) -> bool {
        // The process id tells it from another program's server on a port that both wanted.
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

/// Waits until every replica of this master has what the master has now. A replica that is down does
/// not count.
///
/// `WAIT` would not do: it is about the writes of its own connection.
pub(super) fn wait_for_replicas(master: &Server, deadline: Instant) {
    let offset = replication(&master.run_blocking("INFO replication")).0;
    loop {
        let info = master.run_blocking("INFO replication");
        if replication(&info)
            .1
            .iter()
            .all(|replica| *replica >= offset)
        {
            return;
        }
        let in_time = Instant::now() < deadline;
        assert!(in_time, "a replica of {master:?} stays behind: {info}");
        sleep(Duration::from_millis(20));
    }
}

/// How far a master is, and how far each of its replicas said to be.
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
    (master.expect("a master says how far it is"), replicas)
}

/// The answer to a command that is a bulk string, over a connection of its own.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_offsets_of_replication_are_read() {
        let info = "role:master\r\nconnected_slaves:2\r\n\
                    slave0:ip=127.0.0.1,port=7001,state=online,offset=98,lag=0\r\n\
                    slave1:ip=127.0.0.1,port=7002,state=online,offset=112,lag=1\r\n\
                    master_repl_offset:112\r\nsecond_repl_offset:-1\r\n";
        assert_eq!(replication(info), (112, vec![98, 112]));
    }
}
