//! `#[derive(SessionData)]`.

mod ast;
mod attr;
mod expand;
mod fallback;
mod valid;

use proc_macro2::TokenStream;
use syn::DeriveInput;

use crate::ctxt::Ctxt;

pub(crate) use ast::option_argument;

pub(crate) fn derive(input: &DeriveInput) -> TokenStream {
    let ctxt = Ctxt::new();
    let model = ast::Struct::from_input(&ctxt, input);
    valid::check(&ctxt, &model);
    match ctxt.check() {
        Ok(()) => expand::expand(&model),
        Err(error) => fallback::expand(&model, &error),
    }
}

#[cfg(test)]
mod tests;
