//! What cannot be meant, one check each.

use std::collections::HashMap;

use proc_macro2::Span;
use syn::{Data, Fields, LitStr, ext::IdentExt};

use super::ast::{Field, METHODS, Storage, Struct, borrows};
use crate::{ctxt::Ctxt, names};

const KEY_TEXT: &str = "ASCII letters, digits, `_` and `-`";

pub(crate) fn check(ctxt: &Ctxt, model: &Struct<'_>) {
    shape(ctxt, model);
    generics(ctxt, model);
    namespace(ctxt, model);
    for field in &model.fields {
        skipped(ctxt, field);
        absent_value(ctxt, field);
        // With a lifetime of the struct's, that is the error.
        if model.original.generics.lifetimes().next().is_none() {
            borrowed(ctxt, field);
        }
        key_text(ctxt, field);
        reserved(ctxt, field);
    }
    one_method_each(ctxt, model);
    one_constant_each(ctxt, model);
    one_key_each(ctxt, model);
}

fn shape(ctxt: &Ctxt, model: &Struct<'_>) {
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

fn generics(ctxt: &Ctxt, model: &Struct<'_>) {
    let generics = &model.original.generics;
    if !generics.params.is_empty() {
        ctxt.error(
            &generics.params,
            "session data takes no parameters: a key has one type, and its value owns its data; \
             name the types that are stored",
        );
    } else if let Some(where_clause) = &generics.where_clause {
        ctxt.error(
            where_clause,
            "session data takes no `where` clause; remove it",
        );
    }
}

fn namespace(ctxt: &Ctxt, model: &Struct<'_>) {
    if names::is_key_text(&model.namespace) {
        return;
    }
    match &model.attrs.namespace {
        Some(written) => ctxt.error_at(
            written.span(),
            format!("a namespace is made of {KEY_TEXT}, and not empty"),
        ),
        None => ctxt.error_at(
            model.original.ident.span(),
            format!(
                "a namespace is made of {KEY_TEXT}, which this name is not; \
                 add `#[session(namespace = \"…\")]`"
            ),
        ),
    }
}

fn skipped(ctxt: &Ctxt, field: &Field<'_>) {
    if field.attrs.skip.is_some() {
        for (word, tokens) in field.attrs.beside_skip() {
            ctxt.error(
                tokens,
                format!("`skip` leaves the field out of the session, where `{word}` means nothing; remove one"),
            );
        }
    }
}

fn absent_value(ctxt: &Ctxt, field: &Field<'_>) {
    match (&field.storage, &field.attrs.default) {
        // What is wrong with its attributes may have been the default.
        (Storage::Undefined, _) if !field.attrs.faulty => ctxt.error(
            &field.original.ty,
            format!(
                "`{}` has no value for when nothing is stored: make it an `Option<…>`, or add \
                 `#[session(default)]` or `#[session(default = …)]`",
                field.name()
            ),
        ),
        (Storage::Optional(_), Some(default)) => ctxt.error_at(
            default.word.span(),
            "an `Option` is `None` where nothing is stored; remove `default`",
        ),
        _ => {}
    }
}

fn borrowed(ctxt: &Ctxt, field: &Field<'_>) {
    if is_borrowed(field) {
        ctxt.error(
            &field.original.ty,
            "a session value owns its data, since it is read back from a store: write `String` for \
             `&str`, `Vec<T>` for `&[T]`",
        );
    }
}

/// The compiler's own message would not point at the field.
pub(crate) fn is_borrowed(field: &Field<'_>) -> bool {
    !matches!(field.storage, Storage::Skipped) && borrows(&field.original.ty)
}

fn key_text(ctxt: &Ctxt, field: &Field<'_>) {
    if matches!(field.storage, Storage::Skipped) {
        return;
    }
    match &field.attrs.rename {
        Some(rename) if !names::is_key_text(&rename.value()) => ctxt.error_at(
            rename.span(),
            format!("a key is made of {KEY_TEXT}, and not empty; the namespace is put before it"),
        ),
        None if !names::is_key_text(&field.name()) => ctxt.error_at(
            field.ident.span(),
            format!(
                "a key is made of {KEY_TEXT}, which this name is not; \
                 add `#[session(rename = \"…\")]`"
            ),
        ),
        _ => {}
    }
    for alias in &field.attrs.aliases {
        if !alias.value().split('.').all(names::is_key_text) {
            ctxt.error_at(
                alias.span(),
                format!(
                    "an alias is an older key, in this namespace (`\"old\"`) or whole \
                     (`\"namespace.old\"`), made of {KEY_TEXT}"
                ),
            );
        }
    }
}

fn reserved(ctxt: &Ctxt, field: &Field<'_>) {
    if matches!(field.storage, Storage::Skipped) {
        return;
    }
    if let Some(method) = reserved_method(field) {
        let name = field.name();
        ctxt.error_at(
            field.ident.span(),
            format!(
                "the name `{name}` is reserved: `Session` has a method `{method}` already; name the field \
                 otherwise (`#[session(rename = \"{name}\")]` keeps the key)"
            ),
        );
    }
}

/// The method of the field that would hide behind one of `Session`'s own.
pub(crate) fn reserved_method(field: &Field<'_>) -> Option<String> {
    METHODS
        .iter()
        .map(|prefix| field.method(prefix).unraw().to_string())
        .find(|method| names::is_reserved(method))
}

fn one_method_each(ctxt: &Ctxt, model: &Struct<'_>) {
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

fn one_constant_each(ctxt: &Ctxt, model: &Struct<'_>) {
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

fn one_key_each<'m>(ctxt: &Ctxt, model: &'m Struct<'m>) {
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
                    "`{other}` and `{this}` would both have the key `{key}`; give one another name"
                )
            }
        };
        ctxt.error_at(span, message);
    };
    // Every key before any alias, so that the error is at the alias.
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
