//! The names that a generated method cannot have, because `Session<S>` has a method of that name already.
//!
//! `Session<S>` dereferences to the generated methods. The compiler looks at its own methods first, so a
//! generated method of the same name could not be called.

/// The public methods of `Session<S>`. A test compares them with the source of `poem-session`.
const SESSION_METHODS: &[&str] = &[
    "contains",
    "created_at",
    "destroy",
    "ended",
    "expires_at",
    "get",
    "id",
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
    "update",
];

/// The methods of traits: those of the prelude, `Deref`, and the runtime's trait `Fields`.
const TRAIT_METHODS: &[&str] = &[
    "as_ref",
    "clone",
    "clone_from",
    "clone_into",
    "deref",
    "from",
    "handle",
    "into",
    "to_owned",
    "try_into",
];

pub(crate) fn is_reserved(method: &str) -> bool {
    SESSION_METHODS.contains(&method) || TRAIT_METHODS.contains(&method)
}

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeSet,
        fs,
        path::{Path, PathBuf},
    };

    use syn::{ImplItem, Item, ItemImpl, Type, Visibility};

    use super::*;

    /// The files that may define `Session`: `session/src/session.rs`, or those of `session/src/session/`.
    fn session_files() -> Vec<PathBuf> {
        let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("../session/src");
        let file = src.join("session.rs");
        let mut files = Vec::from_iter(file.exists().then_some(file));
        if let Ok(entries) = fs::read_dir(src.join("session")) {
            let paths = entries.map(|entry| entry.expect("the directory is readable").path());
            files.extend(paths.filter(|path| path.extension().is_some_and(|ext| ext == "rs")));
        }
        files
    }

    /// Whether this is `impl<…> Session<…>`, and not the `impl` of a trait.
    fn is_impl_of_session(item: &ItemImpl) -> bool {
        let Type::Path(path) = &*item.self_ty else {
            return false;
        };
        let last = path.path.segments.last();
        item.trait_.is_none() && last.is_some_and(|last| last.ident == "Session")
    }

    /// The names of the `pub fn` and `pub async fn` of `Session<S>`.
    fn public_methods() -> BTreeSet<String> {
        let mut methods = BTreeSet::new();
        for path in session_files() {
            let source = fs::read_to_string(&path).expect("the file is readable");
            let file = syn::parse_file(&source).expect("the file is Rust");
            for item in file.items {
                let Item::Impl(item) = item else { continue };
                if !is_impl_of_session(&item) {
                    continue;
                }
                for item in item.items {
                    if let ImplItem::Fn(function) = item
                        && matches!(function.vis, Visibility::Public(_))
                    {
                        methods.insert(function.sig.ident.to_string());
                    }
                }
            }
        }
        assert!(
            !methods.is_empty(),
            "no `impl Session` in session/src/session.rs or session/src/session/*.rs"
        );
        methods
    }

    #[test]
    fn the_methods_of_session_are_reserved() {
        let methods = public_methods();
        let reserved: BTreeSet<String> = SESSION_METHODS.iter().map(ToString::to_string).collect();
        let missing: Vec<&String> = methods.difference(&reserved).collect();
        let extra: Vec<&String> = reserved.difference(&methods).collect();
        assert!(
            missing.is_empty() && extra.is_empty(),
            "`SESSION_METHODS` in session-macros/src/reserved.rs does not match the public methods of \
             `Session<S>`: add {missing:?}, remove {extra:?}"
        );
    }

    #[test]
    fn the_lists_are_sorted() {
        assert!(SESSION_METHODS.is_sorted());
        assert!(TRAIT_METHODS.is_sorted());
    }

    #[test]
    fn names_of_both_lists_are_reserved() {
        assert!(is_reserved("id") && is_reserved("clone"));
        assert!(!is_reserved("cart"));
    }
}
