//! `cargo xtask bench`: measures the crate beside other session libraries.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Verb;
use crate::steps::{root, run};

/// Runs the benchmarks.
pub(crate) const VERB: Verb = Verb {
    name: "bench",
    arguments: "[--quick] [--json] | --instructions [--keep]",
    summary: "compare with other libraries; --instructions counts instructions, and --keep stores the counts",
    run: bench,
};

/// The cases whose instructions are counted.
const COUNTED: [&str; 5] = [
    "anonymous",
    "cookie sent, session unused",
    "read one key",
    "change one key",
    "create",
];

fn bench(arguments: &[String]) -> Result<(), String> {
    let has = |name: &str| arguments.iter().any(|argument| argument == name);
    let known = ["--quick", "--json", "--instructions", "--keep"];
    if let Some(unknown) = arguments.iter().find(|it| !known.contains(&it.as_str())) {
        return Err(format!("unknown option `{unknown}`"));
    }
    // The benchmarks are a workspace of their own: the libraries that they compare with are not needed for the tests.
    let manifest = directory().join("Cargo.toml");
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--release", "--locked", "--target-dir"]);
    build.arg(target()).arg("--manifest-path").arg(manifest);
    build.stdout(std::io::stderr());
    let status = build.status().map_err(|error| error.to_string())?;
    if !status.success() {
        return Err("the benchmarks do not compile".to_owned());
    }
    let program = target().join("release/poem-session-benches");
    if has("--instructions") {
        return instructions(&program, has("--keep"));
    }
    let passed = arguments.iter().filter(|it| *it != "--keep");
    if has("--json") {
        // Nothing but the report is printed.
        let status = Command::new(program).args(passed).status();
        let status = status.map_err(|error| error.to_string())?;
        return status.success().then_some(()).ok_or("failed".to_owned());
    }
    run(Command::new(program).args(passed))
}

fn directory() -> PathBuf {
    root().join("benches")
}

fn target() -> PathBuf {
    root().join("target/benches")
}

/// Counts the instructions of a request in each case, and compares them with the stored counts. Unlike a time, a
/// count is the same in each run on one machine.
fn instructions(program: &Path, keep: bool) -> Result<(), String> {
    let file = directory().join("instructions.txt");
    let stored = fs::read_to_string(&file).unwrap_or_default();
    let mut counts = String::new();
    println!("| case | instructions a request | stored | ratio |\n|---|---:|---:|---:|");
    for case in COUNTED {
        let count = (count(program, case, 2000)? - count(program, case, 1000)?) / 1000;
        let before = stored.lines().find_map(|line| {
            let (number, name) = line.split_once(' ')?;
            (name == case).then(|| number.parse::<u64>().ok())?
        });
        let (known, ratio) = match before {
            #[allow(clippy::cast_precision_loss)]
            Some(before) => (
                before.to_string(),
                format!("{:.3}", count as f64 / before as f64),
            ),
            None => (String::new(), String::new()),
        };
        println!("| {case} | {count} | {known} | {ratio} |");
        writeln!(counts, "{count} {case}").expect("writing to a String succeeds");
    }
    if keep {
        fs::write(&file, counts).map_err(|error| format!("cannot write the counts: {error}"))?;
    }
    Ok(())
}

/// Counts the instructions of a run of `requests` requests.
fn count(program: &Path, case: &str, requests: u64) -> Result<u64, String> {
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
    valgrind.arg(program).args(["serve", "poem-session", case]);
    let output = valgrind.arg(requests.to_string()).output();
    let output = output.map_err(|error| format!("cannot start valgrind: {error}"))?;
    let text = String::from_utf8_lossy(&output.stderr);
    let line = text.lines().find(|line| line.contains("Collected"));
    let number = line.and_then(|line| line.rsplit(' ').next()?.replace(',', "").parse().ok());
    number.ok_or_else(|| format!("valgrind printed no count: {text}"))
}
