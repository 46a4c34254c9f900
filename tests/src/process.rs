//! Runs the workspace's own programs, as a user runs them.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::PATIENCE;
use crate::servers::{Daemon, Launch, blocking, log_file, new_directory};

/// A running web application that prints `http://ADDRESS` when it is ready. Dropping the last clone
/// ends the program.
#[derive(Clone, Debug)]
pub struct App {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    address: SocketAddr,
    directory: PathBuf,
    daemon: Mutex<Daemon>,
}

impl App {
    /// Starts a program of the examples package, and waits until it prints its address.
    ///
    /// ```no_run
    /// # use poem_session_tests::process::App;
    /// # async fn test() {
    /// let shop = App::start("shop", &["--listen", "127.0.0.1:0", "--store", "memory"]).await;
    /// # }
    /// ```
    pub async fn start(name: &str, arguments: &[&str]) -> Self {
        let name = name.to_owned();
        let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        blocking(move || Self::launch(program(&name), &arguments)).await
    }

    fn launch(program: PathBuf, arguments: &[String]) -> Self {
        let directory = new_directory("app");
        let mut launch = Launch::new(program);
        for argument in arguments {
            launch.arg(argument);
        }
        let (daemon, address) = Daemon::start_and_parse(&launch, &directory, printed_address);
        let inner = Inner {
            address,
            directory,
            daemon: Mutex::new(daemon),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// The address that the program listens on.
    pub fn address(&self) -> SocketAddr {
        self.inner.address
    }

    /// The URL of a path.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address())
    }

    /// Everything that the program has printed.
    pub fn output(&self) -> String {
        let bytes = fs::read(log_file(&self.inner.directory)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Sends SIGINT, as Ctrl-C does, and returns the exit status.
    pub async fn interrupt(&self) -> ExitStatus {
        let app = self.clone();
        blocking(move || {
            let mut daemon = app.daemon();
            daemon.signal(Signal::SIGINT);
            daemon
                .wait(PATIENCE)
                .expect("the program ends after Ctrl-C")
        })
        .await
    }

    /// Kills the program.
    pub async fn kill(&self) {
        let app = self.clone();
        blocking(move || app.daemon().kill()).await;
    }

    fn daemon(&self) -> MutexGuard<'_, Daemon> {
        let daemon = self.inner.daemon.lock();
        daemon.unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the address in the first complete line that contains one.
fn printed_address(output: &str) -> Option<SocketAddr> {
    output
        .split_inclusive('\n')
        .filter(|line| line.ends_with('\n'))
        .find_map(|line| {
            let (_, rest) = line.split_once("http://")?;
            let is_part = |c: char| c.is_ascii_hexdigit() || matches!(c, '.' | ':' | '[' | ']');
            let end = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
            rest[..end].trim_end_matches('.').parse().ok()
        })
}

/// Builds a program of the workspace and returns its path.
///
/// The build enables all features and includes a test, because the dependencies of the tests enable
/// features of shared crates. With other features, Cargo would compile those crates again.
pub fn program(name: &str) -> PathBuf {
    static BUILT: Mutex<BTreeMap<String, PathBuf>> = Mutex::new(BTreeMap::new());
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    built
        .entry(name.to_owned())
        .or_insert_with(|| build(name))
        .clone()
}

fn build(name: &str) -> PathBuf {
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .args(["build", "--workspace", "--all-features"])
        .args(["--bin", name, "--test", "harness"])
        .args(["--message-format", "json-render-diagnostics"])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .stdin(Stdio::null());
    // Build scripts would run again because of the variables that Cargo sets for this test's package.
    for (variable, _) in std::env::vars_os() {
        let text = variable.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            cargo.env_remove(&variable);
        }
    }
    let output = cargo.output().expect("Cargo starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name} does not build: {errors}");
    let messages = String::from_utf8_lossy(&output.stdout).into_owned();
    let found = messages
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .find_map(|message| executable(&message, name));
    found.unwrap_or_else(|| panic!("Cargo names no executable for {name}: {messages}"))
}

/// Returns the path of the program if a message of Cargo names it.
fn executable(message: &Value, program: &str) -> Option<PathBuf> {
    let name = message.pointer("/target/name")?.as_str()?;
    let path = message.get("executable")?.as_str()?;
    (name == program).then(|| path.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_read_from_a_complete_line() {
        for (output, expected) in [
            (
                "The shop is open at http://127.0.0.1:4100.\n",
                Some("127.0.0.1:4100"),
            ),
            (
                "starting\nhttp://127.0.0.1:4100/\nmore\n",
                Some("127.0.0.1:4100"),
            ),
            ("http://[::1]:80\n", Some("[::1]:80")),
            ("http://127.0.0.1:41", None),
            ("no address yet\n", None),
        ] {
            let address = printed_address(output).map(|address| address.to_string());
            assert_eq!(address.as_deref(), expected, "{output}");
        }
    }
}
