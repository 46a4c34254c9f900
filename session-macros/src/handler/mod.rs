//! `#[session]`.

mod ast;
mod attr;
mod expand;
mod valid;

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::{FnArg, Item, ItemFn};

use crate::ctxt::Ctxt;

pub(crate) fn expand(options: TokenStream, item: Item) -> TokenStream {
    let ctxt = Ctxt::default();
    let function = match item {
        Item::Fn(function) => function,
        item => {
            valid::not_a_function(&ctxt, &item);
            let errors = ctxt.finish();
            return quote!(#errors #item);
        }
    };
    if let Some(FnArg::Receiver(receiver)) = function.sig.inputs.first() {
        ctxt.error(
            receiver,
            "`#[session]` makes a function an endpoint, and this is a method; remove the attribute: \
             `Session<S>` and `S` are extractors that `#[OpenApi]` methods take as they are",
        );
        return method(ctxt, function);
    }
    let model = ast::Handler::from_function(&ctxt, options, function);
    valid::check(&ctxt, &model);
    match ctxt.finish() {
        None => expand::expand(&model),
        Some(errors) => {
            let stub = expand::stub(&model);
            quote!(#errors #stub)
        }
    }
}

/// Between the items of an `impl` there is no place for a stub, but the method itself can stay.
fn method(ctxt: Ctxt, mut function: ItemFn) -> TokenStream {
    for input in &mut function.sig.inputs {
        if let FnArg::Typed(param) = input {
            attr::take_keys(&mut param.attrs);
        }
    }
    let errors = ctxt.finish();
    let function = function.into_token_stream();
    quote!(#errors #function)
}

#[cfg(test)]
mod tests;
