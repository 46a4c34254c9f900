//! Prints the results as a table.

use crate::measure::Measured;

/// Prints a line for each case and library.
pub(crate) fn print(cases: &[Measured]) {
    println!("| case | library | ns above bare | × least work | allocations | bytes a session |");
    println!("|---|---|---:|---:|---:|---:|");
    let mut sorted: Vec<&Measured> = cases.iter().collect();
    let order = |case: &str| cases.iter().position(|other| other.case == case);
    sorted.sort_by_key(|measured| order(&measured.case));
    for measured in sorted {
        let bytes = measured.bytes_a_session;
        println!(
            "| {} | {} | {:.0} | {:.2} | {:.1} | {} |",
            measured.case,
            measured.lib,
            measured.ns_above_bare,
            measured.times_least_work,
            measured.allocs_above_bare,
            bytes.map_or(String::new(), |bytes| format!("{bytes:.0}")),
        );
    }
}
