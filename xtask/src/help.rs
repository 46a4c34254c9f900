//! `cargo xtask help`.

use crate::{VERBS, Verb};

/// Lists the tasks.
pub(crate) const VERB: Verb = Verb {
    name: "help",
    arguments: "",
    summary: "show this list",
    run,
};

#[expect(clippy::unnecessary_wraps, reason = "every verb has this signature")]
fn run(_arguments: &[String]) -> Result<(), String> {
    println!("Usage: cargo xtask VERB\n");
    for verb in VERBS {
        let call = format!("{} {}", verb.name, verb.arguments);
        println!("  {call:<16}{}", verb.summary);
    }
    Ok(())
}
