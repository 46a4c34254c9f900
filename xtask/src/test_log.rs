//! Runs `cargo test`, prints its output, stores it in a file, and finds the tests that failed.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

/// Marks the end of the output in the pipe; no test prints this line.
const END: &[u8] = b"\0end of the tests\n";

/// Runs a `cargo test` command and copies its output to the file `log`.
///
/// # Errors
/// If a test failed. The error names each failed test and the file.
pub(crate) fn run(command: &mut Command, log: &Path) -> Result<(), String> {
    run_to(io::stdout(), command, log)
}

fn run_to(terminal: impl Write, command: &mut Command, log: &Path) -> Result<(), String> {
    let (succeeded, failed) =
        copy(terminal, command, log).map_err(|error| format!("cannot run the tests: {error}"))?;
    if succeeded && failed.is_empty() {
        return Ok(());
    }
    Err(report(&failed, log))
}

fn copy(
    mut terminal: impl Write,
    command: &mut Command,
    log: &Path,
) -> io::Result<(bool, Vec<String>)> {
    if let Some(directory) = log.parent() {
        fs::create_dir_all(directory)?;
    }
    let mut file = File::create(log)?;
    // Both streams write to one pipe, so that the log keeps the order of their lines.
    let (output, mut input) = io::pipe()?;
    let mut child = command
        .env("CARGO_TERM_COLOR", "never")
        .stdin(Stdio::null())
        .stdout(input.try_clone()?)
        .stderr(input.try_clone()?)
        .spawn()?;
    // A process that a test left behind keeps the pipe open, so reading stops at a mark and not at the end
    // of the pipe.
    let ended = thread::spawn(move || {
        let status = child.wait();
        input.write_all(END).and(status)
    });
    let mut failures = Failures::default();
    let mut output = BufReader::new(output);
    let mut line = Vec::new();
    while output.read_until(b'\n', &mut line)? > 0 && line != END {
        file.write_all(&line)?;
        terminal.write_all(&line)?;
        failures.read(&String::from_utf8_lossy(&line));
        line.clear();
    }
    let status = ended.join().expect("the thread does not panic")?;
    Ok((status.success(), failures.names))
}

fn report(failed: &[String], log: &Path) -> String {
    let mut text = match failed.len() {
        0 => "`cargo test` failed without naming a test".to_owned(),
        1 => "1 test failed:".to_owned(),
        count => format!("{count} tests failed:"),
    };
    for name in failed {
        text.push_str("\n    ");
        text.push_str(name);
    }
    text.push_str("\n  the complete output is in ");
    text.push_str(&log.display().to_string());
    text
}

/// The failed tests in the output of `cargo test`, read line by line.
#[derive(Debug, Default)]
struct Failures {
    names: Vec<String>,
    /// The test program that printed the current line.
    program: String,
    list: List,
}

/// The position in the list of failed tests that a test program prints at its end.
///
/// ```text
/// failures:
///     module::name_of_the_test
/// ```
#[derive(Debug, Default, PartialEq)]
enum List {
    #[default]
    Outside,
    Heading,
    Inside,
}

/// Cargo prints this for each failed test program, even if the program was killed and named no failed test.
const FAILED_PROGRAM: &str = "error: test failed, to rerun pass `";

impl Failures {
    fn read(&mut self, line: &str) {
        let line = line.trim_end();
        if let Some(started) = line.trim_start().strip_prefix("Running ") {
            self.program = program_name(started);
        } else if let Some(package) = line.trim_start().strip_prefix("Doc-tests ") {
            self.program = format!("doc tests of {package}");
        } else if let Some(arguments) = line.strip_prefix(FAILED_PROGRAM) {
            self.read_failed_program(arguments.trim_end_matches('`'));
        }
        self.list = match line.strip_prefix("    ") {
            _ if line == "failures:" => List::Heading,
            Some(name) if self.list != List::Outside => {
                self.names.push(format!("{}: {name}", self.program));
                List::Inside
            }
            _ => List::Outside,
        };
    }

    /// Adds the program itself, unless it has named a failed test.
    fn read_failed_program(&mut self, arguments: &str) {
        let prefix = format!("{}: ", self.program);
        if !self.names.iter().any(|name| name.starts_with(&prefix)) {
            self.names.push(format!("{prefix}cargo test {arguments}"));
        }
    }
}

/// The name of a test program, from `tests/behaviour/main.rs (target/debug/deps/behaviour-0123)`.
fn program_name(started: &str) -> String {
    let path = started.rsplit_once('(').map_or(started, |(_, path)| path);
    let file = path.rsplit('/').next().unwrap_or(path);
    let name = file.rsplit_once('-').map_or(file, |(name, _)| name);
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    const OUTPUT: &str = "\
     Running unittests src/lib.rs (target/debug/deps/poem_session-1)

running 1 test
test id::tests::short ... ok

test result: ok. 1 passed; 0 failed

     Running tests/behaviour/main.rs (target/debug/deps/behaviour-2)

running 2 tests
test parallel::both_survive ... FAILED
test basics::reload ... FAILED

failures:

---- parallel::both_survive stdout ----
    not a name
assertion failed

failures:
    basics::reload
    parallel::both_survive

test result: FAILED. 0 passed; 2 failed

error: test failed, to rerun pass `-p poem-session-tests --test behaviour`
     Running tests/killed/main.rs (target/debug/deps/killed-3)
error: test failed, to rerun pass `-p poem-session-tests --test killed`

Caused by:
    process didn't exit successfully (signal: 9, SIGKILL: kill)
   Doc-tests poem_session

failures:
    session/src/lib.rs - Session (line 9)

error: doctest failed, to rerun pass `-p poem-session --doc`
";

    #[test]
    fn failed_tests_are_named_with_their_programs() {
        let mut failures = Failures::default();
        OUTPUT.lines().for_each(|line| failures.read(line));
        assert_eq!(
            failures.names,
            [
                "behaviour: basics::reload",
                "behaviour: parallel::both_survive",
                "killed: cargo test -p poem-session-tests --test killed",
                "doc tests of poem_session: session/src/lib.rs - Session (line 9)",
            ]
        );
    }

    fn log_file(name: &str) -> PathBuf {
        let directory = format!("xtask-test-log-{}", std::process::id());
        std::env::temp_dir().join(directory).join(name)
    }

    #[test]
    fn the_error_of_a_failed_run_names_the_tests_and_the_log() {
        let log = log_file("failed");
        let mut command = Command::new("sh");
        command.args([
            "-c",
            "printf 'failures:\\n    one\\n    two\\n' >&2; exit 1",
        ]);
        let error = run_to(io::sink(), &mut command, &log).unwrap_err();
        assert_eq!(
            error,
            format!(
                "2 tests failed:\n    : one\n    : two\n  the complete output is in {}",
                log.display()
            )
        );
        let kept = fs::read_to_string(&log).unwrap();
        assert_eq!(kept, "failures:\n    one\n    two\n");
        fs::remove_file(log).unwrap();
    }

    #[test]
    fn a_run_without_failed_tests_succeeds_if_cargo_does() {
        let log = log_file("passed");
        assert_eq!(run_to(io::sink(), &mut Command::new("true"), &log), Ok(()));
        let error = run_to(io::sink(), &mut Command::new("false"), &log).unwrap_err();
        assert!(error.contains("without naming a test"), "{error}");
        fs::remove_file(log).unwrap();
    }
}
