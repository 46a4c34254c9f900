//! The checks of a handler. Each `check_…` function rejects one kind of mistake.

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;
use syn::{FnArg, GenericArgument, GenericParam, Item, ItemFn, PathArguments, Safety, Type};

use super::ast::{Handler, Kind, Param};
use crate::{ctxt::Ctxt, data::option_argument};

pub(crate) fn check(ctxt: &Ctxt, handler: &Handler) {
    check_signature(ctxt, handler);
    check_lifetimes(ctxt, handler);
    for param in &handler.params {
        check_impl_trait(ctxt, param);
        check_key_by_value(ctxt, param);
    }
    check_one_holder(ctxt, handler);
    check_contradictions(ctxt, handler);
    check_redirect_has_key(ctxt, handler);
}

/// The error for an item that is no function:
///
/// ```text
/// #[session]
/// struct Shop {}
/// ```
pub(super) fn not_a_function(item: &Item) -> syn::Error {
    match item {
        Item::Struct(item) => syn::Error::new(
            item.ident.span(),
            "`#[session]` turns a function into an endpoint; for a struct of session keys, write \
             `#[derive(SessionData)]` above it",
        ),
        item => syn::Error::new_spanned(
            item,
            "`#[session]` turns a function into an endpoint; put it on an `async fn` or `fn`",
        ),
    }
}

/// Rejects a method:
///
/// ```text
/// impl Api {
///     #[session]
///     async fn user(&self, shop: Session<Shop>) {}
/// }
/// ```
pub(super) fn check_not_a_method(function: &ItemFn) -> syn::Result<()> {
    match function.sig.inputs.first() {
        Some(FnArg::Receiver(receiver)) => Err(syn::Error::new_spanned(
            receiver,
            "`#[session]` turns a function into an endpoint, and this is a method; remove the attribute: \
             `Session<S>` and `S` are extractors, which `#[OpenApi]` methods take without it",
        )),
        _ => Ok(()),
    }
}

/// Rejects a qualifier that the function of an endpoint cannot have:
///
/// ```text
/// #[session]
/// async unsafe fn index() {}
/// ```
fn check_signature(ctxt: &Ctxt, handler: &Handler) {
    let sig = &handler.function.sig;
    let reject = |tokens: Option<TokenStream>, what: &str| {
        if let Some(tokens) = tokens {
            ctxt.error(
                tokens,
                format!("a handler is an `async fn` or `fn`; remove {what}"),
            );
        }
    };
    reject(
        sig.constness.as_ref().map(ToTokens::to_token_stream),
        "`const`",
    );
    reject(sig.abi.as_ref().map(ToTokens::to_token_stream), "`extern`");
    reject(
        sig.variadic.as_ref().map(ToTokens::to_token_stream),
        "`...`",
    );
    match &sig.safety {
        Safety::Unsafe(word) => reject(Some(word.to_token_stream()), "`unsafe`"),
        Safety::Safe(word) => reject(Some(word.to_token_stream()), "`safe`"),
        Safety::Default => {}
    }
}

/// Rejects lifetime parameters:
///
/// ```text
/// #[session]
/// async fn index<'a>(request: &'a Request) {}
/// ```
fn check_lifetimes(ctxt: &Ctxt, handler: &Handler) {
    for param in &handler.function.sig.generics.params {
        if let GenericParam::Lifetime(lifetime) = param {
            ctxt.error(
                lifetime,
                "a handler cannot have lifetime parameters; leave the lifetime out, as in `&Request` or \
                 `Data<&Pool>`",
            );
        }
    }
}

/// Rejects `impl Trait` in the type of a parameter:
///
/// ```text
/// #[session]
/// async fn index(form: Form<impl DeserializeOwned>) {}
/// ```
fn check_impl_trait(ctxt: &Ctxt, param: &Param) {
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
            "the endpoint extracts this type, so it needs a name; write a type or a type parameter instead \
             of `impl`",
        );
    }
}

/// Rejects a reference to the value of a key:
///
/// ```text
/// #[session]
/// async fn index(#[key(Shop::USER)] user: &u64) {}
/// ```
fn check_key_by_value(ctxt: &Ctxt, param: &Param) {
    if let (Kind::Key(_), Type::Reference(reference)) = (&param.kind, &param.ty) {
        ctxt.error(
            reference,
            "a `#[key]` parameter takes the value itself: write `T` to reject requests without it, or \
             `Option<T>` to accept them; to change the value, take `Session<S>` or `&mut S`",
        );
    }
}

/// Rejects a second parameter that holds the struct of a `&mut S`. The second one would not see the changes
/// of the first, and could overwrite them:
///
/// ```text
/// #[session]
/// async fn index(shop: &mut Shop, session: Session<Shop>) {}
/// ```
fn check_one_holder(ctxt: &Ctxt, handler: &Handler) {
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
                // The two may exclude each other.
                continue;
            }
            let message = match &other.kind {
                Kind::Edit(ty) if j > i && text(ty) == name => format!(
                    "a second `&mut {name}` would overwrite the changes of the first; take only one"
                ),
                Kind::Extract if session_argument(&other.ty).map(text).as_ref() == Some(&name) => {
                    format!(
                        "`Session<{name}>` and `&mut {name}` do not see the changes of each other; take only one of them"
                    )
                }
                Kind::Extract if text(&other.ty) == name => format!(
                    "`{name}` does not see the changes of `&mut {name}`; take only `&mut {name}`"
                ),
                _ => continue,
            };
            ctxt.error(&other.ty, message);
        }
        seen.push(name);
    }
}

/// The type as it was written, with the spaces that the tokens are printed with.
fn text(ty: &Type) -> String {
    ty.to_token_stream().to_string()
}

/// Returns the `S` of a type that is written as `Session<S>`.
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

/// Rejects options that keep the session beside `destroy`, which ends it, and options that use the session beside
/// `passive`:
///
/// ```text
/// #[session(regenerate, destroy)]
/// async fn index() {}
/// ```
fn check_contradictions(ctxt: &Ctxt, handler: &Handler) {
    let options = &handler.options;
    if options.passive.is_some() {
        let flags = [&options.regenerate, &options.destroy]
            .into_iter()
            .flatten();
        let flags = flags.map(|word| (word.to_string(), word.span()));
        let timeout =
            (options.idle_timeout.iter()).map(|(text, _)| ("idle_timeout".into(), text.span()));
        for (name, span) in flags.chain(timeout) {
            let message = format!(
                "a `passive` request does not count as use of the session, and `{name}` changes the session; remove one \
                 of them"
            );
            ctxt.error_at(span, message);
        }
    }
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
            "`destroy` ends the session, so `idle_timeout` has no effect; remove one of them",
        );
    }
}

/// Rejects a redirect that never happens, because no `#[key]` is required:
///
/// ```text
/// #[session(or_redirect = "/login")]
/// async fn index(#[key(Shop::USER)] user: Option<u64>) {}
/// ```
fn check_redirect_has_key(ctxt: &Ctxt, handler: &Handler) {
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
            "`or_redirect` redirects requests without a required `#[key]`, and this handler requires none: \
             take a parameter `#[key(Shop::USER)] user: T`",
        );
    }
}
