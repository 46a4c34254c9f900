//! Records by reading the statement log of PostgreSQL and MariaDB.

use std::fs;
use std::path::PathBuf;

use super::{Command, marker};
use crate::servers::Server;

/// A position in a log.
pub(super) struct Recording {
    server: Server,
    log: PathBuf,
    from: usize,
}

impl Recording {
    pub(super) fn start(server: Server) -> Self {
        let log = server.statement_log().unwrap_or_else(|| {
            panic!("{server:?} logs no statements; start it with Options::log_statements")
        });
        let from = fs::read(&log).map_or(0, |bytes| bytes.len());
        Self { server, log, from }
    }

    pub(super) fn finish(self) -> Vec<Command> {
        let Self { server, log, from } = self;
        let marker = marker();
        server.run_blocking(&format!("SELECT '{marker}'"));
        let bytes = fs::read(log).expect("the log exists since the start");
        let text = String::from_utf8_lossy(&bytes[from..]);
        let all = match server.engine_name() {
            "postgres" => postgres(&text),
            _ => mariadb(&text),
        };
        let end = all
            .iter()
            .position(|command| command.text.contains(&marker));
        let end = end.unwrap_or_else(|| panic!("the last statement is not in the log:\n{text}"));
        let own = &all[end].client;
        // MariaDB's client requests the version before it sends the marker. A pool sends `SET` to a new
        // connection.
        let counts = |command: &&Command| command.client != *own && command.name() != "SET";
        all[..end].iter().filter(counts).cloned().collect()
    }
}

/// Parses lines such as `PID: LOG:  statement: SELECT 1` for a simple query and
/// `PID: LOG:  execute NAME: SELECT $1` for a prepared one. Skips further lines of a statement.
fn postgres(log: &str) -> Vec<Command> {
    let parse = |line: &str| {
        let (client, entry) = line.split_once(": LOG:  ")?;
        let (kind, text) = entry.split_once(": ")?;
        let counts = kind == "statement" || kind.starts_with("execute ");
        counts.then(|| Command::new(client, text))
    };
    log.lines().filter_map(parse).collect()
}

/// Parses lines such as `TIME\t  ID Query\tSELECT 1`. The time is missing if it is that of the previous
/// line. A prepared statement is logged as `Prepare` and, at each use, as `Execute`; only `Execute` counts.
/// Skips further lines of a statement.
fn mariadb(log: &str) -> Vec<Command> {
    let parse = |line: &str| {
        let (_time, entry) = line.split_once('\t')?;
        let (entry, text) = entry.trim_start().split_once('\t')?;
        let (client, kind) = entry.split_once(' ')?;
        client.parse::<u64>().ok()?;
        matches!(kind, "Query" | "Execute").then(|| Command::new(client, text))
    };
    log.lines().filter_map(parse).collect()
}
