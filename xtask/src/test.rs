//! `cargo xtask test`: everything a change has to pass, with all set-up done here.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::need::{self, Need};
use crate::steps::{Steps, root, run};
use crate::{Verb, conformance, debian, features, test_log};

/// Runs every check.
pub(crate) const VERB: Verb = Verb {
    name: "test",
    arguments: "[STEP]…",
    summary: "install the servers, then check everything; or only the steps named",
    run: test,
};

/// Tells the tests that an absent server is a failure and not a reason to skip.
const REQUIRE_SERVERS: &str = "POEM_SESSION_REQUIRE_SERVERS";

/// What the tests need of the system.
const NEEDS: [Need; 4] = [need::REDIS, need::POSTGRES, need::MARIADB, need::BROWSER];

/// A step's name, and what it does.
type Step = (&'static str, fn() -> Result<(), String>);

/// The steps in their order: the fast ones first, so that a slip is seen early.
const STEPS: [Step; 8] = [
    ("servers", servers),
    ("fmt", fmt),
    ("conformance", conformance::check),
    ("clippy", clippy),
    ("docs", docs),
    ("features", each_feature_alone),
    ("build", build),
    ("tests", tests),
];

fn test(names: &[String]) -> Result<(), String> {
    if let Some(unknown) = names
        .iter()
        .find(|name| STEPS.iter().all(|(step, _)| step != name))
    {
        let known = STEPS.map(|(name, _)| name).join(", ");
        return Err(format!("`{unknown}` is no step; there are {known}"));
    }
    let mut steps = Steps::begin();
    for (name, action) in STEPS {
        if names.is_empty() || names.iter().any(|wanted| wanted == name) {
            steps.step(name, action);
        }
    }
    steps.finish()
}

/// Finds the servers, and installs those that are missing where that is possible.
fn servers() -> Result<(), String> {
    if let packages @ [_, ..] = missing_packages().as_slice()
        && debian::can_install()
    {
        debian::install(packages)?;
    }
    let mut complete = true;
    for need in NEEDS {
        match need.missing().as_slice() {
            [] => {
                let first = need.programs.first().and_then(|name| need::program(name));
                println!("{}: {}", need.name, first.unwrap_or_default().display());
            }
            missing => {
                complete = false;
                println!("{}: MISSING {}", need.name, missing.join(", "));
            }
        }
    }
    if complete {
        return Ok(());
    }
    let install = debian::command_line(&missing_packages());
    Err(format!(
        "servers are missing; on Debian or Ubuntu, as root: {install} \
         (this task does it by itself when root runs it there)"
    ))
}

fn missing_packages() -> Vec<&'static str> {
    let absent = |need: &&Need| !need.missing().is_empty();
    NEEDS
        .iter()
        .filter(absent)
        .flat_map(|need| need.packages)
        .copied()
        .collect()
}

fn fmt() -> Result<(), String> {
    run(cargo().args(["fmt", "--all", "--check"]))?;
    // A workspace of its own. What there is to lint and to test in `fuzz/` is in this one.
    run(cargo().args(["fmt", "--manifest-path", "fuzz/Cargo.toml", "--check"]))
}

fn clippy() -> Result<(), String> {
    run(cargo()
        .args(["clippy", "--workspace", "--all-targets", "--all-features"])
        .args(["--", "-D", "warnings"]))
}

fn docs() -> Result<(), String> {
    run(cargo()
        .args(["doc", "--workspace", "--no-deps", "--all-features"])
        .env("RUSTDOCFLAGS", "-D warnings"))
}

/// A feature that leans on another one without saying so compiles only in company.
fn each_feature_alone() -> Result<(), String> {
    let path = root().join("session/Cargo.toml");
    let manifest = fs::read_to_string(&path)
        .map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
    let check = || {
        let mut command = cargo();
        command.args([
            "check",
            "--package",
            "poem-session",
            "--no-default-features",
        ]);
        command
    };
    run(&mut check())?;
    for feature in features::in_manifest(&manifest) {
        run(check().args(["--features", feature]))?;
    }
    Ok(())
}

/// The tests start some of the programs: these and the tests are built by one command, because the
/// tests' own dependencies turn on features of crates that both use.
fn build() -> Result<(), String> {
    run(cargo().args([
        "build",
        "--workspace",
        "--all-features",
        "--bins",
        "--tests",
    ]))
}

fn tests() -> Result<(), String> {
    test_log::run(
        cargo()
            .args(["test", "--workspace", "--all-features", "--no-fail-fast"])
            .env(REQUIRE_SERVERS, "1"),
        &target().join("xtask/tests.log"),
    )
}

/// Where Cargo puts what it builds.
fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// The Cargo that runs this task, at the root of the workspace.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_that_is_none_is_refused_with_the_list() {
        let message = test(&["fnt".to_owned()]).unwrap_err();
        assert!(
            message.starts_with("`fnt` is no step; there are servers, fmt,"),
            "{message}"
        );
    }

    #[test]
    fn every_need_names_what_to_run_and_what_to_install() {
        for need in NEEDS {
            assert!(
                !need.programs.is_empty() && !need.packages.is_empty(),
                "{}",
                need.name
            );
        }
    }
}
