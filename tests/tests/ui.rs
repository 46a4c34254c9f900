//! What the macros accept, and what they say of the rest. `TRYBUILD=overwrite` writes the messages anew.

#[test]
fn ui() {
    let cases = trybuild::TestCases::new();
    for kind in ["session_data", "session"] {
        cases.pass(format!("ui/{kind}/pass/*.rs"));
        cases.compile_fail(format!("ui/{kind}/fail/*.rs"));
    }
}
