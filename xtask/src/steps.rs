//! Steps of a task: each named, timed, and listed at the end with how it went.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The steps taken so far.
///
/// A failed step does not end the task: one run shows everything that is wrong.
pub(crate) struct Steps {
    begun: Instant,
    taken: Vec<Step>,
}

struct Step {
    name: String,
    duration: Duration,
    failure: Option<String>,
}

impl Steps {
    /// No step yet; the clock of the whole task starts.
    pub(crate) fn begin() -> Self {
        Self {
            begun: Instant::now(),
            taken: Vec::new(),
        }
    }

    /// Takes one step, prints its name before and its duration after.
    pub(crate) fn step(&mut self, name: &str, action: impl FnOnce() -> Result<(), String>) {
        println!("\n=== {name}");
        let begun = Instant::now();
        let failure = action().err();
        let duration = begun.elapsed();
        match &failure {
            None => println!("=== {name}: done in {}", seconds(duration)),
            Some(why) => println!("=== {name}: FAILED after {}: {why}", seconds(duration)),
        }
        self.taken.push(Step {
            name: name.to_owned(),
            duration,
            failure,
        });
    }

    /// Prints the list of steps, and is an error if one of them failed.
    pub(crate) fn finish(self) -> Result<(), String> {
        println!("\n{}", summary(&self.taken));
        println!("In all {}.", seconds(self.begun.elapsed()));
        let failed: Vec<String> = self
            .taken
            .iter()
            .filter_map(|step| Some(format!("{}: {}", step.name, step.failure.as_ref()?)))
            .collect();
        if failed.is_empty() {
            Ok(())
        } else {
            Err(format!("failed:\n  {}", failed.join("\n  ")))
        }
    }
}

fn summary(steps: &[Step]) -> String {
    let width = steps.iter().map(|step| step.name.len()).max().unwrap_or(0);
    let mut text = String::from("=== summary");
    for Step {
        name,
        duration,
        failure,
    } in steps
    {
        let verdict = if failure.is_some() { "FAILED" } else { "ok" };
        let time = seconds(*duration);
        write!(text, "\n  {name:<width$}  {time:>9}  {verdict}").expect("a String takes all text");
    }
    text
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

/// Runs a command with this process's output, and is an error unless it ends well.
pub(crate) fn run(command: &mut Command) -> Result<(), String> {
    let mut line = command.get_program().to_string_lossy().into_owned();
    for argument in command.get_args() {
        line.push(' ');
        line.push_str(&argument.to_string_lossy());
    }
    println!("$ {line}");
    let status = command
        .stdin(Stdio::null())
        .status()
        .map_err(|error| format!("`{line}` cannot be started: {error}"))?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("`{line}` ended with {status}"))
    }
}

/// The root of the workspace.
pub(crate) fn root() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package
        .parent()
        .expect("the package is in the workspace")
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_reported_at_the_end_and_stops_no_later_step() {
        let mut steps = Steps::begin();
        let mut ran = false;
        steps.step("first", || Err("broken".to_owned()));
        steps.step("second", || {
            ran = true;
            Ok(())
        });
        assert!(ran);
        assert_eq!(steps.finish(), Err("failed:\n  first: broken".to_owned()));
    }

    #[test]
    fn the_summary_names_each_step_with_its_duration() {
        let step = |name: &str, millis, failure: Option<&str>| Step {
            name: name.to_owned(),
            duration: Duration::from_millis(millis),
            failure: failure.map(str::to_owned),
        };
        let text = summary(&[step("fmt", 900, None), step("clippy", 61_000, Some("why"))]);
        assert_eq!(
            text,
            "=== summary\n  fmt         0.9 s  ok\n  clippy     61.0 s  FAILED"
        );
    }

    #[test]
    fn a_command_that_fails_or_is_absent_is_an_error() {
        assert_eq!(run(&mut Command::new("true")), Ok(()));
        assert!(
            run(&mut Command::new("false"))
                .unwrap_err()
                .contains("`false` ended with")
        );
        let absent = run(&mut Command::new("no-such-program-anywhere")).unwrap_err();
        assert!(absent.contains("cannot be started"), "{absent}");
    }
}
