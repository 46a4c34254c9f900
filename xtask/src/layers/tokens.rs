//! The tokens of Rust source text, as far as the search for imports needs them.

/// A token, with the number of the line where it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token<'a> {
    pub(super) text: &'a str,
    pub(super) line: usize,
}

/// Splits source text into words, `::`, and single characters.
///
/// Comments (doc comments included), whitespace and the content of literals are left out: `crate::x` in them is
/// not an import. A literal leaves the token `""` behind, so that the tokens around it do not become neighbours.
pub(super) fn tokens(source: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut rest = source;
    let mut line = 1;
    while let Some(first) = rest.chars().next() {
        let (length, kind) = next(rest, first);
        let text = &rest[..length];
        match kind {
            Kind::Skipped => {}
            Kind::Literal => tokens.push(Token { text: "\"\"", line }),
            Kind::Code => tokens.push(Token { text, line }),
        }
        line += text.matches('\n').count();
        rest = &rest[length..];
    }
    tokens
}

enum Kind {
    Skipped,
    Literal,
    Code,
}

/// The length of the next token, in bytes, and its kind. `first` is the first character of `rest`.
fn next(rest: &str, first: char) -> (usize, Kind) {
    if rest.starts_with("//") {
        return (rest.find('\n').unwrap_or(rest.len()), Kind::Skipped);
    }
    if rest.starts_with("/*") {
        return (block_comment(rest), Kind::Skipped);
    }
    if first.is_whitespace() {
        return (first.len_utf8(), Kind::Skipped);
    }
    if first == '"' {
        return (string(rest), Kind::Literal);
    }
    if first == '\'' {
        return match character(rest) {
            Some(length) => (length, Kind::Literal),
            // A lifetime: its name is the next token.
            None => (1, Kind::Code),
        };
    }
    if is_word(first) {
        return word(rest);
    }
    if rest.starts_with("::") {
        return (2, Kind::Code);
    }
    (first.len_utf8(), Kind::Code)
}

fn is_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

/// An identifier, a keyword or a number; or a string literal with a prefix such as `b` or `r#`.
fn word(rest: &str) -> (usize, Kind) {
    let length = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
    let (word, after) = rest.split_at(length);
    if matches!(word, "r" | "br" | "cr") {
        let hashes = after.len() - after.trim_start_matches('#').len();
        if after[hashes..].starts_with('"') {
            return (length + raw_string(after, hashes), Kind::Literal);
        }
    }
    if matches!(word, "b" | "c") && after.starts_with('"') {
        return (length + string(after), Kind::Literal);
    }
    if word == "b"
        && let Some(character) = after.starts_with('\'').then(|| character(after)).flatten()
    {
        return (length + character, Kind::Literal);
    }
    (length, Kind::Code)
}

/// The length of a comment `/* … */`; such comments nest.
fn block_comment(rest: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < rest.len() {
        let left = &rest.as_bytes()[at..];
        if left.starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if left.starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    rest.len()
}

/// The length of a literal `"…"`.
fn string(rest: &str) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// The length of `#"…"#` with this number of hashes on each side.
fn raw_string(rest: &str, hashes: usize) -> usize {
    let begin = hashes + 1;
    let end = format!("\"{}", "#".repeat(hashes));
    rest[begin..]
        .find(&end)
        .map_or(rest.len(), |at| begin + at + end.len())
}

/// The length of a character literal, or `None` if the quote begins a lifetime.
fn character(rest: &str) -> Option<usize> {
    let mut characters = rest.char_indices().skip(1);
    let (_, first) = characters.next()?;
    if first == '\\' {
        // The escaped character may be a quote itself.
        characters.next()?;
        return characters.find_map(|(at, c)| (c == '\'').then_some(at + 1));
    }
    let (at, second) = characters.next()?;
    (second == '\'').then_some(at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(source: &str) -> Vec<&str> {
        tokens(source).into_iter().map(|token| token.text).collect()
    }

    #[test]
    fn words_and_path_separators_are_tokens() {
        assert_eq!(
            texts("use crate::{a_1, b};"),
            ["use", "crate", "::", "{", "a_1", ",", "b", "}", ";"]
        );
    }

    #[test]
    fn comments_are_left_out() {
        let source =
            "a // crate::x\nb /* crate::x /* nested */ é */ c\n//! crate::x\n/// crate::x\nd";
        assert_eq!(texts(source), ["a", "b", "c", "d"]);
    }

    #[test]
    fn literals_are_left_out() {
        let source =
            r##"a "crate \" ::x // " b r#"crate "::x"# c b"\\" d '"' '\'' '\u{e9}' b'\\' e"##;
        let literal = "\"\"";
        let words = texts(source).into_iter().filter(|text| *text != literal);
        assert_eq!(words.collect::<Vec<_>>(), ["a", "b", "c", "d", "e"]);
    }

    #[test]
    fn a_lifetime_is_not_a_character() {
        assert_eq!(texts("&'a str, 'b'"), ["&", "'", "a", "str", ",", "\"\""]);
        assert_eq!(texts("<'a>(x: 'a)")[..3], ["<", "'", "a"]);
    }

    #[test]
    fn each_token_has_the_line_where_it_begins() {
        let lines: Vec<_> = tokens("a\n/*\n*/ b \"\n\" c")
            .into_iter()
            .map(|token| token.line)
            .collect();
        assert_eq!(lines, [1, 3, 3, 4]);
    }
}
