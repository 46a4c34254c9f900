//! `cargo xtask help`: lists the verbs.

use crate::{VERBS, Verb};

/// Lists the verbs.
pub(crate) const VERB: Verb = Verb {
    name: "help",
    arguments: "",
    summary: "show this list",
    run,
};

#[expect(clippy::unnecessary_wraps, reason = "every verb has this signature")]
fn run(_arguments: &[String]) -> Result<(), String> {
    println!("Usage: cargo xtask VERB\n");
    let call = |verb: &Verb| format!("{} {}", verb.name, verb.arguments);
    let lengths = VERBS.iter().map(|verb| call(verb).chars().count());
    let width = lengths.max().unwrap_or(0);
    for verb in VERBS {
        println!("  {:<width$}  {}", call(verb), verb.summary);
    }
    Ok(())
}
