//! `#[derive(SessionData)]`.

mod ast;
mod attr;
mod expand;
mod valid;

use proc_macro2::TokenStream;
use quote::quote;
use syn::DeriveInput;

use crate::ctxt::Ctxt;

pub(crate) use ast::option_argument;

pub(crate) fn derive(input: &DeriveInput) -> TokenStream {
    let ctxt = Ctxt::default();
    let model = ast::Struct::from_input(&ctxt, input);
    valid::check(&ctxt, &model);
    match ctxt.finish() {
        None => expand::expand(&model),
        Some(errors) => {
            let stub = expand::stub(&model);
            quote!(#errors #stub)
        }
    }
}

#[cfg(test)]
mod tests;
