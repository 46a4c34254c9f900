//! Chromium, driven by the `WebDriver` protocol.

use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};

use super::daemon::{Daemon, Launch};
use super::need::BROWSER;
use super::reaper::new_directory;
use super::require::{program, start_if_installed};
use crate::PATIENCE;

/// The arguments of Chromium, besides the directory of its profile.
const ARGUMENTS: [&str; 12] = [
    "--headless",
    // Chromium does not run as root in its sandbox.
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    // Otherwise timers of a background tab run once a second.
    "--disable-background-timer-throttling",
    // Requests to other machines fail with an error in the log.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
    // With a pipe instead of a port, Chromium ends when the driver does.
    "--remote-debugging-pipe",
];

/// A program that starts and drives browsers. Dropping it ends it and its browsers.
pub struct Chromedriver {
    daemon: Daemon,
    directory: PathBuf,
    port: u16,
    profiles: AtomicU32,
}

/// Starts a driver for one test.
pub async fn private() -> Option<Chromedriver> {
    start_if_installed(&BROWSER, Chromedriver::start).await
}

impl Chromedriver {
    fn start() -> Self {
        let directory = new_directory("chromedriver");
        let mut launch = Launch::new(program("chromedriver"));
        launch.arg("--port=0");
        let (daemon, port) = Daemon::start_and_parse(&launch, &directory, printed_port);
        Self {
            daemon,
            directory,
            port,
            profiles: AtomicU32::new(0),
        }
    }

    /// The URL for a `WebDriver` client.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The capabilities that a client requests: a browser with a new profile, which logs the errors of its
    /// pages.
    pub fn capabilities(&self) -> Value {
        let number = self.profiles.fetch_add(1, Ordering::Relaxed);
        let profile = self.directory.join(format!("profile-{number}"));
        let mut arguments = ARGUMENTS.map(str::to_owned).to_vec();
        arguments.push(format!("--user-data-dir={}", profile.display()));
        json!({
            "browserName": "chrome",
            "goog:chromeOptions": {
                "binary": program("chromium"),
                "args": arguments,
                "browserStartupTimeout": PATIENCE.as_millis(),
            },
            "goog:loggingPrefs": { "browser": "ALL" },
        })
    }
}

impl fmt::Debug for Chromedriver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "chromedriver on port {}", self.port)
    }
}

impl Drop for Chromedriver {
    fn drop(&mut self) {
        self.daemon.kill();
        // If this fails, the reaper removes the directory.
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// Returns the port in the line that reports that the driver is ready.
fn printed_port(output: &str) -> Option<u16> {
    let (_, rest) = output.split_once("started successfully on port ")?;
    rest.split_once(".\n")?.0.parse().ok()
}
