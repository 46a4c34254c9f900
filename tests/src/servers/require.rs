//! What happens to a test whose server is not installed.

use std::env;
use std::io::{self, Write};
use std::path::PathBuf;

use super::need::{self, Need};

/// Set by `cargo xtask test`: it has installed all servers, so one that is absent is a failure.
const REQUIRE_SERVERS: &str = "POEM_SESSION_REQUIRE_SERVERS";

/// Whether the programs are there. If not, the test is reported as not run, or fails where servers
/// are required.
pub(crate) fn is_present(need: &Need) -> bool {
    let missing = need.missing();
    if missing.is_empty() {
        return true;
    }
    let why = absence(need, &missing);
    assert!(env::var_os(REQUIRE_SERVERS).is_none(), "{why}");
    // Not `eprintln!`: the output of tests that pass is swallowed, and this has to be seen. At once, so
    // that nothing gets between the parts.
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    let line = format!("not run: {test}: {why}\n");
    let _ = io::stderr().write_all(line.as_bytes());
    false
}

fn absence(need: &Need, missing: &[&str]) -> String {
    let packages = need.packages.join(" ");
    format!(
        "{} is not installed ({} not found; on Debian: apt-get install {packages})",
        need.name,
        missing.join(", ")
    )
}

/// A program that [`is_present`] has found.
pub(crate) fn program(name: &str) -> PathBuf {
    need::program(name).unwrap_or_else(|| panic!("{name} was found a moment ago"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_says_what_to_install() {
        let need = Need {
            name: "Some Server",
            programs: &["no-such-program"],
            packages: &["some"],
        };
        assert_eq!(
            absence(&need, &need.missing()),
            "Some Server is not installed (no-such-program not found; \
             on Debian: apt-get install some)"
        );
    }

    #[test]
    fn a_program_that_is_there_is_not_missing() {
        let need = Need {
            name: "A shell",
            programs: &["sh"],
            packages: &["dash"],
        };
        assert!(is_present(&need));
    }
}
