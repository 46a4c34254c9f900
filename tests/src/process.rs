//! The workspace's own programs, run as their users run them.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::servers::{Daemon, Launch, blocking, log_file, new_directory};

/// How long a program may take to say where it listens, and to end after Ctrl-C.
const PATIENCE: Duration = Duration::from_mins(5);

/// A running web application that prints `http://ADDRESS` when it is ready. It ends when this is
/// dropped, and in any case with the tests.
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
    /// Starts a program of the examples package and waits until it says where it listens.
    ///
    /// ```no_run
    /// # use poem_session_tests::process::App;
    /// # async fn test() {
    /// let shop = App::start("shop", &["--listen", "127.0.0.1:0", "--store", "memory"]).await;
    /// # }
    /// ```
    pub async fn start(name: &str, arguments: &[&str]) -> Self {
        let name = name.to_owned();
        let program = blocking(move || program(&name)).await;
        Self::run(program, arguments).await
    }

    /// Starts any program that prints where it listens.
    pub async fn run(program: PathBuf, arguments: &[&str]) -> Self {
        let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        blocking(move || Self::launch(program, &arguments)).await
    }

    fn launch(program: PathBuf, arguments: &[String]) -> Self {
        let directory = new_directory("app");
        let mut launch = Launch::new(program);
        for argument in arguments {
            launch.arg(argument);
        }
        let mut daemon = Daemon::start(&launch, &directory).expect("a shell starts");
        let deadline = Instant::now() + PATIENCE;
        let name = launch.program.display();
        let address = loop {
            let output = read(&directory);
            if let Some(address) = printed_address(&output) {
                break address;
            }
            assert!(daemon.ended().is_none(), "{name} ended: {output}");
            assert!(
                Instant::now() < deadline,
                "{name} gives no address: {output}"
            );
            sleep(Duration::from_millis(5));
        };
        let daemon = Mutex::new(daemon);
        Self {
            inner: Arc::new(Inner {
                address,
                directory,
                daemon,
            }),
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.inner.address
    }

    /// The URL of a path in it.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address())
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.daemon().pid()
    }

    /// All that it has printed.
    pub fn output(&self) -> String {
        read(&self.inner.directory)
    }

    /// Ctrl-C, and how it ended then.
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

    /// Ends it with no chance to do anything more.
    pub async fn kill(&self) {
        let app = self.clone();
        blocking(move || app.daemon().kill()).await;
    }

    fn daemon(&self) -> MutexGuard<'_, Daemon> {
        self.inner
            .daemon
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(directory: &Path) -> String {
    let bytes = fs::read(log_file(directory)).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The address in the first whole line that has one.
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

/// A compiled program of the workspace. It is built when it is asked for, in such a way that nothing is
/// compiled for a second time under `cargo xtask test`: with all features, and together with a test,
/// because the tests' own dependencies turn on features of crates that both use.
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
    // What Cargo tells a test about its package would be taken for changes by build scripts.
    for (variable, _) in std::env::vars_os() {
        let text = variable.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            cargo.env_remove(&variable);
        }
    }
    let output = cargo.output().expect("Cargo starts");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{name} does not build: {complaint}"
    );
    let messages = String::from_utf8_lossy(&output.stdout).into_owned();
    let found = messages
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .find_map(|message| executable(&message, name));
    found.unwrap_or_else(|| panic!("Cargo does not say where {name} is: {messages}"))
}

/// Where this program is, if that is what a message of Cargo's tells.
fn executable(message: &Value, program: &str) -> Option<PathBuf> {
    let name = message.pointer("/target/name")?.as_str()?;
    let path = message.get("executable")?.as_str()?;
    (name == program).then(|| path.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_found_in_a_sentence() {
        let address = |text| printed_address(text).map(|address| address.to_string());
        let expected = Some("127.0.0.1:4100".to_owned());
        assert_eq!(
            address("The shop is open at http://127.0.0.1:4100.\n"),
            expected
        );
        assert_eq!(
            address("starting\nhttp://127.0.0.1:4100/\nmore\n"),
            expected
        );
        assert_eq!(address("http://[::1]:80\n"), Some("[::1]:80".to_owned()));
    }

    #[test]
    fn an_address_is_taken_from_a_whole_line_only() {
        assert_eq!(printed_address("http://127.0.0.1:41"), None);
        assert_eq!(printed_address("no address yet\n"), None);
    }
}
