//! The feature names of a package, read from its manifest.

/// The names in the `[features]` table of a manifest, without `default`.
///
/// Each feature begins a line in our manifests, so this needs no TOML parser.
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
    fn only_the_features_table_is_read() {
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
    fn a_manifest_without_a_features_table_has_no_features() {
        assert!(in_manifest("[package]\nname = \"x\"\n").is_empty());
    }

    #[test]
    fn the_features_of_the_session_package_are_found() {
        let names = in_manifest(include_str!("../../session/Cargo.toml"));
        assert!(names.contains(&"sqlite"), "{names:?}");
        assert!(names.contains(&"conformance"), "{names:?}");
    }
}
