//! The imports of a source file.

use std::ops::Range;

use super::test_code;
use super::tokens::{Token, tokens};

/// A source file of the runtime, as far as the rules about imports need it.
#[derive(Debug)]
pub(super) struct Source<'a> {
    /// Relative to the source directory, as in `store/memory/mod.rs`.
    pub(super) path: &'a str,
    /// The imports from other modules of the crate, outside of test code.
    pub(super) imports: Vec<Import>,
    /// The places that name the crate `poem`, in test code as well.
    pub(super) poem: Vec<Poem>,
}

/// A path that begins at the root of the crate, in a `use` declaration or elsewhere in the code.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Import {
    pub(super) line: usize,
    /// The first name below the root: a module, or an item that `lib.rs` re-exports.
    pub(super) module: String,
    /// The path as it was written, with the groups of a `use` declaration resolved.
    pub(super) path: String,
    /// The new name, if the import has `as`.
    alias: Option<String>,
}

/// A place that names the crate `poem`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Poem {
    pub(super) line: usize,
    pub(super) is_reexport: bool,
}

impl Import {
    /// The name that a `use` declaration makes, or `None` for a glob import.
    pub(super) fn name(&self) -> Option<&str> {
        let last = self.path.rsplit("::").next()?;
        let name = self.alias.as_deref().unwrap_or(last);
        (name != "*").then_some(name)
    }
}

impl<'a> Source<'a> {
    /// Reads a file. Code for tests has no imports: a test may use every module.
    pub(super) fn parse(path: &'a str, text: &'a str) -> Self {
        let tokens = tokens(text);
        let mut scan = Scan {
            depth: depth(path),
            tests: test_code::items(&tokens),
            tokens: &tokens,
            blocks: Vec::new(),
            imports: Vec::new(),
            poem: Vec::new(),
        };
        scan.run();
        let is_test = path
            .split('/')
            .any(|part| matches!(part, "tests" | "tests.rs"));
        Self {
            path,
            imports: if is_test { Vec::new() } else { scan.imports },
            poem: scan.poem,
        }
    }

    /// The module at the root of the crate that the file belongs to; `None` for `lib.rs` and for tests.
    pub(super) fn module(&self) -> Option<&'a str> {
        let first = self.path.split('/').next()?;
        let module = first.strip_suffix(".rs").unwrap_or(first);
        (!matches!(module, "lib" | "tests")).then_some(module)
    }
}

/// The depth of a file in the module tree: 0 for `lib.rs`, 1 for `id.rs` and `store/mod.rs`.
fn depth(path: &str) -> usize {
    let parts = path.split('/').count();
    let file = path.rsplit('/').next().unwrap_or(path);
    if matches!(file, "mod.rs" | "lib.rs") {
        parts - 1
    } else {
        parts
    }
}

/// A walk over the tokens of a file.
struct Scan<'t, 'a> {
    tokens: &'t [Token<'a>],
    /// The depth of the file's own module.
    depth: usize,
    /// The ranges of tokens that are test code.
    tests: Vec<Range<usize>>,
    /// The open braces; `true` for those of an inline module.
    blocks: Vec<bool>,
    imports: Vec<Import>,
    poem: Vec<Poem>,
}

impl<'a> Scan<'_, 'a> {
    fn text(&self, at: usize) -> &'a str {
        self.tokens.get(at).map_or("", |token| token.text)
    }

    /// The token before `at`, or an empty text.
    fn before(&self, at: usize) -> &'a str {
        at.checked_sub(1).map_or("", |before| self.text(before))
    }

    fn run(&mut self) {
        let mut at = 0;
        while at < self.tokens.len() {
            at = match self.text(at) {
                "{" => {
                    let is_module = at >= 2 && self.text(at - 2) == "mod";
                    self.blocks.push(is_module);
                    at + 1
                }
                "}" => {
                    self.blocks.pop();
                    at + 1
                }
                // `impl Trait + use<'a>` is not an import.
                "use" if self.text(at + 1) != "<" => {
                    let is_reexport = matches!(self.before(at), "pub" | ")");
                    self.tree(at + 1, &[], is_reexport)
                }
                "crate" if self.before(at) == "extern" => {
                    if self.text(at + 1) == "poem" {
                        self.names_poem(at, false);
                    }
                    at + 1
                }
                "crate" | "super" | "self" | "poem" if self.begins_path(at) => self.path(at),
                _ => at + 1,
            };
        }
    }

    /// Whether a path of several names begins here: not in the middle of one, nor in `$crate::x`.
    fn begins_path(&self, at: usize) -> bool {
        let is_middle = self.before(at) == "::" && at >= 2 && is_name(self.text(at - 2));
        self.text(at + 1) == "::" && !is_middle && self.before(at) != "$"
    }

    /// Reads a path in an expression or a type, and returns the index behind it.
    fn path(&mut self, begin: usize) -> usize {
        let mut names = vec![begin];
        let mut at = begin + 1;
        while self.text(at) == "::" && is_name(self.text(at + 1)) {
            names.push(at + 1);
            at += 2;
        }
        self.note(&names, None, false);
        at
    }

    /// Reads one tree of a `use` declaration, below the names `prefix`, and returns the index behind it.
    fn tree(&mut self, begin: usize, prefix: &[usize], is_reexport: bool) -> usize {
        let mut names = prefix.to_vec();
        let mut at = begin;
        loop {
            match self.text(at) {
                // The `$` of `$crate`; `note` leaves such a path out.
                "::" | "$" => at += 1,
                "{" => {
                    at += 1;
                    while !matches!(self.text(at), "}" | "") {
                        at = self.tree(at, &names, is_reexport);
                        if self.text(at) == "," {
                            at += 1;
                        }
                    }
                    return at + 1;
                }
                "*" => {
                    names.push(at);
                    self.note(&names, None, is_reexport);
                    return at + 1;
                }
                "as" => {
                    let alias = self.text(at + 1);
                    self.note(&names, Some(alias), is_reexport);
                    return at + 2;
                }
                name if is_name(name) => {
                    names.push(at);
                    at += 1;
                }
                // The end of the tree, or a text that is no Rust: one token further in any case.
                end => {
                    self.note(&names, None, is_reexport);
                    return if matches!(end, "," | "}") { at } else { at + 1 };
                }
            }
        }
    }

    /// Notes a whole path, by the indices of its names.
    fn note(&mut self, names: &[usize], alias: Option<&str>, is_reexport: bool) {
        let Some(&first) = names.first() else { return };
        let texts: Vec<&str> = names.iter().map(|at| self.text(*at)).collect();
        if texts[0] == "poem" {
            self.names_poem(first, is_reexport);
        }
        if self.before(first) == "$" || self.tests.iter().any(|range| range.contains(&first)) {
            return;
        }
        let Some(below) = self.below_root(&texts) else {
            return;
        };
        let Some(module) = texts.get(below) else {
            return;
        };
        self.imports.push(Import {
            line: self.tokens[names[below]].line,
            // `lib.rs` hides the module `private` under the name `__private`.
            module: match *module {
                "__private" => "private".to_owned(),
                module => module.to_owned(),
            },
            path: texts.join("::"),
            alias: alias.map(ToOwned::to_owned),
        });
    }

    /// The number of names in front of the path that stand for the root of the crate. `None` if the path begins
    /// elsewhere.
    fn below_root(&self, names: &[&str]) -> Option<usize> {
        if names[0] == "crate" {
            return Some(1);
        }
        let inline = self.blocks.iter().filter(|is_module| **is_module).count();
        let depth = self.depth + inline;
        let own = names.iter().take_while(|name| **name == "self").count();
        let supers = names[own..].iter().take_while(|name| **name == "super");
        let supers = supers.count();
        // In `lib.rs` itself a path may begin with the name of a module.
        (supers == depth && names.len() > own + supers + usize::from(depth == 0))
            .then_some(own + supers)
    }

    fn names_poem(&mut self, at: usize, is_reexport: bool) {
        self.poem.push(Poem {
            line: self.tokens[at].line,
            is_reexport,
        });
    }
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c == '_' || c.is_alphabetic()) && text != "as"
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The imports of a file, as `line path`.
    fn imports(path: &str, text: &str) -> Vec<String> {
        let imports = Source::parse(path, text).imports;
        let shown = |import: &Import| format!("{} {}", import.line, import.path);
        imports.iter().map(shown).collect()
    }

    #[test]
    fn groups_of_a_use_declaration_are_resolved() {
        let text = "use crate::{\n    a::B,\n    c::{self, D as E, f::*},\n};\nuse std::fmt;\npub use crate::g;\n";
        assert_eq!(
            imports("x.rs", text),
            [
                "2 crate::a::B",
                "3 crate::c::self",
                "3 crate::c::D",
                "3 crate::c::f::*",
                "6 crate::g"
            ]
        );
    }

    #[test]
    fn a_group_may_begin_before_the_root_of_the_crate() {
        assert_eq!(
            imports("x.rs", "use {std::fmt, crate::{a, b::C}};"),
            ["1 crate::a", "1 crate::b::C"]
        );
    }

    #[test]
    fn paths_in_code_are_imports() {
        let text =
            "fn f(a: &crate::a::A) -> Vec<crate::b::B> {\n    crate::c::d::<crate::e::E>(a)\n}";
        assert_eq!(
            imports("x.rs", text),
            [
                "1 crate::a::A",
                "1 crate::b::B",
                "2 crate::c::d",
                "2 crate::e::E"
            ]
        );
    }

    #[test]
    fn comments_literals_and_macro_paths_are_not_imports() {
        let text = "//! [`A`](crate::a::A)\n/// crate::a::A\nmacro_rules! m { () => { $crate::a::A; use $crate::b; } }\n\
                    const T: &str = \"crate::a::A\"; /* crate::a::A */\nfn f() -> impl Sized + use<'_> {}";
        assert_eq!(imports("x.rs", text), Vec::<String>::new());
    }

    #[test]
    fn super_is_followed_to_the_root_of_the_crate() {
        let text =
            "use super::a::A; use super::super::b::B; mod inner { use super::super::super::c::C; }";
        let expected = ["1 super::super::b::B", "1 super::super::super::c::C"];
        assert_eq!(imports("x/y.rs", text), expected);
        assert_eq!(imports("x.rs", "use super::a::A;"), ["1 super::a::A"]);
        assert_eq!(
            imports("x/mod.rs", "fn f() { self::super::a::f() }"),
            ["1 self::super::a::f"]
        );
        assert_eq!(
            imports("x/y/mod.rs", "use super::a::A;"),
            Vec::<String>::new()
        );
    }

    #[test]
    fn files_of_tests_have_no_imports() {
        let text = "use crate::a::A;";
        assert_eq!(imports("x/tests.rs", text), Vec::<String>::new());
        assert_eq!(imports("x/tests/deep.rs", text), Vec::<String>::new());
    }

    #[test]
    fn poem_is_found_as_the_first_name_of_a_path() {
        let text = "use poem::Request;\npub use poem;\nfn f(_: ::poem::Body, poem: u8) {\n    poem::f();\n    \
                    a::poem::g();\n    poem_session::h()\n}\n// poem::x\nuse {std::fmt, poem as p};\nextern crate poem;";
        let found: Vec<_> = Source::parse("x.rs", text)
            .poem
            .iter()
            .map(|place| (place.line, place.is_reexport))
            .collect();
        assert_eq!(
            found,
            [
                (1, false),
                (2, true),
                (3, false),
                (4, false),
                (9, false),
                (10, false)
            ]
        );
    }

    #[test]
    fn a_file_belongs_to_the_module_at_the_root() {
        let module = |path| Source::parse(path, "").module();
        assert_eq!(module("id.rs"), Some("id"));
        assert_eq!(module("store/memory/table.rs"), Some("store"));
        assert_eq!(module("lib.rs"), None);
        assert_eq!(module("tests.rs"), None);
    }
}
