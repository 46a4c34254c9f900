//! Names: what a field may not be called, how generated items are called, and what an unknown name was
//! perhaps meant to be.

/// The methods that every `Session<S>` has already, those of the prelude's traits among them. They would
/// win over a generated method of the same name, so none is generated.
pub(crate) const RESERVED: &[&str] = &[
    "as_ref",
    "clone",
    "contains",
    "created_at",
    "deref",
    "destroy",
    "ended",
    "expires_at",
    "from",
    "get",
    "handle",
    "id",
    "into",
    "is_ended",
    "is_new",
    "keys",
    "lock",
    "public_id",
    "regenerate",
    "reload",
    "remove",
    "reset",
    "save",
    "set",
    "set_idle_timeout",
    "take",
    "to_owned",
    "try_into",
    "update",
];

pub(crate) fn is_reserved(method: &str) -> bool {
    RESERVED.contains(&method)
}

/// `LineItem` to `line_item`, `HTTPSession` to `http_session`.
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

/// `one_time_code` and `oneTimeCode` to `ONE_TIME_CODE`.
pub(crate) fn upper_snake_case(name: &str) -> String {
    snake_case(name).to_uppercase()
}

/// Whether `text` can be a namespace, or a key inside one.
pub(crate) fn is_key_text(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}

/// The one of `known` that `name` is a likely misspelling of.
pub(crate) fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let (distance, nearest) = known
        .iter()
        .map(|candidate| (edit_distance(name, candidate), *candidate))
        .min()?;
    (distance <= 1.max(name.chars().count() / 3)).then_some(nearest)
}

/// How many letters have to be put in, left out or exchanged (Levenshtein).
fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let exchanged = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = exchanged.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_struct_names() {
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
    fn constants_of_fields() {
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
    fn nearest_finds_slips_and_nothing_else() {
        let known = ["rename", "alias", "default", "flash", "skip"];
        assert_eq!(nearest("defualt", &known), Some("default"));
        assert_eq!(nearest("flush", &known), Some("flash"));
        assert_eq!(nearest("skipp", &known), Some("skip"));
        assert_eq!(nearest("index", &known), None);
        assert_eq!(nearest("secret", &known), None);
        assert_eq!(nearest("", &known), None);
    }

    #[test]
    fn edit_distances() {
        assert_eq!(edit_distance("", "abc"), 3);
        assert_eq!(edit_distance("abc", "abc"), 0);
        assert_eq!(edit_distance("kitten", "sitting"), 3);
    }

    #[test]
    fn reserved_names_are_sorted() {
        assert!(RESERVED.is_sorted());
        assert!(is_reserved("id") && !is_reserved("cart"));
    }
}
