//! The parts of a source file that are compiled for tests only.

use std::ops::Range;

use super::tokens::Token;

/// The ranges of the items under `#[cfg(test)]`.
pub(super) fn items(tokens: &[Token<'_>]) -> Vec<Range<usize>> {
    let text = |at: usize| tokens.get(at).map_or("", |token: &Token<'_>| token.text);
    let mut items = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let inner = usize::from(text(at + 1) == "!");
        let open = at + 1 + inner;
        if text(at) != "#" || text(open) != "[" {
            at += 1;
            continue;
        }
        let close = closing(tokens, open);
        if text(open + 1) != "cfg" || !implies_test(tokens, &mut (open + 3)) {
            at = close;
            continue;
        }
        let end = match inner {
            0 => item_end(tokens, close + 1),
            _ => tokens.len(),
        };
        items.push(at..end);
        at = end;
    }
    items
}

/// Whether the condition of a `cfg` at `at` can hold in test code only. Moves `at` behind the condition.
fn implies_test(tokens: &[Token<'_>], at: &mut usize) -> bool {
    let text = |at: usize| tokens.get(at).map_or("", |token: &Token<'_>| token.text);
    let name = text(*at);
    *at += 1;
    if text(*at) != "(" {
        while !matches!(text(*at), "," | ")" | "") {
            *at += 1;
        }
        return name == "test";
    }
    *at += 1;
    let mut inner = Vec::new();
    while !matches!(text(*at), ")" | "") {
        inner.push(implies_test(tokens, at));
        if text(*at) == "," {
            *at += 1;
        }
    }
    *at += 1;
    match name {
        "all" => inner.contains(&true),
        "any" => !inner.contains(&false),
        _ => false,
    }
}

/// The index behind the item that begins at `begin`, whose attributes may come first.
fn item_end(tokens: &[Token<'_>], begin: usize) -> usize {
    let text = |at: usize| tokens.get(at).map_or("", |token: &Token<'_>| token.text);
    let mut at = begin;
    while text(at) == "#" && text(at + 1) == "[" {
        at = closing(tokens, at + 1) + 1;
    }
    if text(at) == "pub" {
        at += 1;
        if text(at) == "(" {
            at = closing(tokens, at) + 1;
        }
    }
    // A field, a variant or a match arm ends with a comma, which an item may contain.
    let is_item = matches!(
        text(at),
        "async"
            | "const"
            | "enum"
            | "extern"
            | "fn"
            | "impl"
            | "macro_rules"
            | "mod"
            | "static"
            | "struct"
            | "trait"
            | "type"
            | "unsafe"
            | "use"
    );
    let ends_with_block = text(at) != "use";
    while at < tokens.len() {
        match text(at) {
            ";" => return at + 1,
            "," if !is_item => return at + 1,
            "}" | ")" | "]" => return at,
            "{" if ends_with_block => return closing(tokens, at) + 1,
            "{" | "(" | "[" => at = closing(tokens, at) + 1,
            _ => at += 1,
        }
    }
    at
}

/// The index of the bracket that closes the one at `open`.
fn closing(tokens: &[Token<'_>], open: usize) -> usize {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match token.text {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at;
        }
    }
    tokens.len()
}

#[cfg(test)]
mod tests {
    use super::super::imports::Source;

    fn imports(path: &str, text: &str) -> Vec<String> {
        let imports = Source::parse(path, text).imports;
        imports.into_iter().map(|import| import.path).collect()
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
