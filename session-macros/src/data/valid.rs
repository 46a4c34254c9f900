//! The checks of a session data struct. Each `check_…` function rejects one kind of mistake.

use std::collections::HashMap;

use proc_macro2::Span;
use syn::{Data, Fields, LitStr, ext::IdentExt};

use super::ast::{Field, METHODS, Storage, Struct, contains_reference};
use crate::{ctxt::Ctxt, names, reserved};

/// The characters of a namespace and of the name of a key, for error texts.
const KEY_TEXT: &str = "ASCII letters, digits, `_` and `-`";

pub(crate) fn check(ctxt: &Ctxt, model: &Struct<'_>) {
    check_shape(ctxt, model);
    check_generics(ctxt, model);
    check_namespace(ctxt, model);
    for field in &model.fields {
        check_skip(ctxt, field);
        check_absent_value(ctxt, field);
        // `check_generics` has reported the lifetime of `&'a str` already.
        if model.original.generics.lifetimes().next().is_none() {
            check_borrowed(ctxt, field);
        }
        check_key_text(ctxt, field);
        check_alias_text(ctxt, field);
        check_reserved(ctxt, field);
    }
    check_duplicate_methods(ctxt, model);
    check_duplicate_constants(ctxt, model);
    check_duplicate_keys(ctxt, model);
}

/// Rejects every item but a struct with named fields:
///
/// ```text
/// #[derive(SessionData)]
/// struct Shop(Option<u64>);
/// ```
fn check_shape(ctxt: &Ctxt, model: &Struct<'_>) {
    let ident = &model.original.ident;
    let found = match &model.original.data {
        Data::Struct(data) => match &data.fields {
            Fields::Named(_) => return,
            Fields::Unnamed(_) => "a tuple struct",
            Fields::Unit => "a unit struct",
        },
        Data::Enum(_) => "an enum",
        Data::Union(_) => "a union",
    };
    ctxt.error_at(
        ident.span(),
        format!(
            "`{ident}` is {found}; session keys are the named fields of a struct: \
             `struct {ident} {{ user: Option<u64> }}`"
        ),
    );
}

/// Rejects parameters and `where` clauses:
///
/// ```text
/// #[derive(SessionData)]
/// struct Shop<T> {
///     value: Option<T>,
/// }
/// ```
fn check_generics(ctxt: &Ctxt, model: &Struct<'_>) {
    let generics = &model.original.generics;
    if !generics.params.is_empty() {
        ctxt.error(
            &generics.params,
            "session data cannot be generic, because each key has one type and its value owns its data; \
             write the types that are stored",
        );
    } else if let Some(where_clause) = &generics.where_clause {
        ctxt.error(
            where_clause,
            "session data cannot have a `where` clause; remove it",
        );
    }
}

/// Rejects a namespace that is empty or has other characters than [`KEY_TEXT`]:
///
/// ```text
/// #[derive(SessionData)]
/// #[session(namespace = "my shop")]
/// struct Shop {}
/// ```
fn check_namespace(ctxt: &Ctxt, model: &Struct<'_>) {
    if names::is_key_text(&model.namespace) {
        return;
    }
    match &model.attrs.namespace {
        Some(written) => ctxt.error_at(
            written.span(),
            format!("a namespace consists of {KEY_TEXT}, and is not empty"),
        ),
        None => ctxt.error_at(
            model.original.ident.span(),
            format!(
                "a namespace consists of {KEY_TEXT}, and the name of this struct does not; \
                 add `#[session(namespace = \"…\")]`"
            ),
        ),
    }
}

/// Rejects attributes that have no effect beside `skip`:
///
/// ```text
/// #[session(skip, flash)]
/// notice: Option<String>,
/// ```
fn check_skip(ctxt: &Ctxt, field: &Field<'_>) {
    if field.attrs.skip.is_some() {
        for (word, tokens) in field.attrs.beside_skip() {
            ctxt.error(
                tokens,
                format!(
                    "`skip` leaves the field out of the session, so `{word}` has no effect; remove one of them"
                ),
            );
        }
    }
}

/// Rejects a field without a defined value for sessions that do not store it, and an `Option` with a plain
/// `default`, which is `None` anyway:
///
/// ```text
/// cart: Vec<String>,
/// #[session(default)]
/// user: Option<u64>,
/// ```
fn check_absent_value(ctxt: &Ctxt, field: &Field<'_>) {
    match (&field.storage, &field.attrs.default) {
        // If an attribute of the field has an error, it may be a misspelled `default`.
        (Storage::Undefined, _) if !field.attrs.faulty => ctxt.error(
            &field.original.ty,
            format!(
                "`{}` has no value while nothing is stored: make it an `Option<…>`, or add \
                 `#[session(default)]` or `#[session(default = …)]`",
                field.name()
            ),
        ),
        (Storage::Optional(_), Some(default)) => ctxt.error_at(
            default.word.span(),
            "an `Option` is `None` while nothing is stored; remove `default`",
        ),
        _ => {}
    }
}

/// Rejects a reference. The compiler rejects it too, but its error does not point at the field:
///
/// ```text
/// name: Option<&'static str>,
/// ```
fn check_borrowed(ctxt: &Ctxt, field: &Field<'_>) {
    if is_borrowed(field) {
        ctxt.error(
            &field.original.ty,
            "a session value owns its data, since it is read back from a store: write `String` instead of \
             `&str`, and `Vec<T>` instead of `&[T]`",
        );
    }
}

/// Whether the value of the field is borrowed. `fallback` generates no methods for such a field.
pub(super) fn is_borrowed(field: &Field<'_>) -> bool {
    !matches!(field.storage, Storage::Skipped) && contains_reference(&field.original.ty)
}

/// Rejects the name of a key that is empty or has other characters than [`KEY_TEXT`]:
///
/// ```text
/// #[session(rename = "auth.user")]
/// user: Option<u64>,
/// größe: Option<u64>,
/// ```
fn check_key_text(ctxt: &Ctxt, field: &Field<'_>) {
    if matches!(field.storage, Storage::Skipped) {
        return;
    }
    match &field.attrs.rename {
        Some(rename) if !names::is_key_text(&rename.value()) => ctxt.error_at(
            rename.span(),
            format!(
                "the name of a key consists of {KEY_TEXT}, and is not empty; \
                 the namespace is added in front of it"
            ),
        ),
        None if !names::is_key_text(&field.name()) => ctxt.error_at(
            field.ident.span(),
            format!(
                "the name of a key consists of {KEY_TEXT}, and the name of this field does not; \
                 add `#[session(rename = \"…\")]`"
            ),
        ),
        _ => {}
    }
}

/// Rejects an alias that no key can have:
///
/// ```text
/// #[session(alias = "auth.")]
/// user: Option<u64>,
/// ```
fn check_alias_text(ctxt: &Ctxt, field: &Field<'_>) {
    if matches!(field.storage, Storage::Skipped) {
        return;
    }
    for alias in &field.attrs.aliases {
        if !alias.value().split('.').all(names::is_key_text) {
            ctxt.error_at(
                alias.span(),
                format!(
                    "an alias is an older key, either of this namespace (`\"old\"`) or of another one \
                     (`\"namespace.old\"`), and consists of {KEY_TEXT}"
                ),
            );
        }
    }
}

/// Rejects a field with a method that `Session` has already, here `Session::id`:
///
/// ```text
/// id: Option<u64>,
/// ```
fn check_reserved(ctxt: &Ctxt, field: &Field<'_>) {
    if matches!(field.storage, Storage::Skipped) {
        return;
    }
    if let Some(method) = reserved_method(field) {
        let name = field.name();
        ctxt.error_at(
            field.ident.span(),
            format!(
                "the name `{name}` is reserved, because `Session` has a method `{method}`; rename the field \
                 (`#[session(rename = \"{name}\")]` keeps its key)"
            ),
        );
    }
}

/// The first method of the field that `Session` has already. `fallback` generates no methods for such a
/// field.
pub(super) fn reserved_method(field: &Field<'_>) -> Option<String> {
    METHODS
        .iter()
        .map(|prefix| field.method(prefix).unraw().to_string())
        .find(|method| reserved::is_reserved(method))
}

/// Rejects two fields with a method of one name:
///
/// ```text
/// user: Option<u64>,
/// set_user: Option<u64>,
/// ```
fn check_duplicate_methods(ctxt: &Ctxt, model: &Struct<'_>) {
    let mut seen: HashMap<String, &Field<'_>> = HashMap::new();
    for field in model.stored() {
        for prefix in METHODS {
            let method = field.method(prefix).unraw().to_string();
            match seen.get(&method) {
                Some(other) => ctxt.error_at(
                    field.ident.span(),
                    format!(
                        "`{}` and `{}` would both have a method `{method}`; rename one of them",
                        other.name(),
                        field.name()
                    ),
                ),
                None => {
                    seen.insert(method, field);
                }
            }
        }
    }
}

/// Rejects two fields with a key constant of one name:
///
/// ```text
/// last_seen: Option<u64>,
/// lastSeen: Option<u64>,
/// ```
fn check_duplicate_constants(ctxt: &Ctxt, model: &Struct<'_>) {
    let mut seen: HashMap<String, &Field<'_>> = HashMap::new();
    for field in model.stored() {
        let constant = field.constant().to_string();
        match seen.get(&constant) {
            Some(other) => ctxt.error_at(
                field.ident.span(),
                format!(
                    "`{}` and `{}` would both have the key constant `{constant}`; rename one of them",
                    other.name(),
                    field.name()
                ),
            ),
            None => {
                seen.insert(constant, field);
            }
        }
    }
}

/// Rejects a key or an alias that is a key or an alias already:
///
/// ```text
/// user: Option<u64>,
/// #[session(rename = "user")]
/// customer: Option<u64>,
/// ```
fn check_duplicate_keys<'m>(ctxt: &Ctxt, model: &'m Struct<'m>) {
    let mut seen: HashMap<String, &Field<'_>> = HashMap::new();
    let mut claim = |key: String, span: Span, field: &'m Field<'m>| {
        let this = field.name();
        let message = match seen.get(&key).map(|other| other.name()) {
            None => {
                seen.insert(key, field);
                return;
            }
            Some(other) if other == this => {
                format!("`{this}` has the key `{key}` already; remove this alias")
            }
            Some(other) => {
                format!(
                    "`{other}` and `{this}` would both have the key `{key}`; change one of them"
                )
            }
        };
        ctxt.error_at(span, message);
    };
    // All keys are claimed before any alias, so that the error points at the alias.
    for field in model.stored() {
        let rename = field.attrs.rename.as_ref();
        let span = rename.map_or_else(|| field.ident.span(), LitStr::span);
        claim(model.key(field), span, field);
    }
    for field in model.stored() {
        for alias in &field.attrs.aliases {
            claim(model.alias(alias), alias.span(), field);
        }
    }
}
