//! Records by reading the statement log of PostgreSQL and MariaDB.

use std::fs;
use std::path::PathBuf;

use super::{Command, marker};
use crate::servers::Server;

/// A position in a log.
#[derive(Debug)]
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
/// `PID: LOG:  execute NAME: SELECT $1` for a prepared one. Further lines of a statement begin with a tab.
fn postgres(log: &str) -> Vec<Command> {
    let mut commands: Vec<Command> = Vec::new();
    let mut in_statement = false;
    for line in log.lines() {
        if let Some(more) = line.strip_prefix('\t') {
            if let Some(last) = commands.last_mut().filter(|_| in_statement) {
                last.text.push('\n');
                last.text.push_str(more);
            }
            continue;
        }
        let begun = line.split_once(": LOG:  ").and_then(|(client, said)| {
            let (what, text) = said.split_once(": ")?;
            let counts = what == "statement" || what.starts_with("execute ");
            counts.then(|| Command {
                client: client.to_owned(),
                text: text.to_owned(),
            })
        });
        in_statement = begun.is_some();
        commands.extend(begun);
    }
    commands
}

/// Parses lines such as `TIME\t  ID Query\tSELECT 1`. The time is missing if it is that of the previous
/// line. A prepared statement is logged as `Prepare` and, at each use, as `Execute`; only `Execute`
/// counts. Further lines of a statement have no prefix.
fn mariadb(log: &str) -> Vec<Command> {
    let mut commands: Vec<Command> = Vec::new();
    let mut in_statement = false;
    for line in log.lines() {
        let Some((client, what, text)) = mariadb_entry(line) else {
            if let Some(last) = commands.last_mut().filter(|_| in_statement) {
                last.text.push('\n');
                last.text.push_str(line);
            }
            continue;
        };
        in_statement = matches!(what, "Query" | "Execute");
        if in_statement {
            commands.push(Command {
                client: client.to_owned(),
                text: text.to_owned(),
            });
        }
    }
    commands
}

fn mariadb_entry(line: &str) -> Option<(&str, &str, &str)> {
    const KINDS: [&str; 12] = [
        "Change user",
        "Close stmt",
        "Connect",
        "Execute",
        "Fetch",
        "Init DB",
        "Long Data",
        "Ping",
        "Prepare",
        "Query",
        "Quit",
        "Reset stmt",
    ];
    let (_time, rest) = line.split_once('\t')?;
    let rest = rest.trim_start();
    let (client, rest) = rest.split_once(' ')?;
    client.parse::<u64>().ok()?;
    let kind = KINDS.into_iter().find(|kind| rest.starts_with(kind))?;
    Some((client, kind, rest[kind.len()..].trim_start_matches('\t')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(client: &str, text: &str) -> Command {
        Command {
            client: client.to_owned(),
            text: text.to_owned(),
        }
    }

    #[test]
    fn a_postgres_log_has_simple_and_prepared_statements_of_several_lines() {
        let log = "9: LOG:  checkpoint starting: time\n\
                   7: LOG:  statement: SELECT 1\n\
                   8: LOG:  execute sqlx_s_1: UPDATE t\n\
                   \tSET a = $1\n\
                   8: DETAIL:  parameters: $1 = '2'\n\
                   \tmore of it\n\
                   7: LOG:  disconnection: session time\n";
        let expected = [
            command("7", "SELECT 1"),
            command("8", "UPDATE t\nSET a = $1"),
        ];
        assert_eq!(postgres(log), expected);
    }

    #[test]
    fn a_mariadb_log_has_queries_and_executions_of_several_lines() {
        let log = "231123 16:41:00\t     3 Connect\tsessions@127.0.0.1 on db\n\
                   \t\t     3 Prepare\tSELECT ?\n\
                   \t\t     3 Execute\tSELECT\n\
                   1\n\
                   \t\t     3 Close stmt\t\n\
                   231123 16:41:01\t    12 Query\tSET NAMES utf8mb4\n\
                   \t\t    12 Quit\t\n";
        assert_eq!(
            mariadb(log),
            [
                command("3", "SELECT\n1"),
                command("12", "SET NAMES utf8mb4")
            ]
        );
    }
}
