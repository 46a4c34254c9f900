//! `cargo xtask fuzz`: looks for inputs that break a property.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::Verb;
use crate::steps::{Steps, root, run};

/// Runs the fuzzers.
pub(crate) const VERB: Verb = Verb {
    name: "fuzz",
    arguments: "[--seconds N] [--keep] [FUZZER]…",
    summary: "run the fuzzers, each for a minute or so long; keep what reached new code",
    run: fuzz,
};

/// What was asked for.
#[derive(Debug, PartialEq, Eq)]
struct Wish {
    seconds: u32,
    /// Whether the corpus takes in what was found.
    keep: bool,
    fuzzers: Vec<String>,
}

fn fuzz(arguments: &[String]) -> Result<(), String> {
    let wish = wish(arguments, &fuzzers()?)?;
    let toolchain = Toolchain::find();
    if !toolchain.has_cargo_fuzz() {
        return Err("the fuzzers are run by cargo-fuzz: `cargo install cargo-fuzz`".to_owned());
    }
    // The fuzzers' own lock file would name other versions than those that are tested.
    let lock = (root().join("Cargo.lock"), workspace().join("Cargo.lock"));
    fs::copy(&lock.0, &lock.1)
        .map_err(|error| format!("{} cannot be copied: {error}", lock.0.display()))?;
    let mut steps = Steps::begin();
    for fuzzer in &wish.fuzzers {
        steps.step(fuzzer, || look(toolchain, fuzzer, wish.seconds));
        if wish.keep {
            steps.step(&format!("{fuzzer}, keep"), || keep(toolchain, fuzzer));
        }
    }
    steps.finish()
}

fn wish(arguments: &[String], known: &[String]) -> Result<Wish, String> {
    let mut wish = Wish {
        seconds: 60,
        keep: false,
        fuzzers: Vec::new(),
    };
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--seconds" => {
                let seconds = arguments.next().and_then(|number| number.parse().ok());
                // Zero would be without end for libFuzzer.
                wish.seconds = seconds
                    .filter(|seconds| *seconds > 0)
                    .ok_or("`--seconds` is followed by a number of them, as in `--seconds 600`")?;
            }
            "--keep" => wish.keep = true,
            name if known.iter().any(|known| known == name) => wish.fuzzers.push(name.to_owned()),
            name => {
                let known = known.join(", ");
                return Err(format!("`{name}` is no fuzzer; there are {known}"));
            }
        }
    }
    if wish.fuzzers.is_empty() {
        wish.fuzzers = known.to_vec();
    }
    Ok(wish)
}

/// The names of the fuzzers, each of which is a file.
fn fuzzers() -> Result<Vec<String>, String> {
    let directory = workspace().join("fuzz_targets");
    let unreadable = |error| format!("{} cannot be read: {error}", directory.display());
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

/// Looks for an input that breaks the fuzzer's property. What reaches new code goes to a directory of its
/// own, so that a run leaves the corpus as it is.
fn look(toolchain: Toolchain, fuzzer: &str, seconds: u32) -> Result<(), String> {
    let found = found(fuzzer)?;
    let mut command = toolchain.cargo_fuzz();
    command.args(["run", fuzzer]);
    command.arg(found).arg(corpus(fuzzer)).arg("--");
    command.arg(format!("-max_total_time={seconds}"));
    command.args(["-max_len=4096", "-timeout=20", "-rss_limit_mb=2048"]);
    // One allocation of more than this is a length that was believed.
    command.args(["-malloc_limit_mb=64", "-print_final_stats=1"]);
    let dictionary = workspace().join(format!("dictionaries/{fuzzer}.dict"));
    if dictionary.exists() {
        command.arg(format!("-dict={}", dictionary.display()));
    }
    run(&mut command)
}

/// Adds to the corpus the least of what was found that reaches all that was reached.
fn keep(toolchain: Toolchain, fuzzer: &str) -> Result<(), String> {
    let mut command = toolchain.cargo_fuzz();
    command.args(["run", fuzzer]);
    command.arg(corpus(fuzzer)).arg(found(fuzzer)?);
    // All the code once, and not every number of times: a few hundred inputs instead of thousands.
    run(command.args(["--", "-set_cover_merge=1", "-use_counters=0"]))
}

/// The compiler that the fuzzers are built by, since a sanitizer is not stable.
#[derive(Debug, Clone, Copy)]
enum Toolchain {
    Nightly,
    /// The stable one, which is told to accept what is not.
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
        // Those of the toolchain that this task was started by.
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
        .map_err(|error| format!("{} cannot be made: {error}", path.display()))?;
    Ok(path)
}

fn workspace() -> PathBuf {
    root().join("fuzz")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(arguments: &[&str]) -> Result<Wish, String> {
        let known = ["cookie", "record"].map(str::to_owned);
        let arguments: Vec<String> = arguments.iter().map(|&word| word.to_owned()).collect();
        wish(&arguments, &known)
    }

    #[test]
    fn without_a_name_all_fuzzers_run() {
        let all = asked(&[]).unwrap();
        assert_eq!(all.fuzzers, ["cookie", "record"]);
        assert_eq!((all.seconds, all.keep), (60, false));
        let one = asked(&["--seconds", "600", "record", "--keep"]).unwrap();
        assert_eq!(one.fuzzers, ["record"]);
        assert_eq!((one.seconds, one.keep), (600, true));
    }

    #[test]
    fn what_is_not_understood_is_refused_with_what_is() {
        let message = asked(&["cokie"]).unwrap_err();
        assert_eq!(message, "`cokie` is no fuzzer; there are cookie, record");
        for arguments in [
            &["--seconds"][..],
            &["--seconds", "soon"],
            &["--seconds", "0"],
        ] {
            let message = asked(arguments).unwrap_err();
            assert!(message.contains("`--seconds 600`"), "{message}");
        }
    }

    #[test]
    fn the_fuzzers_are_found_by_their_files() {
        let names = fuzzers().unwrap();
        assert!(names.contains(&"cookie".to_owned()), "{names:?}");
    }
}
