//! `#[derive(SessionData)]` on any tokens. An input is an item.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Data, DeriveInput, Type};

pub(crate) fn check(input: &[u8]) {
    forget_texts();
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

/// The tokens of a text. `None` if it is not Rust, or nests deeper than the compiler's parser allows.
pub(crate) fn tokens(text: &[u8]) -> Option<TokenStream> {
    /// The most opening brackets and prefix operators, as in `((((`, `&&&&` and `-!-!`.
    const DEPTH: usize = 64;
    let nests = |byte: &&u8| b"([{<&*-!|".contains(byte);
    if text.iter().filter(nests).count() > DEPTH {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Forgets the texts that this thread has parsed, so that the memory of an input does not depend on the ones before.
pub(crate) fn forget_texts() {
    proc_macro2::extra::invalidate_current_thread_spans();
}

/// Whether a type can be used wherever a type is needed.
///
/// `A +` cannot: it was the syntax of a trait object once, and `syn` still parses it as a type.
pub(crate) fn can_be_an_argument(ty: &Type) -> bool {
    syn::parse2::<Type>(quote!(fn(&mut #ty) -> T<#ty>)).is_ok()
}

/// Parses the output of a macro as items.
///
/// # Panics
/// If it does not parse.
pub(crate) fn items(output: TokenStream) -> syn::File {
    let text = output.to_string();
    match syn::parse2(output) {
        Ok(items) => items,
        Err(error) => panic!("the expansion does not parse: {error}\n{text}"),
    }
}
