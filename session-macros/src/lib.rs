//! The macros of [`poem-session`](https://docs.rs/poem-session), which re-exports and documents them:
//! `#[derive(SessionData)]` turns the fields of a struct into session keys, and `#[session]` turns a function
//! into a Poem endpoint.
//!
//! Both macros have the same stages. `attr` reads the attributes as they were written, `ast` models the item,
//! `valid` checks the model, and `expand` generates the code. If there is an error, `fallback` generates
//! placeholders instead, so that one mistake is one message. The generated code is thin: it calls into
//! `poem_session::__private`.

mod ctxt;
mod data;
mod handler;
mod meta;
mod names;
mod private;
mod reserved;

use proc_macro::TokenStream;

/// Turns the fields of a struct into session keys. See `poem_session::SessionData`.
#[proc_macro_derive(SessionData, attributes(session))]
pub fn derive_session_data(input: TokenStream) -> TokenStream {
    match syn::parse(input) {
        Ok(input) => data::derive(&input).into(),
        Err(error) => error.into_compile_error().into(),
    }
}

/// Turns a function into a Poem endpoint that takes session parameters. See `poem_session::session`.
#[proc_macro_attribute]
pub fn session(options: TokenStream, item: TokenStream) -> TokenStream {
    match syn::parse(item) {
        Ok(item) => handler::expand(options.into(), item).into(),
        Err(error) => error.into_compile_error().into(),
    }
}
