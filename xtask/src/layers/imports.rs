//! The imports of a source file.

use proc_macro2::{Ident, TokenStream, TokenTree};
use syn::punctuated::Punctuated;
use syn::visit::{self, Visit};
use syn::{Attribute, Meta, Token, UseTree, Visibility};

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
    ///
    /// # Errors
    /// Names the place at which the text is not Rust.
    pub(super) fn parse(path: &'a str, text: &str) -> Result<Self, String> {
        let file = syn::parse_file(text)
            .map_err(|error| format!("{path}:{}: {error}", error.span().start().line))?;
        let is_test = path
            .split('/')
            .any(|part| matches!(part, "tests" | "tests.rs"));
        let mut scan = Scan {
            depth: depth(path),
            in_tests: is_test || is_test_code(&file.attrs),
            imports: Vec::new(),
            poem: Vec::new(),
        };
        scan.visit_file(&file);
        Ok(Self {
            path,
            imports: scan.imports,
            poem: scan.poem,
        })
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

/// Whether a `#[cfg]` among these attributes holds in test code only.
fn is_test_code(attributes: &[Attribute]) -> bool {
    let mut conditions = attributes.iter().filter(|a| a.path().is_ident("cfg"));
    conditions.any(|cfg| {
        cfg.parse_args()
            .is_ok_and(|condition| implies_test(&condition))
    })
}

fn implies_test(condition: &Meta) -> bool {
    let Meta::List(list) = condition else {
        return condition.path().is_ident("test") && matches!(condition, Meta::Path(_));
    };
    let inner = list.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated);
    let Ok(inner) = inner else { return false };
    if list.path.is_ident("all") {
        inner.iter().any(implies_test)
    } else {
        list.path.is_ident("any") && inner.iter().all(implies_test)
    }
}

/// A walk over the syntax of a file.
struct Scan {
    /// The depth of the module that the walk is in.
    depth: usize,
    in_tests: bool,
    imports: Vec<Import>,
    poem: Vec<Poem>,
}

impl Scan {
    /// Walks into a part of the file that has attributes.
    fn enter(&mut self, attributes: &[Attribute], walk: impl FnOnce(&mut Self)) {
        let outside = self.in_tests;
        self.in_tests |= is_test_code(attributes);
        walk(self);
        self.in_tests = outside;
    }

    /// Notes each path of a `use` declaration, below the names `prefix`.
    fn tree(&mut self, tree: &UseTree, prefix: &[Name], is_reexport: bool) {
        let below = |name: Name| [prefix, &[name]].concat();
        match tree {
            UseTree::Path(path) => {
                self.tree(&path.tree, &below(Name::of(&path.ident)), is_reexport);
            }
            UseTree::Name(name) => self.note(&below(Name::of(&name.ident)), None, is_reexport),
            UseTree::Rename(rename) => {
                let alias = Some(rename.rename.to_string());
                self.note(&below(Name::of(&rename.ident)), alias, is_reexport);
            }
            UseTree::Glob(glob) => {
                let line = glob.star_token.spans[0].start().line;
                self.note(&below(Name("*".to_owned(), line)), None, is_reexport);
            }
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.tree(tree, prefix, is_reexport);
                }
            }
        }
    }

    /// Notes a path in an expression or a type, if it is one of several names from a known root.
    fn path(&mut self, names: &[Name]) {
        let is_rooted = matches!(&*names[0].0, "crate" | "super" | "self" | "poem");
        if names.len() > 1 && is_rooted {
            self.note(names, None, false);
        }
    }

    /// Notes the paths in the tokens of a macro, which need not be Rust. Those that begin with `$crate` are left
    /// out.
    fn tokens(&mut self, tokens: TokenStream) {
        let tokens: Vec<_> = tokens.into_iter().collect();
        let is_colons = |at: usize| {
            let colon =
                |at| matches!(tokens.get(at), Some(TokenTree::Punct(p)) if p.as_char() == ':');
            colon(at) && colon(at + 1)
        };
        let mut at = 0;
        while at < tokens.len() {
            match &tokens[at] {
                TokenTree::Group(group) => self.tokens(group.stream()),
                TokenTree::Punct(punct) if punct.as_char() == '$' => at += 1,
                TokenTree::Ident(first) => {
                    let mut names = vec![Name::of(first)];
                    while is_colons(at + 1) {
                        match tokens.get(at + 3) {
                            Some(TokenTree::Ident(name)) => names.push(Name::of(name)),
                            Some(TokenTree::Group(group)) => {
                                if let Ok(tree) = syn::parse2(TokenTree::from(group.clone()).into())
                                {
                                    self.tree(&tree, &names, false);
                                }
                                break;
                            }
                            _ => break,
                        }
                        at += 3;
                    }
                    self.path(&names);
                }
                _ => {}
            }
            at += 1;
        }
    }

    /// Notes a whole path.
    fn note(&mut self, names: &[Name], alias: Option<String>, is_reexport: bool) {
        if names[0].0 == "poem" {
            self.names_poem(names[0].1, is_reexport);
        }
        let below = self.below_root(names).and_then(|below| names.get(below));
        let Some(Name(module, line)) = below.filter(|_| !self.in_tests) else {
            return;
        };
        let texts: Vec<&str> = names.iter().map(|name| &*name.0).collect();
        self.imports.push(Import {
            line: *line,
            // `lib.rs` hides the module `private` under the name `__private`.
            module: match &**module {
                "__private" => "private".to_owned(),
                module => module.to_owned(),
            },
            path: texts.join("::"),
            alias,
        });
    }

    /// The number of names in front of the path that stand for the root of the crate. `None` if the path begins
    /// elsewhere.
    fn below_root(&self, names: &[Name]) -> Option<usize> {
        if names[0].0 == "crate" {
            return Some(1);
        }
        let own = names.iter().take_while(|name| name.0 == "self").count();
        let supers = names[own..].iter().take_while(|name| name.0 == "super");
        let supers = supers.count();
        // In `lib.rs` itself a path may begin with the name of a module.
        (supers == self.depth && names.len() > own + supers + usize::from(self.depth == 0))
            .then_some(own + supers)
    }

    fn names_poem(&mut self, line: usize, is_reexport: bool) {
        self.poem.push(Poem { line, is_reexport });
    }
}

/// A name of a path, and its line.
#[derive(Clone)]
struct Name(String, usize);

impl Name {
    fn of(ident: &Ident) -> Self {
        Self(ident.to_string(), ident.span().start().line)
    }
}

/// Defines visits that walk into a node after its attributes.
macro_rules! enter {
    ($($visit:ident: $node:ty,)+) => {
        $(fn $visit(&mut self, node: &'ast $node) {
            self.enter(&node.attrs, |scan| visit::$visit(scan, node));
        })+
    };
}

impl<'ast> Visit<'ast> for Scan {
    enter! {
        visit_field: syn::Field,
        visit_impl_item_const: syn::ImplItemConst,
        visit_impl_item_fn: syn::ImplItemFn,
        visit_item_const: syn::ItemConst,
        visit_item_enum: syn::ItemEnum,
        visit_item_fn: syn::ItemFn,
        visit_item_impl: syn::ItemImpl,
        visit_item_macro: syn::ItemMacro,
        visit_item_static: syn::ItemStatic,
        visit_item_struct: syn::ItemStruct,
        visit_item_trait: syn::ItemTrait,
        visit_item_type: syn::ItemType,
        visit_local: syn::Local,
        visit_variant: syn::Variant,
    }

    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        self.enter(&module.attrs, |scan| {
            scan.depth += 1;
            visit::visit_item_mod(scan, module);
            scan.depth -= 1;
        });
    }

    fn visit_item_use(&mut self, import: &'ast syn::ItemUse) {
        let is_reexport = !matches!(import.vis, Visibility::Inherited);
        self.enter(&import.attrs, |scan| {
            scan.visit_visibility(&import.vis);
            scan.tree(&import.tree, &[], is_reexport);
        });
    }

    fn visit_item_extern_crate(&mut self, import: &'ast syn::ItemExternCrate) {
        if import.ident == "poem" {
            self.names_poem(import.ident.span().start().line, false);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names = path.segments.iter().map(|segment| Name::of(&segment.ident));
        self.path(&names.collect::<Vec<_>>());
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        visit::visit_macro(self, call);
        self.tokens(call.tokens.clone());
    }

    fn visit_meta_list(&mut self, list: &'ast syn::MetaList) {
        visit::visit_meta_list(self, list);
        self.tokens(list.tokens.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The imports of a file, as `line path`.
    fn imports(path: &str, text: &str) -> Vec<String> {
        let imports = Source::parse(path, text).unwrap().imports;
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
            .unwrap()
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
        let module = |path| Source::parse(path, "").unwrap().module();
        assert_eq!(module("id.rs"), Some("id"));
        assert_eq!(module("store/memory/table.rs"), Some("store"));
        assert_eq!(module("lib.rs"), None);
        assert_eq!(module("tests.rs"), None);
    }

    #[test]
    fn an_item_under_cfg_test_is_test_code() {
        for code in [
            "#[cfg(test)]\nmod tests { use crate::a::A; fn f() { crate::b::g() } }",
            "#[cfg(test)] use crate::{a, b};",
            "#[cfg(all(test, not(x)))] #[expect(dead_code)] pub(crate) fn f<A, B>() -> crate::a::A { crate::b() }",
            "struct S { #[cfg(test)] pub(crate) f: crate::a::A, }",
            "#![cfg(test)] use crate::a;",
        ] {
            assert_eq!(imports("x.rs", code), Vec::<String>::new(), "{code}");
            let more = imports("x.rs", &format!("{code}\nuse crate::z;"));
            let inner = code.starts_with("#!");
            assert_eq!(more.len(), usize::from(!inner), "{code}: {more:?}");
        }
        for code in [
            "#[cfg(not(test))] use crate::a;",
            "#[cfg(any(test, x))] use crate::a;",
            "#[cfg(feature = \"test\")] use crate::a;",
            "#[test] fn f() { crate::a::f() }",
        ] {
            assert_eq!(imports("x.rs", code).len(), 1, "{code}");
        }
    }
}
