//! Every input in `fuzz/corpus`, which the fuzzers begin with and what they have found, as a plain test.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use poem_session_properties::{
    ADDRESS, ALL, COOKIE, DERIVE, HANDLER, Property, RECORD, REDIS_VALUE, SETTINGS, SOURCES, VALUE,
    memory::bounded,
};

/// Conformance 5.13, 1.21
#[test]
fn no_cookie_header_makes_a_session_anybody_elses() {
    holds(COOKIE);
}

/// Conformance 5.13, 1.18, 1.19
#[test]
fn no_request_moves_an_id_to_another_carrier() {
    holds(SOURCES);
}

/// Conformance 5.13, 1.17
#[test]
fn no_settings_make_a_cookie_that_is_not_known_again() {
    holds(SETTINGS);
}

/// Conformance 5.13, 1.25
#[test]
fn no_record_is_more_than_an_error() {
    holds(RECORD);
}

/// Conformance 5.13, 3.3
#[test]
fn no_value_is_more_than_an_error() {
    holds(VALUE);
}

/// Conformance 5.13
#[test]
fn no_value_of_redis_is_more_than_an_error() {
    holds(REDIS_VALUE);
}

/// Conformance 5.13, 5.10
#[test]
fn no_refused_address_shows_its_password() {
    holds(ADDRESS);
}

/// Conformance 3.1
#[test]
fn no_item_breaks_the_derive() {
    holds(DERIVE);
}

/// Conformance 3.1
#[test]
fn no_item_breaks_the_attribute() {
    holds(HANDLER);
}

#[test]
fn every_property_has_a_fuzzer_and_a_corpus() {
    let properties: BTreeSet<String> = ALL.iter().map(|property| property.name.into()).collect();
    let fuzzers = names_in(&fuzz().join("fuzz_targets"));
    assert_eq!(fuzzers, properties);
    assert_eq!(names_in(&corpus()), properties);
    let manifest = fs::read_to_string(fuzz().join("Cargo.toml")).expect("it is text");
    let names = manifest
        .lines()
        .filter_map(|line| line.strip_prefix("path = \"fuzz_targets/"));
    let names: BTreeSet<String> = names
        .filter_map(|name| Some(name.strip_suffix(".rs\"")?.into()))
        .collect();
    assert_eq!(names, properties);
}

/// Conformance 5.13
#[test]
fn a_length_that_is_believed_is_noticed() {
    let believe = |length: usize| {
        let action = move || drop(std::hint::black_box(Vec::<u8>::with_capacity(length)));
        std::panic::catch_unwind(|| bounded(5, action))
    };
    assert!(believe(1 << 20).is_ok());
    assert!(believe(1 << 30).is_err());
}

/// Each input is small, and all together are: they are cloned by everybody.
#[test]
fn the_corpus_is_small() {
    let mut total = 0;
    for property in ALL {
        for (path, input) in inputs(*property) {
            assert!(input.len() <= 16 << 10, "{}", path.display());
            total += input.len();
        }
    }
    assert!(total <= 1 << 20, "{total} bytes");
}

/// Holds the property to each input of its corpus, and names those that break it.
fn holds(property: Property) {
    let inputs = inputs(property);
    assert!(!inputs.is_empty(), "`{}` has no corpus", property.name);
    let broken = |(_, input): &&(PathBuf, Vec<u8>)| {
        let held = std::panic::catch_unwind(|| property.hold(input));
        held.is_err()
    };
    let broken: Vec<_> = inputs.iter().filter(broken).map(|(path, _)| path).collect();
    assert!(
        broken.is_empty(),
        "`{}` is broken by {broken:#?}",
        property.name
    );
}

fn inputs(property: Property) -> Vec<(PathBuf, Vec<u8>)> {
    let mut inputs: Vec<_> = entries(&corpus().join(property.name))
        .map(|path| {
            let input = fs::read(&path).expect("an input is a file");
            (path, input)
        })
        .collect();
    inputs.sort();
    inputs
}

fn names_in(directory: &Path) -> BTreeSet<String> {
    entries(directory)
        .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
        .filter(|name| !name.starts_with('.'))
        .collect()
}

fn entries(directory: &Path) -> impl Iterator<Item = PathBuf> {
    let entries =
        fs::read_dir(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    entries.map(|entry| entry.expect("it can be listed").path())
}

fn corpus() -> PathBuf {
    fuzz().join("corpus")
}

fn fuzz() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().expect("it is in `fuzz`").to_owned()
}
