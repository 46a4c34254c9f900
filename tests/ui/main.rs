//! Tests of the code that the macros accept, and of the errors that they report for other code.
//!
//! With `TRYBUILD=overwrite`, the tests write the errors to the `.stderr` files.

/// Conformance 3.1, 3.2
#[test]
fn valid_code_compiles_and_invalid_code_gets_the_expected_errors() {
    // One run for both macros, because each run compiles the dependencies again.
    let cases = trybuild::TestCases::new();
    for name in ["session_data", "session"] {
        cases.pass(format!("{name}/pass/*.rs"));
        cases.compile_fail(format!("{name}/fail/*.rs"));
    }
}
