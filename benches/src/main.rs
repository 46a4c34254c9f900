//! Benchmarks of `poem-session` beside other session libraries.
//!
//! `cargo xtask bench` runs them. See PERFORMANCE.md.

mod apps;
mod measure;
mod table;

use std::process::ExitCode;

use measure::Effort;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |name: &str| arguments.iter().any(|argument| argument == name);
    let effort = if has("--quick") {
        Effort::QUICK
    } else {
        Effort::FULL
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let _inside = runtime.enter();
    if let [verb, library, case, requests] = &arguments[..]
        && verb == "serve"
    {
        let requests = requests.parse().expect("a number of requests");
        if let Err(error) = measure::serve(library, case, requests) {
            eprintln!("error: {error}");
            return ExitCode::FAILURE;
        }
        return ExitCode::SUCCESS;
    }
    let cases = measure::compare(effort);
    if has("--json") {
        let report = serde_json::json!({ "cases": cases });
        println!("{report:#}");
    } else {
        table::print(&cases);
    }
    ExitCode::SUCCESS
}
