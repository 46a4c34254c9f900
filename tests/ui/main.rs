//! What the macros accept, and what they say of the rest. `TRYBUILD=overwrite` writes the messages anew.

/// Conformance 3.1, 3.2
#[test]
fn what_is_right_compiles_wherever_it_stands_and_what_is_wrong_is_refused_at_its_place() {
    // One run for both: each compiles the dependencies anew.
    let cases = trybuild::TestCases::new();
    for name in ["session_data", "session"] {
        cases.pass(format!("{name}/pass/*.rs"));
        cases.compile_fail(format!("{name}/fail/*.rs"));
    }
}
