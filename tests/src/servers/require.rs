//! Skips a test whose server is not installed, or fails it.

use std::env;
use std::io::{self, Write};
use std::path::PathBuf;

use super::need::{self, Need};
use super::server::blocking;

/// Set by `cargo xtask test`, which installs all servers: a missing one is a failure then.
const REQUIRE_SERVERS: &str = "POEM_SESSION_REQUIRE_SERVERS";

/// Starts something whose programs are installed. Otherwise reports the test as not run, or fails where
/// servers are required.
pub(crate) async fn start_if_installed<T: Send + 'static>(
    need: &Need,
    start: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let missing = need.missing();
    if missing.is_empty() {
        return Some(blocking(start).await);
    }
    let why = absence(need, &missing);
    assert!(env::var_os(REQUIRE_SERVERS).is_none(), "{why}");
    // The test runner hides the output of `eprintln!` if a test passes. One write keeps the line whole.
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    let line = format!("not run: {test}: {why}\n");
    let _ = io::stderr().write_all(line.as_bytes());
    None
}

fn absence(need: &Need, missing: &[&str]) -> String {
    let packages = need.packages.join(" ");
    format!(
        "{} is not installed ({} not found; on Debian: apt-get install {packages})",
        need.name,
        missing.join(", ")
    )
}

/// Returns the path of an installed program.
pub(crate) fn program(name: &str) -> PathBuf {
    need::program(name).unwrap_or_else(|| panic!("{name} is not installed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_says_what_to_install() {
        let need = Need {
            name: "Some Server",
            programs: &["sh", "no-such-program"],
            packages: &["some"],
        };
        assert_eq!(
            absence(&need, &need.missing()),
            "Some Server is not installed (no-such-program not found; \
             on Debian: apt-get install some)"
        );
    }
}
