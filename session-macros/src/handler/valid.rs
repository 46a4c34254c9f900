//! What cannot be meant, one check each.

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;
use syn::{GenericArgument, GenericParam, Item, PathArguments, Safety, Type};

use super::ast::{Handler, Kind, Param};
use crate::{ctxt::Ctxt, data::option_argument};

pub(crate) fn check(ctxt: &Ctxt, handler: &Handler) {
    signature(ctxt, handler);
    lifetimes(ctxt, handler);
    for param in &handler.params {
        impl_trait(ctxt, param);
        key_by_value(ctxt, param);
    }
    one_edit_each(ctxt, handler);
    contradictions(ctxt, handler);
    redirect_needs_key(ctxt, handler);
}

/// Says where the attribute belongs.
pub(crate) fn not_a_function(ctxt: &Ctxt, item: &Item) {
    match item {
        Item::Struct(item) => ctxt.error_at(
            item.ident.span(),
            "`#[session]` makes a function an endpoint; for a struct of session keys, write \
             `#[derive(SessionData)]` above it",
        ),
        item => ctxt.error(
            item,
            "`#[session]` makes a function an endpoint: put it on an `async fn` or `fn`",
        ),
    }
}

fn signature(ctxt: &Ctxt, handler: &Handler) {
    let sig = &handler.function.sig;
    let refuse = |tokens: Option<TokenStream>, what: &str| {
        if let Some(tokens) = tokens {
            ctxt.error(
                tokens,
                format!("a handler is an `async fn` or `fn`; remove {what}"),
            );
        }
    };
    refuse(
        sig.constness.as_ref().map(ToTokens::to_token_stream),
        "`const`",
    );
    refuse(sig.abi.as_ref().map(ToTokens::to_token_stream), "`extern`");
    refuse(
        sig.variadic.as_ref().map(ToTokens::to_token_stream),
        "`...`",
    );
    match &sig.safety {
        Safety::Unsafe(word) => refuse(Some(word.to_token_stream()), "`unsafe`"),
        Safety::Safe(word) => refuse(Some(word.to_token_stream()), "`safe`"),
        Safety::Default => {}
    }
}

fn lifetimes(ctxt: &Ctxt, handler: &Handler) {
    for param in &handler.function.sig.generics.params {
        if let GenericParam::Lifetime(lifetime) = param {
            ctxt.error(
                lifetime,
                "a handler has no lifetime parameters: leave the lifetime out, as in `&Request` or \
                 `Data<&Pool>`",
            );
        }
    }
}

fn impl_trait(ctxt: &Ctxt, param: &Param) {
    fn mentions_impl(tokens: TokenStream) -> bool {
        tokens.into_iter().any(|token| match token {
            TokenTree::Ident(ident) => ident == "impl",
            TokenTree::Group(group) => mentions_impl(group.stream()),
            _ => false,
        })
    }
    if mentions_impl(param.ty.to_token_stream()) {
        ctxt.error(
            &param.ty,
            "the endpoint has to know the type it extracts; name it in place of `impl`",
        );
    }
}

fn key_by_value(ctxt: &Ctxt, param: &Param) {
    if let (Kind::Key(_), Type::Reference(reference)) = (&param.kind, &param.ty) {
        ctxt.error(
            reference,
            "a `#[key]` parameter takes the value: write `T`, which turns away requests without it, or \
             `Option<T>`. To change it, take `Session<S>` or `&mut S`",
        );
    }
}

/// Each `&mut S` writes the fields that it changed; whoever else holds them would not see that, or undo it.
fn one_edit_each(ctxt: &Ctxt, handler: &Handler) {
    let mut seen = Vec::new();
    for (i, edit) in handler.edits() {
        let Kind::Edit(data) = &edit.kind else {
            continue;
        };
        let name = text(data);
        if seen.contains(&name) {
            continue;
        }
        for (j, other) in handler.params.iter().enumerate() {
            if !edit.cfg.is_empty() || !other.cfg.is_empty() {
                // Perhaps not at the same time.
                continue;
            }
            let message = match &other.kind {
                Kind::Edit(ty) if j > i && text(ty) == name => {
                    format!(
                        "a second `&mut {name}` would overwrite what the first changed; take one"
                    )
                }
                Kind::Extract if session_argument(&other.ty).map(text).as_ref() == Some(&name) => {
                    format!(
                        "`Session<{name}>` would not see what `&mut {name}` changes, nor the other way round; take one of them"
                    )
                }
                Kind::Extract if text(&other.ty) == name => {
                    format!(
                        "`{name}` would not see what `&mut {name}` changes; take only the latter"
                    )
                }
                _ => continue,
            };
            ctxt.error(&other.ty, message);
        }
        seen.push(name);
    }
}

/// As it was written, but for spaces.
fn text(ty: &Type) -> String {
    ty.to_token_stream().to_string()
}

/// The `S` of a type that is written as a `Session<S>`.
fn session_argument(ty: &Type) -> Option<&Type> {
    let Type::Path(path) = ty else { return None };
    let last = path.path.segments.last()?;
    match &last.arguments {
        PathArguments::AngleBracketed(arguments) if last.ident == "Session" => {
            match arguments.args.first() {
                Some(GenericArgument::Type(ty)) => Some(ty),
                _ => None,
            }
        }
        _ => None,
    }
}

fn contradictions(ctxt: &Ctxt, handler: &Handler) {
    let options = &handler.options;
    if options.destroy.is_none() {
        return;
    }
    if let Some(word) = &options.regenerate {
        ctxt.error_at(
            word.span(),
            "`destroy` ends the session, and `regenerate` keeps it under a new id; remove one of them",
        );
    }
    if let Some((text, _)) = &options.idle_timeout {
        ctxt.error_at(
            text.span(),
            "`destroy` ends the session, which needs no `idle_timeout` then; remove one of them",
        );
    }
}

fn redirect_needs_key(ctxt: &Ctxt, handler: &Handler) {
    let Some(redirect) = &handler.options.or_redirect else {
        return;
    };
    let required = |param: &Param| match param.kind {
        Kind::Key(_) => option_argument(&param.ty).is_none(),
        Kind::Broken => true,
        Kind::Extract | Kind::Edit(_) => false,
    };
    if !handler.params.iter().any(required) {
        ctxt.error_at(
            redirect.span(),
            "`or_redirect` is where a request without a `#[key]` goes, and nothing here requires one: \
             take a parameter `#[key(Shop::USER)] user: T`",
        );
    }
}
