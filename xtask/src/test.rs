//! `cargo xtask test`: runs all checks that a change must pass, and sets up everything they need.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::need::{self, Need};
use crate::steps::{Steps, root, run};
use crate::{Verb, conformance, debian, features, layers, test_log};

/// Runs every check.
pub(crate) const VERB: Verb = Verb {
    name: "test",
    arguments: "[STEP]…",
    summary: "install the servers and run all checks, or only the named steps",
    run: test,
};

/// Makes a test fail if its server is missing. Without it, the test is skipped.
const REQUIRE_SERVERS: &str = "POEM_SESSION_REQUIRE_SERVERS";

/// The servers and tools that the tests need.
const NEEDS: [Need; 5] = [
    need::REDIS,
    need::POSTGRES,
    need::PGBOUNCER,
    need::MARIADB,
    need::BROWSER,
];

/// The name of a step and its function.
type Step = (&'static str, fn() -> Result<(), String>);

/// The steps, in their order. Fast steps come first, so that simple mistakes are found early.
const STEPS: [Step; 9] = [
    ("servers", servers),
    ("fmt", fmt),
    ("layers", layers::check),
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
        return Err(format!("unknown step `{unknown}`; the steps are {known}"));
    }
    let mut steps = Steps::begin();
    for (name, action) in STEPS {
        if names.is_empty() || names.iter().any(|wanted| wanted == name) {
            steps.step(name, action);
        }
    }
    steps.finish()
}

/// Finds the servers. Installs the missing ones if this process can.
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
        "servers are missing; on Debian or Ubuntu, install them as root with `{install}` \
         (if root runs this task there, it installs them itself)"
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
    // The fuzz targets are a separate workspace. Clippy and the tests need not look at it: the code that they
    // call, `fuzz/properties`, is part of the main workspace.
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

/// Checks each feature alone, to find a feature that needs another one without declaring it.
fn each_feature_alone() -> Result<(), String> {
    let path = root().join("session/Cargo.toml");
    let manifest = fs::read_to_string(&path)
        .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
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

/// Builds the programs and the tests with one command.
///
/// Some tests start the programs. The dependencies of the tests enable more features of the crates that both use,
/// so separate builds would compile these crates twice.
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

/// Cargo's target directory.
fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// A command for the Cargo that runs this task, in the root of the workspace.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_step_is_refused_with_the_list_of_steps() {
        let message = test(&["fnt".to_owned()]).unwrap_err();
        assert!(
            message.starts_with("unknown step `fnt`; the steps are servers, fmt,"),
            "{message}"
        );
    }

    #[test]
    fn every_need_names_its_programs_and_packages() {
        for need in NEEDS {
            assert!(
                !need.programs.is_empty() && !need.packages.is_empty(),
                "{}",
                need.name
            );
        }
    }
}
