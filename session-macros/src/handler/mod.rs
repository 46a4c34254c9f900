//! `#[session]` on a handler.

mod ast;
mod attr;
mod expand;
mod fallback;
mod valid;

use proc_macro2::TokenStream;
use syn::{Item, ItemFn};

use crate::ctxt::Ctxt;

pub(crate) fn expand(options: TokenStream, item: Item) -> TokenStream {
    match item {
        Item::Fn(function) => match valid::check_not_a_method(&function) {
            Ok(()) => endpoint(options, function),
            Err(error) => fallback::method(function, &error),
        },
        item => fallback::item(&item, &valid::not_a_function(&item)),
    }
}

fn endpoint(options: TokenStream, function: ItemFn) -> TokenStream {
    let ctxt = Ctxt::new();
    let model = ast::Handler::from_function(&ctxt, options, function);
    valid::check(&ctxt, &model);
    match ctxt.check() {
        Ok(()) => expand::expand(&model),
        Err(error) => fallback::handler(&model, &error),
    }
}

#[cfg(test)]
mod tests;
