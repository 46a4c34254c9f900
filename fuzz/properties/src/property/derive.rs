//! `#[derive(SessionData)]` on any tokens. An input is an item.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Data, DeriveInput, Type};

pub(crate) fn check(input: &[u8]) {
    let Some(tokens) = tokens(input) else { return };
    let Ok(item) = syn::parse2::<DeriveInput>(tokens) else {
        return;
    };
    let types = match &item.data {
        Data::Struct(data) => data.fields.iter().map(|field| &field.ty).collect(),
        Data::Enum(_) | Data::Union(_) => Vec::new(),
    };
    if !types.into_iter().all(can_be_an_argument) {
        return;
    }
    items(crate::data::derive(&item));
}

/// The tokens of a text, if it has any meaning and nests no deeper than the compiler's own parser goes.
pub(crate) fn tokens(text: &[u8]) -> Option<TokenStream> {
    /// Openings of any kind, and operators that stand before others: `((((`, `&&&&`, `-!-!`.
    const DEPTH: usize = 64;
    let nests = |byte: &&u8| b"([{<&*-!|".contains(byte);
    if text.iter().filter(nests).count() > DEPTH {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Whether a type can be written wherever a type is needed. `A +`, which was a trait object once and is a type
/// to `syn` still, can not.
pub(crate) fn can_be_an_argument(ty: &Type) -> bool {
    syn::parse2::<Type>(quote!(fn(&mut #ty) -> T<#ty>)).is_ok()
}

/// What a macro made, which is items whatever it was given.
pub(crate) fn items(output: TokenStream) -> syn::File {
    let text = output.to_string();
    match syn::parse2(output) {
        Ok(items) => items,
        Err(error) => panic!("the expansion cannot be parsed: {error}\n{text}"),
    }
}
