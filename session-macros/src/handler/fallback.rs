//! Placeholders for a handler with errors. They keep the user's item and make the endpoint that other code
//! uses, so that one mistake is one message, and not a second one at each use.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{FnArg, GenericParam, Generics, Item, ItemFn, Safety};

use super::{ast::Handler, attr, expand};

/// Generates the error and an endpoint that is never called. Its body contains the user's function, so that
/// the compiler checks that too.
pub(super) fn handler(handler: &Handler, error: &syn::Error) -> TokenStream {
    let error = error.to_compile_error();
    let mut function = handler.function.clone();
    function.sig.constness = None;
    function.sig.abi = None;
    function.sig.variadic = None;
    function.sig.safety = Safety::Default;
    let body = quote! {
        #[allow(unused)]
        #function
        async move { ::core::unreachable!() }
    };
    let generics = without_bounds(&handler.function.sig.generics);
    let endpoint = expand::endpoint(handler, &generics, &body);
    quote!(#error #endpoint)
}

/// Generates the error and the method. An `impl` block has no place for an endpoint.
pub(super) fn method(mut function: ItemFn, error: &syn::Error) -> TokenStream {
    for input in &mut function.sig.inputs {
        if let FnArg::Typed(param) = input {
            attr::take_keys(&mut param.attrs);
        }
    }
    let error = error.to_compile_error();
    quote!(#error #function)
}

/// Generates the error and an item that is no function.
pub(super) fn item(item: &Item, error: &syn::Error) -> TokenStream {
    let error = error.to_compile_error();
    quote!(#error #item)
}

/// Keeps the types and constants only. The bounds may name lifetimes, which an endpoint does not have.
fn without_bounds(generics: &Generics) -> Generics {
    let mut plain = Generics::default();
    for param in &generics.params {
        match param.clone() {
            GenericParam::Lifetime(_) => {}
            GenericParam::Type(mut param) => {
                param.bounds.clear();
                plain.params.push(GenericParam::Type(param));
            }
            param @ GenericParam::Const(_) => plain.params.push(param),
        }
    }
    plain
}
