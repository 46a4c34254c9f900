//! Development tasks of this workspace, run as `cargo xtask VERB`.
//!
//! A verb is a file: a module with a `VERB` of its own, listed in [`VERBS`].

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

/// One thing that `cargo xtask` does.
struct Verb {
    /// The word on the command line.
    name: &'static str,
    /// What follows the word, as help shows it.
    arguments: &'static str,
    /// What it does, in a line.
    summary: &'static str,
    /// Does it. An error ends the task with status 1 and this text.
    run: fn(&[String]) -> Result<(), String>,
}

/// Everything that `cargo xtask` does, in the order of the help text.
const VERBS: &[Verb] = &[
    test::VERB,
    conformance::VERB,
    layers::VERB,
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
            "`{word}` is no task; `cargo xtask help` lists them"
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
