//! Checks the properties with every input in `fuzz/corpus`, without a fuzzer.

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
fn no_cookie_header_gives_a_session_of_another_visitor() {
    holds(COOKIE);
}

/// Conformance 5.13, 1.18, 1.19
#[test]
fn no_request_copies_an_id_to_another_carrier() {
    holds(SOURCES);
}

/// Conformance 5.13, 1.17
#[test]
fn accepted_settings_give_a_cookie_whose_session_is_found_again() {
    holds(SETTINGS);
}

/// Conformance 5.13, 1.25
#[test]
fn every_record_is_a_session_or_an_error() {
    holds(RECORD);
}

/// Conformance 5.13, 3.3
#[test]
fn every_value_decodes_or_is_an_error() {
    holds(VALUE);
}

/// Conformance 5.13
#[test]
fn every_value_of_redis_is_a_record_or_is_refused() {
    holds(REDIS_VALUE);
}

/// Conformance 5.13, 5.10
#[test]
fn no_error_for_an_address_shows_its_password() {
    holds(ADDRESS);
}

/// Conformance 3.1
#[test]
fn the_output_of_the_derive_parses_for_every_item() {
    holds(DERIVE);
}

/// Conformance 3.1
#[test]
fn the_output_of_the_attribute_parses_for_every_item() {
    holds(HANDLER);
}

#[test]
fn every_property_has_a_fuzzer_and_a_corpus() {
    let properties: BTreeSet<String> = ALL.iter().map(|property| property.name.into()).collect();
    let fuzzers = names_in(&fuzz().join("fuzz_targets"));
    assert_eq!(fuzzers, properties);
    assert_eq!(names_in(&corpus()), properties);
    let manifest = fs::read_to_string(fuzz().join("Cargo.toml")).expect("the manifest is readable");
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
fn an_allocation_for_a_claimed_length_exceeds_the_limit() {
    let allocate = |length: usize| {
        let action = move || drop(std::hint::black_box(Vec::<u8>::with_capacity(length)));
        std::panic::catch_unwind(|| bounded(5, action))
    };
    assert!(allocate(1 << 20).is_ok());
    assert!(allocate(1 << 30).is_err());
}

/// Every clone of the repository contains the corpus, so its inputs are small and their total is limited.
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

/// Checks a property with each input of its corpus.
///
/// # Panics
/// If an input breaks the property; the message names these inputs.
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
        "the property `{}` does not hold for {broken:#?}",
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
    entries.map(|entry| entry.expect("the directory can be listed").path())
}

fn corpus() -> PathBuf {
    fuzz().join("corpus")
}

fn fuzz() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package
        .parent()
        .expect("the package is in `fuzz`")
        .to_owned()
}
