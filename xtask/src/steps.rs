//! Steps of a task. Each has a name, is timed, and is listed with its result at the end.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The steps that have run.
///
/// The task continues after a failed step, so that one run shows all failures.
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
    /// Starts a task and its clock.
    pub(crate) fn begin() -> Self {
        Self {
            begun: Instant::now(),
            taken: Vec::new(),
        }
    }

    /// Runs one step. Prints its name before and its duration after.
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

    /// Prints the list of steps.
    ///
    /// # Errors
    /// If a step failed.
    pub(crate) fn finish(self) -> Result<(), String> {
        println!("\n{}", summary(&self.taken));
        println!("Total {}.", seconds(self.begun.elapsed()));
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
        write!(text, "\n  {name:<width$}  {time:>9}  {verdict}")
            .expect("writing to a String succeeds");
    }
    text
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

/// Runs a command; it prints to the output of this process.
///
/// # Errors
/// If the command cannot be started or exits with a failure status.
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
        .map_err(|error| format!("cannot start `{line}`: {error}"))?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("`{line}` failed: {status}"))
    }
}

/// The root of the workspace.
pub(crate) fn root() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package
        .parent()
        .expect("the package is a directory of the workspace")
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_steps_run_after_a_failed_step_and_the_failure_is_reported_at_the_end() {
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
    fn the_summary_lists_each_step_with_its_duration_and_result() {
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
    fn a_command_that_fails_or_does_not_exist_is_an_error() {
        assert_eq!(run(&mut Command::new("true")), Ok(()));
        assert!(
            run(&mut Command::new("false"))
                .unwrap_err()
                .contains("`false` failed")
        );
        let absent = run(&mut Command::new("no-such-program-anywhere")).unwrap_err();
        assert!(absent.contains("cannot start"), "{absent}");
    }
}
