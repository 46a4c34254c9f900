//! Chromium, driven from outside by the `WebDriver` protocol.

use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::daemon::{Daemon, Launch, log_file};
use super::need::BROWSER;
use super::reaper::new_directory;
use super::require::{is_present, program};
use super::server::blocking;

/// How long it may take to say its port, and the browser to start. Generous: others use the machine too.
const PATIENCE: Duration = Duration::from_mins(5);

/// What Chromium is told, besides where its profile is.
const ARGUMENTS: [&str; 12] = [
    "--headless",
    // It refuses to be root inside of its sandbox.
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    // Timers of a tab in the background would wait for the next second.
    "--disable-background-timer-throttling",
    // Nothing leaves this machine, and what a page fetches from elsewhere is an error that can be seen.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
    // By a pipe and not by a port: when the driver has ended, in whatever way, Chromium ends too.
    "--remote-debugging-pipe",
];

/// A program that starts and drives browsers. When it is dropped, it and they are gone.
pub struct Chromedriver {
    daemon: Daemon,
    directory: PathBuf,
    port: u16,
    profiles: AtomicU32,
}

/// A driver of the test's own.
pub async fn private() -> Option<Chromedriver> {
    if !is_present(&BROWSER) {
        return None;
    }
    Some(blocking(Chromedriver::start).await)
}

impl Chromedriver {
    fn start() -> Self {
        let directory = new_directory("chromedriver");
        let mut launch = Launch::new(program("chromedriver"));
        launch.arg("--port=0");
        let mut daemon = Daemon::start(&launch, &directory).expect("a shell starts");
        let deadline = Instant::now() + PATIENCE;
        let port = loop {
            let output = fs::read_to_string(log_file(&directory)).unwrap_or_default();
            if let Some(port) = printed_port(&output) {
                break port;
            }
            assert!(daemon.ended().is_none(), "chromedriver ended: {output}");
            let in_time = Instant::now() < deadline;
            assert!(in_time, "chromedriver gives no port: {output}");
            sleep(Duration::from_millis(5));
        };
        Self {
            daemon,
            directory,
            port,
            profiles: AtomicU32::new(0),
        }
    }

    /// Where a `WebDriver` client connects.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.daemon.pid()
    }

    /// What a client asks for to be given a browser that nobody has used before, and that keeps a log
    /// of the errors in its pages.
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
        // The reaper removes what is left.
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// The port in the line that says that it is ready.
fn printed_port(output: &str) -> Option<u16> {
    let (_, rest) = output.split_once("started successfully on port ")?;
    rest.split_once(".\n")?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_read_from_a_whole_line() {
        let first = "Starting ChromeDriver 150.0 on port 0\n";
        let port = |text: &str| printed_port(&format!("{first}{text}"));
        assert_eq!(port(""), None);
        assert_eq!(
            port("ChromeDriver was started successfully on port 44"),
            None
        );
        let whole = "ChromeDriver was started successfully on port 44049.\n";
        assert_eq!(port(whole), Some(44049));
    }
}
