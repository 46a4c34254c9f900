//! The feature names of a package, read from its manifest.

/// The names in the `[features]` table of a manifest, without `default`.
///
/// This reads the one table of a manifest that rustfmt-like habits keep simple, a feature a line
/// start, and so needs no TOML parser.
pub(crate) fn in_manifest(manifest: &str) -> Vec<&str> {
    manifest
        .lines()
        .map(str::trim)
        .skip_while(|line| *line != "[features]")
        .skip(1)
        .take_while(|line| !line.starts_with('['))
        .filter(|line| !line.starts_with(['#', '"', ']']))
        .filter_map(|line| line.split_once('='))
        .map(|(name, _)| name.trim())
        .filter(|name| *name != "default")
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_from_the_features_table_alone() {
        let manifest = r#"
[package]
name = "x"

[features]
default = ["a"]
## Docs with an = sign.
a = []
b-c = [
    "dep:d",
    "e/f", # why = this
]

[dependencies]
d = "1"
"#;
        assert_eq!(in_manifest(manifest), ["a", "b-c"]);
    }

    #[test]
    fn a_manifest_without_features_has_none() {
        assert!(in_manifest("[package]\nname = \"x\"\n").is_empty());
    }

    #[test]
    fn the_session_package_has_the_features_that_it_documents() {
        let names = in_manifest(include_str!("../../session/Cargo.toml"));
        assert!(names.contains(&"sqlite"), "{names:?}");
        assert!(names.contains(&"conformance"), "{names:?}");
    }
}
