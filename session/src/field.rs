//! [`Field`]: the name under which a value is stored in a session.

/// A session key without its types: the name it is stored under, and how it is treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    name: &'static str,
    aliases: &'static [&'static str],
    flash: bool,
}

impl Field {
    pub(crate) const fn new(name: &'static str) -> Self {
        Self {
            name,
            aliases: &[],
            flash: false,
        }
    }

    pub(crate) const fn with_aliases(self, aliases: &'static [&'static str]) -> Self {
        Self { aliases, ..self }
    }

    pub(crate) const fn with_flash(self) -> Self {
        Self {
            flash: true,
            ..self
        }
    }

    /// The name it is stored under: `namespace.field`.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Older names, which are read if nothing is stored under [`name`](Self::name).
    pub const fn aliases(&self) -> &'static [&'static str] {
        self.aliases
    }

    /// Whether reading the value removes it.
    pub const fn is_flash(&self) -> bool {
        self.flash
    }

    /// Whether `name` is the name or an alias of this field.
    pub(crate) fn has_name(&self, name: &[u8]) -> bool {
        let mut names = std::iter::once(&self.name).chain(self.aliases);
        names.any(|own| own.as_bytes() == name)
    }
}

/// The first name that a field of `one` and a field of `other` have in common, aliases included.
///
/// A `const fn`, because the same check runs when an application is compiled and when it starts.
pub(crate) const fn common_name(one: &[Field], other: &[Field]) -> Option<&'static str> {
    let mut i = 0;
    while i < one.len() {
        let mut n = 0;
        while n <= one[i].aliases.len() {
            let name = nth_name(&one[i], n);
            let mut j = 0;
            while j < other.len() {
                let mut m = 0;
                while m <= other[j].aliases.len() {
                    if is_same(name, nth_name(&other[j], m)) {
                        return Some(name);
                    }
                    m += 1;
                }
                j += 1;
            }
            n += 1;
        }
        i += 1;
    }
    None
}

/// Name number `n` of a field: its own, then its aliases.
const fn nth_name(field: &Field, n: usize) -> &'static str {
    if n == 0 {
        field.name
    } else {
        field.aliases[n - 1]
    }
}

/// `a == b`, which is not a `const fn` in the standard library.
const fn is_same(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    if a.len() != b.len() {
        return false;
    }
    let mut i = 0;
    while i < a.len() {
        if a[i] != b[i] {
            return false;
        }
        i += 1;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_aliases_of_two_lists_are_compared() {
        const PLAIN: Field = Field::new("shop.cart");
        const ALIASED: Field = Field::new("shop.basket").with_aliases(&["shop.bag", "shop.cart"]);
        const OTHER: Field = Field::new("shop.cartx");
        assert_eq!(common_name(&[PLAIN], &[OTHER]), None);
        assert_eq!(common_name(&[OTHER, PLAIN], &[ALIASED]), Some("shop.cart"));
        assert_eq!(common_name(&[ALIASED], &[OTHER, PLAIN]), Some("shop.cart"));
        assert_eq!(common_name(&[], &[PLAIN]), None);
    }
}
