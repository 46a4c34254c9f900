//! `cargo xtask fuzz`: searches for inputs that break a property.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::Verb;
use crate::steps::{Steps, root, run};

/// Runs the fuzzers.
pub(crate) const VERB: Verb = Verb {
    name: "fuzz",
    arguments: "[--seconds N] [--keep] [FUZZER]…",
    summary: "run each fuzzer for N seconds (default 60); --keep adds new inputs to the corpus",
    run: fuzz,
};

/// The options on the command line.
#[derive(Debug, PartialEq, Eq)]
struct Options {
    /// How long each fuzzer runs.
    seconds: u32,
    /// Whether inputs that reached new code are added to the corpus.
    keep: bool,
    fuzzers: Vec<String>,
}

fn fuzz(arguments: &[String]) -> Result<(), String> {
    let options = options(arguments, &fuzzers()?)?;
    let toolchain = Toolchain::find();
    if !toolchain.has_cargo_fuzz() {
        return Err(
            "cargo-fuzz is not installed; install it with `cargo install cargo-fuzz`".to_owned(),
        );
    }
    // The fuzzers are a workspace of their own. They use the same versions of dependencies as the tests.
    let lock = (root().join("Cargo.lock"), workspace().join("Cargo.lock"));
    fs::copy(&lock.0, &lock.1)
        .map_err(|error| format!("cannot copy {}: {error}", lock.0.display()))?;
    let mut steps = Steps::begin();
    for fuzzer in &options.fuzzers {
        steps.step(fuzzer, || search(toolchain, fuzzer, options.seconds));
        if options.keep {
            steps.step(&format!("{fuzzer}, keep"), || keep(toolchain, fuzzer));
        }
    }
    steps.finish()
}

fn options(arguments: &[String], known: &[String]) -> Result<Options, String> {
    let mut options = Options {
        seconds: 60,
        keep: false,
        fuzzers: Vec::new(),
    };
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--seconds" => {
                let seconds = arguments.next().and_then(|number| number.parse().ok());
                // libFuzzer takes zero for "no limit".
                options.seconds = seconds
                    .filter(|seconds| *seconds > 0)
                    .ok_or("`--seconds` needs a number above zero, as in `--seconds 600`")?;
            }
            "--keep" => options.keep = true,
            name if known.iter().any(|known| known == name) => {
                options.fuzzers.push(name.to_owned());
            }
            name => {
                let known = known.join(", ");
                return Err(format!("unknown fuzzer `{name}`; the fuzzers are {known}"));
            }
        }
    }
    if options.fuzzers.is_empty() {
        options.fuzzers = known.to_vec();
    }
    Ok(options)
}

/// The names of the fuzzers: the files in `fuzz_targets`.
fn fuzzers() -> Result<Vec<String>, String> {
    let directory = workspace().join("fuzz_targets");
    let unreadable = |error| format!("cannot read {}: {error}", directory.display());
    let mut names = Vec::new();
    for entry in fs::read_dir(&directory).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if let Some(name) = path.file_stem().and_then(|name| name.to_str()) {
            names.push(name.to_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// Searches for an input that breaks the fuzzer's property.
///
/// Inputs that reach new code are stored in a separate directory, so a run does not change the corpus.
fn search(toolchain: Toolchain, fuzzer: &str, seconds: u32) -> Result<(), String> {
    let found = found(fuzzer)?;
    let mut command = toolchain.cargo_fuzz();
    command.args(["run", fuzzer]);
    command.arg(found).arg(corpus(fuzzer)).arg("--");
    command.arg(format!("-max_total_time={seconds}"));
    command.args(["-max_len=4096", "-timeout=20", "-rss_limit_mb=2048"]);
    // A larger single allocation means that the code trusted a length in the input.
    command.args(["-malloc_limit_mb=64", "-print_final_stats=1"]);
    let dictionary = workspace().join(format!("dictionaries/{fuzzer}.dict"));
    if dictionary.exists() {
        command.arg(format!("-dict={}", dictionary.display()));
    }
    run(&mut command)
}

/// Adds a minimal set of the new inputs to the corpus: together they reach all the code that the run reached.
fn keep(toolchain: Toolchain, fuzzer: &str) -> Result<(), String> {
    let mut command = toolchain.cargo_fuzz();
    command.args(["run", fuzzer]);
    command.arg(corpus(fuzzer)).arg(found(fuzzer)?);
    // Counts which code is reached, not how often. This keeps a few hundred inputs instead of thousands.
    run(command.args(["--", "-set_cover_merge=1", "-use_counters=0"]))
}

/// The toolchain that builds the fuzzers. Sanitizers need unstable compiler flags.
#[derive(Debug, Clone, Copy)]
enum Toolchain {
    Nightly,
    /// The stable toolchain, with `RUSTC_BOOTSTRAP=1` so that it accepts unstable flags.
    Bootstrap,
}

impl Toolchain {
    fn find() -> Self {
        let mut nightly = Command::new("rustup");
        nightly.args(["run", "nightly", "rustc", "--version"]);
        if succeeds(&mut nightly) {
            Self::Nightly
        } else {
            Self::Bootstrap
        }
    }

    fn cargo_fuzz(self) -> Command {
        let mut command = match self {
            Self::Nightly => {
                let mut command = Command::new("rustup");
                command.args(["run", "nightly", "cargo"]);
                command
            }
            Self::Bootstrap => {
                let mut command = Command::new("cargo");
                command.env("RUSTC_BOOTSTRAP", "1");
                command
            }
        };
        // Cargo sets these to the toolchain that runs this task.
        for variable in ["CARGO", "RUSTC", "RUSTDOC"] {
            command.env_remove(variable);
        }
        command.current_dir(workspace()).arg("fuzz");
        command
    }

    fn has_cargo_fuzz(self) -> bool {
        succeeds(self.cargo_fuzz().arg("--version"))
    }
}

fn succeeds(command: &mut Command) -> bool {
    let silent = command.stdout(Stdio::null()).stderr(Stdio::null());
    silent.status().is_ok_and(|status| status.success())
}

fn corpus(fuzzer: &str) -> PathBuf {
    workspace().join("corpus").join(fuzzer)
}

fn found(fuzzer: &str) -> Result<PathBuf, String> {
    let path = workspace().join("target/found").join(fuzzer);
    fs::create_dir_all(&path)
        .map_err(|error| format!("cannot create {}: {error}", path.display()))?;
    Ok(path)
}

fn workspace() -> PathBuf {
    root().join("fuzz")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(arguments: &[&str]) -> Result<Options, String> {
        let known = ["cookie", "record"].map(str::to_owned);
        let arguments: Vec<String> = arguments.iter().map(|&word| word.to_owned()).collect();
        options(&arguments, &known)
    }

    #[test]
    fn all_fuzzers_run_if_none_is_named() {
        let all = given(&[]).unwrap();
        assert_eq!(all.fuzzers, ["cookie", "record"]);
        assert_eq!((all.seconds, all.keep), (60, false));
        let one = given(&["--seconds", "600", "record", "--keep"]).unwrap();
        assert_eq!(one.fuzzers, ["record"]);
        assert_eq!((one.seconds, one.keep), (600, true));
    }

    #[test]
    fn unknown_arguments_are_refused_with_the_known_ones() {
        let message = given(&["cokie"]).unwrap_err();
        assert_eq!(
            message,
            "unknown fuzzer `cokie`; the fuzzers are cookie, record"
        );
        for arguments in [
            &["--seconds"][..],
            &["--seconds", "soon"],
            &["--seconds", "0"],
        ] {
            let message = given(arguments).unwrap_err();
            assert!(message.contains("`--seconds 600`"), "{message}");
        }
    }

    #[test]
    fn each_file_in_fuzz_targets_is_a_fuzzer() {
        let names = fuzzers().unwrap();
        assert!(names.contains(&"cookie".to_owned()), "{names:?}");
    }
}
