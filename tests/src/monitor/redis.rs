//! Records with the command `MONITOR`.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::Duration;

use super::{Command, marker};
use crate::servers::Server;

/// Commands that set up a connection. `PING` counts: a pool that sends one before each request doubles
/// its round trips.
const SET_UP: [&str; 7] = [
    "AUTH", "CLIENT", "CLUSTER", "COMMAND", "HELLO", "READONLY", "SELECT",
];

/// A connection on which the server reports every command.
pub(super) struct Recording {
    server: Server,
    lines: BufReader<TcpStream>,
}

impl Recording {
    pub(super) fn start(server: Server) -> Self {
        let mut stream = TcpStream::connect(server.address()).expect("the server listens");
        stream
            .set_read_timeout(Some(Duration::from_mins(5)))
            .expect("the limit is not zero");
        stream.write_all(b"MONITOR\r\n").expect("the server reads");
        let mut recording = Self {
            server,
            lines: BufReader::new(stream),
        };
        assert_eq!(recording.next_line(), "+OK", "MONITOR is refused");
        recording
    }

    pub(super) fn finish(mut self) -> Vec<Command> {
        let marker = marker();
        self.server.run_blocking(&format!("ECHO {marker}"));
        let mut commands = Vec::new();
        loop {
            let line = self.next_line();
            let command = parse(&line).unwrap_or_else(|| panic!("not a line of MONITOR: {line}"));
            // redis-cli may request the descriptions of the commands before it sends the marker.
            if command.text.ends_with(&marker) {
                commands.retain(|earlier: &Command| earlier.client != command.client);
                return commands;
            }
            if command.client != "lua" && !SET_UP.contains(&command.name().as_str()) {
                commands.push(command);
            }
        }
    }

    fn next_line(&mut self) -> String {
        let mut bytes = Vec::new();
        self.lines
            .read_until(b'\n', &mut bytes)
            .expect("the server reports commands");
        String::from_utf8_lossy(&bytes).trim_end().to_owned()
    }
}

/// `+1700000000.123456 [0 127.0.0.1:5000] "get" "some key"`; the client of a script is `lua`.
fn parse(line: &str) -> Option<Command> {
    let (_, rest) = line.split_once(" [")?;
    let (source, words) = rest.split_once("] ")?;
    let (_database, client) = source.split_once(' ')?;
    let quoted = words.strip_prefix('"')?.strip_suffix('"')?;
    Some(Command::new(client, &quoted.replace("\" \"", " ")))
}
