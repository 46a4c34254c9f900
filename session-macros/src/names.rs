//! Names: converts the names of structs and fields, checks the text of keys, and finds the known name that a
//! misspelled name is most similar to.

/// Converts `LineItem` to `line_item` and `HTTPSession` to `http_session`.
pub(crate) fn snake_case(name: &str) -> String {
    let chars: Vec<char> = name.chars().collect();
    let mut snake = String::with_capacity(name.len() + 4);
    for (i, &c) in chars.iter().enumerate() {
        if c.is_uppercase() && i > 0 {
            let before = chars[i - 1];
            let starts_word = chars.get(i + 1).is_some_and(|next| next.is_lowercase());
            if before.is_lowercase()
                || before.is_numeric()
                || (before.is_uppercase() && starts_word)
            {
                snake.push('_');
            }
        }
        snake.extend(c.to_lowercase());
    }
    snake
}

/// Converts `one_time_code` and `oneTimeCode` to `ONE_TIME_CODE`.
pub(crate) fn upper_snake_case(name: &str) -> String {
    snake_case(name).to_uppercase()
}

/// Whether `text` is valid as a namespace, or as the name of a key in one.
pub(crate) fn is_key_text(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}

/// Returns the name in `known` that `name` is a likely misspelling of.
pub(crate) fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let (distance, nearest) = known
        .iter()
        .map(|candidate| (edit_distance(name, candidate), *candidate))
        .min()?;
    (distance <= 1.max(name.chars().count() / 3)).then_some(nearest)
}

/// The Levenshtein distance: how many letters to insert, delete or replace to turn `a` into `b`.
fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn struct_names_become_snake_case() {
        for (name, snake) in [
            ("Shop", "shop"),
            ("ShopCart", "shop_cart"),
            ("HTTPSession", "http_session"),
            ("OAuth2State", "o_auth2_state"),
            ("already_snake", "already_snake"),
            ("X", "x"),
        ] {
            assert_eq!(snake_case(name), snake, "{name}");
        }
    }

    #[test]
    fn field_names_become_constants() {
        assert_eq!(upper_snake_case("cart"), "CART");
        assert_eq!(upper_snake_case("one_time_code"), "ONE_TIME_CODE");
        assert_eq!(upper_snake_case("oneTimeCode"), "ONE_TIME_CODE");
        assert_eq!(upper_snake_case("_hidden"), "_HIDDEN");
    }

    #[test]
    fn key_text_is_ascii_without_dots() {
        for good in ["shop", "shop-2", "a_b", "9"] {
            assert!(is_key_text(good), "{good}");
        }
        for bad in ["", "a.b", "a b", "käse", "a\n"] {
            assert!(!is_key_text(bad), "{bad}");
        }
    }

    #[test]
    fn nearest_finds_misspellings_only() {
        let known = ["rename", "alias", "default", "flash", "skip"];
        assert_eq!(nearest("defualt", &known), Some("default"));
        assert_eq!(nearest("flush", &known), Some("flash"));
        assert_eq!(nearest("skipp", &known), Some("skip"));
        assert_eq!(nearest("index", &known), None);
        assert_eq!(nearest("secret", &known), None);
        assert_eq!(nearest("", &known), None);
    }

    #[test]
    fn edit_distance_counts_changed_letters() {
        assert_eq!(edit_distance("", "abc"), 3);
        assert_eq!(edit_distance("abc", "abc"), 0);
        assert_eq!(edit_distance("kitten", "sitting"), 3);
    }
}
