//! `cargo xtask conformance`: lists each line of the checklist with the tests that name it.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use crate::{Verb, rust_files, steps};

/// Shows the checklist.
pub(crate) const VERB: Verb = Verb {
    name: "conformance",
    arguments: "",
    summary: "list each line of the checklist with its tests; fail if a line has none",
    run: |_| table(),
};

const CHECKLIST: &str = "tests/conformance.txt";

/// The directories that contain tests.
const DIRECTORIES: [&str; 5] = ["session", "session-macros", "examples", "tests", "fuzz"];

/// A line of the checklist. An open line has no tests yet, and gives the reason.
#[derive(Debug, PartialEq)]
struct Line<'a> {
    number: &'a str,
    text: &'a str,
    open: Option<&'a str>,
}

/// The tests, by the number of the line that they name.
type Named = BTreeMap<String, Vec<String>>;

/// Prints the table. Fails if a line has no test, or if a test names an unknown line.
fn table() -> Result<(), String> {
    with_tests(|lines, named| {
        println!("| line | requirement | tests |\n|---|---|---|");
        for line in lines {
            let tests = named.get(line.number).map_or(&[][..], Vec::as_slice);
            let open = line.open.map(|why| format!("OPEN: {why}"));
            let shown: Vec<_> = open.iter().chain(tests).map(String::as_str).collect();
            println!(
                "| {} | {} | {} |",
                line.number,
                line.text,
                shown.join("<br>")
            );
        }
    })
}

/// Checks the table without printing it.
pub(crate) fn check() -> Result<(), String> {
    with_tests(|lines, named| {
        let open = lines.iter().filter(|line| line.open.is_some()).count();
        let tests: usize = named.values().map(Vec::len).sum();
        println!(
            "{} lines, {open} of them open, named {tests} times by tests",
            lines.len()
        );
    })
}

fn with_tests(show: impl FnOnce(&[Line<'_>], &Named)) -> Result<(), String> {
    let failed = |error: io::Error| format!("the tests cannot be read: {error}");
    let checklist = fs::read_to_string(steps::root().join(CHECKLIST)).map_err(failed)?;
    let lines: Vec<_> = checklist.lines().filter_map(line).collect();
    let mut named = Named::new();
    for directory in DIRECTORIES {
        for file in rust_files::below(&steps::root().join(directory)).map_err(failed)? {
            let source = fs::read_to_string(&file).map_err(failed)?;
            collect(&source, &place(&file), &mut named);
        }
    }
    show(&lines, &named);
    let faults = faults(&lines, &named);
    if faults.is_empty() {
        Ok(())
    } else {
        Err(faults.join("\n"))
    }
}

/// Describes each line without a test, and each test that names an unknown line.
fn faults(lines: &[Line<'_>], named: &Named) -> Vec<String> {
    let untested = lines
        .iter()
        .filter(|line| line.open.is_none() && !named.contains_key(line.number))
        .map(|line| format!("no test names line {}: {}", line.number, line.text));
    let unknown = named
        .iter()
        .filter(|(number, _)| lines.iter().all(|line| line.number != *number))
        .map(|(number, tests)| format!("{CHECKLIST} has no line {number}: {}", tests.join(", ")));
    untested.chain(unknown).collect()
}

/// Parses a line `2.1 text` or `2.1 text OPEN: reason`. Headings and comments give `None`.
fn line(text: &str) -> Option<Line<'_>> {
    let (number, text) = text.split_once(' ')?;
    number.split_once('.')?;
    let (text, open) = match text.split_once(" OPEN: ") {
        Some((text, why)) => (text, Some(why)),
        None => (text, None),
    };
    Some(Line { number, text, open })
}

/// Collects the tests of a source file.
///
/// A test names its lines in a comment `/// Conformance 1.16, 2.2` above the function. A case of the store suite has
/// its line before its path: `"6.1" load::create_then_load,`.
fn collect(source: &str, place: &str, named: &mut Named) {
    let mut numbers: Vec<&str> = Vec::new();
    for line in source.lines().map(str::trim) {
        if let Some(list) = line.strip_prefix("/// Conformance ") {
            numbers.extend(list.split(", "));
        } else if let Some(name) = function(line) {
            for number in numbers.drain(..) {
                note(named, number, format!("{place}::{name}"));
            }
        } else if let Some((number, case)) = case(line) {
            note(named, number, format!("every store: {case}"));
        }
    }
}

fn note(named: &mut Named, number: &str, test: String) {
    named.entry(number.to_owned()).or_default().push(test);
}

/// The name of the function that begins on this line.
fn function(line: &str) -> Option<&str> {
    let (before, after) = line.split_once("fn ")?;
    let words = before.split_whitespace();
    let begins = words.into_iter().all(|word| {
        matches!(word, "async" | "pub" | "const" | "unsafe") || word.starts_with("pub(")
    });
    begins.then(|| after.split(['(', '<']).next())?
}

fn case(line: &str) -> Option<(&str, &str)> {
    let (number, path) = line.strip_prefix('"')?.split_once("\" ")?;
    let case = path.strip_suffix(',')?;
    let is_path = |c: char| c.is_ascii_lowercase() || matches!(c, '_' | ':');
    (number.starts_with("6.") && case.chars().all(is_path)).then_some((number, case))
}

/// The name of a file in the table: its path without `src` and the extension.
fn place(file: &Path) -> String {
    let inside = file.strip_prefix(steps::root()).unwrap_or(file);
    let inside = inside.with_extension("");
    let words = inside.iter().filter_map(|word| word.to_str());
    // `tests/tests/behaviour/saving` is `tests/behaviour/saving`.
    let words: Vec<_> = words.filter(|word| *word != "src").collect();
    words.join("/").replace("tests/tests/", "tests/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(source: &str) -> Named {
        let mut named = Named::new();
        collect(source, "file", &mut named);
        named
    }

    #[test]
    fn a_test_is_found_by_the_conformance_comment_above_it() {
        let found = named(
            "/// Words.\n///\n/// Conformance 1.16, 2.2\n#[tokio::test(flavor = \"x\")]\n\
             async fn it_holds() {\n    fn inner() {}\n}\n\nfn helper() {}\n",
        );
        let tests = vec!["file::it_holds".to_owned()];
        let expected = [
            ("1.16".to_owned(), tests.clone()),
            ("2.2".to_owned(), tests),
        ];
        assert_eq!(found, Named::from(expected));
    }

    #[test]
    fn a_case_of_the_store_suite_counts_as_a_test_of_every_store() {
        let found = named("    \"6.1\" load::create_then_load,\n    \"6.1\" is in a text,\n");
        assert_eq!(found["6.1"], ["every store: load::create_then_load"]);
    }

    #[test]
    fn a_line_without_a_test_and_a_test_of_an_unknown_line_are_reported() {
        let checklist = "# 9.9 words\n1 Title\n1.1 one\n1.2 two OPEN: waits\n1.3 three\n";
        let lines: Vec<_> = checklist.lines().filter_map(line).collect();
        assert_eq!(lines.len(), 3);
        let found = named("/// Conformance 1.1, 7.7\nfn a() {}\n");
        let faults = faults(&lines, &found);
        assert_eq!(faults.len(), 2, "{faults:?}");
        assert!(faults[0].contains("line 1.3: three"), "{faults:?}");
        assert!(faults[1].contains("no line 7.7: file::a"), "{faults:?}");
    }
}
