//! `cargo xtask layers`: checks that the modules of `poem-session` import each other in one direction only.
//!
//! The same verb checks two related rules: only `web/` names Poem's types, and no source file of the two
//! crates grows past [`MAX_LINES`].

mod imports;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use self::imports::{Import, Source};
use crate::{Verb, rust_files, steps};

/// The layers of `session/src`, from top to bottom.
///
/// A module imports only modules of the layers above its own, and modules to its left in its own layer. A
/// directory counts as one module: inside it, everything may import everything. `lib.rs` may import all.
const LAYERS: &[&[&str]] = &[
    &[
        "threads", "finish", "random", "id", "clock", "field", "schema",
    ],
    &["record"],
    &["store", "conformance"],
    &[
        "error", "expiry", "limits", "value", "key", "claims", "changes",
    ],
    &["cookie", "config"],
    &["lifecycle"],
    &["engine"],
    &["session"],
    &["web"],
    &["private"],
];

/// The only module that may name Poem's types.
const WEB: &str = "web";

/// The files that may re-export Poem, and name it nowhere else.
const REEXPORTING: [&str; 2] = ["lib.rs", "private.rs"];

/// The source directory with the layers.
const RUNTIME: &str = "session/src";

/// The source directories whose files have a limited length.
const LIMITED: [&str; 2] = [RUNTIME, "session-macros/src"];

/// The most lines that a source file may have.
const MAX_LINES: usize = 500;

/// Checks the layers.
pub(crate) const VERB: Verb = Verb {
    name: "layers",
    arguments: "",
    summary: "check that modules import each other in one direction only",
    run: |_| check(),
};

/// Checks the layers, the use of Poem's types, and the length of the source files.
///
/// # Errors
/// Names each violation with its file, its line, and the rule.
pub(crate) fn check() -> Result<(), String> {
    let unreadable = |error| format!("the sources cannot be read: {error}");
    let mut faults = Vec::new();
    for directory in LIMITED {
        for file in rust_files::below(&steps::root().join(directory)).map_err(unreadable)? {
            let text = fs::read_to_string(&file).map_err(unreadable)?;
            faults.extend(too_long(&shown(&file), &text));
        }
    }
    let directory = steps::root().join(RUNTIME);
    let mut files = Vec::new();
    for file in rust_files::below(&directory).map_err(unreadable)? {
        let text = fs::read_to_string(&file).map_err(unreadable)?;
        let inside = file.strip_prefix(&directory).unwrap_or(&file);
        files.push((inside.display().to_string(), text));
    }
    let sources = files.iter().map(|(path, text)| Source::parse(path, text));
    let sources = sources.collect::<Result<Vec<_>, _>>()?;
    let imports: usize = sources.iter().map(|source| source.imports.len()).sum();
    let layers = Layers::new(LAYERS, &sources);
    faults.extend(layers.unlisted());
    for source in &sources {
        faults.extend(layers.wrong_imports(source));
        faults.extend(uses_of_poem(source));
    }
    if faults.is_empty() {
        println!(
            "{} files, {imports} imports, {} layers",
            sources.len(),
            LAYERS.len()
        );
        return Ok(());
    }
    Err(format!(
        "{} violations (the layers are listed in xtask/src/layers.rs):\n  {}",
        faults.len(),
        faults.join("\n  ")
    ))
}

/// The path of a file as messages show it.
fn shown(file: &Path) -> String {
    let inside = file.strip_prefix(steps::root()).unwrap_or(file);
    inside.display().to_string()
}

fn too_long(path: &str, text: &str) -> Option<String> {
    let lines = text.lines().count();
    (lines > MAX_LINES)
        .then(|| format!("{path}: {lines} lines; a source file has at most {MAX_LINES} lines"))
}

/// The table of the layers, and the modules and names of the crate that is held against it.
struct Layers<'a> {
    rows: &'a [&'a [&'a str]],
    /// The modules that exist.
    modules: BTreeSet<&'a str>,
    /// The names that `lib.rs` re-exports, with the module that each of them comes from: `use crate::Session`
    /// imports from the module `session` in the same way as `use crate::session::Session`.
    reexports: BTreeMap<&'a str, &'a str>,
}

impl<'a> Layers<'a> {
    fn new(rows: &'a [&'a [&'a str]], sources: &'a [Source<'_>]) -> Self {
        let modules: BTreeSet<&str> = sources.iter().filter_map(Source::module).collect();
        let reexports = sources
            .iter()
            .filter(|source| source.path == "lib.rs")
            .flat_map(|source| &source.imports)
            .filter(|import| modules.contains(&*import.module))
            .filter_map(|import| Some((import.name()?, &*import.module)))
            .collect();
        Self {
            rows,
            modules,
            reexports,
        }
    }

    /// The layer of a module and its place in that layer, both from zero.
    fn place(&self, module: &str) -> Option<(usize, usize)> {
        self.rows.iter().enumerate().find_map(|(layer, row)| {
            let place = row.iter().position(|listed| *listed == module)?;
            Some((layer, place))
        })
    }

    /// The differences between the list and the modules that exist.
    fn unlisted(&self) -> Vec<String> {
        let unlisted = self
            .modules
            .iter()
            .filter(|module| self.place(module).is_none())
            .map(|module| {
                format!("{RUNTIME}: the module `{module}` is not in the list of layers; add it")
            });
        let gone = self
            .rows
            .iter()
            .flat_map(|row| *row)
            .filter(|module| !self.modules.contains(*module))
            .map(|module| {
                format!(
                    "{RUNTIME}: the list of layers names `{module}`, which does not exist; remove it"
                )
            });
        unlisted.chain(gone).collect()
    }

    fn wrong_imports(&self, source: &Source<'_>) -> Vec<String> {
        let Some(own) = source.module() else {
            return Vec::new();
        };
        source
            .imports
            .iter()
            .filter_map(|import| {
                let reason = self.reason_against(own, import)?;
                Some(format!(
                    "{RUNTIME}/{}:{}: `{}`: {reason}",
                    source.path, import.line, import.path
                ))
            })
            .collect()
    }

    /// The module that a name at the root of the crate comes from.
    ///
    /// A module goes before an item: `session` is a module and an attribute macro.
    fn module_of<'n>(&'n self, name: &'n str) -> &'n str {
        if self.modules.contains(name) {
            return name;
        }
        self.reexports.get(name).copied().unwrap_or(name)
    }

    /// Why the module `own` may not have an import, or `None` if it may.
    fn reason_against(&self, own: &str, import: &Import) -> Option<String> {
        let other = self.module_of(&import.module);
        // An exported macro is at the root of the crate, wherever it is defined.
        if other == own || other.starts_with("__") {
            return None;
        }
        if !self.modules.contains(other) {
            return Some(format!(
                "`{other}` is neither a module nor a name that lib.rs re-exports"
            ));
        }
        // `unlisted` reports a module without a place once, so it is not reported at each import.
        let (above, below) = (self.place(other)?, self.place(own)?);
        if above < below {
            return None;
        }
        let position = if above.0 == below.0 {
            "stands to the right of it in the same layer"
        } else {
            "is in a lower layer"
        };
        Some(format!(
            "`{own}` may not import `{other}`, which {position}; a module imports only layers above its own, \
             and modules to its left"
        ))
    }
}

/// The places where a file outside `web/` names Poem's types.
fn uses_of_poem(source: &Source<'_>) -> Vec<String> {
    if source.module() == Some(WEB) {
        return Vec::new();
    }
    let may_reexport = REEXPORTING.contains(&source.path);
    source
        .poem
        .iter()
        .filter(|place| !(may_reexport && place.is_reexport))
        .map(|place| {
            format!(
                "{RUNTIME}/{}:{}: names `poem`; only {RUNTIME}/{WEB}/ does, and the re-exports in {}",
                source.path,
                place.line,
                REEXPORTING.join(" and ")
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROWS: &[&[&str]] = &[&["id", "clock"], &["store"], &["web"], &["private"]];

    /// The messages for a crate of these files, and of an empty file for each other module.
    fn faults(files: &[(&str, &str)]) -> Vec<String> {
        let empty =
            ["id.rs", "clock.rs", "store.rs", "web.rs", "private.rs"].map(|path| (path, ""));
        let sources: Vec<_> = files
            .iter()
            .chain(&empty)
            .map(|(path, text)| Source::parse(path, text).unwrap())
            .collect();
        let layers = Layers::new(ROWS, &sources);
        let imports = sources.iter().flat_map(|file| layers.wrong_imports(file));
        let poem = sources.iter().flat_map(uses_of_poem);
        imports.chain(poem).collect()
    }

    #[test]
    fn imports_of_higher_layers_and_of_modules_to_the_left_are_allowed() {
        let files = [
            ("clock.rs", "use crate::id::SessionId;"),
            ("store/mod.rs", "use crate::{clock::Clock, id::SessionId};"),
            ("store/memory.rs", "use crate::store::Write;"),
            ("web/mod.rs", "use crate::store::Write; use poem::Request;"),
            ("private.rs", "pub use poem; pub use crate::web::after;"),
            (
                "lib.rs",
                "mod id; pub use crate::{private::after, web::Layer};",
            ),
        ];
        assert_eq!(faults(&files), Vec::<String>::new());
    }

    #[test]
    fn an_import_of_a_lower_layer_is_reported_with_file_line_and_rule() {
        let found = faults(&[("id.rs", "//! Ids.\n\nuse crate::{\n    store::Write,\n};\n")]);
        assert_eq!(found.len(), 1, "{found:?}");
        let expected = "session/src/id.rs:4: `crate::store::Write`: `id` may not import `store`, which is in a \
                        lower layer; a module imports only layers above its own, and modules to its left";
        assert_eq!(found[0], expected);
    }

    #[test]
    fn an_import_of_a_module_to_the_right_is_reported() {
        let found = faults(&[("id.rs", "fn now() { crate::clock::now() }")]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("stands to the right"), "{found:?}");
    }

    #[test]
    fn a_name_at_the_root_counts_as_an_import_of_its_module() {
        let lib = (
            "lib.rs",
            "pub use crate::web::{Layer, Other as Renamed}; pub use macros::{Layer, store};",
        );
        for import in ["use crate::Layer;", "use crate::Renamed;"] {
            let found = faults(&[lib, ("store.rs", import)]);
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(found[0].contains("may not import `web`"), "{found:?}");
        }
        assert!(faults(&[lib, ("web.rs", "use crate::store::Write;")]).is_empty());
        let found = faults(&[lib, ("store.rs", "use crate::Unknown;")]);
        assert!(found[0].contains("neither a module"), "{found:?}");
    }

    #[test]
    fn the_hidden_private_module_is_the_file_private() {
        let found = faults(&[("web/mod.rs", "use crate::__private::Handle;")]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("may not import `private`"), "{found:?}");
    }

    #[test]
    fn poem_is_named_in_web_and_in_reexports_only() {
        assert!(faults(&[("web/extract.rs", "use poem::Request;")]).is_empty());
        let found = faults(&[
            ("store.rs", "use poem::Request;\nfn f(_: ::poem::Body) {}"),
            (
                "lib.rs",
                "use poem::Request;\n/// use poem::Route;\npub use poem;",
            ),
        ]);
        let places: Vec<_> = found
            .iter()
            .map(|message| message.split(": ").next().unwrap())
            .collect();
        let expected = [
            "session/src/store.rs:1",
            "session/src/store.rs:2",
            "session/src/lib.rs:1",
        ];
        assert_eq!(places, expected, "{found:?}");
    }

    #[test]
    fn a_module_that_is_not_listed_and_a_listed_module_that_is_gone_are_reported() {
        let files = [
            ("lib.rs", ""),
            ("id.rs", ""),
            ("clock/mod.rs", ""),
            ("store/mod.rs", ""),
            ("store/tests.rs", ""),
            ("web/mod.rs", ""),
            ("extra.rs", "use crate::web::Layer;"),
        ];
        let sources: Vec<_> = files
            .iter()
            .map(|(path, text)| Source::parse(path, text).unwrap())
            .collect();
        let layers = Layers::new(ROWS, &sources);
        let found = layers.unlisted();
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].contains("`extra` is not in the list"), "{found:?}");
        assert!(
            found[1].contains("`private`, which does not exist"),
            "{found:?}"
        );
    }

    #[test]
    fn a_file_may_have_as_many_lines_as_the_limit() {
        assert_eq!(too_long("a.rs", &"\n".repeat(MAX_LINES)), None);
        let found = too_long("a.rs", &"\n".repeat(MAX_LINES + 1)).unwrap();
        assert!(found.starts_with("a.rs: 501 lines"), "{found}");
    }

    #[test]
    fn no_module_is_listed_twice() {
        let all: Vec<_> = LAYERS.iter().flat_map(|row| *row).collect();
        let distinct: BTreeSet<_> = all.iter().collect();
        assert_eq!(all.len(), distinct.len());
    }
}
