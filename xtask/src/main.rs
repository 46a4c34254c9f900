//! Development tasks of this workspace, run as `cargo xtask VERB`.
//!
//! Each verb is a module with a constant `VERB`, listed in [`VERBS`].

mod bench;
mod conformance;
mod debian;
mod features;
mod fuzz;
mod help;
mod layers;
mod model;
#[path = "../../tests/src/servers/need.rs"]
mod need;
mod rust_files;
mod shuttle;
mod steps;
mod test;
mod test_log;

use std::env;
use std::process::ExitCode;

/// A task of `cargo xtask`.
struct Verb {
    /// The word on the command line.
    name: &'static str,
    /// The arguments, as the help text shows them.
    arguments: &'static str,
    /// The description of the task, in one line.
    summary: &'static str,
    /// Runs the task. If it returns an error, the process prints the text and exits with status 1.
    run: fn(&[String]) -> Result<(), String>,
}

/// All verbs, in the order of the help text.
const VERBS: &[Verb] = &[
    test::VERB,
    conformance::VERB,
    layers::VERB,
    bench::VERB,
    fuzz::VERB,
    shuttle::VERB,
    model::VERB,
    help::VERB,
];

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let (word, rest) = match arguments.split_first() {
        Some((word, rest)) => (word.as_str(), rest),
        None => ("help", [].as_slice()),
    };
    let word = match word {
        "-h" | "--help" => "help",
        word => word,
    };
    let done = match VERBS.iter().find(|verb| verb.name == word) {
        Some(verb) => (verb.run)(rest),
        None => Err(format!(
            "unknown verb `{word}`; `cargo xtask help` lists the verbs"
        )),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}
